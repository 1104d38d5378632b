//! The calls on a whole kernel: who switches to a lwp that another leaves, releases, or dies in.

use std::collections::HashSet;

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use super::{Handle, Model, boot, host_thread};
use crate::context::implicit;
use crate::lwp::SwitchError;
use crate::lwproc::FdInherit;
use crate::sync::UnlessFailed;
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

/// Notes which implicit lwps are in use, unseen by loom.
type InUse = std::sync::Arc<std::sync::Mutex<HashSet<usize>>>;

/// Two threads come into a kernel where an ended one has left its implicit lwp, and end too: each implicit lwp belongs
/// to one thread at a time, and they are left for the next.
pub(super) const POOL: Model = Model {
    name: "the pool of implicit lwps",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        let in_use = InUse::default();
        let visit = |kernel: Handle| {
            let in_use = InUse::clone(&in_use);
            host_thread(move || {
                let address = || {
                    implicit::current(|current| {
                        // SAFETY: this thread runs it, and calls this once at a time.
                        let identity = unsafe { current.slot().identity() };
                        assert!(identity.get().cred.is_root());
                        std::ptr::from_ref(current.slot()).addr()
                    })
                };
                let taken = kernel.enter(address);
                assert!(in_use.lock().unwrap().insert(taken), "another thread's");
                assert_eq!(kernel.enter(address), taken, "a thread keeps its own");
                in_use.lock().unwrap().remove(&taken);
                taken
            })
        };
        let first = visit(kernel.another()).join().unwrap();
        let [second, third] = [visit(kernel.another()), visit(kernel.another())].map(|thread| thread.join().unwrap());
        assert!(second == first || third == first, "what an ended thread left is taken");
        let left = [(); 2].map(|()| UnlessFailed::new(kernel.inner().take_implicit()));
        let addresses = left.each_ref().map(|slot| std::ptr::from_ref(&***slot).addr());
        assert_ne!(addresses[0], addresses[1], "left twice");
        assert!(addresses.contains(&second) && addresses.contains(&third), "lost");
    },
};

#[test]
fn an_implicit_lwp_belongs_to_one_thread_at_a_time() {
    POOL.check();
}

#[test]
fn a_pool_that_gives_in_two_steps_is_found() {
    POOL.must_fail(Fault::Torn("sync/model/mod.rs"));
}
