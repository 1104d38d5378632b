use std::cell::*;
use std::collections::BTreeMap;
use std::task::Waker;
use std::time::*;
pub(super) struct Timers {
    m: RefCell<BTreeMap<(Instant, u64), Waker>>,
    n: Cell<u64>,
}
impl Timers {
    pub(super) fn new() -> Self {
        Self { m: Default::default(), n: Cell::new(0) }
    }
    pub(super) fn add(&self, d: Instant, w: &Waker) -> (Instant, u64) {
        let w = w.clone();
        let k = (d, self.n.get());
        self.n.set(k.1 + 1);
        self.m.borrow_mut().insert(k, w);
        k
    }
    pub(super) fn remove(&self, k: (Instant, u64)) {
        let w = self.m.borrow_mut().remove(&k);
        drop(w)
    }
    pub(super) fn next(&self) -> Option<Instant> {
        self.m.borrow().keys().next().map(|k| k.0)
    }
    pub(super) fn expire(&self, now: Instant, w: &mut Vec<Waker>) {
        let mut m = self.m.borrow_mut();
        while let Some(e) = m.first_entry() {
            if e.key().0 <= now { w.push(e.remove()) } else { break }
        }
    }
}
