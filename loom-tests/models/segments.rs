//! Memory that grows, and the indices into it: two threads grow it at once, and no index is given to two.

use loom::sync::Arc;
use loom::thread;

use super::Model;
use crate::sync::fault::Fault;
use crate::sync::{AtomicU32, Ordering};
use crate::table::{Indices, Segment, Segments};

#[derive(Default)]
struct Cell(AtomicU32);

impl Segment for Cell {}

/// Two threads make the same segment, one that makes none looks in: all see one place, and it is initialized.
pub(super) const GROWTH: Model = Model {
    name: "segments grow",
    preemptions: Some(3),
    run: || {
        let array = Arc::new(Segments::<Cell, 1, 2>::new());
        let grow = |array: &Segments<Cell, 1, 2>| {
            array.ensure(1).unwrap().0.fetch_add(1, Ordering::Relaxed);
        };
        let other = thread::spawn({
            let array = Arc::clone(&array);
            move || grow(&array)
        });
        let onlooker = thread::spawn({
            let array = Arc::clone(&array);
            // Its second element, which nobody writes: loom finds a load that does not come after its making.
            move || array.get(2).map(|cell| cell.0.load(Ordering::Relaxed))
        });
        grow(&array);
        other.join().unwrap();
        assert!(matches!(onlooker.join().unwrap(), None | Some(0)));
        assert_eq!(array.get(1).unwrap().0.load(Ordering::Relaxed), 2);
        assert!(array.get(0).is_none());
    },
};

#[test]
fn two_threads_grow_an_array_and_a_third_looks_in() {
    GROWTH.check();
}

#[test]
fn a_segment_that_is_put_in_place_in_two_steps_is_found() {
    GROWTH.must_fail(Fault::Torn("table/segments.rs"));
}

#[test]
fn a_segment_that_is_not_released_or_not_acquired_is_found() {
    GROWTH.must_fail(Fault::Release("table/segments.rs"));
    GROWTH.must_fail(Fault::Acquire("table/segments.rs"));
}

/// Two threads each take an index, give it back and take one again, where two may be out and there are three.
pub(super) const INDICES: Model = Model {
    name: "indices are taken",
    preemptions: Some(3),
    run: || {
        let indices = Arc::new(Indices::new(1, 3, 2));
        let take_twice = |indices: &Indices| {
            let first = indices.acquire().expect("two may be out");
            indices.release(first);
            indices.acquire().expect("two may be out, and each thread has one at most")
        };
        let other = thread::spawn({
            let indices = Arc::clone(&indices);
            move || take_twice(&indices)
        });
        let mine = take_twice(&indices);
        let others = other.join().unwrap();
        assert_ne!(mine, others);
        assert!(mine < 3 && others < 3);
        assert_eq!((indices.live(), indices.acquire()), (2, None));
    },
};

/// Three threads each take an index where two may be out: two get one.
pub(super) const LIMIT: Model = Model {
    name: "the limit of indices",
    preemptions: Some(3),
    run: || {
        let indices = Arc::new(Indices::new(4, 4, 2));
        let others = [(); 2].map(|()| {
            let indices = Arc::clone(&indices);
            thread::spawn(move || indices.acquire())
        });
        let mine = indices.acquire();
        let mut taken: Vec<_> = others.into_iter().filter_map(|other| other.join().unwrap()).chain(mine).collect();
        taken.sort_unstable();
        assert_eq!((taken, indices.live()), (vec![0, 1], 2));
    },
};

#[test]
fn an_index_is_out_once() {
    INDICES.check();
}

#[test]
fn of_three_threads_two_get_an_index_where_two_may_be_out() {
    LIMIT.check();
}

#[test]
fn an_index_that_is_taken_in_two_steps_is_found() {
    INDICES.must_fail(Fault::Torn("table/indices.rs"));
    LIMIT.must_fail(Fault::Torn("table/indices.rs"));
}
