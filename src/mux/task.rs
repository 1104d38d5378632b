//! A task: a fiber or a future of a multiplexer, with its lwp.
//!
//! All but `shared`, `enqueued` and what wakers count belongs to the multiplexer's host thread. A waker used there puts the
//! task straight into the ready queue; elsewhere it leaves the task at the multiplexer's inbox.
//!
//! ```text
//!               wake                  its turn
//!   waiting ──────────────> queued ──────────────> running ──> finished
//!      ^                       ^                      │  │
//!      │                       └── woken meanwhile ───┘  │
//!      └─────────────────────────────────────────────────┘
//! ```
//!
//! A finished task stays "queued" for good, so that no wake queues it again.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::Waker;

use corosensei::{Coroutine, Yielder};

use super::handle::Shared;
use super::inbox::Enqueued;
use super::stack::Stack;
use super::waker::{self, Kept};
use crate::context::curlwp::Context;
use crate::id::LwpHandle;
use crate::lwp::Slot;
use crate::wait::queue::WaitQueue;
use crate::wait::watch::Entries;

/// What is left to be run.
pub(super) enum Body {
    Fiber(Coroutine<(), (), (), Stack>),
    /// A fiber with frames that cannot be unwound, those of C. Cancelled, it goes on to its end, and nothing suspends it.
    #[cfg_attr(not(feature = "capi"), expect(dead_code, reason = "C alone spawns them"))]
    Guest(Coroutine<(), (), (), Stack>),
    Future(Pin<Box<dyn Future<Output = ()>>>),
    /// What `run_until` polls; it keeps it itself.
    Main,
    Finished,
}

/// What makes a body of a fiber: [`Body::Fiber`] or [`Body::Guest`].
pub(super) type FiberKind = fn(Coroutine<(), (), (), Stack>) -> Body;

/// See the module. In the order of use: a turn touches the first fields, up to `body`.
#[repr(C)]
pub(super) struct Task {
    /// In the ready queue, or finished.
    pub(super) queued: Cell<bool>,
    /// Whether it is being ended before it has finished.
    pub(super) cancelled: Cell<bool>,
    /// Whether it is a [`Guest`](Body::Guest).
    guest: Cell<bool>,
    /// What it keeps of its wakers' references.
    pub(super) kept: Kept,
    /// *Atomic*: whether some thread is taking it to the inbox.
    pub(super) enqueued: Enqueued,
    /// Where it stands among the multiplexer's tasks.
    pub(super) place: Cell<u32>,
    /// The lwp that is current in its turns: its own at first, what it switched to from then on.
    pub(super) current: Cell<*const Slot>,
    /// Its own lwp; null for `Main`.
    pub(super) slot: *const Slot,
    pub(super) handle: LwpHandle,
    /// Where in memory its next turn begins: to be fetched ahead.
    pub(super) ahead: Cell<*const u8>,
    /// How often a fiber was suspended.
    pub(super) suspended: Cell<u64>,
    /// A fiber's way back to its multiplexer; null before its first turn.
    pub(super) yielder: Cell<*const Yielder<(), ()>>,
    pub(super) body: UnsafeCell<Body>,
    /// Its own waker. It counts no reference, since it goes with the task.
    waker: UnsafeCell<Option<ManuallyDrop<Waker>>>,
    /// *Immutable.*
    pub(super) shared: Arc<Shared>,
    /// What tells its handle that it is its own.
    pub(super) packet: *const (),
    /// A fiber's process's interrupts, where it has a place in them.
    pub(super) interrupts: Cell<*const WaitQueue>,
    pub(super) rare: UnsafeCell<Rare>,
}

/// What few tasks have.
#[derive(Default)]
pub(super) struct Rare {
    /// A fiber's place in its process's interrupts.
    pub(super) interrupts: Option<Box<Entries>>,
    /// The context of its turns where that is in another kernel.
    pub(super) elsewhere: Option<Box<Context>>,
}

// SAFETY: other threads than the owner use `shared` and `enqueued` alone, and count references: wakers do no more, and
// nobody else gets hold of a task. What is in the cells is gone when the multiplexer is (`Scheduler::cancel_all`), so that
// the last reference may be dropped anywhere.
unsafe impl Sync for Task {}
// SAFETY: as above.
unsafe impl Send for Task {}

/// What a task is made of.
pub(super) struct Birth {
    pub(super) body: Body,
    pub(super) slot: *const Slot,
    pub(super) handle: LwpHandle,
    pub(super) packet: *const (),
    pub(super) ahead: *const u8,
}

impl Birth {
    /// Of `main`, which has no lwp.
    pub(super) fn main() -> Self {
        let (slot, packet, ahead) = (ptr::null(), ptr::null(), ptr::null());
        Self { body: Body::Main, slot, handle: LwpHandle::pack(0, 0), packet, ahead }
    }
}

impl Task {
    pub(super) fn new(shared: &Arc<Shared>, birth: Birth) -> Arc<Self> {
        let Birth { body, slot, handle, packet, ahead } = birth;
        let task = Arc::new(Self {
            shared: Arc::clone(shared),
            enqueued: Enqueued::new(),
            queued: Cell::new(false),
            cancelled: Cell::new(false),
            guest: Cell::new(matches!(body, Body::Guest(_))),
            kept: Kept::new(),
            place: Cell::new(0),
            current: Cell::new(slot),
            slot,
            handle,
            packet,
            ahead: Cell::new(ahead),
            yielder: Cell::new(ptr::null()),
            suspended: Cell::new(0),
            body: UnsafeCell::new(body),
            interrupts: Cell::new(ptr::null()),
            rare: UnsafeCell::default(),
            waker: UnsafeCell::new(None),
        });
        // SAFETY: nobody else has the task yet.
        unsafe { *task.waker.get() = Some(waker::uncounted(&task)) };
        task
    }

    /// Makes a new task of one that has finished and that nobody else has.
    pub(super) fn renew(&mut self, birth: Birth) {
        let Birth { body, slot, handle, packet, ahead } = birth;
        self.queued.set(false);
        self.cancelled.set(false);
        self.guest.set(matches!(body, Body::Guest(_)));
        self.kept = Kept::new();
        self.current.set(slot);
        (self.slot, self.handle, self.packet) = (slot, handle, packet);
        self.ahead.set(ahead);
        self.yielder.set(ptr::null());
        self.suspended.set(0);
        *self.body.get_mut() = body;
    }

    /// Its own lwp's slot.
    #[inline(always)]
    pub(super) fn slot(&self) -> Option<&Slot> {
        // SAFETY: slots live as long as their kernel, of which the multiplexer has a handle.
        unsafe { self.slot.as_ref() }
    }

    /// Whether it is one of those that were spawned.
    pub(super) fn counts(&self) -> bool {
        !self.slot.is_null()
    }

    /// Whether the fiber, which is what runs, may be suspended. Not while it unwinds: others' code must not run in the
    /// midst of that. And not a guest that was cancelled: it is to come to its end.
    #[inline]
    pub(super) fn may_wait(&self) -> bool {
        let comes_to_its_end = self.cancelled.get() && self.guest.get();
        !std::thread::panicking() && !comes_to_its_end
    }

    /// Suspends the fiber, which is what runs, until its next turn. Unwinds where the fiber is cancelled, unless it is a
    /// [`Guest`](Body::Guest).
    #[inline]
    pub(super) fn suspend(&self) {
        let here = 0u8;
        self.ahead.set(&raw const here);
        self.suspended.set(self.suspended.get() + 1);
        // SAFETY: the fiber set it when it began, and it is good until the fiber ends; this runs in the fiber.
        unsafe { &*self.yielder.get() }.suspend(());
    }

    /// Enters it in its process's interrupts; it leaves those in which it was.
    #[cold]
    pub(super) fn enter(&self, interrupts: &Arc<WaitQueue>) {
        let mut entries = Box::<Entries>::default();
        entries.enter(interrupts, self.waker());
        self.interrupts.set(Arc::as_ptr(interrupts));
        // SAFETY: nothing that runs here uses it: the wakers are the task's own.
        drop(unsafe { &mut *self.rare.get() }.interrupts.replace(entries));
    }

    /// It leaves its process's interrupts.
    #[inline]
    pub(super) fn leave_interrupts(&self) {
        if !self.interrupts.replace(ptr::null()).is_null() {
            // SAFETY: as above.
            drop(unsafe { &mut *self.rare.get() }.interrupts.take());
        }
    }

    /// Its own waker.
    pub(super) fn waker(&self) -> &Waker {
        // SAFETY: set in `new`, and never again.
        unsafe { &*self.waker.get() }.as_ref().expect("made with the task")
    }
}
