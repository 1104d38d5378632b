//! Wakers of tasks.
//!
//! A waker counts as a reference to its task. Most are made, used and dropped on the task's own host thread, one at a time:
//! what those would count, and count off again, the task [keeps](Kept) instead, and hands to the next.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::scheduler::{self, Scheduler};
use super::task::Task;

/// A task's references to itself, for the next wakers that are made on its host thread.
///
/// ```text
///       put            put             close
///   0 <─────> 1 <─────> 2     any ──────────> CLOSED
///       take           take
/// ```
///
/// Two, since a fiber that waits has a waker of its own beside the one that is entered.
///
/// For the task's host thread alone. It is closed when the task goes, so that this keeps no task.
#[derive(Debug)]
pub(super) struct Kept(Cell<usize>);

/// How many are kept at most.
const MOST: usize = 2;
const CLOSED: usize = usize::MAX;

impl Kept {
    pub(super) fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Keeps a reference, where there is room. Answers whether it does.
    #[inline]
    fn put(&self) -> bool {
        let kept = self.0.get();
        let keeps = kept < MOST;
        if keeps {
            self.0.set(kept + 1);
        }
        keeps
    }

    /// Gives a reference that is kept, if one is.
    #[inline]
    fn take(&self) -> bool {
        let kept = self.0.get();
        let gives = (1..=MOST).contains(&kept);
        if gives {
            self.0.set(kept - 1);
        }
        gives
    }

    /// Keeps none from now on. Answers how many were kept, which are the caller's now.
    #[inline]
    pub(super) fn close(&self) -> usize {
        match self.0.replace(CLOSED) {
            CLOSED => 0,
            kept => kept,
        }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker of the task that counts as no reference: for as long as the task is there.
pub(super) fn uncounted(task: &Arc<Task>) -> ManuallyDrop<Waker> {
    // SAFETY: the functions keep the contract of wakers: each may be called on any thread, and each waker but this, which
    // is never dropped, has a reference, so that the task is there.
    ManuallyDrop::new(unsafe { Waker::new(Arc::as_ptr(task).cast(), &VTABLE) })
}

/// # Safety
/// `data` is a waker's, and that is not dropped meanwhile.
unsafe fn task<'w>(data: *const ()) -> &'w Task {
    // SAFETY: it is that of a task which is there.
    unsafe { &*data.cast::<Task>() }
}

/// Shows `f` the multiplexer that has the task, where that runs on the calling host thread.
#[inline]
fn here<R>(task: &Task, f: impl FnOnce(&Scheduler) -> R) -> Option<R> {
    scheduler::with(|scheduler| scheduler.filter(|scheduler| scheduler.shared.id == task.shared.id).map(f))
}

#[inline]
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: as the contract of wakers promises.
    let task = unsafe { task(data) };
    if here(task, |_| task.kept.take()) != Some(true) {
        // SAFETY: the address is an `Arc`'s that is there.
        unsafe { Arc::increment_strong_count(data.cast::<Task>()) };
    }
    RawWaker::new(data, &VTABLE)
}

#[inline]
unsafe fn wake(data: *const ()) {
    // SAFETY: as the contract of wakers promises; `drop_waker` is the last use.
    unsafe {
        wake_by_ref(data);
        drop_waker(data);
    }
}

#[inline]
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as the contract of wakers promises.
    let task = unsafe { task(data) };
    if here(task, |scheduler| scheduler.make_ready(task)).is_none() && task.enqueued.set() {
        // SAFETY: the address is an `Arc`'s that is there; the reference is made for this.
        let reference = unsafe {
            Arc::increment_strong_count(data.cast::<Task>());
            Arc::from_raw(data.cast::<Task>())
        };
        task.shared.enqueue(reference);
    }
}

#[inline]
unsafe fn drop_waker(data: *const ()) {
    // SAFETY: as the contract of wakers promises.
    let task = unsafe { task(data) };
    if here(task, |_| task.kept.put()) != Some(true) {
        // SAFETY: the waker's reference, which goes with it.
        drop(unsafe { Arc::from_raw(data.cast::<Task>()) });
    }
}
