//! Mutex, condition and channel, from host threads, fibers and futures.

mod channels;
mod conditions;
#[path = "../common/killed.rs"]
mod killed;
mod mixed;
mod mutexes;
#[path = "../common/muxes.rs"]
mod muxes;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use muxes::{lwp, mux};

/// A deadline that will not come.
fn late() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A deadline that comes soon.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(5)
}

/// Polls once, with nobody to be woken.
fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls once, and gives up.
fn poll_and_drop<F: Future>(future: F) -> Poll<F::Output> {
    poll(pin!(future))
}
