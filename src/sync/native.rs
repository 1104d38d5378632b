//! `sync` as it runs: `std` atomics, parking_lot, crossbeam-queue, arc-swap.

pub(crate) use crossbeam_epoch::Atomic;
pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// An unbounded lock-free queue, first in first out.
pub(crate) type Queue<T> = crossbeam_queue::SegQueue<T>;

/// What a [`Snapshot`] held when it was read. Cheap to take: no reference count is touched.
pub(crate) type Held<T> = arc_swap::Guard<Arc<T>>;

/// An immutable value that is replaced as a whole; readers never wait.
pub(crate) struct Snapshot<T>(arc_swap::ArcSwap<T>);

impl<T> Snapshot<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(arc_swap::ArcSwap::new(value))
    }

    pub(crate) fn load(&self) -> Held<T> {
        self.0.load()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        self.0.load_full()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        self.0.store(value);
    }

    /// Puts `new` in the place of `seen`, unless another writer was faster: then `false`.
    #[must_use]
    pub(crate) fn replace(&self, seen: &Held<T>, new: Arc<T>) -> bool {
        Arc::ptr_eq(&self.0.compare_and_swap(&**seen, new), seen)
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load().fmt(f)
    }
}

/// A [`Snapshot`] by address, for [`SnapshotCache`].
struct At<T>(NonNull<Snapshot<T>>);

impl<T> Deref for At<T> {
    type Target = arc_swap::ArcSwap<T>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: `SnapshotCache::new` demands that the snapshot outlives the cache.
        unsafe { &self.0.as_ref().0 }
    }
}

/// One reader's copy of a [`Snapshot`]: a read is a load and a compare as long as nobody replaced the value.
pub(crate) struct SnapshotCache<T>(arc_swap::Cache<At<T>, Arc<T>>);

impl<T> SnapshotCache<T> {
    /// # Safety
    /// `snapshot` outlives the cache.
    pub(crate) unsafe fn new(snapshot: &Snapshot<T>) -> Self {
        Self(arc_swap::Cache::new(At(NonNull::from(snapshot))))
    }

    pub(crate) fn get(&mut self) -> &T {
        self.0.load()
    }
}

/// A thread-local whose first value is a constant.
macro_rules! host_local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };) => {
        std::thread_local! {
            $(#[$attribute])*
            static $name: $type = const { $value };
        }
    };
}
pub(crate) use host_local;

/// Host threads.
pub(crate) mod thread {
    pub(crate) use std::thread::{Thread, current, park, park_timeout, yield_now};

    /// A number that no other living thread has; even, and never 0.
    #[inline]
    pub(crate) fn token() -> usize {
        std::thread_local! {
            static HERE: u64 = const { 0 };
        }
        HERE.with(|here| std::ptr::from_ref(here).addr())
    }
}
