//! The lwp table: a slot goes from one lwp to the next, handles of the first name nothing any more, and who walks the
//! table never mixes the two.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::Model;
use crate::id::{LwpHandle, Pid};
use crate::lwp::{LwpTable, Slot, SwitchError};
use crate::sync::fault::Fault;

const FILE: &str = "lwp/slot.rs";

fn start(table: &LwpTable, pid: i32) -> Option<&Slot> {
    Some(table.reserve()?.start(std::ptr::null(), Pid::from_raw(pid), 1))
}

/// A lwp that pauses, in a table for one.
fn one_idle() -> (Arc<LwpTable>, LwpHandle) {
    let table = Arc::new(LwpTable::new(1));
    let slot = start(&table, 2).unwrap();
    let handle = slot.handle();
    // SAFETY: started by this thread.
    unsafe { _ = slot.let_go() };
    (table, handle)
}

/// One thread switches to a lwp and back; another switches to it and releases it, and starts the next in its slot.
pub(super) const REUSE: Model = Model {
    name: "a slot is used again",
    preemptions: None,
    run: || {
        let (table, handle) = one_idle();
        let held = Arc::new(UnsafeCell::new(0));
        let other = thread::spawn({
            let (table, held) = (Arc::clone(&table), Arc::clone(&held));
            move || {
                let slot = table.slot(handle).unwrap();
                match slot.claim(handle, 7) {
                    Ok(()) => {
                        assert_eq!((slot.handle(), slot.pid().raw()), (handle, 2));
                        // SAFETY: the holder of Running is alone.
                        held.with_mut(|held| unsafe { *held += 1 });
                        // SAFETY: claimed above.
                        unsafe { _ = slot.let_go() };
                    }
                    Err(SwitchError::Stale | SwitchError::Running { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let slot = table.slot(handle).unwrap();
        if slot.claim(handle, 1).is_ok() {
            // SAFETY: the holder of Running is alone.
            held.with_mut(|held| unsafe { *held += 1 });
            // SAFETY: claimed above.
            unsafe { table.free(slot) };
            let next = start(&table, 3).expect("the one slot is free");
            assert_ne!(next.handle(), handle);
            // SAFETY: started by this thread.
            held.with_mut(|held| unsafe { *held += 1 });
            // SAFETY: as above.
            unsafe { _ = next.let_go() };
            assert_eq!(table.slot(handle).unwrap().claim(handle, 1), Err(SwitchError::Stale));
        }
        other.join().unwrap();
    },
};

#[test]
fn a_handle_never_claims_the_next_lwp_of_its_slot() {
    REUSE.check();
}

#[test]
fn a_claim_in_two_steps_is_found() {
    REUSE.must_fail(Fault::Torn(FILE));
}

#[test]
fn a_lwp_that_is_not_released_or_not_acquired_is_found() {
    REUSE.must_fail(Fault::Release(FILE));
    REUSE.must_fail(Fault::Acquire(FILE));
}

/// One thread releases a lwp of pid 2 that was switched to, and starts one of pid 3 in its slot; another walks the
/// table.
pub(super) const WALK: Model = Model {
    name: "the table is walked",
    preemptions: Some(3),
    run: || {
        let (table, handle) = one_idle();
        let walker = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                for lwp in table.iter() {
                    let (first, second) = (lwp.handle == handle, lwp.handle.generation() == 2);
                    assert!(first || second, "{lwp:?}");
                    assert_eq!(lwp.pid.raw(), if first { 2 } else { 3 }, "of two lives");
                    assert!(first || lwp.switches == 0, "of two lives");
                }
            }
        });
        let slot = table.slot(handle).unwrap();
        slot.claim(handle, 1).unwrap();
        // SAFETY: claimed above.
        unsafe { table.free(slot) };
        start(&table, 3).unwrap();
        walker.join().unwrap();
    },
};

#[test]
fn who_walks_the_table_never_mixes_two_lives() {
    WALK.check();
}

#[test]
fn a_walk_without_fences_is_found() {
    WALK.must_fail(Fault::Fence(FILE));
}

#[test]
fn a_walk_that_does_not_acquire_a_lwp_s_start_is_found() {
    WALK.must_fail(Fault::Acquire(FILE));
    WALK.must_fail(Fault::Release(FILE));
}
