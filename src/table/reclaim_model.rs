//! Reclamation under loom: a collector of the model's own, so that a model that fails is reported and does not abort,
//! and memory that is kept after it was freed, so that who uses it still is found out.

use std::mem::ManuallyDrop;

use crossbeam_epoch::{Collector, Guard, LocalHandle, Shared};

use crate::sync::fault::{Fault, freed};

/// Not dropped when the model has failed: loom's parts cannot be used then.
struct UnlessFailed<T>(ManuallyDrop<T>);

impl<T> UnlessFailed<T> {
    fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
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

loom::lazy_static! {
    static ref COLLECTOR: UnlessFailed<Collector> = UnlessFailed::new(Collector::new());
}

loom::thread_local! {
    static HANDLE: UnlessFailed<LocalHandle> = UnlessFailed::new(COLLECTOR.0.register());
}

pub(crate) fn pin() -> Guard {
    HANDLE.try_with(|handle| handle.0.pin()).unwrap_or_else(|_| COLLECTOR.0.register().pin())
}

/// # Safety
/// As that of the real one.
pub(crate) unsafe fn retire<T: 'static>(guard: &Guard, object: Shared<'_, T>) {
    let address = object.as_raw().cast_mut();
    if Fault::frees_at_once() {
        // Its parts are kept: the model would not survive it if they were not.
        freed(address);
        return;
    }
    // SAFETY: as the caller promises; it came from a box, whose memory `freed` takes over.
    unsafe {
        guard.defer_unchecked(move || {
            address.drop_in_place();
            freed(address);
        });
    }
}
