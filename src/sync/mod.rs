//! The concurrent parts that everything else is made of: `std` and the crossbeam family, or loom's models of them.
//!
//! Code with a protocol worth model checking names these and never `std::sync::atomic`. Under `--cfg loom` atomics,
//! locks, threads and thread-locals are loom's; a queue and a snapshot, which loom cannot look into, become a locked
//! deque and a locked `Arc`: both are linearizable, and nothing here relies on more.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod native;

#[cfg(loom)]
pub(crate) use model::*;
#[cfg(not(loom))]
pub(crate) use native::*;
