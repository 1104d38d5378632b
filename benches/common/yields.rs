//! Fibers and futures that do nothing but yield, to go round among.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use lwproc::mux::{yield_now, yield_turn};
use lwproc::{Kernel, Lwp, Mux, MuxHandle, ProcOptions};

/// Tasks of one multiplexer, each in a process of its own, that yield for ever.
pub struct Yields {
    mux: Mux,
    count: usize,
    /// How many rounds are left before the first task stops the multiplexer.
    rounds: Rc<Cell<u64>>,
}

impl Yields {
    /// `count` fibers, at least one.
    pub fn fibers(count: usize) -> Self {
        Self::fibers_by(count, yield_now)
    }

    /// `count` fibers, at least one, that call a function which yields, as C's do, so many calls deep, which their number
    /// decides: a cpu expects to return to where it last called.
    pub fn fibers_that_call(count: usize, depth: fn(usize) -> usize) -> Self {
        let number = Cell::new(0);
        Self::fibers_with(count, move || {
            let depth = depth(number.replace(number.get() + 1));
            move || yield_deep(depth)
        })
    }

    fn fibers_by(count: usize, yields: impl Fn() + Copy + 'static) -> Self {
        Self::fibers_with(count, || yields)
    }

    fn fibers_with<Y: Fn() + 'static>(count: usize, next: impl Fn() -> Y) -> Self {
        Self::new(count, |mux, lwp, leads| {
            let yields = next();
            let spawned = match leads {
                Some(leader) => mux.spawn_fiber(lwp, move || {
                    loop {
                        leader.lead();
                        yields();
                    }
                }),
                None => mux.spawn_fiber(lwp, move || {
                    loop {
                        yields();
                    }
                }),
            };
            drop(spawned.expect("there is room"));
        })
    }

    /// `count` futures, at least one.
    pub fn futures(count: usize) -> Self {
        Self::new(count, |mux, lwp, leads| {
            let spawned = match leads {
                Some(leader) => mux.spawn(lwp, async move {
                    loop {
                        leader.lead();
                        yield_turn().await;
                    }
                }),
                None => mux.spawn(lwp, async {
                    loop {
                        yield_turn().await;
                    }
                }),
            };
            drop(spawned.expect("there is room"));
        })
    }

    fn new(count: usize, spawn: impl Fn(&Mux, Lwp, Option<Leader>)) -> Self {
        let kernel = super::kernel();
        let mux = Mux::new(&kernel).expect("there is room for a multiplexer");
        let rounds = Rc::new(Cell::new(0));
        for number in 0..count {
            let lwp = process(&kernel);
            let leads = (number == 0).then(|| Leader { rounds: Rc::clone(&rounds), stop: mux.handle() });
            spawn(&mux, lwp, leads);
        }
        let mut yields = Self { mux, count, rounds };
        // The first turns touch what was not there before.
        yields.run(2 * count as u64);
        yields
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// As many yields as that, in whole rounds.
    pub fn run(&mut self, yields: u64) {
        self.rounds.set(yields / self.count as u64);
        assert_eq!(self.mux.run_until(pending::<()>()), Ok(None));
    }
}

#[inline(never)]
fn yield_deep(depth: usize) {
    if depth <= 1 {
        yield_now()
    } else {
        yield_deep(depth - 1)
    }
    // So that the call is no jump.
    std::hint::black_box(());
}

struct Leader {
    rounds: Rc<Cell<u64>>,
    stop: MuxHandle,
}

impl Leader {
    fn lead(&self) {
        match self.rounds.get() {
            0 | 1 => self.stop.stop(),
            left => self.rounds.set(left - 1),
        }
    }
}

/// A process with one lwp, without descriptors.
pub fn process(kernel: &Kernel) -> Lwp {
    kernel.spawn(ProcOptions::new()).expect("the kernel has room")
}

/// The floor for a fiber's yield: a resume and a suspend of a bare coroutine.
pub struct Pair(Coroutine<(), (), (), DefaultStack>);

impl Pair {
    /// A coroutine that suspends for ever.
    pub fn new() -> Self {
        Self(Coroutine::new(|yielder, ()| {
            loop {
                yielder.suspend(());
            }
        }))
    }

    /// There and back.
    #[inline]
    pub fn next(&mut self) {
        assert!(matches!(self.0.resume(()), CoroutineResult::Yield(())), "it never ends");
    }
}

/// The floor for going round among fibers: bare coroutines, as a queue has them.
pub struct Coroutines {
    all: std::collections::VecDeque<Pair>,
}

impl Coroutines {
    /// `count` coroutines, at least one.
    pub fn new(count: usize) -> Self {
        let mut all = Self { all: (0..count).map(|_| Pair::new()).collect() };
        (0..count).for_each(|_| all.next());
        all
    }

    /// The next one's turn.
    #[inline]
    pub fn next(&mut self) {
        if let Some(mut pair) = self.all.pop_front() {
            pair.next();
            self.all.push_back(pair);
        }
    }
}
