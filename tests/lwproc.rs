//! rump_lwproc(3): what the calls do, and who is current after each.

use lwproc::{Errno, FdInherit, Kernel, Pid, ProcOptions, SwitchError, sys};

fn kernel() -> Kernel {
    Kernel::builder().console(lwproc::Console::null()).boot().unwrap()
}

#[test]
fn an_implicit_context_is_pid_1_and_has_no_lwp() {
    let kernel = kernel();
    kernel.enter(|| {
        assert_eq!((sys::getpid(), sys::getppid()), (Pid::INIT, Pid::KERNEL));
        assert_eq!((sys::getuid(), sys::getgid()), (0, 0));
        assert_eq!(kernel.curlwp(), None);
    });
}

#[test]
fn rfork_numbers_processes_in_turn_and_its_child_is_current() {
    let kernel = kernel();
    for pid in 2..5 {
        kernel.rfork(FdInherit::Clean).unwrap();
        assert_eq!((sys::getpid().raw(), sys::getppid()), (pid, Pid::INIT));
        kernel.releaselwp();
        assert_eq!(kernel.curlwp(), None);
        assert_eq!(sys::getpid(), Pid::INIT);
    }
    assert_eq!(kernel.newlwp(Pid::from_raw(2)), Err(Errno::ESRCH));
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
}

#[test]
fn switching_moves_between_lwps() {
    let kernel = kernel();
    kernel.rfork(FdInherit::Clean).unwrap();
    let first = kernel.curlwp().unwrap();
    kernel.switch(None);
    kernel.rfork(FdInherit::Clean).unwrap();
    let second = kernel.curlwp().unwrap();
    kernel.switch(Some(first));
    assert_eq!(sys::getpid().raw(), 2);
    assert!(matches!(kernel.try_switch(Some(first)), Err(SwitchError::Running { .. })));
    kernel.switch(Some(second));
    assert_eq!(sys::getpid().raw(), 3);
    kernel.releaselwp();
    assert_eq!(kernel.try_switch(Some(second)), Err(SwitchError::Stale));
    kernel.switch(Some(first));
    kernel.releaselwp();
}

#[test]
fn a_thread_that_ends_while_bound_gives_its_lwp_back() {
    let kernel = kernel();
    let lwp = std::thread::spawn({
        let kernel = kernel.clone();
        move || {
            kernel.rfork(FdInherit::Clean).unwrap();
            kernel.curlwp().unwrap()
        }
    })
    .join()
    .unwrap();
    kernel.switch(Some(lwp));
    assert_eq!(sys::getpid().raw(), 2);
    kernel.releaselwp();
}

#[test]
fn an_entered_lwp_is_left_whatever_happens() {
    let kernel = kernel();
    let mut outer = kernel.spawn(ProcOptions::new()).unwrap();
    let mut inner = kernel.spawn(ProcOptions::new()).unwrap();
    outer.enter(|| {
        let pid = sys::getpid();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            inner.enter(|| {
                assert_eq!(sys::getpid().raw(), 3);
                panic!("in user code")
            })
        }));
        assert!(panic.is_err());
        assert_eq!(sys::getpid(), pid);
    });
    kernel.switch(Some(inner.id()));
    drop(inner);
    assert_eq!(kernel.curlwp(), None);
    drop(outer);
    assert_eq!(kernel.usage().procs, 0);
}
