//! Deadlines, in their order.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::wait::waker::ForeignWaker;

/// So many deadlines that are no more may stay in the heap, however few there are in all.
const SPARE: usize = 64;

/// Who is to be woken when. Of one host thread.
///
/// Most deadlines are taken out before their time comes: each is there for the peer that never answers. To take one out
/// is therefore a look by number, and leaves it in the heap until it is the first there, or until the heap is half full
/// of such. (To take one of 1,000 out and add another takes three times as long in a tree, of 10,000 four.)
#[derive(Debug, Default)]
pub(in crate::mux) struct Timers(RefCell<Inner>);

#[derive(Debug, Default)]
struct Inner {
    added: u64,
    wakers: FxHashMap<u64, ForeignWaker>,
    /// When, and which of several at the same time. The first is in `wakers`, the others need not be.
    by_time: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Timers {
    /// Enters a waiter, to be woken once. The answer is its number.
    pub(in crate::mux) fn add(&self, deadline: Instant, waker: ForeignWaker) -> u64 {
        let mut inner = self.0.borrow_mut();
        let number = inner.added;
        inner.added += 1;
        inner.wakers.insert(number, waker);
        inner.by_time.push(Reverse((deadline, number)));
        number
    }

    /// Takes a waiter out, if it is there still.
    pub(in crate::mux) fn remove(&self, number: u64) -> Option<ForeignWaker> {
        let mut inner = self.0.borrow_mut();
        let left = inner.wakers.remove(&number)?;
        inner.tidy();
        Some(left)
    }

    /// When the first is due.
    pub(in crate::mux) fn next(&self) -> Option<Instant> {
        self.0.borrow().by_time.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes out those that are due, and adds their wakers to `woken` in the order of their deadlines.
    pub(in crate::mux) fn expire(&self, now: Instant, woken: &mut Vec<ForeignWaker>) {
        let inner = &mut *self.0.borrow_mut();
        while let Some(&Reverse((deadline, number))) = inner.by_time.peek()
            && deadline <= now
        {
            inner.by_time.pop();
            woken.extend(inner.wakers.remove(&number));
        }
        inner.tidy();
    }
}

impl Inner {
    /// After some were taken out: the first in the heap is one that is there still, and at least half of all are.
    fn tidy(&mut self) {
        let Self { wakers, by_time, .. } = self;
        if by_time.len() > 2 * wakers.len() + SPARE {
            by_time.retain(|Reverse((_, number))| wakers.contains_key(number));
            by_time.shrink_to(2 * by_time.len() + SPARE);
        }
        while by_time.peek().is_some_and(|Reverse((_, number))| !wakers.contains_key(number)) {
            by_time.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Wake, Waker};
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{SPARE, Timers};
    use crate::wait::waker::ForeignWaker;

    #[derive(Clone, Debug)]
    enum Step {
        Add { after: u64 },
        Remove { which: usize },
        Expire { after: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..50u64).prop_map(|after| Step::Add { after }),
            2 => any::<usize>().prop_map(|which| Step::Remove { which }),
            1 => (0..20u64).prop_map(|after| Step::Expire { after }),
        ]
    }

    /// Tells who was woken last.
    struct Told {
        who: u64,
        last: Arc<AtomicU64>,
    }

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.last.store(self.who, Ordering::Relaxed);
        }
    }

    proptest! {
        #[test]
        fn they_do_as_a_sorted_list_does(steps in proptest::collection::vec(step(), 1..400)) {
            let timers = Timers::default();
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let last = Arc::new(AtomicU64::new(u64::MAX));
            let mut model = BTreeMap::new();
            let mut numbers = Vec::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Add { after } => {
                        let who = numbers.len() as u64;
                        let waker = Waker::from(Arc::new(Told { who, last: last.clone() }));
                        let number = timers.add(at(now + after), ForeignWaker::of(&waker));
                        model.insert((now + after, who), number);
                        numbers.push((now + after, number));
                    }
                    // Also those that were taken out before, or have been due.
                    Step::Remove { which } if !numbers.is_empty() => {
                        let who = which % numbers.len();
                        let (deadline, number) = numbers[who];
                        model.remove(&(deadline, who as u64));
                        drop(timers.remove(number));
                    }
                    Step::Remove { .. } => {}
                    Step::Expire { after } => {
                        now += after;
                        let later = model.split_off(&(now + 1, 0));
                        let due: Vec<u64> = std::mem::replace(&mut model, later).into_keys().map(|(_, who)| who).collect();
                        let mut woken = Vec::new();
                        timers.expire(at(now), &mut woken);
                        let who = |waker: ForeignWaker| {
                            waker.wake();
                            last.load(Ordering::Relaxed)
                        };
                        prop_assert_eq!(woken.into_iter().map(who).collect::<Vec<_>>(), due);
                    }
                }
                prop_assert_eq!(timers.next(), model.keys().next().map(|&(deadline, _)| at(deadline)));
                prop_assert!(timers.0.borrow().by_time.len() <= 2 * model.len() + SPARE);
            }
            // Dropped with them are all wakers.
            drop(timers);
            prop_assert_eq!(Arc::strong_count(&last), 1);
        }
    }

    #[test]
    fn a_waker_may_use_them_when_it_is_cloned_and_dropped() {
        thread_local! {
            static TIMERS: Rc<Timers> = Rc::default();
            static DROPPED: Cell<u32> = const { Cell::new(0) };
        }
        struct Reentrant;
        impl Wake for Reentrant {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for Reentrant {
            fn drop(&mut self) {
                TIMERS.with(|timers| timers.add(Instant::now(), ForeignWaker::noop()));
                DROPPED.set(DROPPED.get() + 1);
            }
        }
        let timers = TIMERS.with(Rc::clone);
        let number = timers.add(Instant::now(), ForeignWaker::of(&Waker::from(Arc::new(Reentrant))));
        drop(timers.remove(number));
        assert_eq!(DROPPED.get(), 1);
        let mut woken = Vec::new();
        timers.expire(Instant::now(), &mut woken);
        assert_eq!(woken.len(), 1, "the one that the drop added");
    }
}
