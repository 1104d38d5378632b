//! Where other host threads leave things for a multiplexer, and how they wake it.
//!
//! ```text
//!             doze, nothing there             knock
//!   AWAKE ─────────────────────> ASLEEP ───────────────> RUNG        close: from any of them
//!     ^                            │                       │          ──────────────> CLOSED
//!     └────────── rouse ───────────┴──────── rouse ────────┘
//! ```
//!
//! Who leaves something knocks after that; only the first knock on a sleeper rings, so that many things left make one
//! notification. The sleeper lies down first and looks into the queue second: either it sees what was left, or the knock
//! sees that it sleeps. What is left at a closed door is given back to those who left it.

use crate::sync::{AtomicBool, AtomicU32, Ordering, Queue, fence};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const RUNG: u32 = 2;
const CLOSED: u32 = 3;

/// See the module.
pub(crate) struct Door<T> {
    left: Queue<T>,
    /// *Atomic*: one of the above.
    state: AtomicU32,
}

/// What somebody who left something has to do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Knock {
    /// Nothing: it will be found.
    Heard,
    /// Ring, to end the owner's sleep.
    Ring,
    /// The door is closed: take out what is there, and dispose of it.
    Closed,
}

impl<T> Door<T> {
    pub(crate) fn new() -> Self {
        Self { left: Queue::new(), state: AtomicU32::new(AWAKE) }
    }

    /// Leaves `thing`.
    pub(crate) fn leave(&self, thing: T) -> Knock {
        self.left.push(thing);
        self.knock()
    }

    /// Makes sure that the owner looks around soon, at what was left or changed before.
    pub(crate) fn knock(&self) -> Knock {
        // SeqCst: pairs with the fences in `doze` and `close`. Either the owner sees what came before the knock, or its
        // state is seen here.
        fence(Ordering::SeqCst);
        match self.state.load(Ordering::Relaxed) {
            CLOSED => Knock::Closed,
            // Relaxed: what the owner goes on to see is ordered by the queue.
            ASLEEP => match self.state.compare_exchange(ASLEEP, RUNG, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => Knock::Ring,
                Err(CLOSED) => Knock::Closed,
                Err(_) => Knock::Heard,
            },
            _ => Knock::Heard,
        }
    }

    /// Takes what was left first.
    pub(crate) fn take(&self) -> Option<T> {
        self.left.pop()
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The owner is about to sleep; it must not where this is `false`. `quiet` looks at what else a knock may be for.
    pub(crate) fn doze(&self, quiet: impl FnOnce() -> bool) -> bool {
        // Relaxed: the fence orders it before the look.
        self.state.store(ASLEEP, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `knock`.
        fence(Ordering::SeqCst);
        let sleeps = self.is_empty() && quiet();
        if !sleeps {
            self.rouse();
        }
        sleeps
    }

    /// The owner is awake again.
    pub(crate) fn rouse(&self) {
        // Relaxed: a knock that still sees a sleeper rings once too often.
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// The owner closes for good, and then takes out what is there.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `knock`: what is not seen by the owner from here on was left by somebody who
        // sees the door closed.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: a hint; `leave` is what tells.
        self.state.load(Ordering::Relaxed) == CLOSED
    }
}

/// Whether somebody is on the way to the door already: many wakes of one task are left once.
#[derive(Debug)]
pub(crate) struct Errand(AtomicBool);

impl Errand {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// `true` for the one who is to go.
    pub(crate) fn begin(&self) -> bool {
        // Release: pairs with the Acquire in `end`, for those who need not go: what they did before is seen by the task
        // all the same. The one who goes is ordered by the queue.
        !self.0.swap(true, Ordering::Release)
    }

    /// The owner has taken in what was left, and goes on to look at what it was left for.
    pub(crate) fn end(&self) {
        // Acquire: pairs with the Release in `begin`. A swap, so that it reads the last of them.
        self.0.swap(false, Ordering::Acquire);
    }
}
