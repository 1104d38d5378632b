//! embassy's executor, raw.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

use embassy_executor::raw::{Executor, TaskStorage};

use crate::memory::Parked;
use crate::multiplexing::AT_ONCE;
use crate::remote::{Line, Mode};
use crate::table::{Row, Target};
use crate::tasks::{SelfWake, yields};

/// Ends a wait for tasks.
struct Pender {
    pended: AtomicBool,
    waits: Thread,
}

#[unsafe(export_name = "__pender")]
fn pender(context: *mut ()) {
    // SAFETY: what `executor` was given: nothing, or one that is never freed.
    if let Some(pender) = unsafe { context.cast::<Pender>().as_ref() } {
        // Release: pairs with the Acquire in `remote`. One unpark for all that pend.
        if !pender.pended.swap(true, Ordering::Release) {
            pender.waits.unpark();
        }
    }
}

fn executor(pender: Option<&'static Pender>) -> &'static Executor {
    let context = pender.map_or(std::ptr::null_mut(), |pender| std::ptr::from_ref(pender).cast_mut().cast());
    Box::leak(Box::new(Executor::new(context)))
}

/// A turn for each task that is ready.
fn poll(executor: &'static Executor) {
    // SAFETY: it is only polled by the thread that made it, and never within itself.
    unsafe { executor.poll() };
}

/// Room for so many tasks.
fn storages<F: Future + 'static>(count: usize) -> &'static [TaskStorage<F>] {
    (0..count).map(|_| TaskStorage::new()).collect::<Vec<_>>().leak()
}

fn spawn<F: Future + 'static>(
    executor: &'static Executor,
    storage: &'static TaskStorage<F>,
    future: impl FnOnce() -> F,
) {
    executor.spawner().spawn(storage.spawn(future).expect("it is free"));
}

pub fn yielding(name: &'static str, count: usize) -> Row {
    let executor = executor(None);
    for storage in storages(count) {
        spawn(executor, storage, || yields(None));
    }
    Row::new(name, Target::None, move |iters| (0..iters / count as u64).for_each(|_| poll(executor))).in_laps(count)
}

/// In storages that are there already: it never allocates.
pub fn life(name: &'static str) -> Row {
    let (executor, ran) = (executor(None), Rc::new(Cell::new(0)));
    async fn one(ran: Rc<Cell<u64>>) {
        ran.set(ran.get() + 1);
    }
    let storages = storages(AT_ONCE as usize);
    Row::new(name, Target::None, move |iters| {
        ran.set(0);
        for _ in 0..iters / AT_ONCE {
            for storage in storages {
                spawn(executor, storage, || one(Rc::clone(&ran)));
            }
            poll(executor);
        }
        assert_eq!(ran.get(), iters);
    })
    .in_laps(AT_ONCE as usize)
}

pub fn remote(name: &'static str, mode: Mode) -> Row {
    crate::remote::woken(name, mode, move |line: Arc<Line>| {
        let pender = Box::leak(Box::new(Pender { pended: AtomicBool::new(false), waits: std::thread::current() }));
        let executor = executor(Some(pender));
        let busy = Arc::clone(&line);
        if mode == Mode::Busy {
            spawn(executor, &storages(1)[0], move || busy.keep_busy(SelfWake::new));
        }
        spawn(executor, &storages(1)[0], move || async move { line.answer().await });
        loop {
            poll(executor);
            // Acquire: pairs with the Release in `pender`.
            while !pender.pended.swap(false, Ordering::Acquire) {
                std::thread::park();
            }
        }
    })
}

/// So many tasks, parked.
pub fn park(count: usize) -> Parked {
    let executor = executor(None);
    for storage in storages(count) {
        spawn(executor, storage, pending::<()>);
    }
    poll(executor);
    Parked::new(count, executor)
}
