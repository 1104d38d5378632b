//! What a task is charged with: its lwp, and the result that it owes.

use std::ptr;
use std::sync::Arc;

use super::packet::{JoinError, Packet};
use crate::errno::Errno;
use crate::id::LwpHandle;
use crate::lwp::{Slot, SwitchError};
use crate::lwproc::Lwp;
use crate::panics::{self, Panic};

/// See the module. Dropped before it is discharged, it releases the lwp, and the handle learns that the task was cancelled.
pub(in crate::mux) struct Charge<T> {
    lwp: Option<Lwp>,
    packet: Arc<Packet<T>>,
    /// Whether the lwp is held for a task that has not come to be.
    held: bool,
    owed: bool,
}

impl<T> Charge<T> {
    /// Takes the lwp, to be held from now on, by the charge and then by its task on host thread `host`.
    pub(in crate::mux) fn new(lwp: Lwp, host: u32) -> Result<Self, (Lwp, SwitchError)> {
        match lwp.hold(host) {
            Ok(()) => Ok(Self { lwp: Some(lwp), packet: Packet::new(), held: true, owed: true }),
            Err(error) => Err((lwp, error)),
        }
    }

    /// Where the result will be.
    pub(in crate::mux) fn packet(&self) -> &Arc<Packet<T>> {
        &self.packet
    }

    /// Hands the lwp over to the task that is made: from now on it is held in that one's context.
    pub(super) fn begin(&mut self) -> (*const Slot, LwpHandle) {
        self.held = false;
        let lwp = self.lwp.as_ref().expect("it goes with the charge");
        (lwp.slot().map_or(ptr::null(), ptr::from_ref), lwp.handle())
    }

    /// Releases the lwp, which ends its process if it was the last, and delivers the result then.
    pub(super) fn discharge(&mut self, result: std::thread::Result<T>) {
        let released = self.release();
        self.deliver(match (result, released) {
            (Ok(value), None) => Ok(value),
            (Err(panic), released) => {
                panics::tell_any(released);
                Err(JoinError::Panicked(panic))
            }
            (Ok(value), Some(panic)) => {
                panics::contain(|| drop(value));
                Err(JoinError::Panicked(panic))
            }
        });
    }

    /// Drops what was to run, in the lwp, of a task that never came to be.
    pub(in crate::mux) fn cancel<F>(mut self, f: F) {
        self.drop_in_lwp(f);
    }

    /// The lwp back, of a task that never came to be and whose handle nobody has.
    pub(in crate::mux) fn give_back(mut self) -> Lwp {
        self.owed = false;
        let lwp = self.lwp.take().expect("it goes with the charge");
        lwp.let_go();
        lwp
    }

    /// Ends a fiber for which there is no stack, as [`cancel`](Self::cancel) does.
    pub(in crate::mux) fn no_stack<F>(mut self, error: Errno, f: F) {
        self.drop_in_lwp(f);
        self.deliver(Err(JoinError::NoStack(error)));
    }

    fn drop_in_lwp<F>(&mut self, f: F) {
        panics::tell_any(self.release_after(|| panics::contain(|| drop(f))));
    }

    /// Answers the panic of what ended with it.
    fn release(&mut self) -> Option<Panic> {
        self.release_after(|| ())
    }

    fn release_after(&mut self, first: impl FnOnce()) -> Option<Panic> {
        let lwp = self.lwp.take()?;
        let held = std::mem::take(&mut self.held);
        let mut panic = None;
        panics::catch(|| if held { lwp.release_held(first) } else { drop(lwp) }, &mut panic);
        panic
    }

    fn deliver(&mut self, result: Result<T, JoinError>) {
        self.owed = false;
        // SAFETY: `owed` was set till now: this is the one time.
        unsafe { self.packet.finish(result) };
    }
}

impl<T> Drop for Charge<T> {
    fn drop(&mut self) {
        if self.owed {
            panics::tell_any(self.release());
            self.deliver(Err(JoinError::Cancelled));
        }
    }
}
