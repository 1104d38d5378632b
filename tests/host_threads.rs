//! Host threads: what they begin with, what they leave behind, and what still works while they end.

use std::cell::RefCell;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use lwproc::local::{self, Inherit};
use lwproc::{Console, Errno, FdInherit, File, Kernel, Lwp, LwpId, OpenFlags, Pid, ProcOptions, SwitchError, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// Runs `f` on a host thread that then ends, with all its thread-locals.
fn on_a_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    thread::spawn(f).join().unwrap()
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut() + Send + Sync + 'static>(F);

impl<F: FnMut() + Send + Sync + 'static> File for OnDrop<F> {}

impl<F: FnMut() + Send + Sync + 'static> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_new_thread_is_in_no_lwp_though_its_maker_is() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    on_a_thread({
        let kernel = kernel.clone();
        move || {
            assert_eq!((kernel.curlwp(), sys::getpid()), (None, Pid::INIT));
            kernel.enter(|| assert_eq!((kernel.curlwp(), sys::getpid(), sys::getlwpid()), (None, Pid::INIT, 0)));
        }
    });
    assert_eq!(sys::getpid().raw(), 2);
    kernel.releaselwp();
}

#[test]
fn a_thread_in_no_kernel_is_in_the_default_kernel() {
    on_a_thread(|| {
        assert_eq!(sys::getpid(), Pid::INIT);
        let fd = sys::install(OnDrop(|| {}), OpenFlags::RDWR).unwrap();
        Kernel::global().enter(|| sys::close(fd)).unwrap();
        Kernel::global().rfork(FdInherit::Clean).unwrap();
        assert_eq!(sys::getppid(), Pid::INIT);
        Kernel::global().releaselwp();
    });
}

#[test]
fn processes_and_lwps_outlive_the_thread_that_made_them() {
    let kernel = boot();
    let (made, pid) = on_a_thread({
        let kernel = kernel.clone();
        move || {
            kernel.rfork(FdInherit::Clean).unwrap();
            let made = kernel.curlwp().unwrap();
            kernel.switch(None);
            kernel.rfork(FdInherit::Clean).unwrap();
            (made, sys::getpid())
        }
    });
    kernel.switch(Some(made));
    assert_eq!((sys::getpid().raw(), pid.raw(), kernel.usage().procs), (2, 3, 2));
    kernel.releaselwp();
    let bound_at_the_end = kernel.ps().iter().find(|row| row.pid == pid).map(|row| (row.lwps, row.running));
    assert_eq!(bound_at_the_end, Some((1, 0)), "the thread that ended runs nothing");
}

#[test]
fn a_lwp_let_go_by_one_thread_is_taken_by_another_and_only_by_one() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let lwp = kernel.curlwp().unwrap();
    kernel.switch(None);
    let winners: usize = thread::scope(|scope| {
        let start = Arc::new(std::sync::Barrier::new(4));
        let tries: Vec<_> = (0..4)
            .map(|_| {
                let (kernel, start) = (&kernel, Arc::clone(&start));
                scope.spawn(move || {
                    start.wait();
                    let won = kernel.try_switch(Some(lwp)).is_ok();
                    // Nobody lets go before all have tried.
                    start.wait();
                    assert_eq!(kernel.curlwp(), won.then_some(lwp));
                    usize::from(won)
                })
            })
            .collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).sum()
    });
    assert_eq!(winners, 1);
    kernel.switch(Some(lwp));
    kernel.releaselwp();
}

thread_local! {
    /// Dropped when the thread ends: before lwproc's own thread-locals if it was set after their first use, else after.
    static AT_THE_END: RefCell<Option<Box<dyn std::any::Any>>> = const { RefCell::new(None) };
}

fn at_the_end(value: impl std::any::Any) {
    AT_THE_END.with(|slot| *slot.borrow_mut() = Some(Box::new(value)));
}

/// Runs `work` in the destructor of a thread-local, once with lwproc's own still there and once with them gone: says
/// for both what came out.
fn while_a_thread_ends<R: Send + 'static>(
    kernel: &Kernel,
    work: impl Fn(&Kernel) -> R + Send + Sync + 'static,
) -> [R; 2] {
    let work = Arc::new(work);
    [false, true].map(|lwprocs_first| {
        let (sender, receiver) = mpsc::channel();
        let (kernel, work) = (kernel.clone(), Arc::clone(&work));
        on_a_thread(move || {
            let used = kernel.clone();
            let sender = Mutex::new(sender);
            let work = OnDrop(move || sender.lock().unwrap().send(work(&kernel)).unwrap());
            // Destructors run in the reverse order of first use.
            if lwprocs_first {
                at_the_end(work);
                used.enter(|| {});
            } else {
                used.enter(|| {});
                at_the_end(work);
            }
        });
        receiver.recv().unwrap()
    })
}

#[test]
fn system_calls_work_while_a_thread_ends() {
    let kernel = boot();
    let pids = while_a_thread_ends(&kernel, |kernel| {
        let outside = sys::getpid();
        let (reader, _) = sys::pipe().unwrap();
        sys::close(reader).unwrap();
        (outside, kernel.enter(sys::getpid), kernel.curlwp())
    });
    assert_eq!(pids, [(Pid::INIT, Pid::INIT, None); 2]);
}

#[test]
fn entering_nests_while_a_thread_ends() {
    let kernel = boot();
    let other = boot();
    let entered = while_a_thread_ends(&kernel, move |kernel| {
        let mut outer = kernel.spawn(ProcOptions::new()).unwrap();
        let mut inner = other.spawn(ProcOptions::new().uid(9)).unwrap();
        outer.enter(|| {
            let before = (sys::getpid(), sys::getuid());
            assert_eq!(inner.enter(|| (sys::getpid().raw() > 1, sys::getuid())), (true, 9));
            other.enter(|| kernel.enter(|| assert_eq!(sys::getpid(), Pid::INIT)));
            assert_eq!((sys::getpid(), sys::getuid()), before);
            // In the kernel, bound for the length of the stay alone.
            kernel.rfork(FdInherit::Clean).unwrap();
            kernel.releaselwp();
            assert_eq!(sys::getpid(), Pid::INIT);
        });
        (drop(inner), drop(outer), kernel.usage().procs).2
    });
    assert_eq!(entered, [0, 0]);
    assert_eq!(kernel.usage().lwps, 0);
}

#[test]
fn binding_for_good_is_refused_once_nothing_could_give_the_lwp_back() {
    let kernel = boot();
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let id = lwp.id();
    let tried = while_a_thread_ends(&kernel, move |kernel| {
        (kernel.rfork(FdInherit::Clean), kernel.newlwp(Pid::INIT), kernel.try_switch(None), kernel.try_switch(Some(id)))
    });
    let ending = Err(SwitchError::HostEnding);
    assert_eq!(tried[0], (Ok(()), Ok(()), Ok(()), Ok(())));
    assert_eq!(tried[1], (Err(Errno::EAGAIN), Err(Errno::EAGAIN), ending, ending));
    // What the first one made and left is free, and so is the lwp that it ended in.
    assert_eq!(kernel.ps().iter().map(|row| row.running).sum::<u32>(), 0);
    assert_eq!(kernel.usage().procs, 2);
}

#[test]
fn an_owned_lwp_in_a_thread_local_is_released_when_the_thread_ends() {
    let kernel = boot();
    for own_first in [false, true] {
        for current in [false, true] {
            on_a_thread({
                let kernel = kernel.clone();
                move || {
                    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
                    let id = lwp.id();
                    if own_first {
                        at_the_end(lwp);
                    } else {
                        kernel.enter(|| {});
                        at_the_end(lwp);
                    }
                    if current {
                        kernel.switch(Some(id));
                    }
                }
            });
            assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0), "{own_first} {current}");
        }
    }
}

#[test]
fn the_last_handle_in_a_thread_local_halts_the_kernel_when_the_thread_ends() {
    for bound in [false, true] {
        let (sender, receiver) = mpsc::channel();
        on_a_thread(move || {
            let kernel = boot();
            at_the_end(kernel.clone());
            kernel.rfork(FdInherit::Clean).unwrap();
            let sender = Mutex::new(sender);
            let closed = OnDrop(move || sender.lock().unwrap().send(sys::getpid()).unwrap());
            sys::install(closed, OpenFlags::RDWR).unwrap();
            if !bound {
                kernel.switch(None);
            }
        });
        assert_eq!(receiver.recv().unwrap().raw(), 2);
    }
}

#[test]
fn a_panic_at_the_end_of_a_lwp_that_a_thread_left_spares_the_host() {
    let (sender, receiver) = mpsc::channel();
    on_a_thread(move || {
        let kernel = boot();
        for number in 0..3 {
            kernel.rfork(FdInherit::Clean).unwrap();
            let sender = sender.clone();
            local::on_exit(move |_| {
                sender.send(number).unwrap();
                panic!("in a hook");
            });
        }
        // Bound to the last of them, in a kernel that halts now: the others end here, and that one with the thread.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(kernel))).unwrap_err();
    });
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
}

/// Pid 1's values are dropped in the halt, in the context that it is called from.
#[test]
fn values_dropped_with_a_halted_kernel_may_change_the_context() {
    let (kernel, other) = (boot(), boot());
    on_a_thread(move || {
        let halted = boot();
        let released = Arc::new(Mutex::new(None::<LwpId>));
        let value = {
            let (kernel, released) = (kernel.clone(), Arc::clone(&released));
            OnDrop(move || {
                *released.lock().unwrap() = kernel.curlwp();
                kernel.releaselwp();
            })
        };
        halted.enter(|| local::set(Arc::new(value), Inherit::drop()));
        kernel.rfork(FdInherit::Clean).unwrap();
        drop(halted);
        other.enter(|| assert_eq!(sys::getpid(), Pid::INIT));
        assert!(released.lock().unwrap().is_some());
        assert_eq!((kernel.curlwp(), sys::getpid(), kernel.usage().procs), (None, Pid::INIT, 0));
    });
}

#[test]
fn a_kernel_that_halts_in_the_midst_of_entering_another_is_no_harm() {
    on_a_thread(|| {
        let (first, second, third) = (boot(), boot(), boot());
        // Each goes with the one before it.
        let third_too = third.clone();
        second.enter(|| local::set(Mutex::new(Some(OnDrop(move || third_too.enter(|| {})))), Inherit::drop()));
        first.enter(|| local::set(Mutex::new(Some(second)), Inherit::drop()));
        third.enter(|| {});
        drop(first);
        let fourth = boot();
        fourth.rfork(FdInherit::Clean).unwrap();
        drop(third);
        assert_eq!(sys::getpid().raw(), 2);
        boot().enter(|| assert_eq!(sys::getpid(), Pid::INIT));
        fourth.releaselwp();
    });
}

#[test]
fn two_kernels_on_one_thread_keep_apart() {
    let (one, other) = (boot(), boot());
    one.rfork(FdInherit::Clean).unwrap();
    let in_one = one.curlwp();
    assert_eq!((one.curlwp().is_some(), other.curlwp()), (true, None));
    // Into another kernel: what ran here is let go of.
    other.rfork(FdInherit::Clean).unwrap();
    other.rfork(FdInherit::Clean).unwrap();
    assert_eq!((one.curlwp(), sys::getpid().raw()), (None, 3));
    assert_eq!(other.try_switch(in_one), Err(SwitchError::Foreign));
    one.enter(|| assert_eq!((sys::getpid(), other.curlwp()), (Pid::INIT, None)));
    assert_eq!(sys::getpid().raw(), 3);
    one.switch(in_one);
    assert_eq!(sys::getpid().raw(), 2);
    one.releaselwp();
    // Implicit in `one`: nothing of `other` is current, and this thread's.
    assert_eq!((sys::getpid(), other.curlwp(), one.usage().procs, other.usage().procs), (Pid::INIT, None, 0, 2));
}

#[test]
fn leaked_handles_leave_the_kernel_running() {
    let kernel = boot();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let fd = lwp.enter(|| sys::install(OnDrop(|| panic!("it was leaked")), OpenFlags::RDWR)).unwrap();
    let id = lwp.id();
    std::mem::forget(lwp);
    kernel.switch(Some(id));
    std::mem::forget(sys::export(fd).unwrap());
    std::mem::forget(kernel.clone());
    sys::close(fd).unwrap();
    kernel.releaselwp();
    assert_eq!(kernel.usage().procs, 0);
}

#[test]
fn an_owned_lwp_goes_to_another_thread_and_comes_back() {
    let kernel = boot();
    let mut lwp: Lwp = kernel.spawn(ProcOptions::new().uid(7)).unwrap();
    for _ in 0..3 {
        lwp = on_a_thread(move || {
            assert_eq!(lwp.enter(|| (sys::getpid().raw(), sys::getuid())), (2, 7));
            lwp
        });
    }
    drop(lwp);
    assert_eq!(kernel.usage().procs, 0);
}
