//! may, with one worker.
//!
//! What is spawned, or woken from elsewhere, waits in a global queue that the worker looks into when its own is empty: never,
//! while a coroutine yields. So all are made, parked, by one that leads, which lets the others run only while it measures.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use may::coroutine::{self, Builder, Coroutine};
use may::sync::mpsc;
use rustix::thread::gettid;

use crate::common::pin;
use crate::memory::Parked;
use crate::multiplexing::AT_ONCE;
use crate::remote::{Line, Mode};
use crate::table::{Row, Target};

/// In words.
const STACK: usize = (64 << 10) / size_of::<usize>();

fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> coroutine::JoinHandle<T> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        may::config().set_worker_pin(false);
        may::config().set_workers(1).set_stack_size(STACK).set_pool_capacity(1000);
    });
    // SAFETY: what runs here takes little stack, and uses no thread-locals but for a moment.
    unsafe { Builder::new().spawn(f) }.expect("there is a stack")
}

/// A row whose `make` runs once in a coroutine, and gives what does a batch there.
fn within<B: FnMut(u64) -> Duration>(name: &'static str, make: impl FnOnce() -> B + Send + 'static) -> Row {
    let (ask, asked) = mpsc::channel();
    let (tell, told) = channel();
    drop(spawn(move || {
        let mut batch = make();
        while let Ok(iters) = asked.recv() {
            pin(0);
            if tell.send(batch(iters)).is_err() {
                return;
            }
        }
    }));
    Row::timed(name, Target::None, move |iters| {
        ask.send(iters).expect("the coroutine waits");
        told.recv().expect("the coroutine goes on")
    })
}

pub fn yielding(name: &'static str, count: usize) -> Row {
    let row = within(name, move || {
        let (runs, parked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let others: Vec<Coroutine> = (1..count)
            .map(|_| {
                let (runs, parked) = (Arc::clone(&runs), Arc::clone(&parked));
                let join = spawn(move || {
                    loop {
                        // Relaxed, as all here: one thread.
                        parked.fetch_add(1, Ordering::Relaxed);
                        coroutine::park();
                        parked.fetch_sub(1, Ordering::Relaxed);
                        while runs.load(Ordering::Relaxed) {
                            coroutine::yield_now();
                        }
                    }
                });
                join.coroutine().clone()
            })
            .collect();
        let all_parked = move |parked: &AtomicU32| parked.load(Ordering::Relaxed) as usize == count - 1;
        // Asleep: while it yielded, they would not begin.
        while !all_parked(&parked) {
            coroutine::sleep(Duration::from_millis(1));
        }
        // may goes on with who has slept on the thread of its timers. What is woken there is woken from elsewhere.
        coroutine::yield_now();
        move |iters| {
            runs.store(true, Ordering::Relaxed);
            others.iter().for_each(Coroutine::unpark);
            while parked.load(Ordering::Relaxed) != 0 {
                coroutine::yield_now();
            }
            let begun = Instant::now();
            (0..iters / count as u64).for_each(|_| coroutine::yield_now());
            let taken = begun.elapsed();
            runs.store(false, Ordering::Relaxed);
            while !all_parked(&parked) {
                coroutine::yield_now();
            }
            taken
        }
    });
    row.in_laps(count)
}

pub fn life(name: &'static str) -> Row {
    within(name, || {
        |iters| {
            let begun = Instant::now();
            for _ in 0..iters / AT_ONCE {
                let all: Vec<_> = (0..AT_ONCE).map(|number| spawn(move || number)).collect();
                let sum: u64 = all.into_iter().map(|join| join.join().expect("it ends")).sum();
                assert_eq!(sum, AT_ONCE * (AT_ONCE - 1) / 2);
            }
            begun.elapsed()
        }
    })
    .in_laps(AT_ONCE as usize)
}

/// Over its unbounded channels.
pub fn ping_pong(name: &'static str) -> Row {
    within(name, || {
        let (to, from) = mpsc::channel();
        let (back, answers) = mpsc::channel();
        drop(spawn(move || {
            while let Ok(value) = from.recv() {
                let _ = back.send(value);
            }
        }));
        move |iters| {
            let begun = Instant::now();
            for value in 0..iters {
                to.send(value).expect("open");
                assert_eq!(answers.recv(), Ok(value));
            }
            begun.elapsed()
        }
    })
}

/// By `unpark`. Not beside one that yields: that one would keep it from ever waking.
pub fn remote(name: &'static str, mode: Mode) -> Row {
    let line = Arc::new(Line::default());
    let answers = {
        let line = Arc::clone(&line);
        spawn(move || {
            pin(1);
            line.begin(gettid());
            let mut seen = 0;
            loop {
                while line.pinged() == seen {
                    coroutine::park();
                }
                seen = line.pinged();
                line.pong(seen);
            }
        })
    };
    let answers = answers.coroutine().clone();
    crate::remote::row(name, mode, line, move || answers.unpark())
}

/// So many coroutines, parked.
pub fn park(count: usize) -> Parked {
    let begun = Arc::new(AtomicU32::new(0));
    let all: Vec<_> = (0..count)
        .map(|_| {
            let begun = Arc::clone(&begun);
            spawn(move || {
                begun.fetch_add(1, Ordering::Relaxed);
                loop {
                    coroutine::park();
                }
            })
        })
        .collect();
    while begun.load(Ordering::Relaxed) as usize != count {
        std::thread::sleep(Duration::from_millis(1));
    }
    Parked::new(count, all)
}
