//! Files by name: in memory and on a mount of the host, both against the host's own file system.

#[path = "common/random.rs"]
mod random;
#[path = "common/temp.rs"]
mod temp;

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, UNIX_EPOCH};

use lwproc::sys;
use lwproc::{
    Access, Console, Errno, FileKind, Gid, Kernel, Mode, MountOptions, OpenFlags, ProcOptions, Result, SetTime, Stat,
    Uid,
};
use random::Random;
use rustix::fs::{AtFlags, Dir, Mode as HostMode, OFlags, Timespec, Timestamps};
use temp::Temp;

impl Random {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Something to be done to names.
#[derive(Clone, Debug)]
enum Step {
    Mkdir(String, Mode),
    Rmdir(String),
    Unlink(String),
    Rename(String, String),
    Link(String, String),
    Symlink(String, String),
    Readlink(String),
    Stat(String),
    Lstat(String),
    Access(String, Access),
    Chmod(String, Mode),
    Chown(String, Option<Uid>, Option<Gid>),
    Truncate(String, u64),
    Utimens(String, u64),
    /// Opens, writes, and tells what the file is.
    Open(String, OpenFlags, Mode),
    Read(String),
    List(String),
}

/// What a step gives, as far as the host and we can agree: no numbers and sizes of directories.
fn told(stat: &Stat) -> String {
    let dir = stat.kind() == FileKind::Directory;
    let rest = if dir { (0, 0) } else { (stat.nlink, stat.size) };
    format!("{:o} {}:{} {rest:?}", stat.mode, stat.uid, stat.gid)
}

fn sorted(mut names: Vec<(String, FileKind)>) -> String {
    names.sort_by(|one, other| one.0.cmp(&other.0));
    format!("{names:?}")
}

fn run_here(top: &str, step: &Step) -> Result<String> {
    let at =
        |path: &str| if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("{top}/{path}") };
    let done = |()| String::new();
    let mtime = |path: &str| sys::stat(at(path)).map(|stat| format!("{:?}", stat.mtime));
    match step {
        Step::Mkdir(path, mode) => sys::mkdir(at(path), *mode).map(done),
        Step::Rmdir(path) => sys::rmdir(at(path)).map(done),
        Step::Unlink(path) => sys::unlink(at(path)).map(done),
        Step::Rename(from, to) => sys::rename(at(from), at(to)).map(done),
        Step::Link(from, to) => sys::link(at(from), at(to)).map(done),
        Step::Symlink(target, path) => sys::symlink(target, at(path)).map(done),
        Step::Readlink(path) => sys::readlink(at(path)).map(|target| target.display().to_string()),
        Step::Stat(path) => sys::stat(at(path)).map(|stat| told(&stat)),
        Step::Lstat(path) => sys::lstat(at(path)).map(|stat| told(&stat)),
        Step::Access(path, wanted) => sys::access(at(path), *wanted).map(done),
        Step::Chmod(path, mode) => sys::chmod(at(path), *mode).map(done),
        Step::Chown(path, uid, gid) => sys::chown(at(path), *uid, *gid).map(done),
        Step::Truncate(path, len) => sys::truncate(at(path), *len).map(done),
        Step::Utimens(path, seconds) => {
            let time = SetTime::At(UNIX_EPOCH + Duration::from_secs(*seconds));
            sys::utimens(at(path), SetTime::Omit, time)?;
            mtime(path)
        }
        Step::Open(path, flags, mode) => {
            let fd = sys::open(at(path), *flags, *mode)?;
            let written = sys::write(fd, b"some");
            let told = sys::fstat(fd).map(|stat| told(&stat));
            sys::close(fd)?;
            Ok(format!("{written:?} {told:?}"))
        }
        Step::Read(path) => {
            let fd = sys::open(at(path), OpenFlags::RDONLY, 0)?;
            let mut buf = [0; 64];
            let read = sys::read(fd, &mut buf);
            sys::close(fd)?;
            read.map(|len| String::from_utf8_lossy(&buf[..len]).into_owned())
        }
        Step::List(path) => {
            let fd = sys::open(at(path), OpenFlags::RDONLY | OpenFlags::DIRECTORY, 0)?;
            let mut all = Vec::new();
            // Few at a time, so that listings go on where they were.
            loop {
                let some = sys::getdents(fd, 2)?;
                if some.is_empty() {
                    break;
                }
                all.extend(some.into_iter().map(|entry| (entry.name.into_string().unwrap(), entry.kind)));
            }
            sys::close(fd)?;
            Ok(sorted(all))
        }
    }
}

fn kind_of(mode: u32) -> FileKind {
    Stat { mode, ..Stat::new(FileKind::Regular, 0) }.kind()
}

fn told_by_host(stat: &rustix::fs::Stat) -> String {
    let mut ours = Stat::new(kind_of(stat.st_mode), 0);
    (ours.mode, ours.uid, ours.gid) = (stat.st_mode, stat.st_uid, stat.st_gid);
    (ours.nlink, ours.size) = (stat.st_nlink, stat.st_size.cast_unsigned());
    told(&ours)
}

fn run_on_host(top: &OwnedFd, step: &Step) -> rustix::io::Result<String> {
    use rustix::fs as host;
    let mode = |mode: &Mode| HostMode::from_raw_mode(*mode);
    let (none, nofollow) = (AtFlags::empty(), AtFlags::SYMLINK_NOFOLLOW);
    let done = |()| String::new();
    let name_of = |result: rustix::io::Result<usize>| -> Result<usize> { result.map_err(Errno::from) };
    match step {
        Step::Mkdir(path, bits) => host::mkdirat(top, path, mode(bits)).map(done),
        Step::Rmdir(path) => host::unlinkat(top, path, AtFlags::REMOVEDIR).map(done),
        Step::Unlink(path) => host::unlinkat(top, path, none).map(done),
        Step::Rename(from, to) => host::renameat(top, from, top, to).map(done),
        Step::Link(from, to) => host::linkat(top, from, top, to, none).map(done),
        Step::Symlink(target, path) => host::symlinkat(target, top, path).map(done),
        Step::Readlink(path) => host::readlinkat(top, path, Vec::new()).map(|target| target.into_string().unwrap()),
        Step::Stat(path) => host::statat(top, path, none).map(|stat| told_by_host(&stat)),
        Step::Lstat(path) => host::statat(top, path, nofollow).map(|stat| told_by_host(&stat)),
        Step::Access(path, wanted) => {
            let wanted = host::Access::from_bits_retain(wanted.bits());
            host::accessat(top, path, wanted, AtFlags::EACCESS).map(done)
        }
        Step::Chmod(path, bits) => host::chmodat(top, path, mode(bits), none).map(done),
        Step::Chown(path, uid, gid) => {
            host::chownat(top, path, uid.map(host::Uid::from_raw), gid.map(host::Gid::from_raw), none).map(done)
        }
        Step::Truncate(path, len) => {
            // There is no truncateat.
            let fd = host::openat(top, path, OFlags::WRONLY, HostMode::empty())?;
            host::ftruncate(&fd, *len).map(done)
        }
        Step::Utimens(path, seconds) => {
            let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
            let last_access = time(0, host::UTIME_OMIT);
            let times = Timestamps { last_access, last_modification: time(*seconds as i64, 0) };
            host::utimensat(top, path, &times, none)?;
            host::statat(top, path, none)
                .map(|stat| format!("{:?}", UNIX_EPOCH + Duration::from_secs(stat.st_mtime as u64)))
        }
        Step::Open(path, flags, bits) => {
            let fd = host::openat(top, path, OFlags::from_bits_retain(flags.bits()), mode(bits))?;
            let written = name_of(rustix::io::write(&fd, b"some"));
            let told: Result<String> = host::fstat(&fd).map(|stat| told_by_host(&stat)).map_err(Errno::from);
            Ok(format!("{written:?} {told:?}"))
        }
        Step::Read(path) => {
            let fd = host::openat(top, path, OFlags::RDONLY, HostMode::empty())?;
            let mut buf = [0; 64];
            let len = rustix::io::read(&fd, &mut buf)?;
            Ok(String::from_utf8_lossy(&buf[..len]).into_owned())
        }
        Step::List(path) => {
            let fd = host::openat(top, path, OFlags::RDONLY | OFlags::DIRECTORY, HostMode::empty())?;
            let mut all = Vec::new();
            for entry in Dir::new(fd)? {
                let entry = entry?;
                let kind = kind_of(entry.file_type().as_raw_mode());
                all.push((entry.file_name().to_str().unwrap().to_owned(), kind));
            }
            Ok(sorted(all))
        }
    }
}

/// Runs `f` as this user of the host, if the host lets this thread become it.
fn as_user<R>(uid: Uid, gid: Gid, f: impl FnOnce() -> R) -> R {
    use rustix::process::{Gid as HostGid, Uid as HostUid, geteuid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    if geteuid().as_raw() == uid {
        return f();
    }
    let (root_user, root_group) = (HostUid::from_raw(0), HostGid::from_raw(0));
    let (user, group) = (HostUid::from_raw(uid), HostGid::from_raw(gid));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(root_group, group, root_group).unwrap();
    set_thread_res_uid(root_user, user, root_user).unwrap();
    let result = f();
    set_thread_res_uid(root_user, root_user, root_user).unwrap();
    set_thread_res_gid(root_group, root_group, root_group).unwrap();
    result
}

/// How deep under the top the steps begin, so that `..` in them stays in it.
const DEEP: &str = "x/x/x/x/x/x/w";

/// One process's steps, in memory or on a mount, and the same in a directory of the host.
struct Both {
    kernel: Kernel,
    ours: String,
    host: OwnedFd,
    user: (Uid, Gid),
    _temps: [Temp; 2],
}

impl Both {
    /// `user` is who makes the steps; the directory that they begin in is theirs, those above are not.
    fn new(mounted: bool, user: (Uid, Gid)) -> Self {
        let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
        let temps = [Temp::new(), Temp::new()];
        let top = if mounted {
            kernel.enter(|| sys::mkdir("/mnt", 0o755)).unwrap();
            kernel.mount("/mnt", temps[1].dir(), MountOptions::new()).unwrap();
            "/mnt"
        } else {
            "/tmp"
        };
        let ours = format!("{top}/{DEEP}");
        let theirs = temps[0].0.join(DEEP);
        fs::create_dir_all(&theirs).unwrap();
        kernel.enter(|| {
            let mut path = top.to_owned();
            for name in DEEP.split('/') {
                path = format!("{path}/{name}");
                sys::mkdir(&path, 0o755).unwrap();
                // As on the host, whoever runs the tests.
                sys::chown(&path, Some(users()[0].0), Some(users()[0].1)).unwrap();
            }
            sys::chown(&ours, Some(user.0), Some(user.1)).unwrap();
            sys::chmod(&ours, 0o755).unwrap();
        });
        std::os::unix::fs::chown(&theirs, Some(user.0), Some(user.1)).unwrap();
        let host = fs::File::open(&theirs).unwrap().into();
        Self { kernel, ours, host, user, _temps: temps }
    }

    #[track_caller]
    fn same(&self, steps: impl IntoIterator<Item = Step>) {
        let options = ProcOptions::new().uid(self.user.0).gid(self.user.1).groups([]).umask(0o022);
        let mut process = self.kernel.spawn(options).unwrap();
        let mut past = Vec::new();
        for step in steps {
            let host = as_user(self.user.0, self.user.1, || run_on_host(&self.host, &step)).map_err(Errno::from);
            let ours = process.enter(|| run_here(&self.ours, &step));
            past.push(format!("{step:?} {ours:?}"));
            assert_eq!(ours, host, "after {}", past.join("\n"));
        }
    }
}

/// Whoever runs the tests, and another if those are run by root.
fn users() -> Vec<(Uid, Gid)> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if own.0 == 0 { vec![own, (1001, 1001)] } else { vec![own] }
}

fn each_way(f: impl Fn(&Both)) {
    for user in users() {
        for mounted in [false, true] {
            f(&Both::new(mounted, user));
        }
    }
}

fn s(path: &str) -> String {
    path.to_owned()
}

fn path(random: &mut Random) -> String {
    let mut path = String::new();
    for n in 0..=random.below(3) {
        if n > 0 {
            path.push_str(random.one(&["/", "/", "/", "//"]));
        }
        let names: &[&str] = &["a", "b", "c", "d", "a", "b", "c", ".", ".."];
        path.push_str(random.one(if n == 0 { &names[..8] } else { names }));
    }
    if random.below(8) == 0 {
        path.push('/');
    }
    path
}

fn step(random: &mut Random) -> Step {
    let one = path(random);
    let other = path(random);
    let some = [0o777, 0o755, 0o700, 0o644, 0o600, 0o500, 0o1777, 0o2775, 0o4755, 0o000];
    let mode = some[random.below(some.len())];
    match random.below(32) {
        0..=3 => Step::Mkdir(one, mode | 0o700),
        4 | 5 => Step::Rmdir(one),
        6 | 7 => Step::Unlink(one),
        8..=11 => Step::Rename(one, other),
        12 | 13 => Step::Link(one, other),
        14 | 15 => Step::Symlink(random.one(&["a", "b", "a/b", "../a", "../b/c", ".", "d/", "c"]).to_owned(), one),
        16 => Step::Readlink(one),
        17 => Step::Stat(one),
        18 => Step::Lstat(one),
        19 => Step::Access(one, Access::from_bits_truncate(random.below(8) as u32)),
        20 => Step::Chmod(one, mode),
        21 => {
            let ids = [None, Some(0), Some(1001), Some(1002)];
            Step::Chown(one, ids[random.below(4)], ids[random.below(4)])
        }
        22 => Step::Truncate(one, random.below(20) as u64),
        23 => Step::Utimens(one, random.below(1 << 30) as u64),
        24..=28 => {
            let mut flags = [OpenFlags::RDONLY, OpenFlags::WRONLY, OpenFlags::RDWR][random.below(3)];
            for flag in [
                OpenFlags::CREAT,
                OpenFlags::EXCL,
                OpenFlags::TRUNC,
                OpenFlags::APPEND,
                OpenFlags::DIRECTORY,
                OpenFlags::NOFOLLOW,
            ] {
                flags.set(flag, random.below(if flag == OpenFlags::CREAT { 2 } else { 5 }) == 0);
            }
            if flags.contains(OpenFlags::EXCL) {
                flags |= OpenFlags::CREAT;
            }
            // What this means together changed in Linux 6.4.
            if flags.contains(OpenFlags::CREAT) {
                flags -= OpenFlags::DIRECTORY;
            }
            Step::Open(one, flags, mode)
        }
        29 => Step::Read(one),
        _ => Step::List(one),
    }
}

#[test]
fn a_random_walk_over_names_is_the_hosts() {
    each_way(|both| {
        for seed in 1..=30 {
            let mut random = Random(seed * 0x9e37_79b9);
            // A directory that nobody may search any more would make the rest of the walk dull.
            both.same([Step::Chmod(s("."), 0o755)]);
            both.same((0..300).map(|_| step(&mut random)));
        }
    });
}

#[test]
fn what_a_path_may_not_be_is_the_hosts() {
    let long = "n".repeat(256);
    let deep = "a/".repeat(2048);
    each_way(|both| {
        both.same([
            Step::Mkdir(s("a"), 0o755),
            Step::Symlink(s("self"), s("self")),
            Step::Symlink(s("none"), s("dangling")),
            Step::Symlink(s("a"), s("l")),
            Step::Open(s("f"), OpenFlags::RDWR | OpenFlags::CREAT, 0o644),
        ]);
        let chain = (0..42)
            .map(|n| Step::Symlink(if n == 0 { s("a") } else { format!("chain{}", n - 1) }, format!("chain{n}")));
        both.same(chain);
        both.same([Step::Stat(s("chain39")), Step::Stat(s("chain40")), Step::Lstat(s("chain40"))]);
        for path in [
            "",
            ".",
            "f/",
            "f/.",
            "f/..",
            "l",
            "l/",
            "self",
            "self/x",
            "dangling",
            "dangling/",
            "a/none/",
            "\0",
            "a\0b",
            &long,
            &deep,
        ] {
            let path = s(path);
            let create = OpenFlags::WRONLY | OpenFlags::CREAT;
            // The host looks at the length of a name later than at where the other path ends.
            if path.len() < 256 {
                both.same([Step::Rename(path.clone(), s("a/."))]);
            }
            both.same([
                Step::Stat(path.clone()),
                Step::Lstat(path.clone()),
                Step::Readlink(path.clone()),
                Step::Access(path.clone(), Access::empty()),
                Step::Symlink(s("a"), path.clone()),
                Step::Symlink(path.clone(), s("f")),
                Step::Link(path.clone(), s("f")),
                Step::Link(s("f"), path.clone()),
                Step::Rename(s("f"), path.clone()),
                Step::Lstat(s("f")),
                Step::Open(path.clone(), create | OpenFlags::EXCL, 0o600),
                Step::Open(path.clone(), create, 0o600),
                Step::Open(path.clone(), OpenFlags::NOFOLLOW, 0),
                Step::Open(path.clone(), OpenFlags::DIRECTORY, 0),
                Step::Truncate(path.clone(), 1),
                Step::Rmdir(path.clone()),
                Step::Unlink(path.clone()),
                Step::Mkdir(path.clone(), 0o755),
                Step::List(s(".")),
                Step::Open(s("f"), create, 0o644),
                Step::Unlink(s("none")),
            ]);
        }
    });
}
