//! Futures polled by hand, over what is in memory.

use std::io::{IoSlice, IoSliceMut};
use std::sync::Mutex;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use lwproc::sys::{self, PollFd, aio};
use lwproc::{
    Domain, Errno, Events, Fd, FdInherit, File, HostFile, Kernel, OpenFlags, PIPE_CAPACITY, ProcOptions, SocketAddress,
    SocketKind,
};

use super::{counter, poll};

/// In a kernel of the test's own.
fn within(f: impl FnOnce()) {
    Kernel::new().unwrap().enter(f);
}

#[test]
fn a_pending_read_is_woken_by_the_write_and_takes_it() {
    within(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let ((count, waker), mut buf) = (counter(), [0; 8]);
        let mut read = Box::pin(aio::read(reader, &mut buf));
        assert_eq!(poll(&mut read, &waker), Poll::Pending);
        assert_eq!(count.wakes(), 0);
        sys::write(writer, b"lwproc").unwrap();
        assert_eq!(count.wakes(), 1);
        assert_eq!(poll(&mut read, &waker), Poll::Ready(Ok(6)));
        drop(read);
        assert_eq!(&buf[..6], b"lwproc");
    });
}

#[test]
fn nothing_happens_before_the_first_poll_and_the_open_file_is_held_from_then_on() {
    within(|| {
        let ((_, waker), mut buf) = (counter(), [0; 8]);
        // The numbers that the pipe will have.
        let mut read = Box::pin(aio::read(3, &mut buf));
        let mut late = Box::pin(aio::write(4, b"late"));
        let (reader, writer) = sys::pipe().unwrap();
        assert_eq!((reader, writer), (3, 4));
        assert_eq!(poll(&mut read, &waker), Poll::Pending, "nothing was written");
        sys::close(reader).unwrap();
        assert_eq!(poll(&mut late, &waker), Poll::Ready(Ok(4)), "the reader is there still");
        sys::close(writer).unwrap();
        assert_eq!(poll(&mut read, &waker), Poll::Ready(Ok(4)));
        assert_eq!(poll(&mut Box::pin(aio::read(reader, &mut [0; 8])), &waker), Poll::Ready(Err(Errno::EBADF)));
    });
}

#[test]
fn the_last_waker_is_woken_and_polls_for_no_reason_do_no_harm() {
    within(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let [(first, first_waker), (second, second_waker)] = [counter(), counter()];
        let mut buf = [0; 8];
        let mut read = Box::pin(aio::read(reader, &mut buf));
        for waker in [&first_waker, &first_waker, &second_waker, &first_waker, &second_waker, &second_waker] {
            assert_eq!(poll(&mut read, waker), Poll::Pending);
        }
        sys::write(writer, b"x").unwrap();
        assert_eq!((first.wakes(), second.wakes()), (0, 1));
        assert_eq!(poll(&mut read, &first_waker), Poll::Ready(Ok(1)));
    });
}

#[test]
fn who_comes_too_late_waits_on() {
    within(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let ((count, waker), mut buf) = (counter(), [0; 8]);
        let mut read = Box::pin(aio::read(reader, &mut buf));
        for round in 1..=3 {
            assert_eq!(poll(&mut read, &waker), Poll::Pending);
            sys::write(writer, b"x").unwrap();
            assert_eq!(sys::read(reader, &mut [0; 8]), Ok(1), "somebody else is faster");
            assert_eq!(count.wakes(), round);
        }
        assert_eq!(poll(&mut read, &waker), Poll::Pending);
        sys::close(writer).unwrap();
        assert_eq!(poll(&mut read, &waker), Poll::Ready(Ok(0)));
    });
}

#[test]
fn a_dropped_future_has_taken_nothing_and_is_not_woken() {
    let kernel = Kernel::new().unwrap();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let pid = lwp.pid();
    let (count, waker) = counter();
    lwp.enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let mut buf = [0; 8];
        let mut read = Box::pin(aio::read(reader, &mut buf));
        assert_eq!(poll(&mut read, &waker), Poll::Pending);
        drop(read);
        sys::write(writer, b"lwproc").unwrap();
        assert_eq!(sys::read(reader, &mut buf), Ok(6));
        kernel.kill(pid).unwrap();
    });
    assert_eq!(count.wakes(), 0);
}

#[test]
fn a_kill_wakes_all_and_is_their_answer() {
    let kernel = Kernel::new().unwrap();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let pid = lwp.pid();
    lwp.enter(|| {
        let ((reader, writer), (_full, full)) = (sys::pipe().unwrap(), sys::pipe().unwrap());
        let (bytes, mut buf) = (vec![7; PIPE_CAPACITY + 1], [0; 8]);
        let mut fds = [PollFd::new(reader, Events::IN)];
        let counters = [counter(), counter(), counter()];
        let mut read = Box::pin(aio::read(reader, &mut buf));
        let mut write = Box::pin(aio::write(full, &bytes));
        let mut polled = Box::pin(aio::poll(&mut fds, None));
        assert_eq!(poll(&mut read, &counters[0].1), Poll::Pending);
        assert_eq!(poll(&mut write, &counters[1].1), Poll::Pending);
        assert_eq!(poll(&mut polled, &counters[2].1), Poll::Pending);
        kernel.kill(pid).unwrap();
        assert!(counters.iter().all(|(count, _)| count.wakes() == 1));
        assert_eq!(poll(&mut read, &counters[0].1), Poll::Ready(Err(Errno::EINTR)));
        assert_eq!(poll(&mut write, &counters[1].1), Poll::Ready(Ok(PIPE_CAPACITY)), "what was written by then");
        assert_eq!(poll(&mut polled, &counters[2].1), Poll::Ready(Err(Errno::EINTR)));
        // What is there is got all the same.
        assert_eq!(sys::write(writer, b"x"), Ok(1));
        assert_eq!(poll(&mut Box::pin(aio::read(reader, &mut [0; 8])), &counters[0].1), Poll::Ready(Ok(1)));
    });
}

/// Polls `write` until it is ready, reading the pipe empty in between. All that was read.
fn drained<F: Future<Output = lwproc::Result<usize>>>(write: F, reader: Fd) -> (usize, Vec<u8>) {
    let (count, waker) = counter();
    let (mut write, mut all, mut wakes) = (Box::pin(write), Vec::new(), 0);
    let mut buf = vec![0; PIPE_CAPACITY];
    let mut drain = || {
        let read = sys::read(reader, &mut buf).unwrap();
        all.extend_from_slice(&buf[..read]);
    };
    let written = loop {
        match poll(&mut write, &waker) {
            Poll::Ready(written) => break written.unwrap(),
            Poll::Pending => {
                drain();
                assert!(count.wakes() > wakes, "there is room, and nobody was told");
                wakes = count.wakes();
            }
        }
    };
    assert!(wakes > 0, "it did not wait");
    drain();
    (written, all)
}

#[test]
fn a_stream_takes_all_in_as_many_pieces_as_it_needs() {
    within(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let bytes: Vec<u8> = (0..3 * PIPE_CAPACITY + 5).map(|at| (at % 251) as u8).collect();
        assert_eq!(drained(aio::write(writer, &bytes), reader), (bytes.len(), bytes.clone()));
        let bytes: Vec<u8> = (0..(2 << 20) + 77).map(|at| (at % 241) as u8).collect();
        let bufs = bytes.chunks(100_000).map(IoSlice::new).collect::<Vec<_>>();
        assert_eq!(drained(aio::writev(writer, &bufs), reader), (bytes.len(), bytes.clone()));
    });
}

#[test]
fn a_dropped_write_may_have_written_a_part() {
    within(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let (bytes, (count, waker)) = (vec![7; PIPE_CAPACITY + 9], counter());
        let mut write = Box::pin(aio::write(writer, &bytes));
        assert_eq!(poll(&mut write, &waker), Poll::Pending);
        drop(write);
        let mut buf = vec![0; bytes.len()];
        assert_eq!(sys::read(reader, &mut buf), Ok(PIPE_CAPACITY));
        // One that goes in one piece is there or not.
        sys::write(writer, &bytes[..PIPE_CAPACITY - 5]).unwrap();
        let mut write = Box::pin(aio::write(writer, &bytes[..10]));
        assert_eq!(poll(&mut write, &waker), Poll::Pending);
        drop(write);
        assert_eq!(sys::read(reader, &mut buf), Ok(PIPE_CAPACITY - 5));
        assert_eq!(count.wakes(), 0);
    });
}

#[test]
fn a_device_that_takes_no_more_ends_the_write() {
    /// Takes as much as it has room for, and says of the rest that it takes nothing.
    struct Small(Mutex<usize>);
    impl File for Small {
        fn write_at(&self, buf: &[u8], _at: u64) -> lwproc::Result<usize> {
            let mut room = self.0.lock().unwrap();
            let taken = buf.len().min(*room).min(3);
            *room -= taken;
            Ok(taken)
        }
    }
    within(|| {
        let (_, waker) = counter();
        let small = |room| sys::install(Small(Mutex::new(room)), OpenFlags::WRONLY).unwrap();
        assert_eq!(sys::write(small(8), b"too much for it"), Ok(8));
        assert_eq!(poll(&mut Box::pin(aio::write(small(8), b"too much for it")), &waker), Poll::Ready(Ok(8)));
        assert_eq!(poll(&mut Box::pin(aio::write(small(8), b"fits")), &waker), Poll::Ready(Ok(4)));
        assert_eq!(poll(&mut Box::pin(aio::write(small(0), b"nothing")), &waker), Poll::Ready(Ok(0)));
        let bufs = [IoSlice::new(b"too much"), IoSlice::new(b" for it")];
        assert_eq!(poll(&mut Box::pin(aio::writev(small(8), &bufs)), &waker), Poll::Ready(Ok(8)));
    });
}

#[test]
fn an_end_that_goes_is_told() {
    within(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let (bytes, (count, waker)) = (vec![7; PIPE_CAPACITY], counter());
        sys::write(writer, &bytes).unwrap();
        let mut write = Box::pin(aio::write(writer, b"x"));
        assert_eq!(poll(&mut write, &waker), Poll::Pending);
        sys::close(reader).unwrap();
        assert_eq!(count.wakes(), 1);
        assert_eq!(poll(&mut write, &waker), Poll::Ready(Err(Errno::EPIPE)));
    });
}

#[test]
fn scattered_buffers_are_filled_in_order() {
    within(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let (mut one, mut two, (_, waker)) = ([0; 2], [0; 8], counter());
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        let mut read = Box::pin(aio::readv(reader, &mut bufs));
        assert_eq!(poll(&mut read, &waker), Poll::Pending);
        sys::write(writer, b"lwproc").unwrap();
        assert_eq!(poll(&mut read, &waker), Poll::Ready(Ok(6)));
        drop(read);
        assert_eq!((&one, &two), (b"lw", b"proc\0\0\0\0"));
    });
}

#[test]
fn files_with_positions_are_ready_at_once() {
    within(|| {
        let (_, waker) = counter();
        let fd = sys::open("/file", OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap();
        let mut buf = [0; 8];
        assert_eq!(poll(&mut Box::pin(aio::write(fd, b"lwproc")), &waker), Poll::Ready(Ok(6)));
        assert_eq!(poll(&mut Box::pin(aio::pwrite(fd, b"L", 0)), &waker), Poll::Ready(Ok(1)));
        assert_eq!(poll(&mut Box::pin(aio::read(fd, &mut buf)), &waker), Poll::Ready(Ok(0)));
        assert_eq!(poll(&mut Box::pin(aio::pread(fd, &mut buf, 0)), &waker), Poll::Ready(Ok(6)));
        assert_eq!(&buf[..6], b"Lwproc");
    });
}

#[test]
fn a_non_blocking_descriptor_is_never_waited_for() {
    within(|| {
        let (_, waker) = counter();
        let (reader, writer) = sys::pipe2(OpenFlags::NONBLOCK).unwrap();
        let bytes = vec![7; 2 * PIPE_CAPACITY];
        assert_eq!(poll(&mut Box::pin(aio::read(reader, &mut [0; 8])), &waker), Poll::Ready(Err(Errno::EAGAIN)));
        assert_eq!(poll(&mut Box::pin(aio::write(writer, &bytes)), &waker), Poll::Ready(Ok(PIPE_CAPACITY)));
        assert_eq!(poll(&mut Box::pin(aio::write(writer, &bytes)), &waker), Poll::Ready(Err(Errno::EAGAIN)));
    });
}

#[test]
fn errors_are_those_of_the_calls() {
    within(|| {
        let (_, waker) = counter();
        let (reader, writer) = sys::pipe().unwrap();
        let here = SocketAddress::Inet("127.0.0.1:1".parse().unwrap());
        macro_rules! same {
            ($($call:ident($($argument:expr),*)),* $(,)?) => {$(
                let Poll::Ready(answer) = poll(&mut Box::pin(aio::$call($($argument),*)), &waker) else {
                    panic!("{} waits", stringify!($call($($argument),*)))
                };
                assert!(answer.is_err(), "{}", stringify!($call($($argument),*)));
                assert_eq!(answer, sys::$call($($argument),*), "{}", stringify!($call($($argument),*)));
            )*};
        }
        let mut many: Vec<IoSliceMut<'_>> = (0..=sys::IOV_MAX).map(|_| IoSliceMut::new(&mut [])).collect();
        let mut crowd = vec![PollFd::new(reader, Events::IN); 100_000];
        same! {
            read(-1, &mut [0; 4]), read(writer, &mut [0; 4]), pread(reader, &mut [0; 4], 0),
            pread(reader, &mut [0; 4], u64::MAX), readv(99, &mut []),
            readv(reader, &mut many),
            write(reader, b"x"), write(99, b"x"), pwrite(writer, b"x", 0), writev(reader, &[]),
            writev(writer, &[IoSlice::new(b"x"); sys::IOV_MAX + 1]),
            accept(reader), accept(99), accept4(reader, OpenFlags::APPEND),
            connect(reader, &here), connect(99, &here), poll(&mut crowd, None),
        }
        let socket = sys::socket(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
        same! {
            connect(socket, &SocketAddress::Unnamed), connect(socket, &SocketAddress::Unix("/nowhere".into())),
            connect(socket, &here), accept(socket),
        }
    });
}

#[test]
fn what_only_a_multiplexer_watches_is_not_waited_for_elsewhere() {
    within(|| {
        let (count, waker) = counter();
        let (read, write) = rustix::pipe::pipe().unwrap();
        let fd = sys::install(HostFile::new(read).unwrap(), OpenFlags::RDONLY).unwrap();
        let unsupported = || Poll::Ready(Err(Errno::EOPNOTSUPP));
        let mut fds = [PollFd::new(fd, Events::IN)];
        assert_eq!(poll(&mut Box::pin(aio::read(fd, &mut [0; 8])), &waker), unsupported());
        assert_eq!(poll(&mut Box::pin(aio::poll(&mut fds, None)), &waker), unsupported());
        let second = Duration::from_secs(1);
        assert_eq!(poll(&mut Box::pin(aio::nanosleep(second, None)), &waker), Poll::Ready(Err(Errno::EOPNOTSUPP)));
        assert_eq!(poll(&mut Box::pin(aio::poll(&mut [], Some(second))), &waker), unsupported());
        // What need not wait is ready all the same.
        assert_eq!(poll(&mut Box::pin(aio::nanosleep(Duration::ZERO, None)), &waker), Poll::Ready(Ok(())));
        assert_eq!(poll(&mut Box::pin(aio::poll(&mut fds, Some(Duration::ZERO))), &waker), Poll::Ready(Ok(0)));
        rustix::io::write(&write, b"x").unwrap();
        assert_eq!(poll(&mut Box::pin(aio::poll(&mut fds, None)), &waker), Poll::Ready(Ok(1)));
        assert_eq!(poll(&mut Box::pin(aio::read(fd, &mut [0; 8])), &waker), Poll::Ready(Ok(1)));
        assert_eq!(count.wakes(), 0);
    });
}

#[test]
fn a_future_goes_from_one_host_thread_to_another() {
    let kernel = Kernel::new().unwrap();
    let mut lwp = kernel.spawn(ProcOptions::new().fds(FdInherit::Clean)).unwrap();
    let (count, waker) = counter();
    let (reader, writer) = lwp.enter(sys::pipe).unwrap();
    let mut read = Box::pin(async move {
        let mut buf = [0; 8];
        aio::read(reader, &mut buf).await.map(|read| buf[..read].to_vec())
    });
    lwp.enter(|| assert_eq!(poll(&mut read, &waker), Poll::Pending));
    let answer = thread::spawn(move || {
        lwp.enter(|| {
            assert_eq!(poll(&mut read, &waker), Poll::Pending);
            sys::write(writer, b"lwproc").unwrap();
            poll(&mut read, &waker)
        })
    });
    assert_eq!(answer.join().unwrap(), Poll::Ready(Ok(b"lwproc".to_vec())));
    assert_eq!(count.wakes(), 1);
}

#[test]
fn each_future_may_change_host_threads() {
    fn send<T: Send>(_: T) {}
    let address = SocketAddress::Unnamed;
    send(aio::read(0, &mut []));
    send(aio::pread(0, &mut [], 0));
    send(aio::readv(0, &mut []));
    send(aio::write(0, &[]));
    send(aio::pwrite(0, &[], 0));
    send(aio::writev(0, &[]));
    send(aio::accept(0));
    send(aio::accept4(0, OpenFlags::empty()));
    send(aio::connect(0, &address));
    send(aio::poll(&mut [], None));
    send(aio::nanosleep(Duration::ZERO, None));
}
