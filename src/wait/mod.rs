//! The one blocking primitive: what is waited for, what sleeps meanwhile, and the loop between the two.

#[cfg(not(loom))]
pub(crate) mod alone;
#[cfg(not(loom))]
pub(crate) mod driver;
pub(crate) mod events;
#[cfg_attr(loom, expect(dead_code, reason = "no reactor is modelled"))]
pub(crate) mod hostfd;
mod interrupt;
pub(crate) mod nowait;
pub(crate) mod park;
pub(crate) mod queue;
pub(crate) mod turn;
mod until;
pub(crate) mod waker;
pub(crate) mod watch;

pub(crate) use interrupt::Interruptible;
pub(crate) use until::{Wait, knows_edges, may_suspend, until, until_ready, until_woken};
