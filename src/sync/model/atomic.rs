//! loom's atomics with std's face, that can be [broken](super::fault) and that notice when they are used after their
//! memory was freed.

use std::panic::Location;

use super::Ordering;
use super::fault::{Fault, check_lives};

macro_rules! atomic {
    ($name:ident $(<$generic:ident>)?, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name $(<$generic>)? (loom::sync::atomic::$name $(<$generic>)?);

        #[allow(dead_code, reason = "each kind has all operations, as std's have")]
        impl $(<$generic>)? $name $(<$generic>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                check_lives(self);
                self.0.load(Fault::weaken_load(ordering, Location::caller()))
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                check_lives(self);
                if std::thread::panicking() {
                    // The model has failed: a drop that tidies up after itself has no loom to do it with.
                    return;
                }
                self.0.store(value, Fault::weaken(ordering, Location::caller()));
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.modify(ordering, |_| value, |atomic, ordering| atomic.swap(value, ordering))
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                check_lives(self);
                let at = Location::caller();
                let (success, failure) = (Fault::weaken(success, at), Fault::weaken_load(failure, at));
                if Fault::tears(at) {
                    let seen = self.0.load(Ordering::Acquire);
                    if seen != current {
                        return Err(seen);
                    }
                    self.0.store(new, Ordering::Release);
                    return Ok(seen);
                }
                self.0.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(fetch);
                while let Some(new) = f(seen) {
                    match self.compare_exchange(seen, new, set, fetch) {
                        Ok(seen) => return Ok(seen),
                        Err(now) => seen = now,
                    }
                }
                Err(seen)
            }

            #[track_caller]
            fn modify(
                &self,
                ordering: Ordering,
                torn: impl FnOnce($value) -> $value,
                whole: impl FnOnce(&loom::sync::atomic::$name $(<$generic>)?, Ordering) -> $value,
            ) -> $value {
                check_lives(self);
                let at = Location::caller();
                if Fault::tears(at) {
                    let seen = self.0.load(Ordering::Acquire);
                    self.0.store(torn(seen), Ordering::Release);
                    return seen;
                }
                whole(&self.0, Fault::weaken(ordering, at))
            }
        }
    };
    ($name:ident, $value:ty, with $($operation:ident: $torn:expr),*) => {
        atomic!($name, $value);

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }

        #[allow(dead_code, reason = "each kind has all operations, as std's have")]
        impl $name {
            $(
                #[track_caller]
                pub(crate) fn $operation(&self, by: $value, ordering: Ordering) -> $value {
                    let torn: fn($value, $value) -> $value = $torn;
                    self.modify(ordering, |seen| torn(seen, by), |atomic, ordering| atomic.$operation(by, ordering))
                }
            )*
        }
    };
    (number $name:ident, $value:ty) => {
        atomic!($name, $value, with
            fetch_add: |seen, by| seen.wrapping_add(by),
            fetch_sub: |seen, by| seen.wrapping_sub(by),
            fetch_and: |seen, by| seen & by,
            fetch_or: |seen, by| seen | by,
            fetch_min: |seen, by| seen.min(by),
            fetch_max: |seen, by| seen.max(by)
        );
    };
}

atomic!(AtomicPtr<T>, *mut T);
atomic!(AtomicBool, bool);
atomic!(number AtomicI32, i32);
atomic!(number AtomicU32, u32);
atomic!(number AtomicU64, u64);
atomic!(number AtomicUsize, usize);

#[track_caller]
pub(crate) fn fence(ordering: Ordering) {
    if !Fault::drops_fence(Location::caller()) {
        loom::sync::atomic::fence(ordering);
    }
}

/// What orders a SeqCst read-modify-write before a SeqCst load of another place, which loom does not.
#[track_caller]
pub(crate) fn sequenced() {
    fence(Ordering::SeqCst);
}
