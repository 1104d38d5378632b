//! What virtual processes must not get by what the host lets its own process do, and by directories that they kept.

#[path = "common/temp.rs"]
mod temp;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use lwproc::{Console, Errno, Kernel, Lwp, MountOptions, OpenFlags, ProcOptions, sys};
use rustix::fs::{CWD, FileType, Mode as HostMode};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use temp::Temp;

const NEW: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREAT).union(OpenFlags::EXCL);

/// A kernel with a new directory of the host on `/mnt`, which is removed in the end.
struct Mounted {
    kernel: Kernel,
    host: Temp,
}

impl Mounted {
    fn new(options: MountOptions) -> Self {
        let host = Temp::new();
        let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
        kernel.enter(|| sys::mkdir("/mnt", 0o755)).unwrap();
        kernel.mount("/mnt", host.dir(), options).unwrap();
        Self { kernel, host }
    }

    fn user(&self, id: u32) -> Lwp {
        self.kernel.spawn(ProcOptions::new().uid(id).gid(id).groups([]).umask(0)).unwrap()
    }
}

/// The host lets only root give files away and make devices.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn whoever_makes_a_file_may_use_it_whatever_its_mode() {
    let mounted = Mounted::new(MountOptions::new().owner(1001, 1001));
    mounted.user(1001).enter(|| {
        for (name, flags) in [("/mnt/writes", OpenFlags::WRONLY), ("/mnt/reads", OpenFlags::RDONLY)] {
            let fd = sys::open(name, flags | OpenFlags::CREAT, 0).unwrap();
            assert_eq!(sys::fstat(fd).unwrap().permissions(), 0);
            match flags {
                OpenFlags::WRONLY => assert_eq!(sys::write(fd, b"x"), Ok(1)),
                _ => assert_eq!((sys::read(fd, &mut [0]), sys::write(fd, b"x")), (Ok(0), Err(Errno::EBADF))),
            }
            sys::close(fd).unwrap();
            assert_eq!(sys::open(name, flags, 0), Err(Errno::EACCES));
        }
    });
}

#[test]
fn that_also_holds_where_the_host_process_is_not_root() {
    if !is_root() {
        return;
    }
    let mounted = Mounted::new(MountOptions::new());
    chown(&mounted.host.0, Some(1001), Some(1001)).unwrap();
    let mut user = mounted.user(1001);
    thread::scope(|scope| {
        // Of this thread alone; it ends with it.
        scope.spawn(|| {
            let (uid, gid) = (Uid::from_raw(1001), Gid::from_raw(1001));
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            user.enter(|| {
                let fd = sys::open("/mnt/made", OpenFlags::WRONLY | OpenFlags::CREAT, 0o444).unwrap();
                assert_eq!(sys::write(fd, b"x"), Ok(1));
                sys::close(fd).unwrap();
                let stat = sys::stat("/mnt/made").unwrap();
                assert_eq!((stat.size, stat.uid, stat.permissions()), (1, 1001, 0o444));
                sys::mkdir("/mnt/directory", 0o750).unwrap();
                assert_eq!(sys::stat("/mnt/directory").unwrap().permissions(), 0o750);
            });
        });
    });
}

#[test]
fn a_mount_of_one_owner_makes_no_programs_of_the_host_processs_user() {
    let mounted = Mounted::new(MountOptions::new().owner(1001, 1001));
    mounted.user(1001).enter(|| {
        let fd = sys::open("/mnt/made", NEW, 0o6755).unwrap();
        sys::close(sys::open("/mnt/changed", NEW, 0o755).unwrap()).unwrap();
        sys::chmod("/mnt/changed", 0o6755).unwrap();
        sys::fchmod(fd, 0o6711).unwrap();
        sys::mkdir("/mnt/shared", 0o755).unwrap();
        sys::chmod("/mnt/shared", 0o2755).unwrap();
    });
    let mode = |name: &str| fs::metadata(mounted.host.0.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("made"), mode("changed"), mode("shared")), (0o711, 0o755, 0o2755));
}

#[test]
fn devices_of_the_host_are_not_opened() {
    if !is_root() {
        return;
    }
    let mounted = Mounted::new(MountOptions::new());
    let mode = HostMode::from_raw_mode(0o666);
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, mounted.host.0.join("null"), FileType::CharacterDevice, mode, null).unwrap();
    mounted.kernel.enter(|| {
        assert_eq!(sys::open("/mnt/null", OpenFlags::RDONLY, 0), Err(Errno::EACCES));
        assert_eq!(sys::stat("/mnt/null").unwrap().rdev, null);
    });
}

#[test]
fn nobody_gets_a_file_by_putting_it_in_the_place_of_a_new_one() {
    if !is_root() {
        return;
    }
    let mounted = Mounted::new(MountOptions::new());
    fs::set_permissions(&mounted.host.0, Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(mounted.host.0.join("kept")).unwrap();
    let theirs = mounted.host.0.join("kept/theirs");
    fs::write(&theirs, "secret").unwrap();
    fs::set_permissions(&theirs, Permissions::from_mode(0o600)).unwrap();
    chown(&theirs, Some(1002), Some(1002)).unwrap();
    let (mut maker, mut mover) = (mounted.user(1001), mounted.user(1001));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            mover.enter(|| {
                while !done.load(Ordering::Relaxed) {
                    // The directory's permissions allow all of this.
                    let _ = sys::link("/mnt/kept/theirs", "/mnt/bait");
                    let _ = sys::rename("/mnt/bait", "/mnt/new");
                }
            });
        });
        maker.enter(|| {
            for _ in 0..5000 {
                let _ = sys::symlink("nowhere", "/mnt/new");
                let _ = sys::unlink("/mnt/new");
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    let after = fs::metadata(&theirs).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode() & 0o7777), (1002, 1002, 0o600));
}

#[test]
fn a_new_directory_of_the_host_can_be_used_as_soon_as_it_is_there() {
    let mounted = Mounted::new(MountOptions::new().owner(1001, 1001));
    let (mut maker, mut user) = (mounted.user(1001), mounted.user(1001));
    let (newest, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            maker.enter(|| {
                for n in 0..5000 {
                    newest.store(n, Ordering::Relaxed);
                    let _ = sys::mkdir(format!("/mnt/{n}"), 0o700);
                }
            });
            done.store(true, Ordering::Relaxed);
        });
        user.enter(|| {
            while !done.load(Ordering::Relaxed) {
                // Before it is made, and after.
                let path = format!("/mnt/{}/nothing", newest.load(Ordering::Relaxed));
                assert_eq!(sys::stat(path), Err(Errno::ENOENT));
            }
        });
    });
    assert_eq!(fs::read_dir(&mounted.host.0).unwrap().count(), 5000);
}

#[test]
fn nobody_is_called_what_no_user_can_be() {
    let mounted = Mounted::new(MountOptions::new());
    for options in [ProcOptions::new().uid(u32::MAX), ProcOptions::new().gid(u32::MAX)] {
        assert_eq!(mounted.kernel.spawn(options).unwrap_err(), Errno::EINVAL);
    }
    mounted.kernel.enter(|| {
        for top in ["/mnt", "/tmp"] {
            let path = format!("{top}/made");
            sys::close(sys::open(&path, NEW, 0o644).unwrap()).unwrap();
            for (uid, gid) in [(Some(u32::MAX), None), (None, Some(u32::MAX))] {
                assert_eq!(sys::chown(&path, uid, gid), Err(Errno::EINVAL));
            }
        }
    });
}

#[test]
fn a_directory_kept_from_before_chroot_is_no_way_out() {
    let mounted = Mounted::new(MountOptions::new());
    for top in ["/mnt", "/tmp"] {
        let mut process = mounted.kernel.spawn(ProcOptions::new()).unwrap();
        process.enter(|| {
            let at = |path: &str| format!("{top}/{path}");
            for path in ["jail", "jail/in", "out", "out/deep"] {
                sys::mkdir(at(path), 0o755).unwrap();
            }
            let outside = sys::open(at("out/deep"), OpenFlags::RDONLY, 0).unwrap();
            let inside = sys::open(at("jail/in"), OpenFlags::RDONLY, 0).unwrap();

            sys::chdir(at("jail/in")).unwrap();
            sys::chroot(at("jail")).unwrap();
            assert_eq!(sys::getcwd(), Ok("/in".into()), "a cwd below the root stays");
            assert_eq!(sys::fchdir(outside), Err(Errno::EPERM));
            assert_eq!(sys::fchdir(inside), Ok(()));

            // From outside, up is the root.
            let up = sys::openat(outside, "../in", OpenFlags::RDONLY, 0).unwrap();
            assert_eq!(sys::fstat(up), sys::stat("/in"));
            assert_eq!(sys::openat(outside, "../deep", OpenFlags::RDONLY, 0), Err(Errno::ENOENT));

            sys::chdir("/in").unwrap();
            sys::mkdir("/in/further", 0o755).unwrap();
            sys::chroot("/in/further").unwrap();
            assert_eq!(sys::getcwd(), Ok("/".into()), "a cwd outside of the root comes along");
            assert_eq!(sys::stat("..").unwrap().ino, sys::stat("/").unwrap().ino);
        });
    }
}

#[test]
fn a_socket_file_belongs_to_who_bound_it() {
    if !is_root() {
        return;
    }
    use lwproc::{Domain, SocketAddress, SocketKind};
    let mounted = Mounted::new(MountOptions::new());
    fs::set_permissions(&mounted.host.0, Permissions::from_mode(0o777)).unwrap();
    let address = SocketAddress::Unix("/mnt/socket".into());
    mounted.user(1001).enter(|| {
        sys::umask(0o077);
        let fd = sys::socket(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
        sys::bind(fd, &address).unwrap();
        sys::listen(fd, 1).unwrap();
        let again = sys::socket(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
        assert_eq!(sys::bind(again, &address), Err(Errno::EADDRINUSE));
        assert_eq!(sys::connect(again, &address), Ok(()));
    });
    let host = fs::metadata(mounted.host.0.join("socket")).unwrap();
    assert_eq!((host.uid(), host.gid(), host.mode() & 0o777), (1001, 1001, 0o700));
    mounted.user(1002).enter(|| {
        let fd = sys::socket(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
        assert_eq!(sys::connect(fd, &address), Err(Errno::EACCES));
    });
}

#[test]
fn no_link_leads_from_one_mount_to_another_whoever_swaps_directories_meanwhile() {
    let mounted = Mounted::new(MountOptions::new());
    let other = Temp::new();
    mounted.kernel.enter(|| {
        sys::mkdir("/other", 0o755).unwrap();
        sys::symlink("/mnt", "/mount").unwrap();
        sys::symlink("/other", "/swapped").unwrap();
    });
    mounted.kernel.mount("/other", other.dir(), MountOptions::new()).unwrap();
    fs::write(mounted.host.0.join("secret"), "x").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            mounted.kernel.enter(|| {
                while !done.load(Ordering::Relaxed) {
                    sys::rename("/mount", "/kept").unwrap();
                    sys::rename("/swapped", "/mount").unwrap();
                    sys::rename("/kept", "/swapped").unwrap();
                }
            });
        });
        mounted.kernel.enter(|| {
            for _ in 0..20_000 {
                // Now it is one directory, now the other, now none.
                let linked = sys::link("/mnt/secret", "/mount/link");
                let astray = sys::unlink("/other/link") == Ok(());
                let _ = sys::unlink("/mnt/link");
                if astray {
                    done.store(true, Ordering::Relaxed);
                    panic!("a link was made on another mount: {linked:?}");
                }
            }
        });
        done.store(true, Ordering::Relaxed);
    });
}
