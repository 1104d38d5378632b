//! The multiplexer: fibers and futures, each in its lwp, on one host thread.

mod contexts;
mod edges;
mod ends;
mod fairness;
mod joining;
#[path = "../common/muxes.rs"]
mod muxes;
mod runaway;
mod sockets;
mod stacks;
mod threads;

use muxes::{lwp, mux, nothing_left, sharing};
