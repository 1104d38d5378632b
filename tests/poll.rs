//! `poll`, with the host's as oracle.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use lwproc::sys::{self, PollFd};
use lwproc::{
    Console, Domain, Errno, Events, Fd, File, HostFile, Kernel, OpenFlags, PIPE_CAPACITY, ProcOptions, Resource,
    Result, Rlimit, SocketKind, WaitQueue, Watch,
};
use rustix::event::{PollFd as HostPollFd, PollFlags, Timespec};

const NOW: Option<Duration> = Some(Duration::ZERO);
const ALL: Events = Events::IN.union(Events::PRI).union(Events::OUT);

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

fn poll_one(fd: Fd, events: Events) -> Events {
    let mut fds = [PollFd::new(fd, events)];
    let found = sys::poll(&mut fds, NOW).unwrap();
    assert_eq!(found, usize::from(!fds[0].revents.is_empty()));
    fds[0].revents
}

fn host_poll_one(fd: &OwnedFd, events: Events) -> Events {
    let mut fds = [HostPollFd::from_borrowed_fd(fd.as_fd(), PollFlags::from_bits_retain(events.bits() as u16))];
    rustix::event::poll(&mut fds, Some(&Timespec::default())).unwrap();
    Events::from_bits_retain(fds[0].revents().bits() as i16)
}

#[test]
fn finds_what_the_host_finds_on_pipes_in_every_state() {
    boot().enter(|| {
        let same = |ours: Fd, host: &OwnedFd| {
            for events in [Events::empty(), Events::IN, Events::OUT, ALL] {
                assert_eq!(poll_one(ours, events), host_poll_one(host, events));
            }
        };
        let (reader, writer) = sys::pipe().unwrap();
        let (host_reader, host_writer) = rustix::pipe::pipe().unwrap();
        let both = || {
            same(reader, &host_reader);
            same(writer, &host_writer);
        };
        both();
        sys::write(writer, b"x").unwrap();
        rustix::io::write(&host_writer, b"x").unwrap();
        both();
        sys::read(reader, &mut [0]).unwrap();
        rustix::io::read(&host_reader, &mut [0]).unwrap();
        sys::write(writer, &[0; PIPE_CAPACITY]).unwrap();
        rustix::io::write(&host_writer, &[0; PIPE_CAPACITY]).unwrap();
        both();
        sys::close(writer).unwrap();
        drop(host_writer);
        same(reader, &host_reader);
        let (reader, writer) = sys::pipe().unwrap();
        let (host_reader, host_writer) = rustix::pipe::pipe().unwrap();
        sys::close(reader).unwrap();
        drop(host_reader);
        same(writer, &host_writer);
    });
}

#[test]
fn files_are_always_ready_and_numbers_that_are_not_open_are_told() {
    boot().enter(|| {
        let file = sys::open("/f", OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap();
        assert_eq!(poll_one(file, ALL), Events::IN | Events::OUT);
        assert_eq!(poll_one(0, Events::IN), Events::IN);
        sys::close(file).unwrap();
        for fd in [file, 100_000, Fd::MAX] {
            assert_eq!(poll_one(fd, Events::empty()), Events::NVAL);
        }
        for fd in [-1, Fd::MIN] {
            assert_eq!(poll_one(fd, ALL), Events::empty());
        }
    });
}

#[test]
fn clears_what_an_earlier_call_found_and_counts_entries() {
    boot().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let mut fds = [
            PollFd { revents: ALL, ..PollFd::new(reader, Events::IN) },
            PollFd::new(writer, Events::OUT),
            PollFd::new(writer, Events::OUT),
            PollFd::new(77, Events::IN),
            PollFd { revents: ALL, ..PollFd::new(-1, Events::IN) },
        ];
        assert_eq!(sys::poll(&mut fds, None), Ok(3));
        let found = fds.map(|entry| entry.revents);
        assert_eq!(found, [Events::empty(), Events::OUT, Events::OUT, Events::NVAL, Events::empty()]);
        assert_eq!(sys::poll(&mut [], NOW), Ok(0));
    });
}

#[test]
fn a_timeout_ends_it_and_not_early() {
    boot().enter(|| {
        let (reader, _writer) = sys::pipe().unwrap();
        let (host, _host_writer) = rustix::pipe::pipe().unwrap();
        let host = sys::install(HostFile::new(host).unwrap(), OpenFlags::RDONLY).unwrap();
        let timeout = Duration::from_millis(25);
        for fds in [&mut [][..], &mut [PollFd::new(reader, Events::IN)], &mut [PollFd::new(host, Events::IN)]] {
            let start = Instant::now();
            assert_eq!(sys::poll(fds, Some(timeout)), Ok(0));
            assert!(start.elapsed() >= timeout);
        }
    });
}

#[test]
fn what_another_thread_does_wakes_it_whether_pipe_or_host_descriptor() {
    let kernel = boot();
    let (reader, writer, host, host_writer, one, other) = kernel.enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let (host, host_writer) = rustix::pipe::pipe().unwrap();
        let host = sys::install(HostFile::new(host).unwrap(), OpenFlags::RDONLY).unwrap();
        let (one, other) = sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
        (reader, writer, host, host_writer, one, other)
    });
    let wakes: [&(dyn Fn() + Sync); 3] = [
        &|| assert_eq!(sys::write(writer, b"x"), Ok(1)),
        &|| assert_eq!(rustix::io::write(&host_writer, b"x"), Ok(1)),
        &|| assert_eq!(sys::write(other, b"x"), Ok(1)),
    ];
    for (which, wake) in wakes.iter().enumerate() {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                kernel.enter(wake);
            });
            kernel.enter(|| {
                let fds = [reader, host, one];
                let mut entries = fds.map(|fd| PollFd::new(fd, Events::IN));
                assert_eq!(sys::poll(&mut entries, None), Ok(1));
                assert_eq!(entries[which].revents, Events::IN);
                assert_eq!(sys::read(fds[which], &mut [0]), Ok(1));
                assert_eq!(sys::poll(&mut entries, NOW), Ok(0));
            });
        });
    }
}

#[test]
fn more_entries_than_descriptors_are_refused() {
    boot().enter(|| {
        let allowed = sys::getrlimit(Resource::NoFile).soft as usize;
        let mut fds = vec![PollFd::new(-1, Events::IN); allowed + 1];
        assert_eq!(sys::poll(&mut fds, NOW), Err(Errno::EINVAL));
        assert_eq!(sys::poll(&mut fds[1..], NOW), Ok(0));
        sys::setrlimit(Resource::NoFile, Rlimit { soft: 4, hard: 1024 }).unwrap();
        assert_eq!(sys::poll(&mut fds[..5], NOW), Err(Errno::EINVAL));
        assert_eq!(sys::poll(&mut fds[..4], NOW), Ok(0));
    });
}

#[test]
fn a_kill_interrupts_it() {
    let kernel = boot();
    for with_host in [false, true] {
        let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
        let (pid, ready) = (lwp.pid(), Barrier::new(2));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                lwp.enter(|| {
                    let (reader, _writer) = sys::pipe().unwrap();
                    let (host, _host_writer) = rustix::pipe::pipe().unwrap();
                    let host = sys::install(HostFile::new(host).unwrap(), OpenFlags::RDONLY).unwrap();
                    let fds = &mut [PollFd::new(reader, Events::IN), PollFd::new(host, Events::IN)];
                    ready.wait();
                    sys::poll(&mut fds[..1 + usize::from(with_host)], None)
                })
            });
            ready.wait();
            thread::sleep(Duration::from_millis(30));
            kernel.kill(pid).unwrap();
            assert_eq!(waiting.join().unwrap(), Err(Errno::EINTR));
        });
    }
}

#[test]
fn a_descriptor_closed_meanwhile_is_still_waited_for() {
    let kernel = boot();
    let (reader, writer) = kernel.enter(|| sys::pipe().unwrap());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            kernel.enter(|| {
                let mut fds = [PollFd::new(reader, Events::IN)];
                (sys::poll(&mut fds, None), fds[0].revents)
            })
        });
        kernel.enter(|| {
            thread::sleep(Duration::from_millis(30));
            sys::close(reader).unwrap();
            thread::sleep(Duration::from_millis(30));
            assert!(!waiting.is_finished());
            sys::write(writer, b"x").unwrap();
            assert_eq!(waiting.join().unwrap(), (Ok(1), Events::IN));
        });
    });
}

/// Becomes readable while its own `poll` waits for something else, after it has looked.
struct Distracted {
    changed: Arc<WaitQueue>,
    ready: AtomicBool,
    distracted: AtomicBool,
}

impl File for Distracted {
    fn read_at(&self, _buf: &mut [u8], _at: u64) -> Result<usize> {
        if self.ready.load(Ordering::SeqCst) { Ok(0) } else { Err(Errno::EAGAIN) }
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        if let Some(watch) = watch {
            watch.queue(&self.changed);
        }
        let seen = self.ready.load(Ordering::SeqCst);
        if !self.distracted.swap(true, Ordering::SeqCst) {
            self.ready.store(true, Ordering::SeqCst);
            self.changed.wake_all();
            sys::nanosleep(Duration::from_millis(5), None).unwrap();
        }
        if seen { events & Events::IN } else { Events::empty() }
    }
}

#[test]
fn a_wait_in_the_midst_of_another_does_not_take_its_wakes() {
    let (done, result) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let read = boot().enter(|| {
            let file = Distracted {
                changed: Arc::new(WaitQueue::new()),
                ready: AtomicBool::new(false),
                distracted: AtomicBool::new(false),
            };
            let fd = sys::install(file, OpenFlags::RDONLY).unwrap();
            sys::read(fd, &mut [0])
        });
        done.send(read).unwrap();
    });
    // Lost, the wake never comes: no wait is too short, only too long.
    assert_eq!(result.recv_timeout(Duration::from_secs(20)), Ok(Ok(0)));
}
