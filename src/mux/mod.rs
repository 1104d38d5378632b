//! The multiplexer: many lwps on one host thread, as fibers and futures.

#[cfg(not(loom))]
mod ahead;
#[cfg(not(loom))]
mod altstack;
#[cfg(not(loom))]
mod charge;
pub(crate) mod door;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod join;
#[cfg(not(loom))]
mod local;
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod overflow;
pub(crate) mod packet;
#[cfg(not(loom))]
mod reactor;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod runtime;
#[cfg(not(loom))]
mod slab;
#[cfg(not(loom))]
mod spawn;
#[cfg(not(loom))]
mod spin;
#[cfg(not(loom))]
mod stack;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
mod timers;
#[cfg(not(loom))]
mod watched;
#[cfg(not(loom))]
mod yields;

#[cfg(not(loom))]
pub use self::{
    handle::MuxHandle,
    join::JoinHandle,
    options::MuxBuilder,
    packet::JoinError,
    run::Mux,
    runtime::Runtime,
    spawn::{SpawnError, SpawnErrorKind},
    yields::{spawn, spawn_fiber, yield_now, yield_turn},
};
