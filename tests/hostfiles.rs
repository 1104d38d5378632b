//! Files of the host by name: whole, in part, and directories without those below.

#[path = "common/temp.rs"]
mod temp;

use std::fs::{self, OpenOptions};
use std::io::SeekFrom;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lwproc::sys;
use lwproc::{
    Console, Errno, Fd, File, FileKind, HostRange, Kernel, MountOptions, OpenFlags, ProcOptions, Result, SetTime,
};
use temp::Temp;

const DIGITS: &[u8] = b"0123456789";

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// A file of the host that holds the ten digits, to be written or not.
fn digits(temp: &Temp, writable: bool) -> OwnedFd {
    let path = temp.0.join("digits");
    fs::write(&path, DIGITS).unwrap();
    OpenOptions::new().read(true).write(writable).open(path).unwrap().into()
}

fn read_all(fd: Fd) -> Vec<u8> {
    let mut buf = [0; 64];
    let len = sys::pread(fd, &mut buf, 0).unwrap();
    buf[..len].to_vec()
}

#[test]
fn a_file_of_the_host_is_a_regular_one_here() {
    let (kernel, temp) = (boot(), Temp::new());
    kernel.add_file("/tmp/digits", HostRange::new(digits(&temp, true)).unwrap(), 0o640).unwrap();
    kernel.enter(|| {
        let stat = sys::stat("/tmp/digits").unwrap();
        assert_eq!((stat.kind(), stat.permissions(), stat.size), (FileKind::Regular, 0o640, 10));
        assert_eq!((stat.uid, stat.gid), (0, 0));
        let fd = sys::open("/tmp/digits", OpenFlags::RDWR, 0).unwrap();
        assert_eq!(sys::fstat(fd).unwrap().ino, stat.ino);
        assert_eq!(read_all(fd), DIGITS);
        assert_eq!(sys::lseek(fd, SeekFrom::End(2)), Ok(12));
        assert_eq!(sys::write(fd, b"x"), Ok(1));
        assert_eq!(read_all(fd), b"0123456789\0\0x");
        // Each open has an offset of its own.
        let other = sys::open("/tmp/digits", OpenFlags::RDWR | OpenFlags::APPEND, 0).unwrap();
        assert_eq!(sys::lseek(other, SeekFrom::Current(0)), Ok(0));
        assert_eq!(sys::write(other, b"y"), Ok(1));
        sys::truncate("/tmp/digits", 12).unwrap();
        sys::ftruncate(fd, 11).unwrap();
        sys::fsync(fd).unwrap();
    });
    assert_eq!(fs::read(temp.0.join("digits")).unwrap(), b"0123456789\0");
    kernel
        .enter(|| {
            sys::close(sys::open("/tmp/digits", OpenFlags::WRONLY | OpenFlags::TRUNC, 0)?)?;
            assert_eq!(sys::stat("/tmp/digits")?.size, 0);
            sys::link("/tmp/digits", "/tmp/again")?;
            sys::unlink("/tmp/digits")?;
            assert_eq!((sys::stat("/tmp/again")?.nlink, sys::stat("/tmp/digits")), (1, Err(Errno::ENOENT)));
            Ok::<(), Errno>(())
        })
        .unwrap();
    assert!(temp.0.join("digits").exists());
}

#[test]
fn its_attributes_are_this_kernels_but_for_size_and_times() {
    let (kernel, temp) = (boot(), Temp::new());
    let host = digits(&temp, true);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::from(host.try_clone().unwrap()).set_modified(then).unwrap();
    kernel.add_file("/tmp/digits", HostRange::new(host).unwrap(), 0o600).unwrap();
    kernel.enter(|| {
        assert_eq!(sys::stat("/tmp/digits").unwrap().mtime, then);
        assert_eq!(sys::utimens("/tmp/digits", SetTime::Now, SetTime::Now), Err(Errno::EOPNOTSUPP));
        sys::chown("/tmp/digits", Some(7), Some(7)).unwrap();
        sys::chmod("/tmp/digits", 0o6711).unwrap();
    });
    let mut seven = kernel.spawn(ProcOptions::new().uid(7).gid(7)).unwrap();
    seven.enter(|| {
        let fd = sys::open("/tmp/digits", OpenFlags::WRONLY, 0).unwrap();
        assert_eq!(sys::stat("/tmp/digits").unwrap().permissions(), 0o6711);
        // As of any file, whoever is not root and writes takes the set-ID bits away.
        sys::write(fd, b"x").unwrap();
        assert_eq!(sys::stat("/tmp/digits").unwrap().permissions(), 0o711);
    });
    let mut eight = kernel.spawn(ProcOptions::new().uid(8).gid(8)).unwrap();
    eight.enter(|| assert_eq!(sys::open("/tmp/digits", OpenFlags::RDONLY, 0), Err(Errno::EACCES)));
}

#[test]
fn a_part_has_a_beginning_and_an_end() {
    let (kernel, temp) = (boot(), Temp::new());
    kernel.add_file("/tmp/part", HostRange::part(digits(&temp, true), 2, 5).unwrap(), 0o600).unwrap();
    kernel.enter(|| {
        assert_eq!(sys::stat("/tmp/part").unwrap().size, 5);
        let fd = sys::open("/tmp/part", OpenFlags::RDWR, 0).unwrap();
        assert_eq!(read_all(fd), b"23456");
        assert_eq!((sys::pread(fd, &mut [0], 5), sys::pwrite(fd, b"x", 5)), (Ok(0), Err(Errno::ENOSPC)));
        assert_eq!(sys::pwrite(fd, b"abc", 3), Ok(2));
        assert_eq!(sys::lseek(fd, SeekFrom::End(-1)), Ok(4));
        assert_eq!((sys::ftruncate(fd, 0), sys::truncate("/tmp/part", 9)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    });
    assert_eq!(fs::read(temp.0.join("digits")).unwrap(), b"01234ab789");
}

#[test]
fn what_the_host_gives_to_be_read_is_not_written() {
    let (kernel, temp) = (boot(), Temp::new());
    kernel.add_file("/tmp/digits", HostRange::new(digits(&temp, false)).unwrap(), 0o666).unwrap();
    kernel.enter(|| {
        for flags in [OpenFlags::WRONLY, OpenFlags::RDWR, OpenFlags::RDONLY | OpenFlags::TRUNC] {
            assert_eq!(sys::open("/tmp/digits", flags, 0), Err(Errno::EROFS));
        }
        assert_eq!(sys::truncate("/tmp/digits", 0), Err(Errno::EROFS));
        assert_eq!(read_all(sys::open("/tmp/digits", OpenFlags::RDONLY, 0).unwrap()), DIGITS);
    });
}

#[test]
fn what_is_no_file_or_has_no_room_is_refused() {
    let (kernel, temp) = (boot(), Temp::new());
    let refused = |fd: OwnedFd| HostRange::new(fd).unwrap_err();
    assert_eq!(refused(fs::File::open(&temp.0).unwrap().into()), Errno::EISDIR);
    assert_eq!(refused(std::io::pipe().unwrap().0.into()), Errno::EINVAL);
    let zero = || OwnedFd::from(fs::File::open("/dev/zero").unwrap());
    assert_eq!(HostRange::part(zero(), 0, 1).unwrap_err(), Errno::EINVAL);
    kernel.add_file("/tmp/zero", HostRange::new(zero()).unwrap(), 0o444).unwrap();
    let again = |at| kernel.add_file(at, HostRange::new(digits(&temp, false)).unwrap(), 0o444);
    assert_eq!((again("/tmp/zero"), again("/none/x")), (Err(Errno::EEXIST), Err(Errno::ENOENT)));
    kernel.enter(|| {
        let fd = sys::open("/tmp/zero", OpenFlags::RDONLY, 0).unwrap();
        assert_eq!((sys::read(fd, &mut [1; 9]), sys::lseek(fd, SeekFrom::Start(0))), (Ok(9), Err(Errno::ESPIPE)));
        sys::mkdir("/mnt", 0o755).unwrap();
    });
    kernel.mount("/mnt", temp.dir(), MountOptions::new()).unwrap();
    assert_eq!(again("/mnt/x"), Err(Errno::EPERM));
}

#[test]
fn a_flat_mount_leaves_directories_out() {
    let (kernel, temp) = (boot(), Temp::new());
    fs::create_dir_all(temp.0.join("sub/deep")).unwrap();
    fs::write(temp.0.join("file"), "x").unwrap();
    kernel.enter(|| sys::mkdir("/mnt", 0o755)).unwrap();
    kernel.mount("/mnt", temp.dir(), MountOptions::new().flat(true)).unwrap();
    kernel.enter(|| {
        let fd = sys::open("/mnt", OpenFlags::RDONLY, 0).unwrap();
        let mut names: Vec<_> = sys::getdents(fd, 99).unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        assert_eq!(names, [".", "..", "file"]);
        assert_eq!(sys::stat("/mnt/file").unwrap().size, 1);
        for at in ["/mnt/sub", "/mnt/sub/deep"] {
            assert_eq!((sys::stat(at).err(), sys::chdir(at)), (Some(Errno::ENOENT), Err(Errno::ENOENT)));
        }
        assert_eq!((sys::rmdir("/mnt/sub"), sys::mkdir("/mnt/new", 0o755)), (Err(Errno::ENOENT), Err(Errno::EPERM)));
        assert_eq!(sys::rename("/mnt/sub", "/mnt/new"), Err(Errno::ENOENT));
        // The host does not give up what is hidden either.
        assert!(sys::rename("/mnt/file", "/mnt/sub").is_err());
        sys::close(sys::open("/mnt/made", OpenFlags::WRONLY | OpenFlags::CREAT, 0o600).unwrap()).unwrap();
        sys::rename("/mnt/file", "/mnt/moved").unwrap();
        sys::chdir("/mnt").unwrap();
        assert_eq!(sys::getcwd().unwrap(), std::path::Path::new("/mnt"));
    });
    assert!(temp.0.join("sub/deep").is_dir() && temp.0.join("made").exists() && temp.0.join("moved").exists());
}

#[test]
fn a_shared_file_is_one_file_behind_many_opens() {
    struct Counter(std::sync::atomic::AtomicU8);
    impl File for Counter {
        fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
            buf.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Ok(buf.len())
        }
    }
    let (kernel, counter) = (boot(), Arc::new(Counter(0.into())));
    kernel.enter(|| {
        let mut buf = [9];
        for turn in 0..3 {
            let fd = sys::install(Arc::clone(&counter), OpenFlags::RDONLY).unwrap();
            assert_eq!((sys::read(fd, &mut buf), buf), (Ok(1), [turn]));
            sys::close(fd).unwrap();
        }
    });
    assert_eq!(Arc::strong_count(&counter), 1);
}
