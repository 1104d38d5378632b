//! Where other host threads leave messages for a multiplexer, and how they wake it.
//!
//! ```text
//!             park, nothing there             notify
//!   AWAKE ─────────────────────> PARKED ───────────────> NOTIFIED      close: from any of them
//!     ^                            │                       │          ──────────────> CLOSED
//!     └────────── unpark ──────────┴──────── unpark ───────┘
//! ```
//!
//! Who pushes something notifies after that; only the first notification of one who is parked wakes, so that many messages
//! make one wake. The owner parks first and looks into the queue second: either it sees what was pushed, or the notification
//! sees that it is parked. What is pushed to a closed inbox is given back to those who pushed it.

use crate::sync::{AtomicBool, AtomicU32, Ordering, Queue, fence};

const AWAKE: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;
const CLOSED: u32 = 3;

/// See the module.
pub(crate) struct Inbox<T> {
    queue: Queue<T>,
    /// *Atomic*: one of the above.
    state: AtomicU32,
}

/// What somebody who pushed something has to do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Notify {
    /// Nothing: it will be found.
    Nothing,
    /// End the owner's sleep.
    Unpark,
    /// The inbox is closed: take out what is there, and dispose of it.
    Closed,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self { queue: Queue::new(), state: AtomicU32::new(AWAKE) }
    }

    /// Enqueues `message`.
    pub(crate) fn push(&self, message: T) -> Notify {
        self.queue.push(message);
        self.notify()
    }

    /// Makes sure that the owner looks around soon, at what was pushed or changed before.
    pub(crate) fn notify(&self) -> Notify {
        // SeqCst: pairs with the fences in `park` and `close`. Either the owner sees what came before the notification, or
        // its state is seen here.
        fence(Ordering::SeqCst);
        match self.state.load(Ordering::Relaxed) {
            CLOSED => Notify::Closed,
            // Relaxed: what the owner goes on to see is ordered by the queue.
            PARKED => match self.state.compare_exchange(PARKED, NOTIFIED, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => Notify::Unpark,
                Err(CLOSED) => Notify::Closed,
                Err(_) => Notify::Nothing,
            },
            _ => Notify::Nothing,
        }
    }

    /// Takes what was pushed first.
    pub(crate) fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The owner is about to sleep; it must not where this is `false`. `quiet` looks at what else a notification may be
    /// for.
    pub(crate) fn park(&self, quiet: impl FnOnce() -> bool) -> bool {
        // Relaxed: the fence orders it before the look.
        self.state.store(PARKED, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `notify`.
        fence(Ordering::SeqCst);
        let sleeps = self.is_empty() && quiet();
        if !sleeps {
            self.unpark();
        }
        sleeps
    }

    /// The owner is awake again.
    pub(crate) fn unpark(&self) {
        // Relaxed: a notification that still sees it parked wakes once too often.
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// The owner closes for good, and then takes out what is there.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `notify`: what is not seen by the owner from here on was pushed by somebody who
        // sees the inbox closed.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: a hint; `push` is what tells.
        self.state.load(Ordering::Relaxed) == CLOSED
    }
}

/// Whether the task is in the inbox already, or on the way: many wakes of one task are one message.
#[derive(Debug)]
pub(crate) struct Enqueued(AtomicBool);

impl Enqueued {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// `true` for the one who is to push it.
    pub(crate) fn set(&self) -> bool {
        // Release: pairs with the Acquire in `clear`, for those who need not push: what they did before is seen by the task
        // all the same. The one who pushes is ordered by the queue.
        !self.0.swap(true, Ordering::Release)
    }

    /// The owner has taken the message out, and goes on to look at what it was sent for.
    pub(crate) fn clear(&self) {
        // Acquire: pairs with the Release in `set`. A swap, so that it reads the last of them.
        self.0.swap(false, Ordering::Acquire);
    }
}
