//! The calls on a whole kernel: who switches to a lwp that another leaves, releases, or dies in.

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use super::{Model, boot, host_thread};
use crate::lwp::SwitchError;
use crate::lwproc::FdInherit;
use crate::sync::fault::Fault;

/// One thread leaves its lwp for another and comes back, then releases it; another switches to it meanwhile.
pub(super) const SWITCH: Model = Model {
    name: "switch against switch and release",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        kernel.rfork(FdInherit::Clean).unwrap();
        let lwp = kernel.curlwp();
        let pid = crate::sys::getpid();
        // What a lwp's holder alone may touch.
        let held = Arc::new(UnsafeCell::new(0));
        let other = host_thread({
            let (kernel, held) = (kernel.another(), Arc::clone(&held));
            move || match kernel.try_switch(lwp) {
                Ok(()) => {
                    // SAFETY: the holder of the lwp is alone.
                    held.with_mut(|held| unsafe { *held += 1 });
                    assert_eq!((kernel.curlwp(), crate::sys::getpid()), (lwp, pid));
                    kernel.switch(None);
                }
                Err(SwitchError::Running { pid: running, .. }) => assert_eq!(running, pid),
                Err(error) => assert_eq!(error, SwitchError::Stale),
            }
        });
        kernel.switch(None);
        assert_eq!(kernel.curlwp(), None);
        while kernel.try_switch(lwp).is_err() {
            loom::thread::yield_now();
        }
        // SAFETY: the holder of the lwp is alone.
        held.with_mut(|held| unsafe { *held += 1 });
        kernel.releaselwp();
        assert_eq!(kernel.try_switch(lwp), Err(SwitchError::Stale));
        other.join().unwrap();
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
    },
};

#[test]
fn a_lwp_is_switched_to_by_one_thread_and_released_once() {
    SWITCH.check();
}

#[test]
fn a_switch_in_two_steps_is_found() {
    SWITCH.must_fail(Fault::Torn("lwp/slot.rs"));
}

/// A thread ends while it is bound; another takes its lwp over, and what the thread did in it is seen.
pub(super) const THREAD_END: Model = Model {
    name: "a thread ends while bound",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        kernel.rfork(FdInherit::Clean).unwrap();
        let lwp = kernel.curlwp();
        kernel.switch(None);
        // What a lwp's holder alone may touch.
        let held = Arc::new(UnsafeCell::new(0));
        let other = host_thread({
            let (kernel, held) = (kernel.another(), Arc::clone(&held));
            move || {
                if kernel.try_switch(lwp).is_ok() {
                    // SAFETY: the holder of the lwp is alone.
                    held.with_mut(|held| unsafe { *held += 1 });
                }
            }
        });
        while kernel.try_switch(lwp).is_err() {
            loom::thread::yield_now();
        }
        // SAFETY: the holder of the lwp is alone.
        held.with_mut(|held| unsafe { *held += 1 });
        kernel.releaselwp();
        other.join().unwrap();
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
    },
};

#[test]
fn a_thread_that_ends_while_bound_gives_its_lwp_back() {
    THREAD_END.check();
}

#[test]
fn a_lwp_given_back_without_release_is_found() {
    THREAD_END.must_fail(Fault::Release("lwp/slot.rs"));
}
