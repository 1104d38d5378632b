//! crossbeam-epoch's pointer, which can be [broken](super::fault) as the other atomics.

use std::fmt;
use std::panic::Location;

use crossbeam_epoch::{CompareExchangeError, Guard, Shared};

use super::Ordering;
use super::fault::{Fault, check_lives};

pub(crate) struct Atomic<T>(crossbeam_epoch::Atomic<T>);

impl<T> Atomic<T> {
    pub(crate) fn null() -> Self {
        Self(crossbeam_epoch::Atomic::null())
    }

    #[track_caller]
    pub(crate) fn load<'g>(&self, ordering: Ordering, guard: &'g Guard) -> Shared<'g, T> {
        check_lives(self);
        self.0.load(Fault::weaken_load(ordering, Location::caller()), guard)
    }

    #[track_caller]
    pub(crate) fn store(&self, new: Shared<'_, T>, ordering: Ordering) {
        check_lives(self);
        self.0.store(new, Fault::weaken(ordering, Location::caller()));
    }

    #[track_caller]
    pub(crate) fn swap<'g>(&self, new: Shared<'_, T>, ordering: Ordering, guard: &'g Guard) -> Shared<'g, T> {
        check_lives(self);
        let at = Location::caller();
        if Fault::tears(at) {
            let seen = self.0.load(Ordering::Acquire, guard);
            self.0.store(new, Ordering::Release);
            return seen;
        }
        self.0.swap(new, Fault::weaken(ordering, at), guard)
    }

    #[track_caller]
    pub(crate) fn compare_exchange<'g>(
        &self,
        current: Shared<'_, T>,
        new: Shared<'g, T>,
        success: Ordering,
        failure: Ordering,
        guard: &'g Guard,
    ) -> Result<Shared<'g, T>, CompareExchangeError<'g, T, Shared<'g, T>>> {
        check_lives(self);
        let at = Location::caller();
        let (success, failure) = (Fault::weaken(success, at), Fault::weaken_load(failure, at));
        if Fault::tears(at) {
            let seen = self.0.load(Ordering::Acquire, guard);
            if seen != current {
                return Err(CompareExchangeError { current: seen, new });
            }
            self.0.store(new, Ordering::Release);
            return Ok(new);
        }
        self.0.compare_exchange(current, new, success, failure, guard)
    }
}

impl<T> Default for Atomic<T> {
    fn default() -> Self {
        Self::null()
    }
}

impl<T> fmt::Debug for Atomic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
