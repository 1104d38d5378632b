//! Claim and yield: a lwp has one holder at a time, and each sees what the one before it did.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::Model;
use crate::id::Pid;
use crate::lwp::{LetGo, Orphaning, Slot, SwitchError};
use crate::sync::fault::Fault;
use crate::sync::{AtomicU32, Ordering};

const FILE: &str = "lwp/slot.rs";

/// `threads` threads besides this one each try to claim the lwp `times` times, and write while they hold it.
fn contend(threads: u32, times: u32) {
    let slot = Arc::new(Slot::default());
    slot.start(0, std::ptr::null(), Pid::from_raw(2), 1);
    let handle = slot.handle();
    // What a lwp's holder alone may touch; loom finds two who do, and one who does not see what the other did.
    let held = Arc::new(UnsafeCell::new(0_u64));
    // SAFETY: started by this thread.
    unsafe { _ = slot.let_go() };
    let contender = move |host| {
        let mut claimed = 0_u64;
        for _ in 0..times {
            if slot.claim(handle, host).is_ok() {
                // SAFETY: the holder of Running is alone.
                held.with_mut(|held| unsafe { *held += 1 });
                claimed += 1;
                // SAFETY: claimed above.
                unsafe { _ = slot.let_go() };
            }
        }
        (slot, held, claimed)
    };
    let others: Vec<_> = (0..threads)
        .map(|number| {
            let contender = contender.clone();
            thread::spawn(move || contender(2 + number).2)
        })
        .collect();
    let (slot, held, mut claimed) = contender(1);
    for other in others {
        claimed += other.join().unwrap();
    }
    assert!(slot.claim(handle, 1).is_ok());
    // SAFETY: the holder of Running is alone.
    assert_eq!(held.with(|held| unsafe { *held }), claimed);
    assert_eq!(slot.turns().over(), claimed + 1);
}

/// Ends the lwp, which the caller holds.
fn end(slot: &Slot, held: &UnsafeCell<u64>, ended: &AtomicU32) {
    // SAFETY: the holder of Running is alone.
    held.with_mut(|held| unsafe { *held += 1 });
    // SAFETY: held, by the caller.
    unsafe { slot.free() };
    ended.fetch_add(1, Ordering::Relaxed);
}

/// An owner goes while two others run the lwp by its id: one of the three ends it, once, and has seen what the others did.
pub(super) const GO: Model = Model {
    name: "an owner goes",
    preemptions: Some(3),
    run: || {
        let slot = Arc::new(Slot::default());
        slot.start(0, std::ptr::null(), Pid::from_raw(2), 1);
        let handle = slot.handle();
        let held = Arc::new(UnsafeCell::new(0_u64));
        let ended = std::sync::Arc::new(AtomicU32::new(0));
        // SAFETY: started by this thread.
        unsafe { slot.own() };
        let others = [2, 3].map(|host| {
            let (slot, held, ended) = (Arc::clone(&slot), Arc::clone(&held), std::sync::Arc::clone(&ended));
            thread::spawn(move || {
                if slot.claim(handle, host).is_ok() {
                    // SAFETY: the holder of Running is alone.
                    held.with_mut(|held| unsafe { *held += 1 });
                    // SAFETY: claimed above.
                    if unsafe { slot.let_go() } == LetGo::Orphan {
                        end(&slot, &held, &ended);
                    }
                }
            })
        });
        // As the drop of a `Lwp` does it.
        loop {
            match slot.claim_owned(handle, 1) {
                Ok(()) => break end(&slot, &held, &ended),
                Err(SwitchError::Running { .. }) => match slot.orphan(handle) {
                    Orphaning::Left | Orphaning::Gone => break,
                    Orphaning::Idle => {}
                },
                Err(error) => panic!("{error}"),
            }
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(ended.load(Ordering::Relaxed), 1, "ended once");
    },
};

/// An owner gives the lwp up while another runs it: it lives on, and nobody's mark is lost.
pub(super) const GIVE_UP: Model = Model {
    name: "an owner gives up",
    preemptions: None,
    run: || {
        let slot = Arc::new(Slot::default());
        slot.start(0, std::ptr::null(), Pid::from_raw(2), 1);
        let handle = slot.handle();
        // SAFETY: started by this thread.
        unsafe { slot.own() };
        let other = thread::spawn({
            let slot = Arc::clone(&slot);
            move || {
                if slot.claim(handle, 2).is_ok() {
                    // SAFETY: claimed above.
                    assert_eq!(unsafe { slot.let_go() }, LetGo::Done);
                }
            }
        });
        slot.disown(handle);
        other.join().unwrap();
        assert_eq!(slot.claim_unowned(handle, 1), Ok(()));
    },
};

pub(super) const TWO: Model = Model { name: "two threads claim", preemptions: None, run: || contend(1, 2) };
pub(super) const THREE: Model = Model { name: "three threads claim", preemptions: Some(3), run: || contend(2, 1) };

#[test]
fn two_threads_claim_and_yield() {
    TWO.check();
}

#[test]
fn three_threads_claim_and_yield() {
    THREE.check();
}

#[test]
fn a_lwp_whose_owner_goes_is_ended_once_by_the_owner_or_by_whoever_runs_it() {
    GO.check();
}

#[test]
fn a_lwp_that_is_given_up_while_it_runs_is_nobodys() {
    GIVE_UP.check();
}

#[test]
fn an_owner_or_holder_that_goes_carelessly_is_found() {
    GO.must_fail(Fault::Torn(FILE));
    GO.must_fail(Fault::Release(FILE));
    GO.must_fail(Fault::Acquire(FILE));
    GIVE_UP.must_fail(Fault::Torn(FILE));
}

#[test]
fn a_claim_in_two_steps_is_found() {
    TWO.must_fail(Fault::Torn(FILE));
    THREE.must_fail(Fault::Torn(FILE));
}

#[test]
fn a_yield_that_does_not_release_is_found() {
    TWO.must_fail(Fault::Release(FILE));
    THREE.must_fail(Fault::Release(FILE));
}

#[test]
fn a_claim_that_does_not_acquire_is_found() {
    TWO.must_fail(Fault::Acquire(FILE));
}
