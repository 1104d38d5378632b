//! What is spawned: a task is made of a lwp and what is to run in it, and its result goes to a handle.

#[cfg(not(loom))]
mod body;
#[cfg(not(loom))]
mod charge;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod join;
#[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
pub(crate) mod packet;

#[cfg(not(loom))]
pub(super) use body::{fiber, future};
#[cfg(not(loom))]
pub(super) use charge::Charge;
#[cfg(not(loom))]
pub use error::{SpawnError, SpawnErrorKind};
#[cfg(not(loom))]
pub use join::JoinHandle;
pub use packet::JoinError;
