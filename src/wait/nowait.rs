//! Whether the host is to be asked only for what it can say at once.
//!
//! A call under a multiplexer is tried so first: what would have to wait for a disk or a network is `EAGAIN` then, and is made
//! again, as if nothing had been done, by a thread that may wait.

use std::cell::Cell;

use crate::errno::{Errno, Result};
use crate::sync::host_local;

host_local! {
    static NOWAIT: Cell<bool> = const { Cell::new(false) };
}

/// Makes an attempt that does not wait. It runs none of an embedder's code.
pub(crate) fn attempt<R>(attempt: impl FnOnce() -> R) -> R {
    struct Before(bool);

    impl Drop for Before {
        fn drop(&mut self) {
            NOWAIT.with(|nowait| nowait.set(self.0));
        }
    }

    let _before = Before(NOWAIT.with(|nowait| nowait.replace(true)));
    attempt()
}

/// Whether this is an attempt that does not wait.
#[inline]
pub(crate) fn asked() -> bool {
    NOWAIT.with(Cell::get)
}

/// Before what may wait.
///
/// # Errors
/// `EAGAIN`: it is not to.
#[inline]
pub(crate) fn may_wait() -> Result<()> {
    if asked() { Err(Errno::EAGAIN) } else { Ok(()) }
}
