//! The namespace: working directories, roots, mounts, devices, and room in memory.

#[path = "common/temp.rs"]
mod temp;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use lwproc::sys::{self, AT_FDCWD};
use lwproc::{
    Access, Console, Domain, Errno, Fd, File, FileKind, Kernel, Lwp, MountOptions, OpenFlags, ProcOptions, Result,
    SetTime, SocketAddress, SocketKind,
};
use temp::Temp;

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

fn user(kernel: &Kernel, id: u32) -> Lwp {
    kernel.spawn(ProcOptions::new().uid(id).gid(id).groups([]).umask(0o022)).unwrap()
}

/// Mounts a new directory of the host on `/mnt`.
fn mounted(kernel: &Kernel, options: MountOptions) -> Temp {
    let temp = Temp::new();
    kernel.enter(|| sys::mkdir("/mnt", 0o755)).unwrap();
    kernel.mount("/mnt", temp.dir(), options).unwrap();
    temp
}

const NEW: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREAT).union(OpenFlags::EXCL);

fn touch(path: &str) -> Result<()> {
    sys::close(sys::open(path, NEW, 0o666)?)
}

fn names(fd: Fd) -> Vec<String> {
    sys::getdents(fd, usize::MAX).unwrap().into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
}

/// In memory, and on a mount.
fn each_way(f: impl Fn(&Kernel, &str)) {
    let kernel = boot();
    let _temp = mounted(&kernel, MountOptions::new());
    for top in ["/mnt", "/tmp"] {
        kernel.enter(|| f(&kernel, top));
    }
}

#[test]
fn the_working_directory_follows_renames_and_outlives_its_removal() {
    each_way(|_, top| {
        let at = |path: &str| format!("{top}/{path}");
        sys::mkdir(at("a"), 0o755).unwrap();
        sys::mkdir(at("a/b"), 0o755).unwrap();
        sys::mkdir(at("c"), 0o755).unwrap();
        sys::chdir(at("a/b")).unwrap();
        assert_eq!(sys::getcwd(), Ok(at("a/b").into()));
        sys::rename(at("a"), at("c/d")).unwrap();
        assert_eq!(sys::getcwd(), Ok(at("c/d/b").into()));
        touch("here").unwrap();
        assert_eq!(sys::stat(at("c/d/b/here")).unwrap(), sys::stat("here").unwrap());
        sys::unlink("../b/here").unwrap();

        sys::rmdir(at("c/d/b")).unwrap();
        assert_eq!(sys::getcwd(), Err(Errno::ENOENT));
        assert_eq!(touch("late"), Err(Errno::ENOENT));
        assert_eq!(sys::mkdir("late", 0o755), Err(Errno::ENOENT));
        assert_eq!(sys::stat(".").unwrap().nlink, 0);
        sys::chdir("..").unwrap();
        assert_eq!(sys::getcwd(), Ok(at("c/d").into()));
        sys::chdir("/").unwrap();
    });
}

#[test]
fn a_file_without_names_is_there_until_it_is_closed() {
    each_way(|_, top| {
        let path = format!("{top}/f");
        let fd = sys::open(&path, NEW, 0o600).unwrap();
        sys::write(fd, b"kept").unwrap();
        sys::unlink(&path).unwrap();
        assert_eq!(sys::stat(&path), Err(Errno::ENOENT));
        assert_eq!(sys::fstat(fd).unwrap().nlink, 0);
        let mut buf = [0; 8];
        assert_eq!(sys::pread(fd, &mut buf, 0), Ok(4));
        assert_eq!(&buf[..4], b"kept");
        sys::close(fd).unwrap();
    });
}

#[test]
fn a_listing_has_what_stays_once_whatever_comes_and_goes() {
    each_way(|_, top| {
        let dir = format!("{top}/dir");
        sys::mkdir(&dir, 0o755).unwrap();
        for n in 0..100 {
            touch(&format!("{dir}/stays{n}")).unwrap();
            touch(&format!("{dir}/goes{n}")).unwrap();
        }
        let fd = sys::open(&dir, OpenFlags::RDONLY, 0).unwrap();
        let mut listed = Vec::new();
        for n in 0.. {
            let some = sys::getdents(fd, 3).unwrap();
            if some.is_empty() {
                break;
            }
            listed.extend(some.into_iter().map(|entry| entry.name.into_string().unwrap()));
            if n < 100 {
                sys::unlink(format!("{dir}/goes{n}")).unwrap();
            }
        }
        let stayed = listed.iter().filter(|name| name.starts_with("stays")).count();
        listed.sort();
        let all = listed.len();
        listed.dedup();
        assert_eq!((stayed, listed.len()), (100, all));
        sys::lseek(fd, std::io::SeekFrom::Start(0)).unwrap();
        assert!(names(fd).contains(&".".to_owned()));
        sys::close(fd).unwrap();
    });
}

#[test]
fn a_root_is_where_dots_and_links_end() {
    each_way(|kernel, top| {
        let at = |path: &str| format!("{top}/{path}");
        sys::mkdir(at("jail"), 0o755).unwrap();
        sys::mkdir(at("jail/in"), 0o755).unwrap();
        sys::symlink("/in", at("jail/abs")).unwrap();
        sys::symlink("../../../../in", at("jail/up")).unwrap();
        touch(&at("outside")).unwrap();
        let mut jailed = kernel.spawn(ProcOptions::new().root(at("jail"))).unwrap();
        jailed.enter(|| {
            assert_eq!(sys::getcwd(), Ok("/".into()));
            for path in ["/abs", "/up", "/../../in", "in/../../in", "/abs/../../up"] {
                sys::chdir(path).unwrap();
                assert_eq!(sys::getcwd(), Ok("/in".into()), "{path}");
                sys::chdir("/").unwrap();
            }
            assert_eq!(sys::stat("/../outside"), Err(Errno::ENOENT));
            sys::chroot("in").unwrap();
            assert_eq!(sys::stat("/../in"), Err(Errno::ENOENT));
            // The cwd came along.
            assert_eq!(sys::getcwd(), Ok("/".into()));
        });
        let mut nobody = kernel.spawn(ProcOptions::new().uid(1001)).unwrap();
        assert_eq!(nobody.enter(|| sys::chroot(at("jail"))), Err(Errno::EPERM));
    });
}

#[test]
fn a_sticky_directory_keeps_names_for_their_owners() {
    let kernel = boot();
    let (mut alice, mut bob) = (user(&kernel, 1001), user(&kernel, 1002));
    alice.enter(|| touch("/tmp/a")).unwrap();
    bob.enter(|| {
        touch("/tmp/b").unwrap();
        assert_eq!(sys::unlink("/tmp/a"), Err(Errno::EPERM));
        assert_eq!(sys::rename("/tmp/a", "/tmp/c"), Err(Errno::EPERM));
        assert_eq!(sys::rename("/tmp/b", "/tmp/a"), Err(Errno::EPERM));
        assert_eq!(sys::open("/tmp/a", OpenFlags::WRONLY, 0), Err(Errno::EACCES));
        assert_eq!(touch("/b"), Err(Errno::EACCES));
        sys::unlink("/tmp/b").unwrap();
    });
    kernel.enter(|| sys::unlink("/tmp/a")).unwrap();
}

#[test]
fn open_files_are_changed_by_their_owner() {
    let kernel = boot();
    let (mut alice, mut bob) = (user(&kernel, 1001), user(&kernel, 1002));
    let file = alice.enter(|| {
        let fd = sys::open("/tmp/a", NEW, 0o666).unwrap();
        assert_eq!(sys::fstat(fd).unwrap().permissions(), 0o644);
        sys::fchmod(fd, 0o640).unwrap();
        assert_eq!(sys::umask(0o077), 0o022);
        assert_eq!(sys::fchown(fd, Some(1002), None), Err(Errno::EPERM));
        sys::futimens(fd, SetTime::At(std::time::UNIX_EPOCH), SetTime::Omit).unwrap();
        assert_eq!(sys::fstat(fd).unwrap().atime, std::time::UNIX_EPOCH);
        sys::export(fd).unwrap()
    });
    bob.enter(|| {
        let fd = sys::import(&file, OpenFlags::empty()).unwrap();
        assert_eq!(sys::fchmod(fd, 0o777), Err(Errno::EPERM));
        assert_eq!(sys::futimens(fd, SetTime::Now, SetTime::Now), Err(Errno::EACCES));
        assert_eq!(sys::futimens(fd, SetTime::At(std::time::UNIX_EPOCH), SetTime::Now), Err(Errno::EPERM));
        assert_eq!(sys::fchdir(fd), Err(Errno::ENOTDIR));
        assert_eq!(sys::access("/tmp/a", Access::READ), Err(Errno::EACCES));
        assert_eq!(sys::access("/tmp/a", Access::empty()), Ok(()));
    });
    kernel.enter(|| {
        let fd = sys::import(&file, OpenFlags::empty()).unwrap();
        sys::fchown(fd, Some(1002), Some(1002)).unwrap();
        let (reads, writes) = sys::pipe().unwrap();
        assert_eq!(sys::fchmod(reads, 0o600), Err(Errno::EINVAL));
        assert_eq!(sys::openat(writes, "x", OpenFlags::RDONLY, 0), Err(Errno::ENOTDIR));
        assert_eq!(sys::openat(-1, "x", OpenFlags::RDONLY, 0), Err(Errno::EBADF));
        assert_eq!(sys::openat(AT_FDCWD, "x", OpenFlags::RDONLY, 0), Err(Errno::ENOENT));
        let tmp = sys::open("/tmp", OpenFlags::DIRECTORY, 0).unwrap();
        sys::close(sys::openat(tmp, "a", OpenFlags::RDONLY, 0).unwrap()).unwrap();
        sys::fchdir(tmp).unwrap();
        assert_eq!(sys::getcwd(), Ok("/tmp".into()));
    });
}

#[test]
fn memory_ends_and_comes_back() {
    let kernel = Kernel::builder().console(Console::null()).memory(100_000).boot().unwrap();
    kernel.enter(|| {
        let fd = sys::open("/f", NEW, 0o600).unwrap();
        for huge in [1 << 45, i64::MAX as u64] {
            assert_eq!(sys::ftruncate(fd, huge), Err(Errno::EFBIG));
            assert_eq!(sys::pwrite(fd, b"x", huge - 1), Err(Errno::EFBIG));
        }
        assert_eq!(sys::ftruncate(fd, 200_000), Err(Errno::ENOSPC));
        assert_eq!(sys::pwrite(fd, b"x", 1 << 40), Err(Errno::ENOSPC));
        assert_eq!(sys::fstat(fd).unwrap().size, 0);
        // As much as fits, then nothing.
        let written = sys::write(fd, &[1; 150_000]).unwrap();
        assert!((90_000..100_000).contains(&written), "{written}");
        assert_eq!(sys::write(fd, b"x"), Err(Errno::ENOSPC));
        assert_eq!(touch("/g"), Err(Errno::ENOSPC));
        assert_eq!(sys::mkdir("/d", 0o755), Err(Errno::ENOSPC));
        assert_eq!(sys::symlink("x", "/l"), Err(Errno::ENOSPC));
        assert_eq!(sys::link("/f", "/h"), Err(Errno::ENOSPC));
        sys::rename("/f", "/tmp/f").unwrap();
        // Without a name it is still open.
        sys::unlink("/tmp/f").unwrap();
        assert_eq!(sys::write(fd, &[1; 10_000]).map(|more| more < 10_000), Ok(true));
        sys::close(fd).unwrap();

        let fd = sys::open("/f", NEW, 0o600).unwrap();
        assert_eq!(sys::write(fd, &[1; 150_000]), Ok(written));
        sys::ftruncate(fd, 0).unwrap();
        // Names count too.
        let made = (0..).take_while(|n| touch(&format!("/tmp/{n}")).is_ok()).count();
        assert!((100..200).contains(&made), "{made}");
        for n in 0..made {
            sys::unlink(format!("/tmp/{n}")).unwrap();
        }
        assert_eq!(sys::pwrite(fd, &[1; 150_000], 0), Ok(written));
    });
}

#[test]
fn directories_go_deeper_than_the_stack() {
    let kernel = boot();
    kernel.enter(|| {
        sys::chdir("/tmp").unwrap();
        for _ in 0..20_000 {
            sys::mkdir("d", 0o755).unwrap();
            sys::chdir("d").unwrap();
        }
        assert_eq!(sys::getcwd().unwrap().as_os_str().len(), 4 + 2 * 20_000);
        for _ in 0..10_000 {
            sys::chdir("..").unwrap();
            sys::rmdir("d").unwrap();
        }
        sys::chdir("/").unwrap();
    });
}

#[test]
fn threads_that_move_directories_about_leave_a_tree() {
    let kernel = boot();
    kernel.enter(|| {
        for name in ["a", "b", "c"] {
            sys::mkdir(format!("/tmp/{name}"), 0o755).unwrap();
        }
    });
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let kernel = &kernel;
            scope.spawn(move || {
                let mut process = kernel.spawn(ProcOptions::new().cwd("/tmp")).unwrap();
                let mut random = thread + 1;
                let mut name = move || {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    ["a", "b", "c", "a/b", "b/c", "c/a", "a/b/c", "b/a", "c/b/a"][(random >> 33) as usize % 9]
                };
                process.enter(|| {
                    for n in 0..3000 {
                        let _ = match n % 4 {
                            0 => sys::mkdir(name(), 0o755),
                            1 => sys::rename(name(), name()),
                            2 => sys::rmdir(name()),
                            _ => sys::unlink(name()),
                        };
                    }
                });
            });
        }
    });
    // Every directory is found from the top once, and has as many links as it says.
    fn walk(path: &Path, seen: &mut Vec<u64>) {
        let stat = sys::lstat(path).unwrap();
        assert!(!seen.contains(&stat.ino));
        seen.push(stat.ino);
        let fd = sys::open(path, OpenFlags::DIRECTORY, 0).unwrap();
        let names = names(fd);
        sys::close(fd).unwrap();
        assert_eq!(stat.nlink, names.len() as u64);
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            walk(&path.join(name), seen);
        }
        sys::chdir(path).unwrap();
        assert_eq!(sys::getcwd().unwrap(), path);
    }
    kernel.enter(|| walk(Path::new("/tmp"), &mut Vec::new()));
}

#[test]
fn an_open_that_makes_finds_the_file_or_makes_it_whatever_others_do() {
    each_way(|kernel, top| {
        let path = format!("{top}/contended");
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    kernel.enter(|| {
                        for _ in 0..500 {
                            let fd = sys::open(&path, OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap();
                            sys::write(fd, b"x").unwrap();
                            sys::close(fd).unwrap();
                            assert!(matches!(sys::unlink(&path), Ok(()) | Err(Errno::ENOENT)));
                        }
                    });
                });
            }
        });
        // Whose mode lets nobody open it is open to whoever made it.
        let fd = sys::open(&path, NEW, 0).unwrap();
        assert_eq!((sys::write(fd, b"own"), sys::pread(fd, &mut [0; 8], 0)), (Ok(3), Ok(3)));
        sys::close(fd).unwrap();
        sys::unlink(&path).unwrap();
    });
}

#[test]
fn devices_are_opened_anew_each_time() {
    struct Nth(u8);
    impl File for Nth {
        fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
            buf.fill(self.0);
            Ok(buf.len())
        }
    }
    let kernel = boot();
    let opened = AtomicU32::new(0);
    let opener = move |flags: OpenFlags| {
        if flags.writable() {
            return Err(Errno::ENXIO);
        }
        // The embedder's code may make system calls.
        assert_eq!(sys::getcwd(), Ok("/".into()));
        Ok(Box::new(Nth(opened.fetch_add(1, Ordering::Relaxed) as u8)) as Box<dyn File>)
    };
    kernel.add_device("/dev/nth", 0o640, opener).unwrap();
    assert_eq!(kernel.add_device("/dev/nth", 0o640, |_| Err(Errno::EIO)), Err(Errno::EEXIST));
    kernel.enter(|| {
        for n in 0..3 {
            let fd = sys::open("/dev/nth", OpenFlags::RDONLY, 0).unwrap();
            let mut buf = [9];
            assert_eq!(sys::read(fd, &mut buf), Ok(1));
            assert_eq!(buf, [n]);
            let stat = sys::fstat(fd).unwrap();
            assert_eq!((stat.kind(), stat.permissions()), (FileKind::CharDevice, 0o640));
            sys::close(fd).unwrap();
        }
        assert_eq!(sys::open("/dev/nth", OpenFlags::RDWR, 0), Err(Errno::ENXIO));
        let null = sys::open("/dev/null", OpenFlags::RDWR | OpenFlags::TRUNC, 0).unwrap();
        assert_eq!((sys::write(null, b"gone"), sys::read(null, &mut [0; 4])), (Ok(4), Ok(0)));
        let zero = sys::open("/dev/zero", OpenFlags::RDONLY, 0).unwrap();
        let mut buf = [1; 4];
        assert_eq!((sys::read(zero, &mut buf), buf), (Ok(4), [0; 4]));
    });
    assert_eq!(user(&kernel, 1001).enter(|| sys::open("/dev/nth", OpenFlags::RDONLY, 0)), Err(Errno::EACCES));
}

#[test]
fn a_mount_hides_what_it_is_on_and_cannot_be_moved() {
    let kernel = boot();
    kernel.enter(|| {
        sys::mkdir("/mnt", 0o755).unwrap();
        touch("/mnt/hidden").unwrap();
        touch("/f").unwrap();
    });
    let temp = Temp::new();
    fs::write(temp.0.join("host"), b"from the host").unwrap();
    for (at, error) in [("/none", Errno::ENOENT), ("/f", Errno::ENOTDIR), ("/", Errno::EBUSY)] {
        assert_eq!(kernel.mount(at, temp.dir(), MountOptions::new()), Err(error));
    }
    kernel.mount("/mnt", temp.dir(), MountOptions::new()).unwrap();
    assert_eq!(kernel.mount("/mnt", temp.dir(), MountOptions::new()), Err(Errno::EBUSY));
    kernel.enter(|| {
        assert_eq!(sys::stat("/mnt/hidden"), Err(Errno::ENOENT));
        assert_eq!(sys::stat("/mnt/host").unwrap().size, 13);
        assert_eq!(sys::rmdir("/mnt"), Err(Errno::EBUSY));
        assert_eq!(sys::rename("/mnt", "/other"), Err(Errno::EBUSY));
        sys::mkdir("/empty", 0o755).unwrap();
        assert_eq!(sys::rename("/empty", "/mnt"), Err(Errno::EBUSY));
        assert_eq!(sys::rename("/mnt/host", "/host"), Err(Errno::EXDEV));
        assert_eq!(sys::link("/mnt/host", "/host"), Err(Errno::EXDEV));
        assert_eq!(sys::link("/f", "/mnt/f"), Err(Errno::EXDEV));
        assert_ne!(sys::stat("/mnt").unwrap().dev, sys::stat("/").unwrap().dev);
        assert_eq!(sys::stat("/mnt/..").unwrap().ino, sys::stat("/").unwrap().ino);
        assert_eq!(sys::lstat("/mnt/../mnt/../f").unwrap().kind(), FileKind::Regular);

        sys::chdir("/mnt").unwrap();
        assert_eq!(sys::getcwd(), Ok("/mnt".into()));
        assert_eq!(kernel.unmount("/mnt"), Err(Errno::EBUSY));
        sys::chdir("..").unwrap();
        let fd = sys::open("/mnt/host", OpenFlags::RDONLY, 0).unwrap();
        assert_eq!(kernel.unmount("/mnt"), Err(Errno::EBUSY));
        sys::close(fd).unwrap();
        assert_eq!(kernel.unmount("/empty"), Err(Errno::EINVAL));
        sys::mkdir("/mnt/sub", 0o755).unwrap();
        assert_eq!(kernel.unmount("/mnt/sub"), Err(Errno::EINVAL));
        let second = Temp::new();
        kernel.mount("/mnt/sub", second.dir(), MountOptions::new()).unwrap();
        touch("/mnt/sub/second").unwrap();
        assert!(second.0.join("second").exists());
        assert_eq!(sys::stat("/mnt/sub/../sub/../host").unwrap().size, 13);
        assert_eq!(kernel.unmount("/mnt"), Err(Errno::EBUSY));
        kernel.unmount("/mnt/sub").unwrap();
        assert_eq!(sys::stat("/mnt/sub/second"), Err(Errno::ENOENT));
        kernel.unmount("/mnt").unwrap();
        sys::stat("/mnt/hidden").unwrap();
    });
}

#[test]
fn nothing_changes_on_a_read_only_mount() {
    let kernel = boot();
    let temp = Temp::new();
    fs::write(temp.0.join("f"), b"kept").unwrap();
    fs::create_dir(temp.0.join("d")).unwrap();
    kernel.enter(|| sys::mkdir("/mnt", 0o755)).unwrap();
    kernel.mount("/mnt", temp.dir(), MountOptions::new().read_only(true)).unwrap();
    kernel.enter(|| {
        let create = OpenFlags::WRONLY | OpenFlags::CREAT;
        for refused in [
            touch("/mnt/new"),
            sys::open("/mnt/f", OpenFlags::WRONLY, 0).map(drop),
            sys::open("/mnt/f", OpenFlags::TRUNC, 0).map(drop),
            sys::open("/mnt/f", create, 0o600).map(drop),
            sys::truncate("/mnt/f", 0),
            sys::mkdir("/mnt/new", 0o755),
            sys::rmdir("/mnt/d"),
            sys::unlink("/mnt/f"),
            sys::rename("/mnt/f", "/mnt/g"),
            sys::link("/mnt/f", "/mnt/g"),
            sys::symlink("f", "/mnt/g"),
            sys::chmod("/mnt/f", 0o600),
            sys::chown("/mnt/f", Some(1), None),
            sys::utimens("/mnt/f", SetTime::Now, SetTime::Now),
            sys::access("/mnt/f", Access::WRITE),
        ] {
            assert_eq!(refused, Err(Errno::EROFS));
        }
        assert_eq!(sys::mkdir("/mnt/d", 0o755), Err(Errno::EEXIST));
        let fd = sys::open("/mnt/f", OpenFlags::RDONLY, 0).unwrap();
        assert_eq!(sys::fchmod(fd, 0o600), Err(Errno::EROFS));
        assert_eq!(sys::read(fd, &mut [0; 8]), Ok(4));
    });
    assert_eq!(fs::read(temp.0.join("f")).unwrap(), b"kept");
}

#[test]
fn a_mount_can_be_of_one_owner() {
    let kernel = boot();
    let temp = mounted(&kernel, MountOptions::new().owner(1001, 1002));
    fs::write(temp.0.join("f"), b"").unwrap();
    fs::set_permissions(temp.0.join("f"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    user(&kernel, 1001).enter(|| {
        let stat = sys::stat("/mnt/f").unwrap();
        assert_eq!((stat.uid, stat.gid), (1001, 1002));
        sys::close(sys::open("/mnt/f", OpenFlags::RDWR, 0).unwrap()).unwrap();
        touch("/mnt/new").unwrap();
        assert_eq!(sys::chown("/mnt/new", Some(1002), None), Err(Errno::EPERM));
    });
    user(&kernel, 1003).enter(|| {
        assert_eq!(sys::open("/mnt/f", OpenFlags::RDONLY, 0), Err(Errno::EACCES));
        assert_eq!(sys::unlink("/mnt/f"), Err(Errno::EACCES));
    });
    // On the host they belong to the host's process.
    assert_eq!(temp.0.join("new").metadata().unwrap().uid(), rustix::process::geteuid().as_raw());
}

#[test]
fn nothing_on_the_host_leads_out_of_a_mount() {
    let kernel = boot();
    let temp = mounted(&kernel, MountOptions::new());
    let secret = Temp::new();
    fs::write(secret.0.join("secret"), b"secret").unwrap();
    let out = secret.0.join("secret");
    symlink(&out, temp.0.join("abs")).unwrap();
    symlink(Path::new("..").join(secret.0.file_name().unwrap()).join("secret"), temp.0.join("rel")).unwrap();
    symlink(&secret.0, temp.0.join("dir")).unwrap();
    fs::create_dir_all(temp.0.join("a/b")).unwrap();
    kernel.enter(|| {
        for path in ["/mnt/abs", "/mnt/rel", "/mnt/dir/secret", "/mnt/dir"] {
            assert_eq!(sys::stat(path), Err(Errno::ENOENT), "{path}");
            assert_eq!(sys::open(path, OpenFlags::RDONLY, 0), Err(Errno::ENOENT), "{path}");
        }
        assert_eq!(sys::readlink("/mnt/abs"), Ok(out.clone()));
        // A link made on the host is one into the virtual root.
        symlink("/tmp", temp.0.join("tmp")).unwrap();
        assert_eq!(sys::stat("/mnt/tmp/."), sys::stat("/tmp"));

        // The host moves the directory that a process is in out of the mount.
        sys::chdir("/mnt/a/b").unwrap();
        fs::rename(temp.0.join("a"), secret.0.join("a")).unwrap();
        assert_eq!(sys::getcwd(), Err(Errno::ENOENT));
        assert_eq!(sys::stat("../../secret"), Err(Errno::ENOENT));
        assert_eq!(sys::stat("../../../mnt").unwrap().ino, sys::stat("/mnt").unwrap().ino);
        sys::chdir("/").unwrap();
    });
}

#[test]
fn unix_sockets_have_names_on_mounts() {
    let kernel = boot();
    let temp = mounted(&kernel, MountOptions::new());
    fs::set_permissions(&temp.0, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let address = SocketAddress::Unix("/mnt/sock".into());
    let stream = || sys::socket(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
    let mut server = user(&kernel, 1001);
    let listening = server.enter(|| {
        let fd = stream();
        assert_eq!(sys::bind(fd, &SocketAddress::Unix("/tmp/sock".into())), Err(Errno::EOPNOTSUPP));
        assert_eq!(sys::bind(fd, &SocketAddress::Unix("/mnt/none/sock".into())), Err(Errno::ENOENT));
        sys::bind(fd, &address).unwrap();
        assert_eq!(sys::bind(stream(), &address), Err(Errno::EADDRINUSE));
        sys::listen(fd, 4).unwrap();
        let stat = sys::stat("/mnt/sock").unwrap();
        assert_eq!((stat.kind(), stat.permissions()), (FileKind::Socket, 0o755));
        assert_eq!(sys::open("/mnt/sock", OpenFlags::RDWR, 0), Err(Errno::ENXIO));
        assert_eq!(sys::getsockname(fd), Ok(address.clone()));
        fd
    });
    assert!(temp.0.join("sock").exists());
    kernel.enter(|| {
        let fd = stream();
        assert_eq!(sys::connect(fd, &SocketAddress::Unix("/mnt/none".into())), Err(Errno::ENOENT));
        assert_eq!(sys::connect(fd, &SocketAddress::Unix("/tmp".into())), Err(Errno::ECONNREFUSED));
        sys::connect(fd, &address).unwrap();
        assert_eq!(sys::getpeername(fd), Ok(address.clone()));
        sys::write(fd, b"hello").unwrap();
    });
    server.enter(|| {
        let (fd, _) = sys::accept(listening).unwrap();
        let mut buf = [0; 8];
        assert_eq!(sys::read(fd, &mut buf), Ok(5));
        sys::chmod("/mnt/sock", 0o600).unwrap();
    });
    if rustix::process::geteuid().is_root() {
        assert_eq!(user(&kernel, 1002).enter(|| sys::connect(stream(), &address)), Err(Errno::EACCES));
    }
}

#[test]
fn times_are_set_from_an_open_directory_too() {
    each_way(|_, top| {
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(5);
        sys::mkdir(format!("{top}/d"), 0o755).unwrap();
        touch(&format!("{top}/d/f")).unwrap();
        let dir = sys::open(format!("{top}/d"), OpenFlags::RDONLY, 0).unwrap();
        sys::utimensat(dir, "f", SetTime::Omit, SetTime::At(then)).unwrap();
        assert_eq!(sys::stat(format!("{top}/d/f")).unwrap().mtime, then);
        // A path from the root needs no directory.
        sys::utimensat(-1, format!("{top}/d/f"), SetTime::Omit, SetTime::Now).unwrap();
        assert_ne!(sys::stat(format!("{top}/d/f")).unwrap().mtime, then);
        assert_eq!(sys::utimensat(-1, "f", SetTime::Now, SetTime::Now), Err(Errno::EBADF));
        let file = sys::open(format!("{top}/d/f"), OpenFlags::RDONLY, 0).unwrap();
        assert_eq!(sys::utimensat(file, "f", SetTime::Now, SetTime::Now), Err(Errno::ENOTDIR));
        assert_eq!(sys::utimensat(AT_FDCWD, "f", SetTime::Now, SetTime::Now), Err(Errno::ENOENT));
    });
}
