//! Reclamation under loom: a collector of the model's own, so that a model that fails is reported and does not abort,
//! and memory that is kept after it was freed, so that who uses it still is found out.

use crossbeam_epoch::{Collector, Guard, LocalHandle, Shared};

use crate::sync::fault::{Fault, freed};
use crate::sync::{UnlessFailed, host_local};

loom::lazy_static! {
    static ref COLLECTOR: UnlessFailed<Collector> = UnlessFailed::new(Collector::new());
}

host_local! {
    static HANDLE: LocalHandle = const { COLLECTOR.register() };
}

pub(crate) fn pin() -> Guard {
    HANDLE.try_with(|handle| handle.pin()).unwrap_or_else(|_| COLLECTOR.register().pin())
}

/// # Safety
/// As that of the real one.
pub(crate) unsafe fn unguarded() -> &'static Guard {
    // SAFETY: as the caller promises.
    unsafe { crossbeam_epoch::unprotected() }
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
