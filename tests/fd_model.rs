//! Descriptors against two oracles at once: a simple model, and the host's kernel in a descriptor table of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lwproc::sys::{self, Fcntl};
use lwproc::{Console, Errno, Fd, FdFlags, FdInherit, File, Kernel, OpenFlags, Resource, Result, Rlimit};
use proptest::prelude::*;

/// Descriptors of each process, here and on the host: few, so that the limit is met.
const LIMIT: Fd = 40;

#[derive(Clone, Debug)]
enum Call {
    Open(bool),
    Close(Fd),
    Dup(Fd),
    Dup2(Fd, Fd),
    Dup3(Fd, Fd, OpenFlags),
    DupFd(Fd, Fd),
    DupFdCloexec(Fd, Fd),
    GetFd(Fd),
    SetFd(Fd, bool),
    GetFl(Fd),
    SetFl(Fd, OpenFlags),
    /// `rfork(RFFDG)` and on in the child: in the model and on the host a copy of the table changes nothing.
    Fork,
}

fn numbers() -> impl Strategy<Value = Fd> {
    // Some that are open, mostly; around the limit; and nonsense.
    prop_oneof![
        12 => 0..8i32,
        4 => 0..LIMIT,
        2 => (LIMIT - 2)..(LIMIT + 2),
        1 => prop::sample::select(vec![-1, i32::MIN, i32::MAX, 1 << 20]),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    let dup3_flags = prop::sample::select(vec![OpenFlags::empty(), OpenFlags::CLOEXEC, OpenFlags::APPEND]);
    let status =
        prop::sample::select(vec![OpenFlags::empty(), OpenFlags::APPEND, OpenFlags::NONBLOCK, OpenFlags::all()]);
    prop_oneof![
        6 => any::<bool>().prop_map(Call::Open),
        5 => numbers().prop_map(Call::Close),
        4 => numbers().prop_map(Call::Dup),
        4 => (numbers(), numbers()).prop_map(|(from, to)| Call::Dup2(from, to)),
        2 => (numbers(), numbers(), dup3_flags).prop_map(|(from, to, flags)| Call::Dup3(from, to, flags)),
        2 => (numbers(), numbers()).prop_map(|(fd, min)| Call::DupFd(fd, min)),
        2 => (numbers(), numbers()).prop_map(|(fd, min)| Call::DupFdCloexec(fd, min)),
        2 => numbers().prop_map(Call::GetFd),
        2 => (numbers(), any::<bool>()).prop_map(|(fd, cloexec)| Call::SetFd(fd, cloexec)),
        2 => numbers().prop_map(Call::GetFl),
        2 => (numbers(), status).prop_map(|(fd, flags)| Call::SetFl(fd, flags)),
        1 => Just(Call::Fork),
    ]
}

/// What counts of what `fcntl(F_GETFL)` answers.
fn status(flags: i32) -> i32 {
    flags & (OpenFlags::ACCMODE | OpenFlags::APPEND | OpenFlags::NONBLOCK).bits() as i32
}

/// A file that counts its closes.
struct Counted {
    number: u32,
    closes: Arc<AtomicU32>,
}

impl File for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        self.closes.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Ours {
    opened: u32,
    closes: Arc<AtomicU32>,
}

impl Ours {
    fn call(&mut self, kernel: &Kernel, call: &Call) -> Result<i32> {
        match *call {
            Call::Open(cloexec) => {
                let file = Counted { number: self.opened, closes: Arc::clone(&self.closes) };
                let flags = if cloexec { OpenFlags::RDWR | OpenFlags::CLOEXEC } else { OpenFlags::RDWR };
                self.opened += 1;
                sys::install(file, flags)
            }
            Call::Close(fd) => sys::close(fd).map(|()| 0),
            Call::Dup(fd) => sys::dup(fd),
            Call::Dup2(from, to) => sys::dup2(from, to),
            Call::Dup3(from, to, flags) => sys::dup3(from, to, flags),
            Call::DupFd(fd, min) => sys::fcntl(fd, Fcntl::DupFd(min)),
            Call::DupFdCloexec(fd, min) => sys::fcntl(fd, Fcntl::DupFdCloexec(min)),
            Call::GetFd(fd) => sys::fcntl(fd, Fcntl::GetFd),
            Call::SetFd(fd, cloexec) => {
                sys::fcntl(fd, Fcntl::SetFd(if cloexec { FdFlags::CLOEXEC } else { FdFlags::empty() }))
            }
            Call::GetFl(fd) => sys::fcntl(fd, Fcntl::GetFl).map(status),
            Call::SetFl(fd, flags) => sys::fcntl(fd, Fcntl::SetFl(flags)),
            Call::Fork => {
                let parent = kernel.curlwp();
                kernel.rfork(FdInherit::Copy)?;
                let child = kernel.curlwp();
                kernel.switch(parent);
                kernel.releaselwp();
                kernel.switch(child);
                Ok(0)
            }
        }
    }

    /// Which file each number stands for.
    fn files() -> BTreeMap<Fd, u32> {
        let file = |fd| {
            let open = sys::export(fd).ok()?;
            let file: &dyn Any = open.file();
            Some((fd, file.downcast_ref::<Counted>().unwrap().number))
        };
        (0..LIMIT + 2).filter_map(file).collect()
    }
}

/// The host's answers, from a thread that shares no descriptors with the rest of this process.
#[derive(Default)]
struct Host {
    /// Which file has which inode.
    files: BTreeMap<u64, u32>,
    opened: u32,
}

impl Host {
    fn call(&mut self, call: &Call) -> Result<i32> {
        // SAFETY: the thread has a descriptor table of its own, and everything in it was made here.
        let answer = unsafe {
            match *call {
                Call::Open(cloexec) => {
                    let flags = if cloexec { libc::MFD_CLOEXEC } else { 0 };
                    self.opened += 1;
                    libc::memfd_create(c"lwproc".as_ptr(), flags)
                }
                Call::Close(fd) => libc::close(fd),
                Call::Dup(fd) => libc::dup(fd),
                Call::Dup2(from, to) => libc::dup2(from, to),
                Call::Dup3(from, to, flags) => libc::dup3(from, to, flags.bits() as i32),
                Call::DupFd(fd, min) => libc::fcntl(fd, libc::F_DUPFD, min),
                Call::DupFdCloexec(fd, min) => libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, min),
                Call::GetFd(fd) => libc::fcntl(fd, libc::F_GETFD),
                Call::SetFd(fd, cloexec) => libc::fcntl(fd, libc::F_SETFD, i32::from(cloexec)),
                Call::GetFl(fd) => libc::fcntl(fd, libc::F_GETFL),
                Call::SetFl(fd, flags) => {
                    let bits = (flags & (OpenFlags::APPEND | OpenFlags::NONBLOCK)).bits() as i32;
                    libc::fcntl(fd, libc::F_SETFL, bits)
                }
                Call::Fork => 0,
            }
        };
        if answer < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        match *call {
            Call::Open(_) => {
                self.files.insert(Self::inode(answer).unwrap(), self.opened - 1);
                Ok(answer)
            }
            Call::GetFl(_) => Ok(status(answer)),
            _ => Ok(answer),
        }
    }

    fn inode(fd: Fd) -> Option<u64> {
        // SAFETY: zero is a valid `stat`, and `fstat` writes one.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            (libc::fstat(fd, &mut stat) == 0).then_some(stat.st_ino)
        }
    }

    fn files(&self) -> BTreeMap<Fd, u32> {
        (0..LIMIT + 2).filter_map(|fd| Some((fd, self.files[&Self::inode(fd)?]))).collect()
    }
}

/// What POSIX says, in as few words as possible.
#[derive(Default)]
struct Model {
    /// Number to file and close-on-exec.
    fds: BTreeMap<Fd, (u32, bool)>,
    /// File to status.
    files: Vec<i32>,
}

impl Model {
    fn lowest(&self, min: Fd) -> Result<Fd> {
        (min..LIMIT).find(|fd| !self.fds.contains_key(fd)).ok_or(Errno::EMFILE)
    }

    fn file(&self, fd: Fd) -> Result<u32> {
        self.fds.get(&fd).map(|(file, _)| *file).ok_or(Errno::EBADF)
    }

    fn set(&mut self, fd: Fd, file: u32, cloexec: bool) -> Result<i32> {
        self.fds.insert(fd, (file, cloexec));
        Ok(fd)
    }

    fn dup(&mut self, fd: Fd, min: Fd, cloexec: bool) -> Result<i32> {
        let file = self.file(fd)?;
        if !(0..LIMIT).contains(&min) {
            return Err(Errno::EINVAL);
        }
        self.set(self.lowest(min)?, file, cloexec)
    }

    fn dup2(&mut self, from: Fd, to: Fd, cloexec: bool) -> Result<i32> {
        if !(0..LIMIT).contains(&to) {
            return Err(Errno::EBADF);
        }
        self.set(to, self.file(from)?, cloexec)
    }

    fn call(&mut self, call: &Call) -> Result<i32> {
        match *call {
            Call::Open(cloexec) => {
                self.files.push(OpenFlags::RDWR.bits() as i32);
                self.set(self.lowest(0)?, self.files.len() as u32 - 1, cloexec)
            }
            Call::Close(fd) => self.fds.remove(&fd).map(|_| 0).ok_or(Errno::EBADF),
            Call::Dup(fd) => self.dup(fd, 0, false),
            Call::Dup2(from, to) if from == to => self.file(from).map(|_| to),
            Call::Dup2(from, to) => self.dup2(from, to, false),
            Call::Dup3(from, to, flags) if from == to || flags == OpenFlags::APPEND => Err(Errno::EINVAL),
            Call::Dup3(from, to, flags) => self.dup2(from, to, flags == OpenFlags::CLOEXEC),
            Call::DupFd(fd, min) => self.dup(fd, min, false),
            Call::DupFdCloexec(fd, min) => self.dup(fd, min, true),
            Call::GetFd(fd) => self.fds.get(&fd).map(|(_, cloexec)| i32::from(*cloexec)).ok_or(Errno::EBADF),
            Call::SetFd(fd, cloexec) => {
                let file = self.file(fd)?;
                self.set(fd, file, cloexec).map(|_| 0)
            }
            Call::GetFl(fd) => Ok(self.files[self.file(fd)? as usize]),
            Call::SetFl(fd, flags) => {
                let file = self.file(fd)? as usize;
                self.files[file] = OpenFlags::RDWR.bits() as i32 | status((flags - OpenFlags::ACCMODE).bits() as i32);
                Ok(0)
            }
            Call::Fork => Ok(0),
        }
    }

    fn files(&self) -> BTreeMap<Fd, u32> {
        self.fds.iter().map(|(fd, (file, _))| (*fd, *file)).collect()
    }

    /// How many files have closed.
    fn closed(&self) -> u32 {
        let open: std::collections::BTreeSet<u32> = self.files().into_values().collect();
        (self.files.len() - open.len()) as u32
    }
}

fn all_agree(calls: &[Call]) -> std::result::Result<(), TestCaseError> {
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    kernel.rfork(FdInherit::Clean).unwrap();
    sys::setrlimit(Resource::NoFile, Rlimit::both(LIMIT as u64)).unwrap();
    // SAFETY: as in `Host::call`.
    unsafe { libc::close_range(0, u32::MAX, 0) };
    let (mut ours, mut host, mut model) = (Ours::default(), Host::default(), Model::default());
    for (step, call) in calls.iter().enumerate() {
        let answers = (ours.call(&kernel, call), host.call(call));
        let expected = model.call(call);
        prop_assert_eq!(answers, (expected, expected), "step {}: {:?}", step, call);
        prop_assert_eq!(Ours::files(), model.files(), "step {}: {:?}", step, call);
        prop_assert_eq!(host.files(), model.files(), "step {}: {:?}", step, call);
        prop_assert_eq!(ours.closes.load(Ordering::Relaxed), model.closed(), "step {}: {:?}", step, call);
    }
    kernel.releaselwp();
    prop_assert_eq!(ours.closes.load(Ordering::Relaxed), ours.opened, "all are closed at the end");
    Ok(())
}

#[test]
fn descriptors_are_numbered_shared_and_closed_as_a_model_and_the_hosts_kernel_do_it() {
    // SAFETY: plain calls on this process's own limit; the only test of this binary needs no more descriptors.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = LIMIT as u64;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    let tested = std::thread::spawn(|| {
        // SAFETY: from here on this thread's table is a copy, which it may empty.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
        let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
        catch_unwind(AssertUnwindSafe(|| {
            proptest::test_runner::TestRunner::new(config)
                .run(&prop::collection::vec(calls(), 1..80), |calls| all_agree(&calls))
        }))
    });
    // Reported here, where standard error is what it was.
    match tested.join().unwrap() {
        Ok(outcome) => assert!(outcome.is_ok(), "{}", outcome.unwrap_err()),
        Err(panic) => resume_unwind(panic),
    }
}
