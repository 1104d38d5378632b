//! The calls on a whole kernel: who switches to a lwp that another leaves, releases, or dies in.

use super::{Model, boot, host_thread};
use crate::fd::FdFlags;
use crate::implicit;
use crate::lwp::SwitchError;
use crate::lwproc::FdInherit;
use crate::sync::fault::Fault;

/// One thread leaves its lwp for another and comes back, then releases it; another switches to it meanwhile.
const SWITCH: Model = Model {
    name: "switch against switch and release",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        kernel.rfork(FdInherit::Clean).unwrap();
        let lwp = kernel.curlwp();
        let pid = crate::sys::getpid();
        let other = host_thread({
            let kernel = kernel.another();
            move || match kernel.try_switch(lwp) {
                Ok(()) => {
                    assert_eq!(kernel.curlwp(), lwp);
                    let mask = implicit::current(|current| current.proc().set_umask(0o77));
                    assert!([0o22, 0o7].contains(&mask));
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
        implicit::current(|current| current.proc().set_umask(0o7));
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
const THREAD_END: Model = Model {
    name: "a thread ends while bound",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        kernel.rfork(FdInherit::Clean).unwrap();
        let lwp = kernel.curlwp();
        kernel.switch(None);
        let other = host_thread({
            let kernel = kernel.another();
            move || {
                if kernel.try_switch(lwp).is_ok() {
                    implicit::current(|current| {
                        let number = current.proc().fds.take_lowest(0, 8).unwrap();
                        number.install(super::fds::open(), FdFlags::empty());
                    });
                }
            }
        });
        while kernel.try_switch(lwp).is_err() {
            loom::thread::yield_now();
        }
        let before = implicit::current(|current| current.proc().fds.open_count());
        kernel.switch(None);
        other.join().unwrap();
        kernel.switch(lwp);
        let after = implicit::current(|current| current.proc().fds.open_count());
        assert!(before <= after && after <= 1);
        kernel.releaselwp();
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

/// Two threads come into the kernel one after the other or at once, and end: each implicit lwp belongs to one at a time,
/// comes to the next clean, and none is lost.
const POOL: Model = Model {
    name: "the pool of implicit lwps",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        let visit = |kernel: &crate::kernel::Kernel| {
            kernel.enter(|| {
                implicit::current(|current| {
                    // SAFETY: this thread runs it, and calls this once at a time.
                    let identity = unsafe { current.slot().identity() };
                    assert!(identity.get().cred.is_root());
                    std::ptr::from_ref(current.slot()) as usize
                })
            })
        };
        let other = host_thread({
            let kernel = kernel.another();
            move || visit(&kernel)
        });
        let mine = visit(&kernel);
        let kept = visit(&kernel);
        assert_eq!(mine, kept, "a thread keeps its implicit lwp");
        let others = other.join().unwrap();
        let next = host_thread({
            let kernel = kernel.another();
            move || visit(&kernel)
        });
        assert_eq!(next.join().unwrap(), others, "what an ended thread left goes to the next");
        assert_ne!(mine, others, "this thread has its own still");
    },
};

#[test]
fn an_implicit_lwp_belongs_to_one_thread_at_a_time() {
    POOL.check();
}
