//! A mutex, a condition and a channel for fibers, futures and host threads alike.
//!
//! Each wait has two forms: one that blocks, suspending a fiber alone or parking a host thread, and one that is awaited, in
//! a multiplexer's future or any other. Those who wait are served in the order in which they came, whatever they are.
//!
//! | | blocks | is awaited |
//! |---|---|---|
//! | [`Mutex`] | `lock`, `lock_until` | `lock_async` |
//! | [`Condition`] | `wait`, `wait_while`, `wait_until` | `wait_async`, `wait_while_async` |
//! | [`Sender`] | `send`, `send_until` | `send_async` |
//! | [`Receiver`] | `recv`, `recv_until` | `recv_async` |
//!
//! What blocks ends with `EINTR` when the process is killed, as a system call does; an awaited form is given up by
//! dropping it. Neither loses anything: a value that was not sent comes back, one that was not received stays, a lock
//! that was not taken goes to the next, and so does a notification.

pub(crate) mod block_on;
mod channel;
mod condition;
mod latch;
mod mutex;
mod receiver;
mod sender;
mod waiters;

pub use channel::channel;
pub use condition::Condition;
pub use mutex::{Mutex, MutexGuard};
pub use receiver::Receiver;
pub use sender::{SendError, Sender};
