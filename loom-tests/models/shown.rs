//! What a watchdog sees of a multiplexer's turns.

use std::sync::Arc;

use loom::thread;

use super::Model;
use crate::mux::shown::Shown;
use crate::sync::fault::Fault;

/// A multiplexer has two turns while a watchdog looks, twice.
pub(super) const SHOWN: Model = Model {
    name: "turns against looks",
    preemptions: None,
    run: || {
        let shown = Arc::new(Shown::new());
        let turns = thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                for turn in 1..=2 {
                    shown.begin(turn, turn * 100);
                    shown.end(turn);
                }
            }
        });
        let looks = [shown.look(), shown.look()].into_iter().flatten();
        let seen = looks.fold(0, |before, (turn, lwp)| {
            assert_eq!(lwp, turn * 100, "the lwp of another turn");
            assert!(turn >= before, "an earlier turn than before");
            turn
        });
        turns.join().unwrap();
        assert!(seen <= 2 && shown.look().is_none());
    },
};

#[test]
fn a_look_sees_a_turn_with_its_own_lwp() {
    SHOWN.check();
}

#[test]
fn a_turn_that_is_not_released_is_found() {
    SHOWN.must_fail(Fault::Release("src/mux/shown.rs"));
}

#[test]
fn a_look_without_fences_is_found() {
    SHOWN.must_fail(Fault::Fence("src/mux/shown.rs"));
}
