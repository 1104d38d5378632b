//! What is killed or cancelled ends, whatever it does with `EINTR`, and keeps nobody else from a turn.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lwproc::mux::{yield_now, yield_turn};
use lwproc::{Errno, Fd, JoinError, JoinHandle, Kernel, ProcOptions, Runtime, sys};

use super::bounded;
use crate::muxes::{lwp, mux, nothing_left, sharing};

/// A descriptor for the helpers of `std::io`, which try again for ever where it is `EINTR`.
struct FdIo(Fd);

impl Read for FdIo {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(sys::read(self.0, buf)?)
    }
}

/// Ends in a bounded number of turns, though it ignores what it is told.
type Ignores = fn();

const FIBERS: [(&str, Ignores); 4] = [
    ("a reader that tries again", || {
        let (reader, _writer) = sys::pipe().unwrap();
        BufReader::new(FdIo(reader)).lines().count();
    }),
    ("a poller", || {
        loop {
            let _ = sys::poll(&mut [], None);
        }
    }),
    ("one that only yields", || {
        loop {
            yield_now();
        }
    }),
    ("a reader that catches", || {
        let (reader, _writer) = sys::pipe().unwrap();
        loop {
            let _ = catch_unwind(|| sys::read(reader, &mut [0]));
        }
    }),
];

/// Ticks until it is told to end.
fn ticks(end: &AtomicBool) -> u64 {
    let mut ticks = 0;
    while !end.load(Ordering::Relaxed) {
        ticks += 1;
        yield_now();
    }
    ticks
}

#[test]
fn a_killed_fiber_ends_whatever_it_does_with_eintr_and_its_neighbours_have_their_turns() {
    bounded(|| {
        for (what, ignores) in FIBERS {
            let kernel = Kernel::new().unwrap();
            let runtime = Runtime::new(&kernel, 1).unwrap();
            let end = Arc::new(AtomicBool::new(false));
            let ended = Arc::clone(&end);
            let victim = lwp(&kernel);
            let pid = victim.pid();
            let mut killed = runtime.spawn_fiber(victim, ignores).unwrap();
            let mut neighbour = runtime.spawn_fiber(lwp(&kernel), move || ticks(&ended)).unwrap();
            // When this has had its turns, the victim has had one.
            runtime.spawn_fiber(lwp(&kernel), yield_now).unwrap().join().unwrap();
            kernel.kill(pid).unwrap();
            // It has ended, with a result or without one.
            println!("{what}: {:?}", killed.join());
            end.store(true, Ordering::Relaxed);
            assert!(neighbour.join().unwrap() > 0, "{what}");
            drop(runtime);
            nothing_left(&kernel);
        }
    });
}

#[test]
fn a_killed_future_ends_whatever_it_does_with_eintr() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let (reads, yields, starves) = (lwp(&kernel), lwp(&kernel), lwp(&kernel));
        let victims = [reads.pid(), yields.pid(), starves.pid()];
        let ended: [JoinHandle<()>; 3] = [
            mux.spawn(reads, async {
                let (reader, _writer) = sys::pipe().unwrap();
                loop {
                    let _ = sys::aio::read(reader, &mut [0]).await;
                }
            })
            .unwrap(),
            mux.spawn(yields, async {
                loop {
                    yield_turn().await;
                }
            })
            .unwrap(),
            mux.spawn(starves, async {
                let (reader, _writer) = sys::pipe().unwrap();
                while sys::aio::read(reader, &mut [0]).await != Err(Errno::EINTR) {}
            })
            .unwrap(),
        ];
        let killer = kernel.clone();
        let kills = move || {
            yield_now();
            for pid in victims {
                killer.kill(pid).unwrap();
            }
            yield_now();
            7
        };
        let mut neighbour = mux.spawn_fiber(lwp(&kernel), kills).unwrap();
        mux.run().unwrap();
        assert_eq!(neighbour.join().unwrap(), 7);
        assert!(ended.iter().all(JoinHandle::is_finished));
        nothing_left(&kernel);
    });
}

#[test]
fn a_cancelled_fiber_that_catches_its_unwinding_and_ends_on_eintr_lets_its_runtime_go() {
    bounded(|| {
        let kernel = Kernel::new().unwrap();
        let (reader, _writer) = kernel.enter(sys::pipe).unwrap();
        let runtime = Runtime::new(&kernel, 1).unwrap();
        let serves = move || {
            loop {
                // A handler's panic is not to end the connection.
                let request = catch_unwind(|| sys::read(reader, &mut [0; 64]));
                if let Ok(Ok(0) | Err(_)) = request {
                    break;
                }
            }
        };
        let mut join = runtime.spawn_fiber(sharing(&kernel), serves).unwrap();
        runtime.spawn_fiber(lwp(&kernel), yield_now).unwrap().join().unwrap();
        drop(runtime);
        assert!(matches!(join.join(), Err(JoinError::Cancelled)));
        nothing_left(&kernel);
    });
}

#[test]
fn a_cancelled_fiber_that_catches_for_ever_is_told_once_and_stopped_in_a_bounded_number_of_steps() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let (reader, _writer) = kernel.enter(sys::pipe).unwrap();
        let (steps, told) = (Rc::new(Cell::new(0u32)), Rc::new(Cell::new(0u32)));
        let (its_steps, its_told) = (Rc::clone(&steps), Rc::clone(&told));
        let catches = move || {
            loop {
                its_steps.set(its_steps.get() + 1);
                let caught = catch_unwind(AssertUnwindSafe(|| sys::read(reader, &mut [0])));
                if let Ok(Err(Errno::EINTR)) = caught {
                    its_told.set(its_told.get() + 1);
                }
            }
        };
        drop(mux.spawn_fiber(sharing(&kernel), catches).unwrap());
        let stop = mux.handle();
        drop(mux.spawn_fiber(lwp(&kernel), move || stop.stop()).unwrap());
        mux.run().unwrap();
        drop(mux);
        assert!(told.get() <= 1, "told {} times", told.get());
        assert!(steps.get() < 1000, "{} steps", steps.get());
        nothing_left(&kernel);
    });
}

#[test]
fn a_killed_process_that_is_in_a_second_fiber_ends_both() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let first = kernel.spawn(ProcOptions::new()).unwrap();
        let second = first.newlwp().unwrap();
        let pid = first.pid();
        drop(mux.spawn_fiber(first, FIBERS[1].1).unwrap());
        drop(mux.spawn_fiber(second, FIBERS[0].1).unwrap());
        let killer = kernel.clone();
        let kills = move || {
            yield_now();
            killer.kill(pid).unwrap();
        };
        drop(mux.spawn_fiber(lwp(&kernel), kills).unwrap());
        mux.run().unwrap();
        nothing_left(&kernel);
    });
}
