//! What the multiplexer does most often, as ratios to the bare claim.

use std::cell::Cell;
use std::rc::Rc;

use lwproc::Mux;
use lwproc::blocking::channel;

use crate::common::kernel;
use crate::common::yields::{Coroutines, Pair, Yields, process};
use crate::operations::bare_claim;
use crate::table::Row;
use crate::table::Target::{self, None, Times};

/// What F took, in nanoseconds, where the targets were set.
const F: f64 = 2.2;

/// At most so many nanoseconds where F takes 2.2.
pub(crate) fn ns(most: f64) -> Target {
    // To two digits.
    Times("F", (most / F * 100.0).round() / 100.0)
}

/// `small`: among few, to see that it runs.
pub(crate) fn yields(small: bool) -> Vec<Row> {
    let count = |count: usize| if small { count.min(64) } else { count };
    let mut rows = vec![bare_claim()];
    let mut pair = Pair::new();
    rows.push(Row::new(PAIR, None, move |iters| (0..iters).for_each(|_| pair.next())));
    let mut round = Coroutines::new(count(1_000));
    rows.push(Row::new(ROUND, None, move |iters| (0..iters).for_each(|_| round.next())));
    for (name, yields, target) in [
        ("yield, 2 fibers", Yields::fibers(2), None),
        ("yield, 1,000 fibers", Yields::fibers(count(1_000)), ns(7.7)),
        ("yield, 100,000 fibers", Yields::fibers(count(100_000)), ns(25.0)),
        ("yield, 2 futures", Yields::futures(2), None),
        ("yield, 1,000 futures", Yields::futures(count(1_000)), ns(8.3)),
        ("yield, 100,000 futures", Yields::futures(count(100_000)), ns(19.0)),
    ] {
        rows.push(yielding(name, yields, target));
    }
    for (name, floor) in [("the same as 1,000 coroutines", ROUND), ("the same as one coroutine", PAIR)] {
        rows.push(yielding(name, Yields::fibers(count(1_000)), Times(floor, 2.0)));
    }
    rows
}

const PAIR: &str = "coroutine, resume + suspend";
const ROUND: &str = "1,000 coroutines in a VecDeque";

fn yielding(name: &'static str, mut yields: Yields, target: Target) -> Row {
    let count = yields.count();
    Row::new(name, target, move |iters| yields.run(iters)).in_laps(count)
}

/// Beginning and ending: what is spawned runs in turns of so many.
const AT_ONCE: u64 = 64;

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
