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

#[test]
fn a_lwp_that_somebody_else_runs_when_its_owner_goes_ends_when_that_one_lets_go_of_it() {
    let kernel = boot();
    let ended = std::sync::Arc::new(());
    let spawn = || {
        let held = std::sync::Arc::clone(&ended);
        kernel.spawn(ProcOptions::new().on_exit(move |pid| assert_eq!((sys::getpid(), drop(held)).0, pid))).unwrap()
    };
    let lets_go: [fn(&Kernel); 4] = [
        |kernel| kernel.switch(None),
        |kernel| kernel.rfork(FdInherit::Clean).unwrap(),
        |kernel| kernel.releaselwp(),
        // The host thread ends.
        |_| {},
    ];
    for let_go in lets_go {
        let lwp = spawn();
        let id = lwp.id();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            let runner = scope.spawn(|| {
                kernel.switch(Some(id));
                barrier.wait();
                barrier.wait();
                assert_eq!((kernel.curlwp(), kernel.try_switch(Some(id)).is_err()), (Some(id), true));
                let_go(&kernel);
                let forked = kernel.curlwp().filter(|now| *now != id);
                forked.inspect(|_| kernel.releaselwp());
            });
            barrier.wait();
            drop(lwp);
            assert!(matches!(kernel.try_switch(Some(id)), Err(SwitchError::Running { .. })));
            barrier.wait();
            runner.join().unwrap();
        });
        assert_eq!(kernel.try_switch(Some(id)), Err(SwitchError::Stale));
        assert_eq!((kernel.usage().procs, std::sync::Arc::strong_count(&ended)), (0, 1));
    }
    // Put aside by the very thread that drops the handle.
    let lwp = spawn();
    kernel.switch(Some(lwp.id()));
    kernel.enter(|| drop(lwp));
    assert_eq!(kernel.usage().procs, 1);
    kernel.switch(None);
    assert_eq!((kernel.usage().procs, std::sync::Arc::strong_count(&ended)), (0, 1));
}

#[test]
fn one_lwp_has_one_owner() {
    let kernel = boot();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let id = lwp.id();
    assert_eq!(Lwp::from_id(&kernel, id).unwrap_err(), SwitchError::Owned);
    lwp.enter(|| assert!(matches!(Lwp::from_id(&kernel, id), Err(SwitchError::Running { .. }))));
    lwp.into_id();
    drop(Lwp::from_id(&kernel, id).unwrap());
    assert_eq!(Lwp::from_id(&kernel, id).unwrap_err(), SwitchError::Stale);
}
