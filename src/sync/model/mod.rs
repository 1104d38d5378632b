//! `sync` under loom.

mod atomic;
mod atomic_epoch;
#[cfg_attr(not(test), expect(dead_code, reason = "models alone break things"))]
pub(crate) mod fault;

pub(crate) use atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence, sequenced};
pub(crate) use atomic_epoch::Atomic;
pub(crate) use loom::sync::atomic::Ordering;

use std::collections::VecDeque;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use fault::Fault;

/// A mutex that loom can follow, with parking_lot's face. When the model has failed, it leaves loom alone: what is
/// dropped then may lock it.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    order: loom::sync::Mutex<()>,
    value: std::sync::Mutex<T>,
}

/// A lock held; the value's is let go first.
pub(crate) struct MutexGuard<'m, T> {
    value: std::sync::MutexGuard<'m, T>,
    _order: Option<loom::sync::MutexGuard<'m, ()>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { order: loom::sync::Mutex::new(()), value: std::sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let order = (!std::thread::panicking()).then(|| self.order.lock().expect("loom's locks are not poisoned"));
        MutexGuard { value: self.value.lock().unwrap_or_else(PoisonError::into_inner), _order: order }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// A queue that loom can follow; see the module `sync`.
pub(crate) struct Queue<T>(Mutex<VecDeque<T>>);

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    pub(crate) fn push(&self, value: T) {
        self.0.lock().push_back(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn pop(&self) -> Option<T> {
        if Fault::tears(Location::caller()) {
            // SAFETY: none: that two may get the same is the fault.
            let front = self.0.lock().front().map(|front| unsafe { std::ptr::read(front) });
            std::mem::forget(self.0.lock().pop_front());
            return front;
        }
        self.0.lock().pop_front()
    }
}

/// What a [`Snapshot`] held when it was read.
pub(crate) type Held<T> = Arc<T>;

/// A snapshot that loom can follow; see the module `sync`.
pub(crate) struct Snapshot<T>(Mutex<Arc<T>>);

impl<T> Snapshot<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn load(&self) -> Held<T> {
        self.load_full()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        Arc::clone(&self.0.lock())
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        let old = std::mem::replace(&mut *self.0.lock(), value);
        // Off the lock, as the real one.
        drop(old);
    }

    #[must_use]
    pub(crate) fn replace(&self, seen: &Held<T>, new: Arc<T>) -> bool {
        let mut held = self.0.lock();
        let unchanged = Arc::ptr_eq(&held, seen);
        if unchanged {
            *held = new;
        }
        unchanged
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

/// One reader's copy of a [`Snapshot`].
pub(crate) struct SnapshotCache<T> {
    snapshot: NonNull<Snapshot<T>>,
    cached: Arc<T>,
}

impl<T> SnapshotCache<T> {
    /// # Safety
    /// `snapshot` outlives the cache.
    pub(crate) unsafe fn new(snapshot: &Snapshot<T>) -> Self {
        Self { snapshot: NonNull::from(snapshot), cached: snapshot.load_full() }
    }

    pub(crate) fn get(&mut self) -> &T {
        // SAFETY: `new` demands that the snapshot outlives the cache.
        self.cached = unsafe { self.snapshot.as_ref() }.load_full();
        &self.cached
    }
}

/// A value that is made once, as weakly ordered as std's.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    made: loom::sync::atomic::AtomicBool,
    making: Mutex<()>,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self::of(std::sync::OnceLock::new())
    }

    fn of(value: std::sync::OnceLock<T>) -> Self {
        Self { made: loom::sync::atomic::AtomicBool::new(value.get().is_some()), making: Mutex::new(()), value }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.made.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _making = self.making.lock();
        let value = self.value.get_or_init(make);
        self.made.store(true, Ordering::Release);
        value
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        Self::of(value.into())
    }
}

/// A value that is not dropped when the model has failed: loom's parts in it cannot be used then.
#[derive(Debug)]
pub(crate) struct UnlessFailed<T>(ManuallyDrop<T>);

impl<T> UnlessFailed<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for UnlessFailed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for UnlessFailed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for UnlessFailed<T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: dropped here alone.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

/// loom's thread-local.
#[derive(Debug)]
pub(crate) struct HostLocal<T: 'static>(pub(crate) &'static loom::thread::LocalKey<UnlessFailed<T>>);

impl<T> HostLocal<T> {
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.0.with(|value| f(value))
    }

    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, loom::thread::AccessError> {
        self.0.try_with(|value| f(value))
    }
}

macro_rules! host_local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };) => {
        $(#[$attribute])*
        static $name: $crate::sync::HostLocal<$type> = {
            loom::thread_local! {
                static VALUE: $crate::sync::UnlessFailed<$type> = $crate::sync::UnlessFailed::new($value);
            }
            $crate::sync::HostLocal(&VALUE)
        };
    };
}
pub(crate) use host_local;

/// loom's threads. Its time does not pass: a deadline never comes.
pub(crate) mod thread {
    pub(crate) use loom::thread::{park, yield_now};

    use super::fault::Fault;

    #[derive(Debug)]
    pub(crate) struct Thread(loom::thread::Thread);

    impl Thread {
        pub(crate) fn unpark(&self) {
            if !Fault::loses_unparks() {
                self.0.unpark();
            }
        }
    }

    pub(crate) fn current() -> Thread {
        Thread(loom::thread::current())
    }

    /// No number at all: nothing of the host's is modelled.
    pub(crate) fn token() -> usize {
        usize::MAX - 1
    }

    pub(crate) fn park_timeout(_: std::time::Duration) {
        park();
    }
}
