//! Host threads that spawn on several multiplexers, wake, kill, join and forget, at random: nobody is left waiting, and
//! nothing at the end.
//!
//! Longer: `cargo test --release --test mux_stress -- --ignored`. Under ThreadSanitizer: `.ci/sanitize thread`.

#[path = "common/random.rs"]
mod random;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use lwproc::mux::{sleep, yield_now, yield_turn};
use lwproc::{Console, JoinError, JoinHandle, Kernel, Mux, MuxHandle, ProcOptions, Runtime, sys};
use random::Random;

const THREADS: u64 = 4;

/// Opened once, by any thread; who waits for it before is woken.
#[derive(Default)]
struct Gate {
    open: AtomicBool,
    waits: Mutex<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.open.store(true, Ordering::Release);
        if let Some(waker) = self.waits.lock().take() {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        *self.waits.lock() = Some(waker.clone());
        if self.open.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    async fn passed(&self) {
        poll_fn(|cx| self.poll(cx.waker())).await;
    }
}

/// Counts the tasks that there are.
struct Alive(Arc<AtomicI64>);

impl Alive {
    fn new(count: &Arc<AtomicI64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct One {
    gate: Arc<Gate>,
    join: JoinHandle<u64>,
    killed: bool,
}

/// Spawns a task of a random kind.
fn spawn(kernel: &Kernel, mux: &MuxHandle, alive: &Arc<AtomicI64>, random: &mut Random) -> One {
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let gate = Arc::new(Gate::default());
    let (waits, alive) = (Arc::clone(&gate), Alive::new(alive));
    let killed = random.below(8) == 0;
    let pid = lwp.pid();
    let rounds = random.below(20);
    let join = if random.below(2) == 0 {
        mux.spawn_fiber(lwp, move || {
            let _alive = alive;
            (0..rounds).for_each(|_| yield_now());
            match killed {
                // For ever, but for the kill.
                true => u64::from(sys::poll(&mut [], None).is_err()),
                false => {
                    let _ = sys::nanosleep(Duration::from_micros(rounds as u64), None);
                    // A spin that yields: the gate may be opened by a thread that wakes nobody.
                    while !waits.open.load(Ordering::Acquire) {
                        yield_now();
                    }
                    1
                }
            }
        })
    } else {
        mux.spawn(lwp, async move {
            let _alive = alive;
            for _ in 0..rounds {
                yield_turn().await;
            }
            match killed {
                true => u64::from(sleep(Duration::from_secs(3600)).await.is_err()),
                false => {
                    let _ = sleep(Duration::from_micros(rounds as u64)).await;
                    waits.passed().await;
                    1
                }
            }
        })
    };
    if killed {
        kernel.kill(pid).unwrap();
    }
    One { gate, join: join.unwrap(), killed }
}

fn stress(time: Duration) {
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    kernel.switch(None);
    let until = Instant::now() + time;
    let alive = Arc::new(AtomicI64::new(0));
    while Instant::now() < until {
        let runtime = Runtime::with(&Mux::builder(&kernel).budget(8), 2).unwrap();
        thread::scope(|scope| {
            for number in 1..=THREADS {
                let (kernel, runtime, alive) = (&kernel, &runtime, &alive);
                scope.spawn(move || {
                    // Not in the default kernel: ThreadSanitizer does not see how std makes that once.
                    kernel.switch(None);
                    let mut random = Random(number << 20 | 0x9E37);
                    let mut ones = Vec::new();
                    for _ in 0..200 {
                        let mux = &runtime.muxes()[random.below(2)];
                        ones.push(spawn(kernel, mux, alive, &mut random));
                        if random.below(3) == 0 {
                            let mut one: One = ones.swap_remove(random.below(ones.len()));
                            one.gate.open();
                            if random.below(4) != 0 {
                                assert_eq!(one.join.join().unwrap(), 1);
                            }
                        }
                    }
                    for mut one in ones {
                        match random.below(8) {
                            // Cancelled with the runtime, if it has not finished by then.
                            0 if !one.killed => drop(one.join),
                            _ => {
                                one.gate.open();
                                assert_eq!(one.join.join().unwrap(), 1);
                            }
                        }
                    }
                });
            }
        });
        drop(runtime);
        assert_eq!((kernel.usage().lwps, kernel.usage().procs, alive.load(Ordering::Relaxed)), (0, 0, 0));
        stopped_at_random(&kernel, &alive);
    }
}

/// A runtime that goes while others spawn on it.
fn stopped_at_random(kernel: &Kernel, alive: &Arc<AtomicI64>) {
    let runtime = Runtime::new(kernel, 2).unwrap();
    let muxes = runtime.muxes().to_vec();
    thread::scope(|scope| {
        let spawns = scope.spawn(|| {
            let mut random = Random(77);
            let mut joins = Vec::new();
            while !muxes.iter().all(MuxHandle::is_closed) && joins.len() < 1000 {
                let lwp = kernel.spawn(ProcOptions::new()).unwrap();
                let alive = Alive::new(alive);
                let mux = &muxes[random.below(2)];
                let spawned = if random.below(2) == 0 {
                    mux.spawn_fiber(lwp, move || drop(alive))
                } else {
                    mux.spawn(lwp, async move { drop(alive) })
                };
                joins.extend(spawned.ok());
            }
            joins
        });
        drop(runtime);
        for mut join in spawns.join().unwrap() {
            assert!(matches!(join.join(), Ok(()) | Err(JoinError::Cancelled)));
        }
    });
    assert_eq!((kernel.usage().lwps, kernel.usage().procs, alive.load(Ordering::Relaxed)), (0, 0, 0));
}

#[test]
fn nobody_is_left_waiting_and_nothing_at_the_end() {
    stress(Duration::from_secs(2));
}

#[test]
#[ignore = "takes a minute"]
fn for_a_minute() {
    stress(Duration::from_secs(60));
}
