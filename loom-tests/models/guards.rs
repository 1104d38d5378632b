//! Where guards are: a handler of faults finds those of its own thread whatever others do, and sees no slab that never was.

use loom::sync::Arc;
use loom::thread;

use super::Model;
use crate::mux::stack::guards::{Guards, Layout};
use crate::sync::fault::Fault;

const FILE: &str = "mux/stack/guards.rs";
const LAYOUT: Layout = Layout { guard: 0x1000, usable: 0x1000 };

/// A slab goes and another takes its place in the list, while a handler looks for an address between the two.
pub(super) const CHANGE: Model = Model {
    name: "a slab in the place of another",
    preemptions: Some(2),
    run: || {
        let guards = Arc::new(Guards::new());
        let first = guards.watch(0x1000, 0x3000, LAYOUT);
        let handler = {
            let guards = Arc::clone(&guards);
            thread::spawn(move || guards.at(0x9000))
        };
        drop(first);
        let second = guards.watch(0x1_1000, 0x1_3000, LAYOUT);
        assert_eq!(guards.at(0x1_1800), Some(LAYOUT));
        assert_eq!(guards.at(0x1_2800), None, "a stack, and not its guard");
        assert_eq!(guards.at(0x1800), None, "unmapped");
        drop(second);
        assert_eq!(handler.join().unwrap(), None);
    },
};

/// Two threads map a slab each: one entry is free, another is to be made.
pub(super) const OWN: Model = Model {
    name: "each finds its own slab",
    preemptions: Some(2),
    run: || {
        let guards = Arc::new(Guards::new());
        drop(guards.watch(0x1000, 0x3000, LAYOUT));
        let mapper = move |low: usize| {
            let slab = guards.watch(low, low + 0x2000, LAYOUT);
            assert_eq!(guards.at(low), Some(LAYOUT));
            drop(slab);
        };
        let other = {
            let mapper = mapper.clone();
            thread::spawn(move || mapper(0x10_0000))
        };
        mapper(0x20_0000);
        other.join().unwrap();
    },
};

#[test]
fn a_handler_sees_no_slab_that_never_was() {
    CHANGE.check();
}

#[test]
fn each_thread_finds_its_own_slab() {
    OWN.check();
}

#[test]
fn a_change_that_can_be_read_in_half_is_found() {
    CHANGE.must_fail(Fault::Release(FILE));
    CHANGE.must_fail(Fault::Acquire(FILE));
    CHANGE.must_fail(Fault::Fence(FILE));
}

#[test]
fn an_entry_taken_by_two_is_found() {
    OWN.must_fail(Fault::Torn(FILE));
}
