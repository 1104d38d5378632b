//! A task: a fiber or a future of a multiplexer, with a context of its own.
//!
//! All but `remote`, `enqueued` and what wakers count belongs to the multiplexer's host thread. A waker used there puts the
//! task straight into the run queue; elsewhere it sends the task to the multiplexer's inbox.
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

mod ahead;
pub(super) mod ending;
mod kept;
pub(super) mod queue;
mod remote;
pub(super) mod waker;

use std::cell::{Cell, RefCell, UnsafeCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::Waker;

use self::ending::Ending;
use self::kept::Kept;
pub(super) use self::remote::Remote;
use super::inbox::Enqueued;
use super::stack::{Fiber, StackPool};
use crate::context::saved::Saved;
use crate::id::LwpHandle;
use crate::lwp::Slot;
use crate::wait::queue::WaitQueue;
use crate::wait::watch::Entries;

/// What is left to be run.
pub(super) enum Body {
    Fiber(Fiber),
    /// A fiber with frames that cannot be unwound, those of C. Cancelled, it goes on to its end, and nothing suspends it.
    #[cfg_attr(not(feature = "capi"), expect(dead_code, reason = "C alone spawns them"))]
    Guest(Fiber),
    Future(Pin<Box<dyn Future<Output = ()>>>),
    /// What `run_until` polls; it keeps it itself.
    Main,
    Finished,
}

/// What makes a body of a fiber: [`Body::Fiber`] or [`Body::Guest`].
pub(super) type FiberKind = fn(Fiber) -> Body;

/// What other threads send a multiplexer.
pub(super) enum Message {
    /// A task was woken.
    Wake(Arc<Task>),
    /// Something to be spawned: what is to be made a task of, unless there is no stack for it.
    Spawn(Box<Seed>),
}

/// What makes the parts of a task, on its host thread; `None` where there is no stack.
type Seed = dyn FnOnce(&RefCell<StackPool>) -> Option<Birth> + Send;

/// See the module. In the order of use: a turn touches the first fields, up to `body`.
#[repr(C)]
pub(super) struct Task {
    /// In the run queue, or finished.
    pub(super) queued: Cell<bool>,
    /// Whether a fiber runs in its turns.
    pub(super) on_fiber: Cell<bool>,
    pub(super) ending: Cell<Ending>,
    /// How a fiber was suspended.
    pub(super) unwinding: Cell<Unwinding>,
    /// What it keeps of its wakers' references.
    kept: Kept,
    /// *Atomic*: whether it is in the inbox, or on the way.
    pub(super) enqueued: Enqueued,
    /// Where it stands among the multiplexer's tasks.
    pub(super) place: Cell<u32>,
    /// Its context between its turns.
    pub(super) saved: Saved,
    /// Where in memory its next turn begins: to be fetched ahead.
    pub(super) ahead: Cell<*const u8>,
    pub(super) body: UnsafeCell<Body>,
    /// Its own waker. It counts no reference, since it goes with the task.
    waker: UnsafeCell<Option<ManuallyDrop<Waker>>>,
    /// *Immutable.*
    pub(super) remote: Arc<Remote<Message>>,
    /// The lwp that it was spawned with; null for `Main`.
    pub(super) slot: *const Slot,
    pub(super) handle: LwpHandle,
    /// What tells its handle that it is its own.
    pub(super) packet: *const (),
    /// A fiber's process's interrupts, where it has a place in them.
    pub(super) interrupts: Cell<*const WaitQueue>,
    pub(super) rare: Rare,
}

/// What few tasks have.
pub(super) struct Rare {
    /// A fiber's place in its process's interrupts.
    interrupts: UnsafeCell<Option<Box<Entries>>>,
    /// What a fiber that has begun owes, which lies on its stack.
    pub(super) owed: Cell<Option<Owed>>,
    /// The turn in which it was told `EINTR` last.
    pub(super) interrupted: Cell<u64>,
}

/// Whether a fiber unwinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwinding {
    /// Not when it was suspended.
    No,
    /// It was told `EINTR` for it, and may be suspended in it from now on.
    Told,
    /// It was suspended in the midst of it.
    Midway,
    /// It was suspended while its host thread unwound, and nobody knows for whose sake.
    Unsure,
}

/// What is owed to the handle of a fiber that never comes to its end: how to give that.
#[derive(Clone, Copy)]
pub(super) struct Owed {
    data: *mut (),
    cancel: unsafe fn(*mut ()),
}

impl Owed {
    /// # Safety
    /// `cancel` may be called with `data`, once, as long as it is there, by somebody else than who has it now if that one does
    /// not go on.
    pub(super) unsafe fn new(data: *mut (), cancel: unsafe fn(*mut ())) -> Self {
        Self { data, cancel }
    }

    /// # Safety
    /// Whoever owes it never goes on.
    pub(super) unsafe fn cancel(self) {
        // SAFETY: as the maker promised.
        unsafe { (self.cancel)(self.data) };
    }
}

// SAFETY: other threads than the owner use `remote` and `enqueued` alone, and count references: wakers do no more, and
// nobody else gets hold of a task. What is in the cells is gone when the multiplexer is (`Scheduler::cancel_all`), so that
// the last reference may be dropped anywhere.
unsafe impl Sync for Task {}
// SAFETY: as above.
unsafe impl Send for Task {}

/// What a task is made of.
pub(super) struct Birth {
    pub(super) body: Body,
    /// The lwp that it is spawned with, held for it, and current in its first turn; null for `Main`.
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
    pub(super) fn new(remote: &Arc<Remote<Message>>, birth: Birth, saved: Saved) -> Arc<Self> {
        let mut task = Arc::new(Self {
            queued: Cell::new(false),
            on_fiber: Cell::new(false),
            ending: Cell::new(Ending::No),
            unwinding: Cell::new(Unwinding::No),
            kept: Kept::new(),
            enqueued: Enqueued::new(),
            place: Cell::new(0),
            saved,
            ahead: Cell::new(ptr::null()),
            body: UnsafeCell::new(Body::Finished),
            waker: UnsafeCell::new(None),
            remote: Arc::clone(remote),
            slot: ptr::null(),
            handle: birth.handle,
            packet: ptr::null(),
            interrupts: Cell::new(ptr::null()),
            rare: Rare { interrupts: UnsafeCell::new(None), owed: Cell::new(None), interrupted: Cell::new(0) },
        });
        // SAFETY: nobody else has the task yet.
        unsafe { *task.waker.get() = Some(waker::uncounted(&task)) };
        Arc::get_mut(&mut task).expect("nobody else has a new task").fill(birth);
        task
    }

    /// Makes a new task of one that has finished and that nobody else has.
    pub(super) fn renew(&mut self, birth: Birth, saved: Saved) {
        self.queued.set(false);
        self.ending.set(Ending::No);
        self.kept = Kept::new();
        self.saved = saved;
        self.rare.owed.set(None);
        self.unwinding.set(Unwinding::No);
        self.fill(birth);
    }

    fn fill(&mut self, birth: Birth) {
        let Birth { body, slot, handle, packet, ahead } = birth;
        self.on_fiber.set(matches!(body, Body::Fiber(_) | Body::Guest(_)));
        self.ahead.set(ahead);
        (self.slot, self.handle, self.packet) = (slot, handle, packet);
        *self.body.get_mut() = body;
    }

    /// Keeps no references for its wakers from now on. Answers how many were kept, which are the caller's now.
    pub(super) fn close_kept(&self) -> usize {
        self.kept.close()
    }

    /// Whether it is one of those that were spawned.
    pub(super) fn counts(&self) -> bool {
        !self.slot.is_null()
    }

    /// Its fiber, and whether that can be unwound.
    ///
    /// # Safety
    /// The body is not taken out meanwhile.
    pub(super) unsafe fn fiber(&self) -> Option<(&Fiber, bool)> {
        // SAFETY: the caller's. A body is shared by those who resume it and those who are resumed.
        match unsafe { &*self.body.get() } {
            Body::Fiber(fiber) => Some((fiber, cfg!(panic = "unwind"))),
            Body::Guest(fiber) => Some((fiber, false)),
            _ => None,
        }
    }

    /// Enters it in its process's interrupts; it leaves those in which it was.
    #[cold]
    pub(super) fn enter(&self, interrupts: &Arc<WaitQueue>) {
        let mut entries = Box::<Entries>::default();
        entries.enter(interrupts, self.waker(), false);
        self.interrupts.set(Arc::as_ptr(interrupts));
        // SAFETY: nothing that runs here uses it: the wakers are the task's own.
        drop(unsafe { &mut *self.rare.interrupts.get() }.replace(entries));
    }

    /// It leaves its process's interrupts.
    #[inline]
    pub(super) fn leave_interrupts(&self) {
        if !self.interrupts.replace(ptr::null()).is_null() {
            // SAFETY: as above.
            drop(unsafe { &mut *self.rare.interrupts.get() }.take());
        }
    }

    /// Its own waker.
    pub(super) fn waker(&self) -> &Waker {
        // SAFETY: set in `new`, and never again.
        unsafe { &*self.waker.get() }.as_ref().expect("made with the task")
    }
}
