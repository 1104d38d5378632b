//! What a task is charged with: its lwp, and the result that it owes.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::join::JoinHandle;
use super::packet::{JoinError, Packet};
use crate::errno::Errno;
use crate::id::LwpHandle;
use crate::lwp::Slot;
use crate::lwproc::Lwp;

/// See the module. Dropped before it is discharged, it releases the lwp, and the handle learns that the task was cancelled.
pub(super) struct Charge<T> {
    lwp: Option<Lwp>,
    packet: Arc<Packet<T>>,
    owed: bool,
}

impl<T> Charge<T> {
    /// Of a lwp that the multiplexer owns; and the handle for the result.
    pub(super) fn new(lwp: Lwp) -> (Self, JoinHandle<T>) {
        let packet = Packet::new();
        let join = JoinHandle::new(Arc::clone(&packet));
        (Self { lwp: Some(lwp), packet, owed: true }, join)
    }

    /// The packet's address, which tells tasks apart.
    pub(super) fn packet(&self) -> *const () {
        Arc::as_ptr(&self.packet).cast()
    }

    /// The lwp's slot.
    pub(super) fn slot(&self) -> (*const Slot, LwpHandle) {
        self.lwp.as_ref().expect("it goes with the charge").slot()
    }

    /// Releases the lwp, which ends its process if it was the last, and delivers the result then.
    pub(super) fn discharge(mut self, result: std::thread::Result<T>) {
        let released = catch_unwind(AssertUnwindSafe(|| self.release()));
        self.deliver(match (result, released) {
            (Ok(value), Ok(())) => Ok(value),
            (Err(panic), released) => {
                // Not dropped: a payload's drop is anybody's code, and may panic.
                std::mem::forget(released);
                Err(JoinError::Panicked(panic))
            }
            (Ok(value), Err(panic)) => {
                forget_panic_of(|| drop(value));
                Err(JoinError::Panicked(panic))
            }
        });
    }

    /// The lwp back, of a task that never began and whose handle nobody has.
    pub(super) fn give_back(mut self) -> Lwp {
        self.owed = false;
        let lwp = self.lwp.take().expect("it goes with the charge");
        lwp.disown();
        lwp
    }

    /// Ends a fiber for which there is no stack.
    pub(super) fn no_stack(mut self, error: Errno) {
        forget_panic_of(|| self.release());
        self.deliver(Err(JoinError::NoStack(error)));
    }

    fn release(&mut self) {
        let Some(lwp) = self.lwp.take() else { return };
        // In its turn it is current, and so released where it is.
        if !lwp.is_current() {
            lwp.disown();
        }
        drop(lwp);
    }

    fn deliver(&mut self, result: Result<T, JoinError>) {
        self.owed = false;
        let packet = &self.packet;
        // SAFETY: `owed` was set till now: this is the one time. A waker that panics is not the task's fault.
        forget_panic_of(|| unsafe { packet.finish(result) });
    }
}

impl<T> Drop for Charge<T> {
    fn drop(&mut self) {
        if !self.owed {
            return;
        }
        let released = catch_unwind(AssertUnwindSafe(|| self.release()));
        self.deliver(Err(JoinError::Cancelled));
        crate::context::exit::go_on(released.err());
    }
}

fn forget_panic_of(f: impl FnOnce()) {
    let panic: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(f));
    std::mem::forget(panic);
}
