//! The multiplexer: fibers and futures, each in its lwp, on one host thread.

#[path = "../common/apart.rs"]
mod apart;
mod calls;
mod checkpoints;
mod contexts;
mod edges;
mod ends;
mod fairness;
mod joining;
#[path = "../common/muxes.rs"]
mod muxes;
mod runaway;
mod sockets;
mod soundness;
mod stacks;
mod threads;

use muxes::{lwp, mux, nothing_left, sharing};
