//! What the calling thread or task runs: its current lwp, and with it its kernel; how contexts are put aside, saved and
//! restored; and how what they leave comes to its end.
//!
//! A host thread has one context, a task of a multiplexer has another, and both follow one rule, which nothing here asks about:
//!
//! - A lwp is *held* by the one context in which it is current, or was when that was put aside. Held, it is Running.
//! - Who makes another lwp current lets go of the one that was. Then it is Idle, and anybody's.
//! - A context is put aside by a stay in another ([`nest`]), and restored when that ends; a task's is [saved](saved::Saved)
//!   while others have their turns. Either way it is one value, and holds what it held.
//! - A context keeps the memory of the kernel that it is in, unless whoever made it does: its [home](curlwp::Home).

pub(crate) mod curlwp;
mod curproc;
mod current;
pub(crate) mod exit;
pub(crate) mod halt;
mod hook;
pub(crate) mod leave;
pub mod local;
pub(crate) mod nest;
pub(crate) mod saved;

pub(crate) use curproc::Curproc;
pub(crate) use current::{Current, current};
pub(crate) use leave::{bind, ready, switch};
pub(crate) use nest::nest;
