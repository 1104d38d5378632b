//! What a multiplexer shares with other host threads.

use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use crate::context::curlwp::cpu;
use crate::mux::inbox::{Inbox, Notify};
use crate::mux::reactor::Notifier;
use crate::panics;
use crate::sync::{AtomicBool, AtomicU32, Ordering};
use crate::wait::driver;

/// See the module. Other threads send it messages `M`.
pub(in crate::mux) struct Remote<M> {
    /// *Immutable.* Its number in this host process, never used again.
    pub(in crate::mux) id: u64,
    /// *Immutable.*
    pub(in crate::mux) name: Box<str>,
    /// *Immutable.* The number of its kernel. Not a handle: what outlives the multiplexer must not keep the kernel.
    pub(in crate::mux) kernel: NonZeroU32,
    /// *Immutable.* Its host thread.
    pub(in crate::mux) host: u32,
    inbox: Inbox<M>,
    /// *Immutable.* Ends its sleep in the reactor. Gone with the multiplexer, so that wakers keep no descriptor of it.
    notifier: Weak<Notifier>,
    /// *Atomic*: whether it is to stop.
    stop: AtomicBool,
    pub(in crate::mux) load: Load,
}

/// How many tasks a multiplexer has.
#[derive(Debug, Default)]
pub(in crate::mux) struct Load {
    /// *The owner writes, all may read*: those that it has taken in, and that have not finished.
    here: AtomicU32,
    /// *Atomic*: those on their way.
    coming: AtomicU32,
}

impl Load {
    #[inline]
    pub(in crate::mux) fn set(&self, here: usize) {
        // Relaxed, here and below: numbers to look at, which order nothing.
        self.here.store(u32::try_from(here).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// One more is on its way.
    pub(in crate::mux) fn sent(&self) {
        self.coming.fetch_add(1, Ordering::Relaxed);
    }

    /// One has come. Not said before it is counted as here: it is counted twice for a moment rather than not at all.
    pub(in crate::mux) fn arrived(&self) {
        self.coming.fetch_sub(1, Ordering::Relaxed);
    }

    pub(in crate::mux) fn get(&self) -> u32 {
        self.here.load(Ordering::Relaxed).saturating_add(self.coming.load(Ordering::Relaxed))
    }
}

impl<M> Remote<M> {
    pub(in crate::mux) fn new(name: Box<str>, kernel: NonZeroU32, notifier: &Arc<Notifier>) -> Arc<Self> {
        Arc::new(Self {
            id: driver::number(),
            name,
            kernel,
            host: cpu(|cpu| cpu.host()),
            inbox: Inbox::new(),
            notifier: Arc::downgrade(notifier),
            stop: AtomicBool::new(false),
            load: Load::default(),
        })
    }

    pub(in crate::mux) fn inbox(&self) -> &Inbox<M> {
        &self.inbox
    }

    /// Sends a message from another thread.
    #[cold]
    pub(in crate::mux) fn send(&self, message: M) {
        let notify = self.inbox.push(message);
        self.done(notify);
    }

    fn done(&self, notify: Notify) {
        match notify {
            Notify::Nothing => {}
            Notify::Unpark => {
                if let Some(notifier) = self.notifier.upgrade() {
                    notifier.notify();
                }
            }
            Notify::Closed => self.dispose(),
        }
    }

    /// Drops what is in an inbox that is closed, each off the queue: to drop a message may release a lwp.
    pub(in crate::mux) fn dispose(&self) {
        while let Some(message) = self.inbox.pop() {
            panics::contain(|| drop(message));
        }
    }

    /// It is to stop.
    pub(in crate::mux) fn stop(&self) {
        // Release: pairs with the Acquire in `take_stop`.
        self.stop.store(true, Ordering::Release);
        let notify = self.inbox.notify();
        self.done(notify);
    }

    /// Whether it was to stop; now it is not any more.
    pub(in crate::mux) fn take_stop(&self) -> bool {
        // Acquire: pairs with the Release in `stop`.
        self.stop.load(Ordering::Relaxed) && self.stop.swap(false, Ordering::Acquire)
    }

    /// Whether it is to stop.
    pub(in crate::mux) fn is_to_stop(&self) -> bool {
        // Relaxed: `take_stop` is what orders.
        self.stop.load(Ordering::Relaxed)
    }
}
