//! Futures that every executor here is given alike.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

/// Wakes itself and is pending once: the plainest yield.
pub struct SelfWake(bool);

impl SelfWake {
    pub fn new() -> Self {
        Self(false)
    }
}

impl Future for SelfWake {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The laps that are left of a batch, which the first of all tasks counts.
#[derive(Default)]
pub struct Laps {
    left: AtomicU64,
    /// Who waits for the last one.
    over: AtomicWaker,
}

impl Laps {
    /// The first task's turn: one lap has passed.
    #[inline]
    pub fn lap(&self) {
        // Relaxed: all on one thread.
        match self.left.load(Ordering::Relaxed) {
            0 => {}
            1 => {
                self.left.store(0, Ordering::Relaxed);
                self.over.wake();
            }
            left => self.left.store(left - 1, Ordering::Relaxed),
        }
    }

    /// Is ready when `laps` have passed.
    pub async fn pass(self: Arc<Self>, laps: u64) {
        self.left.store(laps, Ordering::Relaxed);
        std::future::poll_fn(|context| {
            self.over.register(context.waker());
            if self.left.load(Ordering::Relaxed) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Yields for ever by self-wakes; the first of all tasks counts the laps.
pub async fn yields(laps: Option<Arc<Laps>>) {
    match laps {
        Some(laps) => loop {
            laps.lap();
            SelfWake::new().await;
        },
        None => loop {
            SelfWake::new().await;
        },
    }
}
