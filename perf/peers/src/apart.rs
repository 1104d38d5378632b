//! Rows whose runtime takes a host thread of its own, since it keeps its state by thread.

use std::sync::mpsc;
use std::time::Duration;

use crate::common::pin;
use crate::table::{Row, Target};

/// A row whose `make` runs once on a thread of its own, tied to the same cpu, and gives what does a batch there.
pub fn apart<B: FnMut(u64) -> Duration>(name: &'static str, make: impl FnOnce() -> B + Send + 'static) -> Row {
    let (ask, asked) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        pin(0);
        let mut batch = make();
        for iters in asked {
            if tell.send(batch(iters)).is_err() {
                break;
            }
        }
        // The thread stays: boost.fiber would wait for its fibers to end, spinning, and take a cpu from who is measured next.
        std::mem::forget(batch);
        loop {
            std::thread::park();
        }
    });
    Row::timed(name, Target::None, move |iters| {
        ask.send(iters).expect("the thread waits");
        told.recv().expect("the thread goes on")
    })
}
