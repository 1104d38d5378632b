//! The run queue of the multiplexer that runs on the calling host thread: who is ready, and whose turn it is.
//!
//! Nothing here is shared, so there are no atomics; and nothing here runs anybody else's code.

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::{Task, ahead};
use crate::mux::shown::Shown;
use crate::sync::host_local;
use crate::wait::turn;

/// See the module.
pub(in crate::mux) struct RunQueue {
    /// *Immutable.* The number of its multiplexer.
    id: u64,
    /// Tasks whose turn will come. Each lives until it is out of here.
    ready: UnsafeCell<VecDeque<NonNull<Task>>>,
    /// Whose turn it is; null between turns.
    running: Cell<*const Task>,
    /// How many turns there were.
    turn: Cell<u64>,
    /// *Immutable.* Where turns are shown to a watchdog, if one looks.
    shown: Option<Arc<Shown>>,
}

host_local! {
    static HERE: Cell<*const RunQueue> = const { Cell::new(ptr::null()) };
}

impl RunQueue {
    pub(in crate::mux) fn new(id: u64, shown: Option<Arc<Shown>>) -> Self {
        Self { id, ready: UnsafeCell::default(), running: Cell::new(ptr::null()), turn: Cell::new(0), shown }
    }

    /// The ready queue.
    ///
    /// # Safety
    /// The reference ends before anything else of this type is called.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "one host thread, and the reference does not last")]
    unsafe fn ready(&self) -> &mut VecDeque<NonNull<Task>> {
        // SAFETY: as the caller promises.
        unsafe { &mut *self.ready.get() }
    }

    /// How many are ready.
    #[inline]
    pub(in crate::mux) fn len(&self) -> usize {
        // SAFETY: used for the length alone.
        unsafe { self.ready() }.len()
    }

    /// Enqueues a task of this multiplexer, unless it is queued or finished.
    #[inline]
    pub(in crate::mux) fn enqueue(&self, task: &Task) {
        if !task.queued.replace(true) {
            // SAFETY: a push runs nobody else's code.
            unsafe { self.ready() }.push_back(NonNull::from(task));
        }
    }

    /// Takes out the one whose turn is next.
    #[inline(always)]
    pub(in crate::mux) fn pop(&self) -> Option<NonNull<Task>> {
        // SAFETY: the references last for a call each.
        let task = unsafe { self.ready() }.pop_front()?;
        // SAFETY: as above.
        ahead::fetch(unsafe { self.ready() });
        Some(task)
    }

    /// Forgets all who are ready.
    pub(in crate::mux) fn clear(&self) {
        // SAFETY: what is in the queue are addresses.
        unsafe { self.ready() }.clear();
    }

    /// The turn of `task` begins.
    #[inline(always)]
    pub(in crate::mux) fn begin(&self, task: &Task) {
        self.turn.set(self.turn.get().wrapping_add(1));
        turn::begin();
        if let Some(shown) = &self.shown {
            shown.begin(self.turn.get(), if task.counts() { task.handle.raw() } else { 0 });
        }
        self.running.set(task);
    }

    /// The turn is over.
    #[inline(always)]
    pub(in crate::mux) fn end(&self) {
        if let Some(shown) = &self.shown {
            shown.end(self.turn.get());
        }
        self.running.set(ptr::null());
    }

    /// The number of this turn.
    #[inline]
    pub(in crate::mux) fn turn(&self) -> u64 {
        self.turn.get()
    }

    /// The task whose turn it is.
    #[inline]
    pub(in crate::mux) fn running(&self) -> Option<&Task> {
        // SAFETY: a task lives as long as it runs.
        unsafe { self.running.get().as_ref() }
    }

    /// The task whose turn it is, if it is a fiber, which is what runs then.
    #[inline]
    pub(in crate::mux) fn fiber(&self) -> Option<&Task> {
        self.running().filter(|task| task.on_fiber.get())
    }

    /// Shows `f` the run queue of this host thread, if that is the one of the multiplexer with that number.
    #[inline]
    pub(super) fn with<R>(id: u64, f: impl FnOnce(&Self) -> R) -> Option<R> {
        here(|queue| queue.filter(|queue| queue.id == id).map(f))
    }

    /// Makes it the calling host thread's, and answers which was.
    ///
    /// # Safety
    /// It stays where it is until the former one is [`restore`](Self::restore)d.
    pub(in crate::mux) unsafe fn enter(&self) -> *const Self {
        HERE.with(|here| here.replace(self))
    }

    /// # Safety
    /// `before` came from [`enter`](Self::enter), and is there still.
    pub(in crate::mux) unsafe fn restore(before: *const Self) {
        HERE.with(|here| here.set(before));
    }
}

/// Shows `f` the run queue of the multiplexer that runs on the calling host thread.
#[inline]
pub(in crate::mux) fn here<R>(f: impl FnOnce(Option<&RunQueue>) -> R) -> R {
    // SAFETY: `enter` demands that it is there.
    f(unsafe { HERE.with(Cell::get).as_ref() })
}

/// Shows `f` the task whose turn it is on the calling host thread.
#[inline]
pub(in crate::mux) fn running<R>(f: impl FnOnce(Option<&Task>) -> R) -> R {
    here(|queue| f(queue.and_then(RunQueue::running)))
}
