//! What ends, ends whole, in the call that ends it: what is the embedder's, or the host's, leaves a process, a table and a
//! kernel there and then, whoever looks at them or keeps their memory.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use cap_std::{ambient_authority, fs::Dir};
use lwproc::local::{self, Inherit};
use lwproc::{Console, Errno, Fd, FdInherit, File, Kernel, MountOptions, OpenFlags, ProcOptions, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

thread_local! {
    /// The call that this thread is in, as a test says.
    static CALL: Cell<&'static str> = const { Cell::new("") };
}

/// Makes `call`, so that what is dropped can say that it was in it.
fn during<R>(call: &'static str, f: impl FnOnce() -> R) -> R {
    let before = CALL.replace(call);
    let result = f();
    CALL.set(before);
    result
}

/// Says in which call it is dropped.
#[derive(Clone)]
struct Tells(#[expect(dead_code, reason = "held for its drop")] Arc<Telling>);

struct Telling(mpsc::Sender<&'static str>);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.send(CALL.get()).unwrap();
    }
}

impl File for Tells {}

fn tells() -> (Tells, mpsc::Receiver<&'static str>) {
    let (sender, told) = mpsc::channel();
    (Tells(Arc::new(Telling(sender))), told)
}

fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// A directory of the host's, removed in the end.
struct HostDir(PathBuf);

impl HostDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lwproc-ends-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("sub")).unwrap();
        Self(path)
    }

    fn mount(&self, kernel: &Kernel) {
        let dir = Dir::open_ambient_dir(&self.0, ambient_authority()).unwrap();
        kernel.mount("/mnt", dir, MountOptions::new().owner(0, 0)).unwrap();
    }
}

impl Drop for HostDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mounted(name: &str) -> (Kernel, HostDir) {
    let (kernel, dir) = (boot(), HostDir::new(name));
    kernel.enter(|| sys::mkdir("/mnt", 0o755)).unwrap();
    dir.mount(&kernel);
    (kernel, dir)
}

/// Threads that are in a kernel all the while, until they are dropped.
struct Onlookers {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Onlookers {
    fn new(looks: impl IntoIterator<Item = Box<dyn FnMut() + Send>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = looks.into_iter().map(|mut look| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    look();
                }
            })
        });
        Self { threads: threads.collect(), stop }
    }
}

impl Drop for Onlookers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok() || thread::panicking());
        }
    }
}

#[test]
fn what_opens_a_device_goes_in_the_halt_and_in_no_other_kernels_call() {
    let (kernel, other) = (boot(), boot());
    let (captured, told) = tells();
    kernel.add_device("/dev/mine", 0o666, move |_| Ok(Box::new(captured.clone()))).unwrap();
    for unlinked in [false, true] {
        // The last of it is a process's cwd, above the device.
        let lwp = kernel.spawn(ProcOptions::new().cwd("/dev")).unwrap();
        if unlinked {
            kernel.enter(|| sys::unlink("/dev/mine")).unwrap();
        }
        drop(lwp);
    }
    assert!(told.try_recv().is_err());
    during("halt", || drop(kernel));
    during("another kernel's", || {
        other.enter(|| (0..1000).for_each(|_| sys::close(sys::dup(0).unwrap()).unwrap()));
    });
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["halt"]);
}

#[test]
fn a_halt_takes_all_with_it_though_a_thread_keeps_the_kernels_memory() {
    let (hook, hook_told) = tells();
    let console = Console::null();
    let kernel = Kernel::builder().console(console).on_fatal(move |_| drop(hook.clone())).boot().unwrap();
    let (captured, device_told) = tells();
    kernel.add_device("/dev/mine", 0o666, move |_| Ok(Box::new(captured.clone()))).unwrap();
    let (value, value_told) = tells();
    let (file, file_told) = tells();
    kernel.enter(|| {
        local::set(value, Inherit::drop());
        sys::install(file, OpenFlags::RDWR).unwrap();
    });
    let (here, is_here) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let stays = thread::spawn({
        let kernel = kernel.clone();
        move || {
            kernel.switch(None);
            drop(kernel);
            here.send(()).unwrap();
            may_go_on.recv().unwrap();
            // Pid 1 has ended: nothing is to be found, and nothing can be opened.
            assert_eq!(sys::stat("/dev/null"), Err(Errno::ENOENT));
            assert_eq!(sys::getcwd(), Err(Errno::ENOENT));
            assert_eq!(sys::mkdir("here", 0o755), Err(Errno::ENOENT));
            let (late, told) = tells();
            assert_eq!(during("install", || sys::install(late, OpenFlags::RDWR)), Err(Errno::ESRCH));
            assert_eq!(told.try_recv(), Ok("install"));
        }
    });
    is_here.recv().unwrap();
    during("halt", || drop(kernel));
    for told in [hook_told, device_told, value_told, file_told] {
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["halt"]);
    }
    go_on.send(()).unwrap();
    stays.join().unwrap();
}

#[test]
fn a_halted_kernel_serves_the_lwp_that_runs_on_and_goes_with_it() {
    let kernel = boot();
    let (captured, told) = tells();
    kernel.add_device("/dev/mine", 0o666, move |_| Ok(Box::new(captured.clone()))).unwrap();
    let (file, file_told) = tells();
    let shared = kernel.enter(|| sys::install(file, OpenFlags::RDWR)).unwrap();
    kernel.enter(|| kernel.rfork(FdInherit::Share).map(|()| kernel.curlwp())).map(|lwp| kernel.switch(lwp)).unwrap();
    during("halt", || drop(kernel));
    // It shares pid 1's table, which has not died with that.
    assert!(sys::fcntl(shared, lwproc::sys::Fcntl::GetFd).is_ok());
    sys::close(sys::open("/dev/mine", OpenFlags::RDWR, 0).unwrap()).unwrap();
    assert!(told.try_recv().is_err() && file_told.try_recv().is_err());
    during("switch", || boot().switch(None));
    assert_eq!((told.try_recv(), file_told.try_recv()), (Ok("switch"), Ok("switch")));
}

#[test]
fn a_mount_is_free_as_soon_as_the_last_process_there_is_gone() {
    let (kernel, dir) = mounted("free");
    let ps = kernel.clone();
    let duping = kernel.clone();
    let _onlookers = Onlookers::new([
        Box::new(move || assert!(ps.ps().iter().count() >= 2)) as Box<dyn FnMut() + Send>,
        Box::new(move || duping.enter(|| sys::close(sys::dup(0).unwrap()).unwrap())),
    ]);
    for round in 0..300 {
        // As cwd, as root, by rfork, by a directory that is open, and by a cwd that was removed.
        let lwp = kernel.spawn(ProcOptions::new().cwd("/mnt/sub")).unwrap();
        let mut rooted = kernel.spawn(ProcOptions::new().root("/mnt")).unwrap();
        rooted.enter(|| {
            sys::open("/", OpenFlags::RDONLY, 0).unwrap();
            kernel.rfork(FdInherit::Copy).unwrap();
            sys::mkdir("/gone", 0o755).unwrap();
            sys::chdir("/gone").unwrap();
            sys::rmdir("/gone").unwrap();
            kernel.releaselwp();
        });
        assert_eq!(kernel.unmount("/mnt"), Err(Errno::EBUSY));
        drop(lwp);
        assert_eq!(kernel.unmount("/mnt"), Err(Errno::EBUSY));
        drop(rooted);
        assert_eq!(kernel.unmount("/mnt"), Ok(()), "in round {round}");
        dir.mount(&kernel);
    }
}

#[test]
fn a_process_has_its_cwd_until_its_last_hook_and_drop() {
    let (kernel, _dir) = mounted("until");
    kernel.enter(|| kernel.spawn(ProcOptions::new().cwd("/mnt/sub"))).unwrap().enter(|| {
        let busy = kernel.clone();
        local::on_exit(move |_| {
            assert_eq!((sys::getcwd().unwrap(), busy.unmount("/mnt")), ("/mnt/sub".into(), Err(Errno::EBUSY)));
        });
    });
    assert_eq!(kernel.unmount("/mnt"), Ok(()));
}

/// A device of `kernel` whose opener makes `file` after `meanwhile`.
fn add_device(kernel: &Kernel, file: Tells, meanwhile: impl Fn() + Send + Sync + 'static) {
    let opener = move |_| {
        meanwhile();
        Ok(Box::new(file.clone()) as Box<dyn File>)
    };
    kernel.add_device("/dev/mine", 0o666, opener).unwrap();
}

#[test]
fn a_file_that_comes_when_its_process_has_ended_is_closed_in_the_open_that_brings_it() {
    struct Told(mpsc::Sender<&'static str>);
    impl File for Told {}
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(CALL.get()).unwrap();
        }
    }
    let kernel = boot();
    let (sender, told) = mpsc::channel();
    let ends = Arc::new(std::sync::Mutex::new(None::<Kernel>));
    let in_opener = Arc::clone(&ends);
    kernel
        .add_device("/dev/mine", 0o666, move |_| {
            // No longer than this has the device a handle on its own kernel.
            let kernel = in_opener.lock().unwrap().take();
            if let Some(kernel) = kernel {
                kernel.releaselwp();
            }
            Ok(Box::new(Told(sender.clone())))
        })
        .unwrap();
    for fds in [FdInherit::Clean, FdInherit::Copy, FdInherit::Share] {
        kernel.switch(None);
        kernel.rfork(fds).unwrap();
        *ends.lock().unwrap() = Some(kernel.clone());
        let opened = during("open", || sys::open("/dev/mine", OpenFlags::RDWR, 0));
        assert_eq!((kernel.curlwp(), kernel.usage().procs), (None, 0));
        if fds == FdInherit::Share {
            // The table is pid 1's, and lives.
            assert!(told.try_recv().is_err());
            during("close", || sys::close(opened.unwrap())).unwrap();
            assert_eq!(told.try_recv(), Ok("close"));
        } else {
            assert_eq!((opened, told.try_recv()), (Err(Errno::ESRCH), Ok("open")));
        }
    }
}

#[test]
fn an_open_that_fails_when_its_process_has_ended_leaves_nothing() {
    let (kernel, (file, told)) = (boot(), tells());
    let ends = kernel.clone();
    kernel.rfork(FdInherit::Clean).unwrap();
    let panics_then = Arc::new(AtomicBool::new(false));
    let panics_now = Arc::clone(&panics_then);
    kernel
        .add_device("/dev/mine", 0o666, move |_| {
            let _file = &file;
            ends.releaselwp();
            assert!(!panics_now.load(Ordering::Relaxed), "as it was told");
            Err(Errno::EIO)
        })
        .unwrap();
    assert_eq!(sys::open("/dev/mine", OpenFlags::RDWR, 0), Err(Errno::EIO));
    panics_then.store(true, Ordering::Relaxed);
    kernel.rfork(FdInherit::Clean).unwrap();
    assert!(panics(|| sys::open("/dev/mine", OpenFlags::RDWR, 0)));
    assert_eq!((kernel.curlwp(), kernel.usage().procs), (None, 0));
    // The device has a handle on its kernel, which never halts then.
    assert!(told.try_recv().is_err());
}

#[test]
fn what_a_dying_table_still_gets_is_closed_before_the_end_returns() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    struct Reopens(mpsc::Sender<lwproc::Result<Fd>>, usize);
    impl File for Reopens {}
    impl Drop for Reopens {
        fn drop(&mut self) {
            let Self(sender, left) = self;
            if *left > 0 {
                let opened = sys::install(Reopens(sender.clone(), *left - 1), OpenFlags::RDWR);
                sender.send(opened).unwrap();
            }
        }
    }
    let (sender, opened) = mpsc::channel();
    sys::install(Reopens(sender, 9), OpenFlags::RDWR).unwrap();
    kernel.releaselwp();
    let opened: Vec<_> = opened.iter().collect();
    assert_eq!(opened.len(), 9, "each was closed, or refused: this channel has no sender left");
    assert_eq!(kernel.enter(|| kernel.ps().iter().map(|row| row.fds).sum::<u32>()), 3);
}

#[test]
fn a_child_that_a_dying_process_has_keeps_the_table_that_it_shares() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let (file, told) = tells();
    let child = Arc::new(std::sync::Mutex::new(None));
    let (forks, born) = (kernel.clone(), Arc::clone(&child));
    local::on_exit(move |_| {
        let fd = sys::install(file, OpenFlags::RDWR).unwrap();
        let own = forks.curlwp();
        forks.rfork(FdInherit::Share).unwrap();
        *born.lock().unwrap() = forks.curlwp().map(|lwp| (lwp, fd));
        forks.switch(own);
    });
    during("parent's end", || kernel.releaselwp());
    let (lwp, fd) = child.lock().unwrap().take().unwrap();
    kernel.switch(Some(lwp));
    assert!(sys::dup(fd).is_ok() && told.try_recv().is_err());
    during("child's end", || kernel.releaselwp());
    assert_eq!(told.try_recv(), Ok("child's end"));
}

#[test]
fn a_child_of_a_process_whose_table_is_dead_begins_with_an_empty_one() {
    struct Forks(Kernel, mpsc::Sender<Option<lwproc::LwpId>>);
    impl File for Forks {}
    impl Drop for Forks {
        fn drop(&mut self) {
            let own = self.0.curlwp();
            self.0.rfork(FdInherit::Share).unwrap();
            self.1.send(self.0.curlwp()).unwrap();
            self.0.switch(own);
        }
    }
    struct Installs(Option<Forks>);
    impl Drop for Installs {
        fn drop(&mut self) {
            // After all hooks: closed when the process has left its table.
            sys::install(self.0.take().unwrap(), OpenFlags::RDWR).unwrap();
        }
    }
    let (kernel, (sender, born)) = (boot(), mpsc::channel());
    kernel.rfork(FdInherit::Clean).unwrap();
    let forks = std::sync::Mutex::new(Installs(Some(Forks(kernel.clone(), sender))));
    local::set(forks, Inherit::drop());
    kernel.releaselwp();
    kernel.switch(born.recv().unwrap());
    assert_eq!(sys::dup(0), Err(Errno::EBADF));
    assert_eq!(sys::pipe(), Ok((0, 1)));
    kernel.releaselwp();
    assert_eq!(kernel.usage().procs, 0);
}

#[test]
fn an_opener_that_is_the_last_to_hold_its_captures_drops_them_in_the_open() {
    let (kernel, (file, told)) = (boot(), tells());
    let (open, is_open) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (open, may_go_on) = (std::sync::Mutex::new(open), std::sync::Mutex::new(may_go_on));
    add_device(&kernel, file, move || {
        open.lock().unwrap().send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
    });
    let opener = thread::spawn({
        let kernel = kernel.clone();
        move || {
            kernel.switch(None);
            drop(kernel);
            let opened = during("open", || sys::open("/dev/mine", OpenFlags::RDWR, 0));
            // Its process, pid 1, ended meanwhile.
            assert_eq!(opened, Err(Errno::ESRCH));
        }
    });
    is_open.recv().unwrap();
    during("halt", || drop(kernel));
    assert!(told.try_recv().is_err());
    go_on.send(()).unwrap();
    opener.join().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["open"]);
}
