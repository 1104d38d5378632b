//! Between the two faces: lwps that are known by their ids become owned, and owned ones are let go.

use std::sync::Barrier;
use std::thread;

use lwproc::{Console, FdInherit, Kernel, Lwp, LwpId, Pid, ProcOptions, SwitchError, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// A lwp of a new process, which nobody has current.
fn made(kernel: &Kernel) -> LwpId {
    kernel.rfork(FdInherit::Clean).unwrap();
    let id = kernel.curlwp().unwrap();
    kernel.switch(None);
    id
}

#[test]
fn a_lwp_that_was_made_is_taken_over_and_goes_with_its_owner() {
    let kernel = boot();
    let id = made(&kernel);
    let mut lwp = Lwp::from_id(&kernel, id).unwrap();
    assert_eq!((lwp.id(), lwp.pid()), (id, Pid::from_raw(2)));
    lwp.enter(|| assert_eq!(sys::getpid(), Pid::from_raw(2)));
    drop(lwp);
    assert_eq!((kernel.usage().procs, kernel.try_switch(Some(id))), (0, Err(SwitchError::Stale)));
}

#[test]
fn a_lwp_that_runs_is_gone_or_lives_elsewhere_is_not_taken_over() {
    let (kernel, other) = (boot(), boot());
    let id = made(&kernel);
    assert_eq!(Lwp::from_id(&other, id).unwrap_err(), SwitchError::Foreign);
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            kernel.switch(Some(id));
            barrier.wait();
            barrier.wait();
            kernel.switch(None);
        });
        barrier.wait();
        assert!(matches!(Lwp::from_id(&kernel, id), Err(SwitchError::Running { pid, .. }) if pid == Pid::from_raw(2)));
        barrier.wait();
    });
    drop(Lwp::from_id(&kernel, id).unwrap());
    assert_eq!(Lwp::from_id(&kernel, id).unwrap_err(), SwitchError::Stale);
    assert_eq!(Lwp::from_id(&kernel, LwpId::from_raw(kernel.id(), 77)).unwrap_err(), SwitchError::Stale);
    assert_eq!((kernel.usage().lwps, other.usage().lwps), (0, 0));
}

#[test]
fn a_lwp_that_was_let_go_lives_on_and_keeps_no_kernel() {
    let kernel = boot();
    let id = kernel.spawn(ProcOptions::new()).unwrap().into_id();
    assert_eq!(kernel.usage().lwps, 1);
    kernel.switch(Some(id));
    kernel.releaselwp();
    assert_eq!(kernel.usage().lwps, 0);
    // The last handle of its kernel was the lwp's own: with it the kernel halts, and the lwp ends.
    let ended = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&ended);
    let lwp = kernel.spawn(ProcOptions::new().on_exit(move |_| drop(held))).unwrap();
    drop(kernel);
    assert_eq!(std::sync::Arc::strong_count(&ended), 2);
    lwp.into_id();
    assert_eq!(std::sync::Arc::strong_count(&ended), 1);
}
