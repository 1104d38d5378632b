//! A process's end: whoever adds a lwp to it meanwhile is told that it ends, or keeps it.

use super::{Model, boot, host_thread};
use crate::context::current;
use crate::errno::Errno;
use crate::sync::fault::Fault;

/// One thread drops a process's last lwp, another adds one, uses the process and releases it.
pub(super) const NEWLWP: Model = Model {
    name: "newlwp against the last release",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        let lwp = kernel.spawn();
        let pid = lwp.pid();
        let other = host_thread({
            let kernel = kernel.another();
            move || match kernel.newlwp(pid) {
                Ok(()) => {
                    assert_eq!(crate::sys::getpid(), pid);
                    current(|current| current.proc().set_umask(0o77));
                    kernel.releaselwp();
                }
                Err(error) => assert!(matches!(error, Errno::ESRCH | Errno::EBUSY), "{error}"),
            }
        });
        drop(lwp);
        other.join().unwrap();
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
        assert_eq!(kernel.newlwp(pid), Err(Errno::ESRCH));
    },
};

#[test]
fn a_process_ends_with_its_last_lwp_or_keeps_the_one_that_comes() {
    NEWLWP.check();
}

#[test]
fn a_count_in_two_steps_is_found() {
    NEWLWP.must_fail(Fault::Torn("proc/lwpcount.rs"));
}

#[test]
fn a_process_that_is_freed_at_once_is_found() {
    NEWLWP.must_fail(Fault::FreeAtOnce);
}
