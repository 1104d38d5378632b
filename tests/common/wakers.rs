//! Wakers that run code of a test's when they are cloned, woken and dropped.
#![allow(dead_code, reason = "not all tests need all of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};

type Code = Box<dyn Fn() + Send + Sync>;

/// What a waker runs.
#[derive(Default)]
pub(crate) struct Runs {
    pub(crate) clone: Option<Code>,
    pub(crate) wake: Option<Code>,
    pub(crate) drop: Option<Code>,
}

impl Runs {
    /// A waker that runs this; the one that is returned runs nothing when it is dropped itself.
    pub(crate) fn waker(self) -> Owned {
        Owned(Some(waker(Arc::new(self))))
    }
}

/// A waker whose own drop is quiet: that of its clones is what is tested.
pub(crate) struct Owned(Option<Waker>);

impl std::ops::Deref for Owned {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let waker = self.0.take().unwrap();
        // SAFETY: made by `waker`, and not dropped beside this.
        drop(unsafe { Arc::from_raw(waker.data().cast::<Runs>()) });
        std::mem::forget(waker);
    }
}

fn waker(runs: Arc<Runs>) -> Waker {
    // SAFETY: each function keeps the contract of wakers: a waker has a reference, which a clone adds, and waking and
    // dropping take away, panic or not.
    unsafe { Waker::new(Arc::into_raw(runs).cast(), &VTABLE) }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: the waker's reference is there.
        let runs = unsafe { &*data.cast::<Runs>() };
        run(&runs.clone);
        // SAFETY: as above.
        unsafe { Arc::increment_strong_count(data.cast::<Runs>()) };
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        // SAFETY: the waker's reference, which goes with it.
        let runs = unsafe { Arc::from_raw(data.cast::<Runs>()) };
        run(&runs.wake);
    },
    |data| {
        // SAFETY: the waker's reference is there.
        run(&unsafe { &*data.cast::<Runs>() }.wake);
    },
    |data| {
        // SAFETY: the waker's reference, which goes with it.
        let runs = unsafe { Arc::from_raw(data.cast::<Runs>()) };
        run(&runs.drop);
    },
);

fn run(code: &Option<Code>) {
    if let Some(code) = code {
        code();
    }
}

/// A waker that panics when it is woken.
pub(crate) fn panics_woken() -> Owned {
    Runs { wake: Some(Box::new(|| panic!("woken"))), ..Runs::default() }.waker()
}

/// A waker whose clones panic when they are dropped.
pub(crate) fn panics_dropped() -> Owned {
    Runs { drop: Some(Box::new(|| panic!("dropped"))), ..Runs::default() }.waker()
}

/// A waker that panics when it is cloned.
pub(crate) fn panics_cloned() -> Owned {
    Runs { clone: Some(Box::new(|| panic!("cloned"))), ..Runs::default() }.waker()
}

/// A waker that runs `code` when it is woken.
pub(crate) fn runs(code: impl Fn() + Send + Sync + 'static) -> Owned {
    Runs { wake: Some(Box::new(code)), ..Runs::default() }.waker()
}

/// A waker that counts how often it is woken.
pub(crate) fn counts() -> (Arc<AtomicUsize>, Owned) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    (count, runs(move || _ = counted.fetch_add(1, Ordering::SeqCst)))
}
