//! Wakers of tasks: on the task's own host thread they put it into the run queue, elsewhere into the multiplexer's inbox.
//!
//! A waker counts as a reference to its task, but for what that [keeps](super::kept::Kept).

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::queue::RunQueue;
use super::{Message, Task};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker of the task that counts as no reference: for as long as the task is there.
pub(in crate::mux) fn uncounted(task: &Arc<Task>) -> ManuallyDrop<Waker> {
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

/// Shows `f` the run queue of the task's multiplexer, where that runs on the calling host thread.
#[inline]
fn here<R>(task: &Task, f: impl FnOnce(&RunQueue) -> R) -> Option<R> {
    RunQueue::with(task.remote.id, f)
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
    if here(task, |queue| queue.enqueue(task)).is_none() && task.enqueued.set() {
        // SAFETY: the address is an `Arc`'s that is there; the reference is made for this.
        let reference = unsafe {
            Arc::increment_strong_count(data.cast::<Task>());
            Arc::from_raw(data.cast::<Task>())
        };
        task.remote.send(Message::Wake(reference));
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
