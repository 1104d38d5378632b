//! The multiplexer: many lwps on one host thread, as fibers and futures.
//!
//! A [`Mux`] runs on the host thread that made it. What is spawned there is a *task*: a lwp, and a fiber or future to run in
//! it. Tasks have turns, one after the other; a turn lasts until the task blocks, yields or ends, or has used up its calls.
//! Between turns nothing of the task is on the host thread's stack.
//!
//! # A task is a virtual host thread
//!
//! It has a [context](crate#who-is-current) of its own, which begins in the lwp that it was spawned with. It may do whatever a
//! host thread may: enter lwps and kernels, switch, fork, release. What is current in it, and what it has put aside by
//! entering another, *runs* for everybody, whether the task has its turn or not; what it switches away from is anybody's. When
//! it ends, the lwp that it was spawned with is released: where another runs that by its id at the moment, when that one lets
//! go of it. Whatever else is current then is let go of.
//!
//! # A turn
//!
//! What never has to wait would keep its turn for good: who reads from a peer that is quicker, who locks what is always free. So
//! a task makes 128 calls in a turn ([`MuxBuilder::calls`]) that may wait and do not: reads and writes of any file, accepts,
//! polls, sleeps, locks of a [`Mutex`](crate::blocking::Mutex), values sent and received. With the next one others go first,
//! before anything of it is done: a fiber is suspended, a future is `Pending` once, and woken. So wherever a call may wait,
//! others may have their turns, though it has nothing to wait for: whoever holds a lock of the host's
//! ([`std::sync::Mutex`]) or a [`RefCell`](std::cell::RefCell)'s borrow over one shows it to them. A fiber that unwinds is left
//! to it. A turn that used up its calls counts as 32 in what follows.
//!
//! # A round
//!
//! 1. *Turns*, 32 or until nobody is ready. The run queue belongs to the host thread: no atomics. To change tasks is to save
//!    one context and restore another, by plain stores: what is current in them is theirs all the time.
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
//! # Cancel and kill
//!
//! A task that has not finished when its multiplexer is dropped is *cancelled*: its future is dropped, its fiber unwound from
//! where it waits, each in its context; the handle learns of it ([`JoinError::Cancelled`]). While a fiber unwinds, its first wait
//! is `EINTR`. A fiber that catches its unwinding and waits again is told `EINTR` once, and unwound again by each later wait; after
//! eight times, or after 64 times `EINTR` where it cannot be unwound (it unwinds already, or has frames of C), it is suspended for
//! good: its lwp is released, what it owes is given, and its stack is never touched again, as if forgotten. When a process is
//! [killed](crate::Kernel::kill), its tasks' waits are `EINTR`, not more often than once a turn; and each of its tasks has 64 more
//! turns, whether it asks for them or not, after which it is cancelled. So neither a drop nor a neighbour waits for ever for one
//! that retries, and a task that takes no notice of any error ends all the same: its turns end with their calls, though they all
//! succeed. What makes no call, and comes to no [`checkpoint`], is out of reach.
//!
//! # Panics
//!
//! A panic ends its task alone, and is in the handle. One of a drop, a waker or a hook that no handle sees ends where it occurs,
//! and is told to [`Builder::on_panic`](crate::Builder::on_panic). That of the future of [`Mux::run_until`] goes on to its caller;
//! the multiplexer is as good as before. A multiplexer that runs while its host thread unwinds, in a drop, works as otherwise: a
//! fiber may wait then; but one that is cancelled where it waited then is told `EINTR` and not unwound, since nobody can tell
//! whether it unwinds already.
//!
//! # Long turns
//!
//! A task that makes no calls keeps all others from their turns: it is native code, which nothing preempts. What computes for long
//! calls [`checkpoint`] now and then, or awaits [`checkpoint_async`]; or it has a host thread of its own.
//!
//! [`MuxBuilder::watchdog`] tells of turns that last: whose they are, by process, lwp and name. Who is told may write a line;
//! [kill](crate::Kernel::kill) the process, which ends the task at its next call or checkpoint; place new work on other
//! multiplexers; and, where the task comes to neither, end the host process. There is no way to take a host thread back from native
//! code: what cannot be trusted to come to an end is not for a multiplexer.
//! [`Kernel::ps`](crate::Kernel::ps) shows whose it is: running, with switches that stand still.

#[cfg(not(loom))]
mod cancel;
#[cfg(not(loom))]
mod checkpoint;
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
#[cfg(any(not(loom), test))]
pub(crate) mod shown;
pub(crate) mod spawn;
#[cfg(not(loom))]
mod spin;
pub(crate) mod stack;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
mod waits;
#[cfg(not(loom))]
mod watchdog;
#[cfg(not(loom))]
mod yields;

pub use self::spawn::JoinError;
#[cfg(all(feature = "capi", not(loom)))]
pub(crate) use self::yields::runs_here;
#[cfg(not(loom))]
pub use self::{
    checkpoint::{checkpoint, checkpoint_async},
    handle::MuxHandle,
    options::MuxBuilder,
    run::Mux,
    runtime::Runtime,
    spawn::{JoinHandle, SpawnError, SpawnErrorKind},
    stack::trim_stack,
    watchdog::LongTurn,
    yields::{sleep, spawn, spawn_fiber, timeout, yield_now, yield_turn},
};
