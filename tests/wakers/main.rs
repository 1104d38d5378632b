//! Wakers that panic, or come back to what wakes them: whoever made the change goes on, and so do all others who wait.

mod blocking;
mod mux;
#[path = "../common/muxes.rs"]
mod muxes;
mod queue;
#[path = "../common/wakers.rs"]
mod wakers;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use lwproc::Kernel;

/// A kernel, and how many panics were told to its hook.
fn told() -> (Kernel, impl Fn() -> usize) {
    let told = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&told);
    let hook = move |_: &(dyn std::any::Any + Send)| _ = counts.fetch_add(1, Ordering::SeqCst);
    (Kernel::builder().on_panic(hook).boot().unwrap(), move || told.load(Ordering::SeqCst))
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

/// How often it was woken.
fn wakes(count: &Arc<AtomicUsize>) -> usize {
    count.load(Ordering::SeqCst)
}
