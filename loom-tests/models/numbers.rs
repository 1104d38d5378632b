//! Numbers of descriptor tables: two threads never take the same, and none that comes free is lost.

use loom::sync::Arc;
use loom::thread;

use super::Model;
use super::witness::{install, open, table};
use crate::sync::fault::Fault;

const TABLE: &str = "fd/fdtable.rs";

/// Two threads take a number each, in a table whose first group is full but for one.
pub(super) const TAKE: Model = Model {
    name: "two threads allocate",
    preemptions: Some(3),
    run: || {
        let table = table();
        install(&table, open());
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || install(&table, open())
        });
        let mine = install(&table, open());
        let others = other.join().unwrap();
        assert_eq!((mine.min(others), mine.max(others)), (1, 2));
    },
};

#[test]
fn two_threads_take_different_numbers_and_the_lowest() {
    TAKE.check();
}

#[test]
fn a_number_that_is_taken_in_two_steps_is_found() {
    TAKE.must_fail(Fault::Torn(TABLE));
}

/// One thread closes a number of a full group, another takes two: when all is done, the lowest free number is found.
pub(super) const HINT: Model = Model {
    name: "close against allocation",
    preemptions: Some(3),
    run: || {
        let table = table();
        install(&table, open());
        install(&table, open());
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || drop(table.close(0).expect("it is open"))
        });
        let mine = install(&table, open());
        assert!([0, 2].contains(&mine));
        other.join().unwrap();
        let next = install(&table, open());
        assert_eq!(next, if mine == 0 { 2 } else { 0 }, "the lowest free number");
    },
};

#[test]
fn a_number_that_comes_free_is_never_lost() {
    HINT.check();
}

#[test]
fn a_hint_that_is_not_sequentially_consistent_is_found() {
    HINT.must_fail(Fault::Fence(TABLE));
}

/// Three threads: one gives a number of a full group back, two take one each.
pub(super) const NUMBERS: Model = Model {
    name: "three threads on numbers",
    preemptions: Some(2),
    run: || {
        let table = table();
        install(&table, open());
        // SAFETY: `table` outlives the thread that has this, which is joined.
        let number = unsafe { &*Arc::as_ptr(&table) }.take_lowest(0, 8).expect("there is room");
        let giver = thread::spawn(move || drop(number));
        let taker = thread::spawn({
            let table = Arc::clone(&table);
            move || install(&table, open())
        });
        let mine = install(&table, open());
        giver.join().unwrap();
        let others = taker.join().unwrap();
        assert_ne!(mine, others);
        let mut taken = [mine, others, install(&table, open())];
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3], "the lowest free number");
    },
};

#[test]
fn three_threads_lose_no_number() {
    NUMBERS.check();
}
