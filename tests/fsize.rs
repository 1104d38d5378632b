//! The limit on the size of files: where a write ends, and what it does not hold for.

#[path = "common/temp.rs"]
mod temp;

use std::io::{IoSlice, SeekFrom};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use lwproc::{
    Console, Errno, Fd, HostFile, HostRange, Kernel, Lwp, MountOptions, OpenFlags, ProcOptions, Resource, Rlimit,
    block_on, sys,
};
use temp::Temp;

const NEW: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREAT);

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

fn limited(kernel: &Kernel, limit: u64) -> Lwp {
    kernel.spawn(ProcOptions::new().limit(Resource::FSize, Rlimit { soft: limit, hard: Rlimit::INFINITY })).unwrap()
}

fn size(fd: Fd) -> u64 {
    sys::fstat(fd).unwrap().size
}

/// What POSIX says of each call, for files in the directory `dir`, with a limit of 10 bytes.
fn check(dir: &str) {
    let path = format!("{dir}/f");
    let fd = sys::open(&path, NEW, 0o600).unwrap();
    assert_eq!(sys::write(fd, b"01234567"), Ok(8));
    assert_eq!(sys::write(fd, b"89ab"), Ok(2), "as much as fits");
    assert_eq!(sys::write(fd, b"x"), Err(Errno::EFBIG));
    assert_eq!(sys::write(fd, b""), Ok(0));
    assert_eq!(sys::lseek(fd, SeekFrom::Current(0)), Ok(10));
    assert_eq!(sys::pwrite(fd, b"xyz", 8), Ok(2));
    assert_eq!(sys::pwrite(fd, b"xyz", 10), Err(Errno::EFBIG));
    assert_eq!(sys::pwrite(fd, b"xyz", 1 << 40), Err(Errno::EFBIG));
    assert_eq!(block_on(sys::aio::pwrite(fd, b"xyz", 9)), Ok(Ok(1)));
    sys::lseek(fd, SeekFrom::Start(6)).unwrap();
    let three = [&b"abc"[..], b"def", b"ghi"].map(IoSlice::new);
    assert_eq!(sys::writev(fd, &three), Ok(4));
    assert_eq!(sys::writev(fd, &three), Err(Errno::EFBIG));

    assert_eq!(sys::ftruncate(fd, 11), Err(Errno::EFBIG));
    assert_eq!(sys::truncate(&path, 11), Err(Errno::EFBIG));
    assert_eq!(sys::ftruncate(fd, 10), Ok(()));
    assert_eq!(sys::truncate(&path, 7), Ok(()));

    let end = sys::open(&path, OpenFlags::WRONLY | OpenFlags::APPEND, 0).unwrap();
    assert_eq!(sys::write(end, b"xy"), Ok(2));
    assert_eq!(sys::write(end, b"xy"), Ok(1));
    assert_eq!(sys::write(end, b"xy"), Err(Errno::EFBIG));
    assert_eq!(sys::write(end, b""), Ok(0));
    assert_eq!(size(fd), 10);

    // One that is longer already may be read and cut, but neither written there nor extended.
    let infinite = Rlimit::both(Rlimit::INFINITY);
    sys::setrlimit(Resource::FSize, infinite).unwrap();
    sys::ftruncate(fd, 20).unwrap();
    sys::setrlimit(Resource::FSize, Rlimit { soft: 10, ..infinite }).unwrap();
    assert_eq!(sys::pwrite(fd, b"x", 10), Err(Errno::EFBIG));
    assert_eq!(sys::write(end, b"x"), Err(Errno::EFBIG));
    assert_eq!(sys::ftruncate(fd, 21), Err(Errno::EFBIG));
    assert_eq!(sys::truncate(&path, 21), Err(Errno::EFBIG));
    assert_eq!(sys::ftruncate(fd, 20), Ok(()));
    assert_eq!(sys::ftruncate(fd, 15), Ok(()));
    assert_eq!(sys::pread(fd, &mut [0; 20], 0), Ok(15));
    sys::close(end).unwrap();
    sys::close(fd).unwrap();
}

#[test]
fn a_write_ends_at_the_limit_and_the_next_fails() {
    let (kernel, temp) = (boot(), Temp::new());
    kernel.enter(|| sys::mkdir("/host", 0o755)).unwrap();
    kernel.mount("/host", temp.dir(), MountOptions::new().owner(0, 0)).unwrap();
    for dir in ["/tmp", "/host"] {
        limited(&kernel, 10).enter(|| check(dir));
    }
    assert_eq!(fs::metadata(temp.0.join("f")).unwrap().len(), 15);
}

#[test]
fn files_that_the_host_lends_are_held_to_it_too() {
    let (kernel, temp) = (boot(), Temp::new());
    let host = |name| {
        let path = temp.0.join(name);
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap().into()
    };
    kernel.add_file("/tmp/shown", HostRange::new(host("a")).unwrap(), 0o600).unwrap();
    limited(&kernel, 10).enter(|| {
        let appends = OpenFlags::RDWR | OpenFlags::APPEND;
        let installed = sys::install(HostFile::new(host("b")).unwrap(), appends).unwrap();
        for fd in [sys::open("/tmp/shown", appends, 0).unwrap(), installed] {
            assert_eq!(sys::write(fd, &[1; 7]), Ok(7));
            assert_eq!(sys::write(fd, &[1; 7]), Ok(3));
            assert_eq!(sys::write(fd, &[1; 7]), Err(Errno::EFBIG));
            assert_eq!(sys::pwrite(fd, &[1; 7], 4), Ok(6));
            assert_eq!(sys::ftruncate(fd, 11), Err(Errno::EFBIG));
            assert_eq!((sys::ftruncate(fd, 10), size(fd)), (Ok(()), 10));
        }
    });
}

#[test]
fn it_is_the_limit_of_who_writes_and_for_regular_files_alone() {
    let kernel = boot();
    let mut other = limited(&kernel, 1 << 33);
    limited(&kernel, 0).enter(|| {
        let fd = sys::open("/tmp/f", NEW, 0o600).unwrap();
        assert_eq!(sys::write(fd, b"x"), Err(Errno::EFBIG));
        let (reader, writer) = sys::pipe().unwrap();
        assert_eq!(sys::write(writer, b"xyz"), Ok(3));
        assert_eq!(sys::read(reader, &mut [0; 8]), Ok(3));
        let null = sys::open("/dev/null", OpenFlags::WRONLY | OpenFlags::APPEND, 0).unwrap();
        assert_eq!(sys::write(null, b"xyz"), Ok(3));
        assert_eq!(sys::ftruncate(null, 1), Err(Errno::EINVAL));
        // An open file that both have.
        let open = sys::export(fd).unwrap();
        other.enter(|| {
            assert_eq!(sys::getrlimit(Resource::FSize).soft, 1 << 33, "beyond 32 bits");
            let fd = sys::import(&open, Default::default()).unwrap();
            assert_eq!(sys::write(fd, b"xyz"), Ok(3));
            assert_eq!(sys::pwrite(fd, b"xyz", 1 << 33), Err(Errno::EFBIG));
        });
        assert_eq!(sys::write(fd, b"x"), Err(Errno::EFBIG));
        assert_eq!(sys::truncate("/tmp/f", 2), Ok(()));
    });
}

#[test]
fn those_who_append_at_once_end_exactly_at_the_limit() {
    const LIMIT: u64 = 1001;
    let (kernel, all) = (boot(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                limited(&kernel, LIMIT).enter(|| {
                    let fd = sys::open("/tmp/f", NEW | OpenFlags::APPEND, 0o600).unwrap();
                    let written = std::iter::from_fn(|| sys::write(fd, &[1; 3]).ok()).sum();
                    assert_eq!(sys::write(fd, &[1; 3]), Err(Errno::EFBIG));
                    all.fetch_add(written, Ordering::Relaxed);
                });
            });
        }
    });
    assert_eq!(all.into_inner(), LIMIT as usize);
    assert_eq!(kernel.enter(|| sys::stat("/tmp/f")).unwrap().size, LIMIT);
}
