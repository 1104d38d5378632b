//! Wakes from another host thread, there and back.

use std::future::{pending, poll_fn};
use std::hint;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use lwproc::mux::yield_turn;
use lwproc::{Mux, MuxHandle};
use rustix::event::{EventfdFlags, eventfd};

use crate::common::yields::process;
use crate::common::{cpus, kernel, pin};
use crate::table::Target::{None, Times};
use crate::table::{Row, bare_claim, ns};

/// What the multiplexer does when it is woken.
#[derive(Clone, Copy, PartialEq)]
enum When {
    /// It spins.
    Spinning,
    /// It gives turns to a task that always yields.
    Busy,
    /// It sleeps, and so does who wakes it, until the answer comes.
    Sleeping,
}

const EVENTFD: &str = "two host threads by eventfd, there and back";

pub(crate) fn rows(_small: bool) -> Vec<Row> {
    let mut rows = vec![bare_claim()];
    if cpus() < 2 {
        return rows;
    }
    rows.push(Row::timed(EVENTFD, None, by_eventfd));
    for (name, when, target) in [
        ("wake of a spinning mux, there and back", When::Spinning, ns(300.0)),
        ("wake of a busy mux, there and back", When::Busy, ns(300.0)),
        ("wake of a sleeping mux, there and back", When::Sleeping, Times(EVENTFD, 1.2)),
    ] {
        rows.push(Row::timed(name, target, move |iters| by_waker(when, iters)));
    }
    rows
}

fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC).expect("the host has a descriptor")
}

fn signal(event: &OwnedFd) {
    rustix::io::write(event, &1u64.to_ne_bytes()).expect("the counter has room");
}

fn await_signal(event: &OwnedFd) {
    rustix::io::read(event, &mut [0; 8]).expect("it is signalled");
}

fn by_eventfd(iters: u64) -> Duration {
    let (there, back) = (event(), event());
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            for _ in 0..iters {
                await_signal(&there);
                signal(&back);
            }
        });
        let begun = Instant::now();
        for _ in 0..iters {
            signal(&there);
            await_signal(&back);
        }
        begun.elapsed()
    })
}

/// What is called, and what is answered.
struct Call {
    asked: AtomicU64,
    answered: AtomicU64,
    waker: OnceLock<Waker>,
    event: OwnedFd,
}

fn by_waker(when: When, iters: u64) -> Duration {
    let call = Arc::new(Call {
        asked: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        waker: OnceLock::new(),
        event: event(),
    });
    let (tell, told) = sync_channel::<MuxHandle>(1);
    let answers = Arc::clone(&call);
    let answerer = thread::spawn(move || {
        pin(1);
        let kernel = kernel();
        let spin = if when == When::Sleeping { 0 } else { 100_000 };
        let mut mux = Mux::builder(&kernel).spin(spin).build().expect("there is room for a multiplexer");
        if when == When::Busy {
            let hog = async {
                loop {
                    yield_turn().await;
                }
            };
            drop(mux.spawn(process(&kernel), hog).expect("there is room"));
        }
        let answer = poll_fn(move |cx| {
            let asked = answers.asked.load(Ordering::Acquire);
            if answers.answered.swap(asked, Ordering::Release) != asked && when == When::Sleeping {
                signal(&answers.event);
            }
            answers.waker.get_or_init(|| cx.waker().clone());
            Poll::<()>::Pending
        });
        drop(mux.spawn(process(&kernel), answer).expect("there is room"));
        tell.send(mux.handle()).expect("somebody asks");
        assert_eq!(mux.run_until(pending::<()>()), Ok(Option::None));
    });
    let mux = told.recv().expect("it answers");
    let waker = call.waker.wait();
    let ask = |number| {
        call.asked.store(number, Ordering::Release);
        waker.wake_by_ref();
        if when == When::Sleeping {
            await_signal(&call.event);
        }
        while call.answered.load(Ordering::Acquire) != number {
            hint::spin_loop();
        }
    };
    // Until its spin has adapted.
    (1..=100).for_each(ask);
    let begun = Instant::now();
    (101..=100 + iters).for_each(ask);
    let taken = begun.elapsed();
    mux.stop();
    answerer.join().expect("no panic");
    taken
}
