//! The end of a kernel: what goes with its last handle, and what waits for the thread that runs it.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use lwproc::local;
use lwproc::{Console, FdInherit, File, Kernel, OpenFlags, Pid, ProcOptions, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// Says its pid when it closes.
struct Tells(Mutex<mpsc::Sender<Pid>>);

impl File for Tells {}

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.lock().unwrap().send(sys::getpid()).unwrap();
    }
}

fn tell(sender: &mpsc::Sender<Pid>) {
    sys::install(Tells(Mutex::new(sender.clone())), OpenFlags::RDWR).unwrap();
}

#[test]
fn the_last_handle_releases_idle_lwps_and_closes_what_they_and_pid_1_have_open() {
    let (sender, closed) = mpsc::channel();
    let kernel = boot();
    kernel.enter(|| tell(&sender));
    for _ in 0..3 {
        kernel.rfork(FdInherit::Clean).unwrap();
        tell(&sender);
        let sender = sender.clone();
        local::on_exit(move |pid| sender.send(pid).unwrap());
    }
    kernel.switch(None);
    let second = kernel.clone();
    drop(kernel);
    assert!(closed.try_recv().is_err(), "a handle is left");
    drop(second);
    let told: Vec<i32> = closed.try_iter().map(Pid::raw).collect();
    assert_eq!(told, [2, 2, 3, 3, 4, 4, 1], "each closes, then its hook runs");
}

#[test]
fn an_owned_lwp_is_a_handle() {
    let (sender, closed) = mpsc::channel();
    let kernel = boot();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    drop(kernel);
    lwp.enter(|| tell(&sender));
    lwp.kernel().rfork(FdInherit::Clean).unwrap();
    tell(&sender);
    lwp.kernel().switch(None);
    assert!(closed.try_recv().is_err());
    drop(lwp);
    assert_eq!(closed.try_iter().map(Pid::raw).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_lwp_that_runs_goes_when_its_thread_lets_go_of_it() {
    let (sender, closed) = mpsc::channel();
    let kernel = boot();
    let (bound, is_bound) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let runner = thread::spawn({
        let (kernel, sender) = (kernel.clone(), sender.clone());
        move || {
            kernel.rfork(FdInherit::Clean).unwrap();
            tell(&sender);
            drop(kernel);
            bound.send(()).unwrap();
            may_go_on.recv().unwrap();
            // The kernel has halted, and still serves the lwp that runs in it.
            assert_eq!((sys::getpid().raw(), sys::dup(0)), (2, Ok(1)));
        }
    });
    is_bound.recv().unwrap();
    drop(kernel);
    assert!(closed.try_recv().is_err());
    go_on.send(()).unwrap();
    runner.join().unwrap();
    assert_eq!(closed.try_iter().map(Pid::raw).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_lwp_that_runs_goes_when_its_thread_enters_another_kernel_for_good() {
    let (sender, closed) = mpsc::channel();
    let (kernel, other) = (boot(), boot());
    kernel.rfork(FdInherit::Clean).unwrap();
    tell(&sender);
    drop(kernel);
    other.enter(|| assert_eq!(sys::getpid(), Pid::INIT));
    assert_eq!(sys::getpid().raw(), 2, "put aside for a while, it is still this thread's");
    assert!(closed.try_recv().is_err());
    other.switch(None);
    assert_eq!(closed.try_iter().map(Pid::raw).collect::<Vec<_>>(), [2]);
}

#[test]
fn panics_in_a_kernels_end_spare_the_rest_of_it_and_the_first_goes_on() {
    let (sender, ended) = mpsc::channel();
    let kernel = boot();
    for _ in 0..3 {
        kernel.rfork(FdInherit::Clean).unwrap();
        let sender = sender.clone();
        local::on_exit(move |pid| {
            sender.send(pid).unwrap();
            panic!("in the hook of {pid}");
        });
    }
    kernel.switch(None);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(kernel))).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "in the hook of 2");
    assert_eq!(ended.try_iter().map(Pid::raw).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn a_kernel_that_ends_while_its_thread_panics_adds_no_panic_to_that() {
    let panic = std::panic::catch_unwind(|| {
        let kernel = boot();
        kernel.rfork(FdInherit::Clean).unwrap();
        local::on_exit(|_| panic!("in a hook"));
        kernel.switch(None);
        panic!("outside");
    });
    assert_eq!(*panic.unwrap_err().downcast_ref::<&str>().unwrap(), "outside");
}

#[test]
fn threads_that_let_go_and_a_kernel_that_halts_release_each_lwp_once() {
    for _ in 0..50 {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let kernel = boot();
        let start = Arc::new(std::sync::Barrier::new(4));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (kernel, start, ended) = (kernel.clone(), Arc::clone(&start), Arc::clone(&ended));
                thread::spawn(move || {
                    kernel.rfork(FdInherit::Clean).unwrap();
                    local::on_exit(move |pid| ended.lock().unwrap().push(pid.raw()));
                    start.wait();
                    // The last of these halts it, while the others' lwps are let go of by the ends of their threads.
                    drop(kernel);
                })
            })
            .collect();
        drop(kernel);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut ended = std::mem::take(&mut *ended.lock().unwrap());
        ended.sort_unstable();
        assert_eq!(ended, [2, 3, 4, 5]);
    }
}

#[test]
fn kernels_have_numbers_of_their_own_and_nothing_in_common() {
    let (one, other) = (boot(), boot());
    assert_ne!(one.id(), other.id());
    assert_ne!(one, other);
    assert_eq!(one, one.clone());
    one.enter(|| sys::setuid(7)).unwrap();
    assert_eq!(other.enter(sys::getuid), 0);
}
