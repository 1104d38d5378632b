//! What the multiplexer does most often, as ratios to the bare claim.

use std::cell::Cell;
use std::rc::Rc;

use lwproc::blocking::channel;
use lwproc::mux::yield_now;
use lwproc::{FdInherit, Mux, ProcOptions, sys};

use crate::common::kernel;
use crate::common::yields::{Coroutines, Pair, Yields, process};
use crate::table::Target::{self, None, Times};
use crate::table::{Row, bare_claim, ns};

/// A yield among so many.
pub(crate) struct Among {
    pub(crate) count: usize,
    fibers: &'static str,
    futures: &'static str,
    /// At most so many nanoseconds: a fiber's, and a future's.
    most: Option<(f64, f64)>,
}

pub(crate) const FEW: Among =
    Among { count: 2, fibers: "yield, 2 fibers", futures: "yield, 2 futures", most: Option::None };

pub(crate) const MANY: Among =
    Among { count: 1_000, fibers: "yield, 1,000 fibers", futures: "yield, 1,000 futures", most: Some((7.7, 8.3)) };

pub(crate) const VERY_MANY: Among = Among {
    count: 100_000,
    fibers: "yield, 100,000 fibers",
    futures: "yield, 100,000 futures",
    most: Some((25.0, 19.0)),
};

/// How long a bare coroutine takes, how long a round of them where the host has mappings for so many, and how long a fiber;
/// the last row is a future's. `small`: among few, to see that it runs.
pub(crate) fn yields(among: &Among, small: bool) -> Vec<Row> {
    let count = if small { among.count.min(64) } else { among.count };
    let mut pair = Pair::new();
    let mut rows = vec![bare_claim(), Row::new(PAIR, None, move |iters| (0..iters).for_each(|_| pair.next()))];
    let (fiber, future) = among.most.map_or((None, None), |(fiber, future)| (ns(fiber), ns(future)));
    let mut fibers = yielding(among.fibers, Yields::fibers(count), fiber);
    if among.count == MANY.count {
        let mut round = Coroutines::new(count);
        rows.push(Row::new(ROUND, None, move |iters| (0..iters).for_each(|_| round.next())).in_laps(count));
        fibers.also(Times(ROUND, 2.0));
        fibers.also(Times(PAIR, 2.0));
    }
    rows.push(fibers);
    if among.count == MANY.count {
        for (name, depth) in DEEP {
            rows.push(yielding(name, Yields::fibers_that_call(count, depth), None));
        }
    }
    rows.push(yielding(among.futures, Yields::futures(count), future));
    rows
}

/// How deep a fiber of a number yields.
type Depth = fn(usize) -> usize;

const DEEP: [(&str, Depth); 3] = [
    ("yield in a function, 1,000 fibers", |_| 1),
    ("yield 3 calls deep, 1,000 fibers", |_| 3),
    ("yield 1 to 8 calls deep, 1,000 fibers", |number| number * 7 % 8 + 1),
];

const PAIR: &str = "coroutine, resume + suspend";
const ROUND: &str = "1,000 coroutines in a VecDeque";

fn yielding(name: &'static str, mut yields: Yields, target: Target) -> Row {
    let count = yields.count();
    Row::new(name, target, move |iters| yields.run(iters)).in_laps(count)
}

/// Beginning and ending: what is spawned runs in turns of so many.
pub(crate) const AT_ONCE: u64 = 64;

pub(crate) fn lives(_small: bool) -> Vec<Row> {
    let mut rows = vec![bare_claim()];
    for (name, fiber, target) in
        [("spawn + finish of a fiber", true, ns(90.0)), ("spawn + finish of a future", false, ns(70.0))]
    {
        let kernel = kernel();
        let parent = process(&kernel);
        let mut mux = Mux::new(&kernel).expect("there is room for a multiplexer");
        let ran = Rc::new(Cell::new(0_u64));
        let row = Row::new(name, target, move |iters| {
            ran.set(0);
            for _ in 0..iters / AT_ONCE {
                for _ in 0..AT_ONCE {
                    let lwp = parent.newlwp().expect("the kernel has room");
                    let ran = Rc::clone(&ran);
                    let count = move || ran.set(ran.get() + 1);
                    if fiber {
                        drop(mux.spawn_fiber(lwp, count).expect("there is a stack"));
                    } else {
                        drop(mux.spawn(lwp, async move { count() }).expect("there is room"));
                    }
                }
                mux.run().expect("it runs");
            }
            assert_eq!(ran.get(), iters / AT_ONCE * AT_ONCE);
        });
        rows.push(row.in_laps(AT_ONCE as usize));
    }
    rows
}

/// Two fibers, and a channel from each to the other.
pub(crate) fn talking(_small: bool) -> Vec<Row> {
    let mut rows = vec![bare_claim()];
    for (name, fibers, target) in [
        ("two fibers by channels, there and back", true, ns(35.0)),
        ("two futures by channels, there and back", false, None),
    ] {
        let kernel = kernel();
        let mut mux = Mux::new(&kernel).expect("there is room for a multiplexer");
        let (ask, asked) = channel(1);
        let (answer, answered) = channel(1);
        if fibers {
            drop(mux.spawn_fiber(process(&kernel), move || {
                while let Ok(number) = asked.recv() {
                    answer.send(number).expect("somebody asks");
                }
            }));
        } else {
            drop(mux.spawn(process(&kernel), async move {
                while let Ok(number) = asked.recv_async().await {
                    answer.send_async(number).await.expect("somebody asks");
                }
            }));
        }
        let asking = Rc::new((ask, answered));
        rows.push(Row::new(name, target, move |iters| {
            let asking = Rc::clone(&asking);
            let (stop, lwp) = (mux.handle(), process(&kernel));
            if fibers {
                drop(mux.spawn_fiber(lwp, move || {
                    for number in 0..iters {
                        asking.0.send(number).expect("somebody answers");
                        assert_eq!(asking.1.recv(), Ok(number));
                    }
                    stop.stop();
                }));
            } else {
                drop(mux.spawn(lwp, async move {
                    for number in 0..iters {
                        asking.0.send_async(number).await.expect("somebody answers");
                        assert_eq!(asking.1.recv_async().await, Ok(number));
                    }
                    stop.stop();
                }));
            }
            mux.run().expect("it runs");
        }));
    }
    rows
}

const ONE_READS: &str = "a byte through a pipe that one fiber reads";

/// A byte wakes one, however many wait for it.
pub(crate) fn herds(small: bool) -> Vec<Row> {
    let mut rows = vec![bare_claim()];
    let many = if small { 10 } else { 10_000 };
    for (name, readers, target) in
        [(ONE_READS, 1, None), ("a byte through a pipe that 10,000 fibers read", many, Times(ONE_READS, 10.0))]
    {
        let kernel = kernel();
        let mut mux = Mux::new(&kernel).expect("there is room for a multiplexer");
        let (reader, writer) = kernel.enter(sys::pipe).expect("there is room for a pipe");
        let sharing = move || kernel.spawn(ProcOptions::new().fds(FdInherit::Share)).expect("the kernel has room");
        for _ in 0..readers {
            drop(mux.spawn_fiber(sharing(), move || while sys::read(reader, &mut [0]) == Ok(1) {}));
        }
        rows.push(Row::new(name, target, move |iters| {
            let stop = mux.handle();
            drop(mux.spawn_fiber(sharing(), move || {
                for _ in 0..iters {
                    assert_eq!(sys::write(writer, &[0]), Ok(1));
                    yield_now();
                }
                stop.stop();
            }));
            mux.run().expect("it runs");
        }));
    }
    rows
}
