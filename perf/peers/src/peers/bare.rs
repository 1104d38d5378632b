//! What a scheduler is made of, by hand: coroutines in a queue, tasks in a queue, boxed futures in a ring.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use async_task::Runnable;
use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::memory::Parked;
use crate::multiplexing::AT_ONCE;
use crate::table::{Row, Target};
use crate::tasks::{SelfWake, yields};

/// Coroutines in a `VecDeque`, more than the host has mappings for: their stacks are in one, without guards.
pub fn coroutines(name: &'static str, count: usize) -> Row {
    let mut all = suspended(count);
    Row::new(name, Target::None, move |iters| {
        for _ in 0..iters {
            if let Some(mut coroutine) = all.pop_front() {
                assert!(matches!(coroutine.resume(()), CoroutineResult::Yield(())), "it never ends");
                all.push_back(coroutine);
            }
        }
    })
    .in_laps(count)
}

/// A stack in a mapping of many, which is never unmapped.
struct SlabStack {
    base: StackPointer,
    limit: StackPointer,
}

/// The size of each.
const STACK: usize = 16 << 10;

// SAFETY: `slab` gives each a part of the mapping of its own, page-aligned and never freed.
unsafe impl Stack for SlabStack {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

fn slab(count: usize) -> impl Iterator<Item = SlabStack> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping, wherever the host likes.
    let start =
        unsafe { mmap_anonymous(std::ptr::null_mut(), count * STACK, ProtFlags::READ | ProtFlags::WRITE, flags) };
    let start = start.expect("there is room").addr();
    (0..count).map(move |number| {
        let pointer = |at| StackPointer::new(at).expect("no mapping begins at 0");
        SlabStack { base: pointer(start + (number + 1) * STACK), limit: pointer(start + number * STACK) }
    })
}

type Suspended = VecDeque<Coroutine<(), (), (), SlabStack>>;

fn suspended(count: usize) -> Suspended {
    let make = |stack| {
        let mut coroutine = Coroutine::with_stack(stack, |yielder, ()| {
            loop {
                yielder.suspend(());
            }
        });
        assert!(matches!(coroutine.resume(()), CoroutineResult::Yield(())), "it never ends");
        coroutine
    };
    slab(count).map(make).collect()
}

/// Coroutines that begin and end on stacks that are used again.
pub fn coroutine_life(name: &'static str) -> Row {
    let mut stacks: Vec<SlabStack> = slab(AT_ONCE as usize).collect();
    let ran = Rc::new(Cell::new(0));
    Row::new(name, Target::None, move |iters| {
        ran.set(0);
        for _ in 0..iters / AT_ONCE {
            let all: Vec<_> = stacks
                .drain(..)
                .map(|stack| {
                    let ran = Rc::clone(&ran);
                    Coroutine::<(), (), (), _>::with_stack(stack, move |_, ()| ran.set(ran.get() + 1))
                })
                .collect();
            for mut coroutine in all {
                assert!(matches!(coroutine.resume(()), CoroutineResult::Return(())), "it ends");
                stacks.push(coroutine.into_stack());
            }
        }
        assert_eq!(ran.get(), iters);
    })
    .in_laps(AT_ONCE as usize)
}

/// So many coroutines, suspended.
pub fn park_coroutines(count: usize) -> Parked {
    Parked::new(count, suspended(count))
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Boxed futures, polled in turns: no queue, no waker. The floor.
pub fn boxed(name: &'static str, count: usize) -> Row {
    let mut all: Vec<Boxed> = (0..count).map(|_| Box::pin(yields(None)) as Boxed).collect();
    Row::new(name, Target::None, move |iters| {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..iters / count as u64 {
            for future in &mut all {
                assert!(future.as_mut().poll(&mut context).is_pending(), "it never ends");
            }
        }
    })
    .in_laps(count)
}

/// So many boxed futures, parked.
pub fn park_boxed(count: usize) -> Parked {
    let park = |_| {
        let mut future = Box::pin(async {
            SelfWake::new().await;
            pending::<()>().await;
        }) as Boxed;
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        future
    };
    Parked::new(count, (0..count).map(park).collect::<Vec<Boxed>>())
}

thread_local! {
    static READY: RefCell<VecDeque<Runnable>> = const { RefCell::new(VecDeque::new()) };
}

/// async-task with a `VecDeque` of those that are ready, which is this thread's.
fn spawn(future: impl Future<Output = ()> + 'static) {
    let ready = |runnable| READY.with_borrow_mut(|ready| ready.push_back(runnable));
    let (runnable, task) = async_task::spawn_local(future, ready);
    runnable.schedule();
    task.detach();
}

fn turn() {
    let next = READY.with_borrow_mut(VecDeque::pop_front);
    next.expect("somebody is ready").run();
}

pub fn tasks(name: &'static str, count: usize) -> Row {
    let mut mine = {
        (0..count).for_each(|_| spawn(yields(None)));
        READY.take()
    };
    Row::new(name, Target::None, move |iters| {
        READY.with_borrow_mut(|ready| std::mem::swap(ready, &mut mine));
        (0..iters).for_each(|_| turn());
        READY.with_borrow_mut(|ready| std::mem::swap(ready, &mut mine));
    })
    .in_laps(count)
}

pub fn task_life(name: &'static str) -> Row {
    let ran = Rc::new(Cell::new(0));
    Row::new(name, Target::None, move |iters| {
        ran.set(0);
        for _ in 0..iters / AT_ONCE {
            for _ in 0..AT_ONCE {
                let ran = Rc::clone(&ran);
                spawn(async move { ran.set(ran.get() + 1) });
            }
            (0..AT_ONCE).for_each(|_| turn());
        }
        assert_eq!(ran.get(), iters);
    })
    .in_laps(AT_ONCE as usize)
}

/// So many of async-task's tasks, parked.
pub fn park_tasks(count: usize) -> Parked {
    let make = |_| {
        let (runnable, task) = async_task::spawn_local(pending::<()>(), |runnable: Runnable| drop(runnable));
        runnable.run();
        task
    };
    Parked::new(count, (0..count).map(make).collect::<Vec<_>>())
}
