//! Claim and yield: a lwp has one holder at a time, and each sees what the one before it did.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::Model;
use crate::id::Pid;
use crate::lwp::Slot;
use crate::sync::fault::Fault;

const FILE: &str = "lwp/slot.rs";

/// `threads` threads besides this one each try to claim the lwp `times` times, and write while they hold it.
fn contend(threads: u32, times: u32) {
    let slot = Arc::new(Slot::default());
    slot.start(0, std::ptr::null(), Pid::from_raw(2), 1);
    let handle = slot.handle();
    // What a lwp's holder alone may touch; loom finds two who do, and one who does not see what the other did.
    let held = Arc::new(UnsafeCell::new(0_u64));
    // SAFETY: started by this thread.
    unsafe { slot.yield_now() };
    let contender = move |host| {
        let mut claimed = 0_u64;
        for _ in 0..times {
            if slot.claim(handle, host).is_ok() {
                // SAFETY: the holder of Running is alone.
                held.with_mut(|held| unsafe { *held += 1 });
                claimed += 1;
                // SAFETY: claimed above.
                unsafe { slot.yield_now() };
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

/// Three multiplexers want the same lwp. Whoever owns it runs it for two turns.
pub(super) const OWN: Model = Model {
    name: "three owners",
    preemptions: Some(3),
    run: || {
        let slot = Arc::new(Slot::default());
        slot.start(0, std::ptr::null(), Pid::from_raw(2), 1);
        let handle = slot.handle();
        let held = Arc::new(UnsafeCell::new(0_u64));
        // SAFETY: started by this thread.
        unsafe { slot.lay_aside() };
        let owner = move |host| {
            if slot.own(handle, host).is_ok() {
                for _ in 0..2 {
                    slot.turn(handle);
                    // SAFETY: the owner is alone.
                    held.with_mut(|held| unsafe { *held += 1 });
                    // SAFETY: owned; and that this leaves it alone is a part of the model.
                    unsafe { slot.yield_now() };
                    slot.turn(handle);
                }
                // SAFETY: owned.
                unsafe { slot.lay_aside() };
            }
            (slot, held)
        };
        let others = [2, 3].map(|host| {
            let owner = owner.clone();
            thread::spawn(move || _ = owner(host))
        });
        let (slot, held) = owner(1);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(slot.claim(handle, 1).is_ok());
        // SAFETY: the holder of Running is alone.
        let turns = held.with(|held| unsafe { *held });
        assert_eq!((slot.turns().over(), slot.turns().on()), (turns, false));
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
fn three_owners_take_turns() {
    OWN.check();
}

#[test]
fn an_owner_that_takes_or_gives_back_carelessly_is_found() {
    OWN.must_fail(Fault::Torn(FILE));
    OWN.must_fail(Fault::Release(FILE));
    OWN.must_fail(Fault::Acquire(FILE));
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
