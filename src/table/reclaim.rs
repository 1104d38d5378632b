//! Memory that others may still be looking at: freed once every thread that could is done (crossbeam-epoch).
//!
//! Only memory goes this way, never what it meant: whoever retires a thing has run its closes and hooks before. No
//! guard is held across a block, a switch or an embedder's code.

use crossbeam_epoch::{Guard, Shared};

use crate::sync::{AtomicUsize, Ordering};

/// Garbage beyond this many objects is handed to the collector at each further one.
const FLUSH: usize = 256;

static PENDING: AtomicUsize = AtomicUsize::new(0);

/// Keeps what is looked at through the guard from being freed.
#[inline]
pub(crate) fn pin() -> Guard {
    crossbeam_epoch::pin()
}

/// What stands for a guard where an address is taken out of its place, or put there, and not followed: nothing is kept.
///
/// # Safety
/// Nothing that is loaded through it is dereferenced, unless the caller owns it.
#[inline]
pub(crate) unsafe fn unguarded() -> &'static Guard {
    // SAFETY: as the caller promises.
    unsafe { crossbeam_epoch::unprotected() }
}

/// Frees `object` once no guard that could see it is left. Counted: where the host's threads retire faster than the
/// collector frees, each further retirement helps it along.
///
/// # Safety
/// `object` came from `Owned`, no thread can reach it any more unless pinned already, nobody retires it again, and
/// dropping it runs no embedder's code.
pub(crate) unsafe fn retire<T: 'static>(guard: &Guard, object: Shared<'_, T>) {
    // Relaxed: a count that only steers how often to flush.
    let pending = PENDING.fetch_add(1, Ordering::Relaxed);
    let address = object.as_raw() as usize;
    // SAFETY: as the caller promises.
    unsafe {
        guard.defer_unchecked(move || {
            PENDING.fetch_sub(1, Ordering::Relaxed);
            drop(Shared::<T>::from(address as *const T).into_owned());
        });
    }
    if pending >= FLUSH {
        guard.flush();
    }
}
