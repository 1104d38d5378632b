//! The halt of a kernel: a lwp that a host thread still runs then is released all the same, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Model, boot, host_thread};
use crate::context::leave::end_host_thread;
use crate::local;
use crate::lwproc::FdInherit;
use crate::sync::fault::Fault;

/// One thread drops the last handle, another, bound to a lwp, lets go of it.
pub(super) const HALT: Model = Model {
    name: "halt against letting go",
    preemptions: Some(3),
    run: || {
        // Unseen by loom: it counts, and orders nothing.
        let ended = Arc::new(AtomicU32::new(0));
        let kernel = boot();
        let inner = Arc::clone(kernel.inner());
        kernel.rfork(FdInherit::Clean).unwrap();
        local::on_exit({
            let ended = Arc::clone(&ended);
            move |_| {
                ended.fetch_add(1, Ordering::Relaxed);
            }
        });
        let other = host_thread(move || drop(kernel));
        end_host_thread();
        other.join().unwrap();
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert_eq!((inner.lwps.live(), inner.procs.live()), (0, 2));
    },
};

#[test]
fn a_lwp_that_runs_while_its_kernel_halts_is_released_once() {
    HALT.check();
}

#[test]
fn a_halt_without_fences_is_found() {
    HALT.must_fail(Fault::Fence("context/halt.rs"));
    HALT.must_fail(Fault::Fence("context/leave.rs"));
}
