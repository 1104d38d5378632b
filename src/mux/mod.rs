//! The multiplexer: many lwps on one host thread, as fibers and futures.
//!
//! A [`Mux`] runs on the host thread that made it. What is spawned there is a *task*: a lwp, and a fiber or future to run in
//! it. Tasks have turns, one after the other; a turn lasts until the task blocks, yields or ends. Between turns nothing of
//! the task is on the host thread's stack, and whoever's turn it is finds itself in its own lwp.
//!
//! # A round
//!
//! 1. *Turns*, 32 or until nobody is ready. The queue of those who are ready belongs to the host
//!    thread: no atomics. To change lwps is a store to the thread's cells, since the multiplexer has claimed them all.
//! 2. *The inbox*: messages of other threads, woken tasks and new ones, in a lock-free queue. Those that come while the
//!    multiplexer is awake notify nobody, and one notification ends a sleep.
//! 3. *Descriptors and timers*, when the budget of turns is used up: a descriptor is registered with the host's epoll once,
//!    which tells each change once.
//! 4. *Sleep*, when nobody is ready: first a spin for wakes from other threads, as long as that pays, then in the host's poll.
//!
//! So the wait of one who was woken is bounded: by the turns until the look that finds it, and by those who were ready
//! before it.
//!
//! # What stays where
//!
//! Tasks never change host threads: there is no fiber whose thread-locals turn into another thread's, no lock for the
//! queue, and no `Send` that spawning there would ask for. [`Runtime`] has a multiplexer for each of several threads, and
//! places what is spawned by load.
//!
//! # Blocking
//!
//! In a fiber, what blocks suspends the fiber: system calls, [`JoinHandle::join`], [`block_on`](crate::block_on). In a
//! future the same calls would hold up the host thread; futures await [`sys::aio`](crate::sys::aio) and the handle.
//! [`yield_now`] and [`yield_turn`] let others go first.
//!
//! A task that neither blocks nor yields keeps all others from their turns: nothing preempts it.
//! [`Kernel::ps`](crate::Kernel::ps) shows whose it is: running, with switches that stand still.

#[cfg(not(loom))]
mod cancel;
#[cfg(not(loom))]
mod handle;
#[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
pub(crate) mod inbox;
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod reactor;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod runtime;
#[cfg(not(loom))]
mod scheduler;
pub(crate) mod spawn;
#[cfg(not(loom))]
mod spin;
pub(crate) mod stack;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
mod waits;
#[cfg(not(loom))]
mod yields;

pub use self::spawn::JoinError;
#[cfg(all(feature = "capi", not(loom)))]
pub(crate) use self::yields::runs_here;
#[cfg(not(loom))]
pub use self::{
    handle::MuxHandle,
    options::MuxBuilder,
    run::Mux,
    runtime::Runtime,
    spawn::{JoinHandle, SpawnError, SpawnErrorKind},
    stack::trim_stack,
    yields::{sleep, spawn, spawn_fiber, timeout, yield_now, yield_turn},
};
