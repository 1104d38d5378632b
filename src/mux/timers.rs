//! Deadlines, in their order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Instant;

/// When, and which of several at the same time.
pub(super) type Key = (Instant, u64);

/// Who is to be woken when. Of one host thread.
///
/// A tree, since most are taken out before their time comes: a deadline is there for the peer that never answers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: RefCell<BTreeMap<Key, Waker>>,
    added: Cell<u64>,
}

impl Timers {
    /// Enters a waiter, to be woken once.
    pub(super) fn add(&self, deadline: Instant, waker: &Waker) -> Key {
        // Off the borrow: a waker is anybody's code.
        let waker = waker.clone();
        let key = (deadline, self.added.get());
        self.added.set(key.1 + 1);
        self.by_time.borrow_mut().insert(key, waker);
        key
    }

    /// Takes a waiter out, if it is there still.
    pub(super) fn remove(&self, key: Key) {
        let left = self.by_time.borrow_mut().remove(&key);
        // Off the borrow.
        drop(left);
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.borrow().first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes out those that are due, and adds their wakers to `woken`.
    pub(super) fn expire(&self, now: Instant, woken: &mut Vec<Waker>) {
        let mut by_time = self.by_time.borrow_mut();
        while let Some(first) = by_time.first_entry()
            && first.key().0 <= now
        {
            woken.push(first.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::{Duration, Instant};

    use super::Timers;

    #[test]
    fn those_that_are_due_are_taken_out_in_order_and_once() {
        let timers = Timers::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let keys = [30, 10, 20, 10].map(|ms| timers.add(at(ms), Waker::noop()));
        let mut woken = Vec::new();
        timers.expire(at(9), &mut woken);
        assert_eq!((woken.len(), timers.next()), (0, Some(at(10))));
        timers.remove(keys[3]);
        timers.expire(at(20), &mut woken);
        assert_eq!((woken.len(), timers.next()), (2, Some(at(30))));
        keys.iter().for_each(|&key| timers.remove(key));
        timers.expire(at(60), &mut woken);
        assert_eq!((woken.len(), timers.next()), (2, None));
    }
}
