//! How a task comes to its end that does not come to it by itself.
//!
//! ```text
//!               its process is killed              too many turns
//!   GOES ON ────────────────────────────> KILLED ─────────────────┐
//!      │                                                          v
//!      └────────────── its multiplexer is dropped ──────────> CANCELLED ──> unwound ──> finished
//!                                                                 └──> suspended for good
//! ```

use std::cell::Cell;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mux) enum Ending {
    /// It goes on as long as it likes.
    No,
    /// Its process was killed. So many turns it has had since.
    Killed { turns: u8 },
    /// It has no more turns.
    Cancelled(Cancelled),
}

/// What a cancelled fiber was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::mux) struct Cancelled {
    /// How often it was unwound.
    unwound: u8,
    /// Whether it has caught that, and was told `EINTR` then.
    told: bool,
    /// How often it was told `EINTR` while it could not be unwound.
    told_besides: u8,
}

/// What to do about a cancelled fiber that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::mux) enum Order {
    /// Tell it `EINTR`.
    Interrupt,
    /// Unwind it.
    Unwind,
    /// Suspend it for good.
    Abandon,
}

impl Ending {
    /// How many turns a killed task has to put its things in order, whether it asks for them or not.
    pub(in crate::mux) const TURNS: u8 = 64;

    pub(in crate::mux) fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelled(_))
    }
}

impl Cancelled {
    /// How often a fiber is unwound that catches it.
    const UNWOUND: u8 = 8;
    /// How often a fiber is told `EINTR` that cannot be unwound: one that has frames of C, or unwinds already.
    const TOLD: u8 = 64;

    /// A fiber waits. `unwinds`: whether it may be unwound from here.
    pub(in crate::mux) fn waits(this: &Cell<Ending>, unwinds: bool) -> Order {
        let Ending::Cancelled(mut cancelled) = this.get() else { return Order::Interrupt };
        let order = if !unwinds {
            cancelled.told_besides = cancelled.told_besides.saturating_add(1);
            if cancelled.told_besides > Self::TOLD { Order::Abandon } else { Order::Interrupt }
        } else if cancelled.unwound > 0 && !cancelled.told {
            cancelled.told = true;
            Order::Interrupt
        } else if cancelled.unwound < Self::UNWOUND {
            cancelled.unwound += 1;
            Order::Unwind
        } else {
            Order::Abandon
        };
        this.set(Ending::Cancelled(cancelled));
        order
    }
}

/// What a cancelled fiber is unwound with.
#[derive(Debug)]
pub(in crate::mux) struct Unwound;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{Cancelled, Ending, Order};

    fn cancelled() -> Cell<Ending> {
        Cell::new(Ending::Cancelled(Cancelled::default()))
    }

    #[test]
    fn a_fiber_that_catches_its_unwinding_is_told_once_unwound_again_and_suspended_for_good() {
        let ending = cancelled();
        let orders: Vec<Order> = (0..11).map(|_| Cancelled::waits(&ending, true)).collect();
        assert_eq!(orders[..2], [Order::Unwind, Order::Interrupt]);
        assert!(orders[2..9].iter().all(|order| *order == Order::Unwind));
        assert_eq!(orders[9..], [Order::Abandon; 2]);
    }

    #[test]
    fn a_fiber_that_cannot_be_unwound_is_told_so_often_and_suspended_for_good() {
        let ending = cancelled();
        let orders: Vec<Order> = (0..66).map(|_| Cancelled::waits(&ending, false)).collect();
        assert!(orders[..64].iter().all(|order| *order == Order::Interrupt));
        assert_eq!(orders[64..], [Order::Abandon; 2]);
    }
}
