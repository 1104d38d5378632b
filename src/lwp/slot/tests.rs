//! What a slot says of its lwp, one transition after the other.

use super::{LetGo, Orphaning, Slot, State};
use crate::id::{LwpHandle, Pid};
use crate::lwp::SwitchError;

fn started(pid: i32) -> (Slot, LwpHandle) {
    let slot = Slot::default();
    slot.start(7, std::ptr::null(), Pid::from_raw(pid), 11);
    let handle = slot.handle();
    (slot, handle)
}

fn let_go(slot: &Slot) -> LetGo {
    // SAFETY: a test holds it.
    unsafe { slot.let_go() }
}

#[test]
fn a_slot_is_one_cache_line() {
    assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
}

#[test]
fn a_running_lwp_is_not_claimed_and_a_freed_one_is_stale() {
    let (slot, handle) = started(3);
    assert_eq!((handle.index(), handle.generation()), (7, 1));
    assert_eq!(slot.claim(handle, 12), Err(SwitchError::Running { pid: Pid::from_raw(3), host: 11 }));
    assert_eq!(let_go(&slot), LetGo::Done);
    assert_eq!((slot.turns().over(), slot.claim(handle, 12)), (1, Ok(())));
    // SAFETY: as above.
    assert!(unsafe { slot.free() });
    assert_eq!(slot.claim(handle, 12), Err(SwitchError::Stale));
    slot.start(7, std::ptr::null(), Pid::from_raw(4), 11);
    assert_eq!(slot.claim(handle, 12), Err(SwitchError::Stale));
    assert_eq!((slot.handle().generation(), slot.word().state()), (2, State::Running));
}

#[test]
fn an_owned_lwp_is_claimed_by_anyone_owned_by_one_and_ended_by_its_holder_when_its_owner_goes() {
    let (slot, handle) = started(3);
    // SAFETY: this test holds it.
    unsafe { slot.own() };
    assert_eq!(slot.claim_unowned(handle, 12), Err(SwitchError::Owned));
    assert_eq!(slot.orphan(handle), Orphaning::Idle);
    assert_eq!(slot.claim(handle, 12), Ok(()));
    let running = Err(SwitchError::Running { pid: Pid::from_raw(3), host: 12 });
    assert_eq!((slot.claim(handle, 13), slot.claim_unowned(handle, 13)), (running, running));
    assert_eq!((let_go(&slot), slot.word().state()), (LetGo::Done, State::IdleOwned));
    assert_eq!(slot.claim_owned(handle, 12), Ok(()));
    assert_eq!(slot.orphan(handle), Orphaning::Left);
    assert_eq!((let_go(&slot), slot.claim(handle, 13)), (LetGo::Orphan, running));
    // SAFETY: as above.
    assert!(unsafe { slot.free() });
    assert_eq!(slot.orphan(handle), Orphaning::Gone);
}

#[test]
fn a_lwp_that_is_given_up_lives_on_whether_it_runs_or_not() {
    let (slot, handle) = started(3);
    // SAFETY: this test holds it.
    unsafe { slot.own() };
    slot.disown(handle);
    assert_eq!((slot.word().state(), slot.claim_unowned(handle, 12)), (State::Idle, Ok(())));
    // SAFETY: as above.
    unsafe { slot.own() };
    assert_eq!(slot.claim(handle, 12), Ok(()));
    slot.disown(handle);
    assert_eq!((let_go(&slot), slot.word().state()), (LetGo::Done, State::Idle));
}

#[test]
fn a_turn_is_counted_when_it_is_over_and_a_task_that_awaits_one_is_told_from_one_that_has_it() {
    let (slot, _) = started(3);
    slot.park_first();
    for turn in 0..2 {
        assert_eq!((slot.turns().parked(), slot.turns().over()), (true, turn));
        slot.unpark();
        assert_eq!((slot.turns().parked(), slot.turns().over()), (false, turn));
        slot.park();
    }
}
