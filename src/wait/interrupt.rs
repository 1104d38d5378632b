//! What ends a wait before its time.

use std::sync::Arc;

use crate::wait::queue::WaitQueue;

/// Who may be interrupted. A wait asks anew at each look, since a future may be polled in another context each time.
pub(crate) trait Interruptible: Copy {
    /// Shows `f` the queue that is woken at an interrupt. `f` runs nobody else's code.
    fn interrupts<R>(self, f: impl FnOnce(&Arc<WaitQueue>) -> R) -> R;

    /// Whether there was one. Right once the waiter is in that queue: either this sees it, or the waiter is woken.
    fn interrupted(self) -> bool;
}
