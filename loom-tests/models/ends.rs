//! Ends: whoever leaves last, of a table, a process or a kernel, sees to all that the others left.

use loom::thread;

use super::witness::{close_all, install, witness};
use super::{Model, boot, host_thread};
use crate::context::current;
use crate::fd::FdTable;
use crate::lwproc::ProcOptions;
use crate::sync::fault::Fault;
use crate::sync::{Ordering, UnlessFailed};

const TABLE: &str = "fd/fdtable.rs";

/// Two processes share a table, and both end: the last closes what the other opened.
pub(super) const SHARE: Model = Model {
    name: "a shared table is left",
    preemptions: Some(3),
    run: || {
        let table = std::sync::Arc::new(FdTable::new()).share();
        let end = |table: &FdTable| {
            if table.leave() {
                close_all(table);
            }
        };
        let (file, closed) = witness();
        let other = thread::spawn({
            let table = UnlessFailed::new(std::sync::Arc::clone(&table));
            move || {
                install(&table, file);
                end(&table);
            }
        });
        let table = UnlessFailed::new(table);
        end(&table);
        other.join().unwrap();
        assert_eq!(closed.load(Ordering::Relaxed), 1);
    },
};

#[test]
fn the_last_user_of_a_table_closes_everything() {
    SHARE.check();
}

#[test]
fn a_table_that_is_left_in_two_steps_is_found() {
    SHARE.must_fail(Fault::Torn(TABLE));
}

/// Of two processes that share a table one ends: the other, once it is alone, closes what the first opened.
pub(super) const ALONE: Model = Model {
    name: "one user of a shared table is left",
    preemptions: Some(3),
    run: || {
        let table = UnlessFailed::new(std::sync::Arc::new(FdTable::new()).share());
        let (file, closed) = witness();
        let other = thread::spawn({
            let table = UnlessFailed::new(std::sync::Arc::clone(&table));
            move || {
                install(&table, file);
                assert!(!table.leave());
            }
        });
        // loom would not have the other leave before this look: it remembers the last look at a word alone, and that is the
        // other's own, at the end of `install`.
        thread::yield_now();
        if table.has_one_user() {
            close_all(&table);
            assert_eq!(closed.load(Ordering::Relaxed), 1);
        }
        other.join().unwrap();
    },
};

#[test]
fn who_is_left_alone_with_a_table_closes_what_the_others_opened() {
    ALONE.check();
}

#[test]
fn who_is_left_alone_and_does_not_acquire_it_is_found() {
    ALONE.must_fail(Fault::Acquire(TABLE));
}

/// Two lwps of a process are released, one after it has opened a file: the last closes it, before the exit hook runs.
pub(super) const DETACH: Model = Model {
    name: "the last lwp of two",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        let (file, closed) = witness();
        let seen = closed.clone();
        let options = ProcOptions::new().on_exit(move |_| assert_eq!(seen.load(Ordering::Relaxed), 1));
        let first = UnlessFailed::new(kernel.0.spawn(options).expect("there is room"));
        let mut second = UnlessFailed::new(first.newlwp().expect("there is room"));
        let other = host_thread(move || {
            second.enter(|| current(|current| install(&current.proc().fds, file)));
            drop(second);
        });
        drop(first);
        other.join().unwrap();
        assert_eq!(closed.load(Ordering::Relaxed), 1);
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
    },
};

#[test]
fn the_last_lwp_of_a_process_closes_what_the_others_opened() {
    DETACH.check();
}

#[test]
fn a_lwp_that_leaves_unordered_is_found() {
    DETACH.must_fail(Fault::Acquire("proc/lwpcount.rs"));
}

/// Two handles of a kernel are dropped, one after a file was opened in pid 1: the halt closes it.
pub(super) const HANDLES: Model = Model {
    name: "the last handle of two",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        // Kept, so that it is the halt that closes, and not the end of the memory.
        let inner = UnlessFailed::new(std::sync::Arc::clone(kernel.inner()));
        let (file, closed) = witness();
        let other = host_thread({
            let kernel = kernel.another();
            move || {
                kernel.enter(|| current(|current| install(&current.proc().fds, file)));
                drop(kernel);
            }
        });
        drop(kernel);
        other.join().unwrap();
        assert!(inner.halted());
        assert_eq!(closed.load(Ordering::Relaxed), 1);
    },
};

#[test]
fn a_halt_closes_what_pid_1_opened_through_any_handle() {
    HANDLES.check();
}

#[test]
fn a_handle_that_is_dropped_in_two_steps_is_found() {
    HANDLES.must_fail(Fault::Torn("src/kernel/mod.rs"));
}
