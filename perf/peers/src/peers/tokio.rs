//! tokio, on its current-thread runtime.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::memory::Parked;
use crate::multiplexing::AT_ONCE;
use crate::remote::{Line, Mode};
use crate::table::{Row, Target};
use crate::tasks::{Laps, SelfWake, yields};

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime starts")
}

/// By self-wakes.
pub fn self_wakes(name: &'static str, count: usize) -> Row {
    yielding(name, count, |runtime, laps| drop(runtime.spawn(yields(laps))))
}

/// By its own `yield_now`.
pub fn yields_now(name: &'static str, count: usize) -> Row {
    yielding(name, count, |runtime, laps| {
        drop(runtime.spawn(async move {
            loop {
                if let Some(laps) = &laps {
                    laps.lap();
                }
                tokio::task::yield_now().await;
            }
        }));
    })
}

fn yielding(name: &'static str, count: usize, spawn: impl Fn(&Runtime, Option<Arc<Laps>>)) -> Row {
    let (runtime, laps) = (runtime(), Arc::new(Laps::default()));
    for number in 0..count {
        spawn(&runtime, (number == 0).then(|| Arc::clone(&laps)));
    }
    Row::new(name, Target::None, move |iters| runtime.block_on(Arc::clone(&laps).pass(iters / count as u64)))
        .in_laps(count)
}

pub fn life(name: &'static str) -> Row {
    let (runtime, ran) = (runtime(), Arc::new(AtomicU64::new(0)));
    Row::new(name, Target::None, move |iters| {
        ran.store(0, Ordering::Relaxed);
        for _ in 0..iters / AT_ONCE {
            runtime.block_on(async {
                let mut last = None;
                for _ in 0..AT_ONCE {
                    let ran = Arc::clone(&ran);
                    last = Some(tokio::spawn(async move {
                        // All on one thread.
                        ran.store(ran.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    }));
                }
                if let Some(last) = last {
                    last.await.expect("it ends");
                }
            });
        }
        assert_eq!(ran.load(Ordering::Relaxed), iters);
    })
    .in_laps(AT_ONCE as usize)
}

/// Over unbounded channels.
pub fn ping_pong_unbounded(name: &'static str) -> Row {
    let runtime = runtime();
    Row::new(name, Target::None, move |iters| {
        let (to, mut from) = mpsc::unbounded_channel();
        let (back, mut answers) = mpsc::unbounded_channel();
        runtime.spawn(async move {
            while let Some(value) = from.recv().await {
                let _ = back.send(value);
            }
        });
        let all = runtime.spawn(async move {
            for value in 0..iters {
                to.send(value).expect("open");
                assert_eq!(answers.recv().await, Some(value));
            }
        });
        runtime.block_on(all).expect("it ends");
    })
}

/// Over channels for one value.
pub fn ping_pong(name: &'static str) -> Row {
    let runtime = runtime();
    Row::new(name, Target::None, move |iters| {
        let (to, mut from) = mpsc::channel(1);
        let (back, mut answers) = mpsc::channel(1);
        runtime.spawn(async move {
            while let Some(value) = from.recv().await {
                let _ = back.send(value).await;
            }
        });
        let all = runtime.spawn(async move {
            for value in 0..iters {
                to.send(value).await.expect("open");
                assert_eq!(answers.recv().await, Some(value));
            }
        });
        runtime.block_on(all).expect("it ends");
    })
}

pub fn remote(name: &'static str, mode: Mode) -> Row {
    crate::remote::woken(name, mode, move |line: Arc<Line>| {
        let runtime = runtime();
        if mode == Mode::Busy {
            runtime.spawn(Arc::clone(&line).keep_busy(SelfWake::new));
        }
        // As the others, which have no task apart: nothing else would be polled first.
        let answer = runtime.spawn(async move { line.answer().await });
        runtime.block_on(answer).expect("never ends");
    })
}

/// So many tasks, parked.
pub fn park(count: usize) -> Parked {
    let runtime = runtime();
    for _ in 0..count {
        drop(runtime.spawn(pending::<()>()));
    }
    runtime.block_on(runtime.spawn(async {})).expect("it ends");
    Parked::new(count, runtime)
}
