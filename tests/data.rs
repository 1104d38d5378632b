//! Reading, writing and positions, with the host's kernel as oracle where it can be one.

#[path = "common/killed.rs"]
mod killed;
#[path = "common/random.rs"]
mod random;

use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use killed::killed;
use lwproc::sys::{self, IOV_MAX, TRANSFER_MAX};
use lwproc::{Console, Errno, Fd, FdInherit, File, Kernel, OpenFlags, PIPE_BUF, PIPE_CAPACITY, ProcOptions, Result};
use random::Random;

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// A file in memory and a file of the host, driven alike.
struct Both {
    ours: Fd,
    host: OwnedFd,
}

impl Both {
    fn new(flags: OpenFlags) -> Self {
        let path =
            std::env::temp_dir().join(format!("lwproc-data-{}-{:?}", std::process::id(), thread::current().id()));
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let host_flags = rustix::fs::OFlags::from_bits_retain((flags | OpenFlags::CREAT | OpenFlags::TRUNC).bits());
        let host = rustix::fs::open(&path, host_flags, mode).unwrap();
        std::fs::remove_file(&path).unwrap();
        Self { ours: sys::open("/file", flags | OpenFlags::CREAT | OpenFlags::TRUNC, 0o600).unwrap(), host }
    }

    #[track_caller]
    fn same<T: PartialEq + std::fmt::Debug>(&self, ours: Result<T>, host: rustix::io::Result<T>) {
        assert_eq!(ours, host.map_err(Errno::from));
        // The offsets, too.
        let host = rustix::fs::seek(&self.host, rustix::fs::SeekFrom::Current(0)).map_err(Errno::from);
        assert_eq!(sys::lseek(self.ours, SeekFrom::Current(0)), host);
    }

    fn step(&self, random: &mut Random) {
        let len = random.below(300);
        let at = random.below(2000) as u64;
        let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        let (mut one, mut other) = (vec![0; len], vec![0; len]);
        match random.below(10) {
            0 => self.same(sys::read(self.ours, &mut one), rustix::io::read(&self.host, &mut other)),
            1 => self.same(sys::write(self.ours, &bytes), rustix::io::write(&self.host, &bytes)),
            2 => self.same(sys::pread(self.ours, &mut one, at), rustix::io::pread(&self.host, &mut other, at)),
            3 => self.same(sys::pwrite(self.ours, &bytes, at), rustix::io::pwrite(&self.host, &bytes, at)),
            4 => {
                let (a, b) = one.split_at_mut(len / 3);
                let (c, d) = other.split_at_mut(len / 3);
                let ours = sys::readv(self.ours, &mut [IoSliceMut::new(a), IoSliceMut::new(b)]);
                self.same(ours, rustix::io::readv(&self.host, &mut [IoSliceMut::new(c), IoSliceMut::new(d)]));
            }
            5 => {
                let (a, b) = bytes.split_at(len / 2);
                let bufs = [IoSlice::new(a), IoSlice::new(&[]), IoSlice::new(b)];
                self.same(sys::writev(self.ours, &bufs), rustix::io::writev(&self.host, &bufs));
            }
            6 => {
                let to = SeekFrom::Start(at);
                self.same(sys::lseek(self.ours, to), rustix::fs::seek(&self.host, rustix::fs::SeekFrom::Start(at)));
            }
            7 => {
                let by = at as i64 - 1000;
                let host = rustix::fs::seek(&self.host, rustix::fs::SeekFrom::Current(by));
                self.same(sys::lseek(self.ours, SeekFrom::Current(by)), host);
            }
            8 => {
                let by = at as i64 - 1500;
                let host = rustix::fs::seek(&self.host, rustix::fs::SeekFrom::End(by));
                self.same(sys::lseek(self.ours, SeekFrom::End(by)), host);
            }
            _ => self.same(sys::ftruncate(self.ours, at), rustix::fs::ftruncate(&self.host, at)),
        }
        assert_eq!(one, other);
    }
}

#[test]
fn a_file_in_memory_answers_as_one_of_the_host_through_random_calls() {
    boot().enter(|| {
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for _ in 0..30 {
            let both = Both::new(OpenFlags::RDWR);
            for _ in 0..200 {
                both.step(&mut random);
            }
            sys::close(both.ours).unwrap();
        }
    });
}

#[test]
fn an_appending_descriptor_answers_as_one_of_the_host() {
    boot().enter(|| {
        let both = Both::new(OpenFlags::RDWR | OpenFlags::APPEND);
        for text in ["one", "two"] {
            both.same(sys::write(both.ours, text.as_bytes()), rustix::io::write(&both.host, text.as_bytes()));
            both.same(
                sys::lseek(both.ours, SeekFrom::Start(1)),
                rustix::fs::seek(&both.host, rustix::fs::SeekFrom::Start(1)),
            );
        }
        let (mut one, mut other) = ([0; 8], [0; 8]);
        both.same(sys::read(both.ours, &mut one), rustix::io::read(&both.host, &mut other));
        assert_eq!(one, other);
    });
}

#[test]
fn what_many_append_is_all_there_in_one_piece_each() {
    let kernel = boot();
    thread::scope(|scope| {
        for byte in b'a'..=b'd' {
            let kernel = &kernel;
            scope.spawn(move || {
                kernel.enter(|| {
                    let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::APPEND;
                    let fd = sys::open("/log", flags, 0o600).unwrap();
                    for _ in 0..200 {
                        let line = [byte; 7];
                        let bufs = [IoSlice::new(&line[..3]), IoSlice::new(&line[3..])];
                        assert_eq!(sys::writev(fd, &bufs), Ok(7));
                    }
                    sys::close(fd).unwrap();
                });
            });
        }
    });
    kernel.enter(|| {
        let fd = sys::open("/log", OpenFlags::RDONLY, 0).unwrap();
        let mut all = vec![0; 10_000];
        assert_eq!(sys::read(fd, &mut all), Ok(4 * 200 * 7));
        for byte in b'a'..=b'd' {
            let runs = all[..5600].chunks(7).filter(|run| **run == [byte; 7]).count();
            assert_eq!(runs, 200);
        }
    });
}

#[test]
fn descriptors_made_from_one_open_share_its_offset() {
    let kernel = boot();
    kernel.enter(|| {
        let fd = sys::open("/f", OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap();
        let other = sys::dup(fd).unwrap();
        sys::write(fd, b"abcdef").unwrap();
        assert_eq!(sys::lseek(other, SeekFrom::Current(-2)), Ok(4));
        let mut buf = [0; 4];
        assert_eq!(sys::read(fd, &mut buf), Ok(2));
        kernel.rfork(FdInherit::Copy).unwrap();
        sys::lseek(fd, SeekFrom::Start(1)).unwrap();
        kernel.releaselwp();
        assert_eq!(sys::read(other, &mut buf[..2]), Ok(2));
        assert_eq!(&buf[..2], b"bc");
    });
}

#[test]
fn bad_descriptors_and_modes_are_told() {
    boot().enter(|| {
        let (mut buf, bytes) = ([0; 4], [0; 4]);
        let closed = sys::open("/f", OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap();
        sys::close(closed).unwrap();
        for fd in [-1, closed, 100_000, Fd::MAX, Fd::MIN] {
            assert_eq!(sys::read(fd, &mut buf), Err(Errno::EBADF));
            assert_eq!(sys::write(fd, &bytes), Err(Errno::EBADF));
            assert_eq!(sys::pread(fd, &mut buf, 0), Err(Errno::EBADF));
            assert_eq!(sys::pwrite(fd, &bytes, 0), Err(Errno::EBADF));
            assert_eq!(sys::readv(fd, &mut [IoSliceMut::new(&mut buf)]), Err(Errno::EBADF));
            assert_eq!(sys::writev(fd, &[IoSlice::new(&bytes)]), Err(Errno::EBADF));
            assert_eq!(sys::lseek(fd, SeekFrom::Start(0)), Err(Errno::EBADF));
            assert_eq!(sys::ftruncate(fd, 0), Err(Errno::EBADF));
            assert_eq!(sys::fsync(fd), Err(Errno::EBADF));
        }
        let reading = sys::open("/f", OpenFlags::RDONLY, 0).unwrap();
        assert_eq!(sys::write(reading, &bytes), Err(Errno::EBADF));
        assert_eq!(sys::writev(reading, &[]), Err(Errno::EBADF));
        assert_eq!(sys::ftruncate(reading, 0), Err(Errno::EINVAL));
        let writing = sys::open("/f", OpenFlags::WRONLY, 0).unwrap();
        assert_eq!(sys::read(writing, &mut buf), Err(Errno::EBADF));
        let directory = sys::open("/", OpenFlags::RDONLY, 0).unwrap();
        assert_eq!(sys::read(directory, &mut buf), Err(Errno::EISDIR));
    });
}

#[test]
fn what_has_no_positions_says_so() {
    boot().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        for fd in [reader, writer] {
            assert_eq!(sys::lseek(fd, SeekFrom::Current(0)), Err(Errno::ESPIPE));
        }
        assert_eq!(sys::pread(reader, &mut [0], 0), Err(Errno::ESPIPE));
        assert_eq!(sys::pwrite(writer, &[0], 0), Err(Errno::ESPIPE));
        assert_eq!(sys::ftruncate(writer, 0), Err(Errno::EINVAL));
        assert_eq!(sys::fsync(writer), Err(Errno::EINVAL));
        assert_eq!(sys::read(writer, &mut [0]), Err(Errno::EBADF));
        assert_eq!(sys::write(reader, &[0]), Err(Errno::EBADF));
    });
}

#[test]
fn absurd_positions_and_counts_are_refused() {
    boot().enter(|| {
        let fd = sys::open("/f", OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap();
        let beyond = i64::MAX as u64 + 1;
        for at in [beyond, u64::MAX] {
            assert_eq!(sys::pread(fd, &mut [0], at), Err(Errno::EINVAL));
            assert_eq!(sys::pwrite(fd, &[0], at), Err(Errno::EINVAL));
            assert_eq!(sys::lseek(fd, SeekFrom::Start(at)), Err(Errno::EINVAL));
            assert_eq!(sys::ftruncate(fd, at), Err(Errno::EINVAL));
        }
        assert_eq!(sys::lseek(fd, SeekFrom::End(-1)), Err(Errno::EINVAL));
        assert_eq!(sys::lseek(fd, SeekFrom::Current(i64::MIN)), Err(Errno::EINVAL));
        assert_eq!(sys::lseek(fd, SeekFrom::Start(beyond - 1)), Ok(beyond - 1));
        assert_eq!(sys::lseek(fd, SeekFrom::Current(1)), Err(Errno::EINVAL));
        assert_eq!(sys::read(fd, &mut [0]), Ok(0));
        assert_eq!(sys::write(fd, b"x"), Err(Errno::EFBIG));
        let (mut byte, mut many) = ([0], Vec::new());
        for _ in 0..=IOV_MAX {
            many.push(IoSlice::new(&[7]));
        }
        sys::lseek(fd, SeekFrom::Start(0)).unwrap();
        assert_eq!(sys::writev(fd, &many), Err(Errno::EINVAL));
        assert_eq!(sys::writev(fd, &many[1..]), Ok(IOV_MAX));
        assert_eq!(sys::pread(fd, &mut byte, IOV_MAX as u64 - 1), Ok(1));
        let mut bytes = vec![0; IOV_MAX + 1];
        let mut many: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(sys::readv(fd, &mut many), Err(Errno::EINVAL));
        sys::lseek(fd, SeekFrom::Start(0)).unwrap();
        assert_eq!(sys::readv(fd, &mut many[1..]), Ok(IOV_MAX));
    });
}

/// Says that it read and wrote all that it was asked for, and touches none of it.
struct Claims;

impl File for Claims {
    fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
        Ok(buf.len())
    }

    fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
        Ok(buf.len())
    }
}

#[test]
fn one_call_transfers_at_most_what_linux_does() {
    boot().enter(|| {
        let fd = sys::install(Claims, OpenFlags::RDWR).unwrap();
        // Never touched, so never there.
        let mut huge = vec![0; TRANSFER_MAX + 4096];
        assert_eq!(sys::read(fd, &mut huge), Ok(TRANSFER_MAX));
        assert_eq!(sys::write(fd, &huge), Ok(TRANSFER_MAX));
    });
}

#[test]
fn a_pipe_that_would_block_says_so_only_where_it_may_not() {
    let kernel = boot();
    kernel.enter(|| {
        let (reader, writer) = sys::pipe2(OpenFlags::NONBLOCK).unwrap();
        assert_eq!(sys::read(reader, &mut [0]), Err(Errno::EAGAIN));
        assert_eq!(sys::write(writer, &[0; PIPE_CAPACITY + 1]), Ok(PIPE_CAPACITY));
        assert_eq!(sys::write(writer, &[0]), Err(Errno::EAGAIN));
        assert_eq!(sys::writev(writer, &[IoSlice::new(&[0]), IoSlice::new(&[0])]), Err(Errno::EAGAIN));
        sys::close(writer).unwrap();
        let mut buf = vec![0; 2 * PIPE_CAPACITY];
        assert_eq!(sys::read(reader, &mut buf), Ok(PIPE_CAPACITY));
        assert_eq!(sys::read(reader, &mut buf), Ok(0));
    });
}

#[test]
fn a_reader_waits_for_a_writer_and_a_long_write_for_its_readers() {
    let kernel = boot();
    let (reader, writer) = kernel.enter(|| sys::pipe().unwrap());
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            kernel.enter(|| {
                thread::sleep(Duration::from_millis(20));
                assert_eq!(sys::write(writer, &sent), Ok(sent.len()));
                sys::close(writer).unwrap();
            });
        });
        kernel.enter(|| {
            let (mut received, mut buf) = (Vec::new(), vec![0; 7000]);
            loop {
                match sys::read(reader, &mut buf).unwrap() {
                    0 => break,
                    len => received.extend_from_slice(&buf[..len]),
                }
            }
            assert!(received == sent);
        });
    });
}

#[test]
fn many_readers_and_writers_of_one_pipe_miss_no_byte_and_no_wake() {
    const WRITES: u64 = 3000;
    let kernel = boot();
    let (reader, writer) = kernel.enter(|| sys::pipe().unwrap());
    // Long writes and short reads keep the pipe full, the other way round it is empty most of the time.
    for (written, read) in [(PIPE_BUF, 64), (64, PIPE_BUF)] {
        let received: u64 = thread::scope(|scope| {
            let writers: Vec<_> = (0..2_u8)
                .map(|byte| {
                    let kernel = &kernel;
                    let bytes = vec![byte + 1; written];
                    scope.spawn(move || {
                        kernel.enter(|| (0..WRITES).for_each(|_| assert_eq!(sys::write(writer, &bytes), Ok(written))));
                    })
                })
                .collect();
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let kernel = &kernel;
                    scope.spawn(move || {
                        kernel.enter(|| {
                            let (mut buf, mut sum) = (vec![0; read], 0);
                            loop {
                                let len = sys::read(reader, &mut buf).unwrap();
                                sum += buf[..len].iter().map(|byte| u64::from(*byte)).sum::<u64>();
                                // A zero ends one reader each.
                                if buf[..len].contains(&0) {
                                    return sum;
                                }
                            }
                        })
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            let mut readers = readers.into_iter();
            kernel.enter(|| {
                readers
                    .by_ref()
                    .map(|reader| {
                        while !reader.is_finished() {
                            sys::write(writer, &[0]).unwrap();
                            thread::sleep(Duration::from_millis(1));
                        }
                        reader.join().unwrap()
                    })
                    .sum()
            })
        });
        assert_eq!(received, 3 * WRITES * written as u64);
        // What is left are zeros that ended nobody.
        kernel.enter(|| {
            let mut fds = [sys::PollFd::new(reader, lwproc::Events::IN)];
            while sys::poll(&mut fds, Some(Duration::ZERO)) == Ok(1) {
                assert_eq!(sys::read(reader, &mut [0; 1]), Ok(1));
            }
        });
    }
}

#[test]
fn a_vectored_read_of_a_pipe_takes_what_is_there() {
    boot().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        assert_eq!(sys::writev(writer, &[IoSlice::new(b"ab"), IoSlice::new(b"cde")]), Ok(5));
        let (mut one, mut other, mut last) = ([0; 3], [0; 1], [0; 9]);
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other), IoSliceMut::new(&mut last)];
        assert_eq!(sys::readv(reader, &mut bufs), Ok(5));
        assert_eq!((&one, &other, &last[..1]), (b"abc", b"d", &b"e"[..]));
    });
}

#[test]
fn a_kill_interrupts_a_waiting_read_and_write() {
    let kernel = boot();
    let read = killed(&kernel, || {
        let (reader, _writer) = sys::pipe().unwrap();
        sys::read(reader, &mut [0])
    });
    assert_eq!(read, Err(Errno::EINTR));
    let readv = killed(&kernel, || {
        let (reader, _writer) = sys::pipe().unwrap();
        sys::readv(reader, &mut [IoSliceMut::new(&mut [0])])
    });
    assert_eq!(readv, Err(Errno::EINTR));
    let write = killed(&kernel, || {
        let (_reader, writer) = sys::pipe().unwrap();
        sys::write(writer, &[0; PIPE_CAPACITY]).unwrap();
        sys::write(writer, &[0; PIPE_BUF])
    });
    assert_eq!(write, Err(Errno::EINTR));
    let partly = killed(&kernel, || {
        let (_reader, writer) = sys::pipe().unwrap();
        sys::write(writer, &[0; PIPE_CAPACITY + 1])
    });
    assert_eq!(partly, Ok(PIPE_CAPACITY));
}

#[test]
fn a_killed_process_still_reads_what_is_there() {
    let kernel = boot();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let (reader, writer) = lwp.enter(|| sys::pipe().unwrap());
    kernel.kill(lwp.pid()).unwrap();
    lwp.enter(|| {
        assert_eq!(sys::write(writer, b"x"), Ok(1));
        assert_eq!(sys::read(reader, &mut [0]), Ok(1));
        assert_eq!(sys::read(reader, &mut [0]), Err(Errno::EINTR));
    });
}

#[test]
fn closing_a_descriptor_does_not_end_a_read_that_waits_on_it() {
    let kernel = boot();
    let (reader, writer) = kernel.enter(|| sys::pipe().unwrap());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            kernel.enter(|| {
                let mut buf = [0; 4];
                (sys::read(reader, &mut buf), buf)
            })
        });
        kernel.enter(|| {
            thread::sleep(Duration::from_millis(30));
            sys::close(reader).unwrap();
            assert_eq!(sys::read(reader, &mut [0]), Err(Errno::EBADF));
            thread::sleep(Duration::from_millis(30));
            assert!(!waiting.is_finished());
            // The pipe still has its reader.
            assert_eq!(sys::write(writer, b"late"), Ok(4));
            assert_eq!(waiting.join().unwrap(), (Ok(4), *b"late"));
            // Now it has not.
            assert_eq!(sys::write(writer, b"x"), Err(Errno::EPIPE));
        });
    });
}

#[test]
fn threads_that_read_at_one_offset_never_read_the_same() {
    let kernel = boot();
    let fd = kernel.enter(|| {
        let fd = sys::open("/f", OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap();
        let numbers: Vec<u8> = (0..20_000_u16).flat_map(u16::to_ne_bytes).collect();
        assert_eq!(sys::write(fd, &numbers), Ok(numbers.len()));
        sys::lseek(fd, SeekFrom::Start(0)).unwrap();
        fd
    });
    let start = Instant::now();
    let mut all: Vec<u16> = thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    kernel.enter(|| {
                        let (mut mine, mut buf) = (Vec::new(), [0; 2]);
                        while sys::read(fd, &mut buf).unwrap() == 2 {
                            mine.push(u16::from_ne_bytes(buf));
                        }
                        mine
                    })
                })
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    all.sort_unstable();
    assert!(all.into_iter().eq(0..20_000), "after {:?}", start.elapsed());
}

/// A file that claims to have read and written more than there was.
struct Boaster;

impl File for Boaster {
    fn read_at(&self, _buf: &mut [u8], _at: u64) -> Result<usize> {
        Ok(usize::MAX)
    }

    fn write_at(&self, _buf: &[u8], _at: u64) -> Result<usize> {
        Ok(usize::MAX)
    }

    fn seekable(&self) -> bool {
        true
    }
}

#[test]
fn a_file_that_boasts_is_believed_no_more_than_there_was() {
    boot().enter(|| {
        let fd = sys::install(Boaster, OpenFlags::RDWR).unwrap();
        assert_eq!(sys::read(fd, &mut [0; 3]), Ok(3));
        assert_eq!(sys::pread(fd, &mut [0; 2], 7), Ok(2));
        assert_eq!(sys::write(fd, b"four"), Ok(4));
        assert_eq!(sys::lseek(fd, SeekFrom::Current(0)), Ok(7));
    });
}
