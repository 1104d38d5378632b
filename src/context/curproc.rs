//! The current process, as what interrupts a wait.

use std::sync::Arc;

use super::current;
use crate::wait::Interruptible;
use crate::wait::queue::WaitQueue;

/// The process of whatever context is current at each look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Curproc;

impl Interruptible for Curproc {
    #[inline]
    fn interrupts<R>(self, f: impl FnOnce(&Arc<WaitQueue>) -> R) -> R {
        current(|current| f(current.proc().interrupts()))
    }

    #[inline]
    fn interrupted(self) -> bool {
        current(|current| current.proc().lwps.exiting())
    }
}
