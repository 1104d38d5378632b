//! The switch by corosensei, for architectures that have none of ours.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::Start;

/// A coroutine, from its first turn on. It is never unwound, nor dropped before it is done.
pub(crate) struct Switch {
    coroutine: UnsafeCell<Option<Runs>>,
    /// Its way back, from its first turn on.
    yielder: Cell<*const Yielder<(), ()>>,
    start: NonNull<Start>,
    low: usize,
    done: Cell<bool>,
    ahead: Cell<*const u8>,
}

type Runs = ManuallyDrop<Coroutine<(), (), (), Bounds>>;

/// A stack that is somebody else's.
struct Bounds {
    top: StackPointer,
    low: StackPointer,
}

// SAFETY: as `Switch::new` is promised: it is as good as the stack from which it is made, guard and all.
unsafe impl Stack for Bounds {
    fn base(&self) -> StackPointer {
        self.top
    }

    fn limit(&self) -> StackPointer {
        self.low
    }
}

impl Switch {
    /// A switch to a stack on which nothing has run. `low` is its lowest address.
    ///
    /// # Safety
    /// What `start` says is valid when the first turn comes, and what is below it is the stack's alone.
    pub(crate) unsafe fn new(start: NonNull<Start>, low: usize) -> Self {
        Self {
            coroutine: UnsafeCell::new(None),
            yielder: Cell::new(ptr::null()),
            start,
            low,
            done: Cell::new(false),
            ahead: Cell::new(start.as_ptr().cast()),
        }
    }

    /// Has there been a turn?
    pub(crate) fn started(&self) -> bool {
        !self.yielder.get().is_null()
    }

    /// Has it left?
    pub(crate) fn done(&self) -> bool {
        self.done.get()
    }

    /// Where on its stack the next turn begins, about.
    pub(crate) fn ahead(&self) -> *const u8 {
        self.ahead.get()
    }

    /// Goes to the stack, until it suspends or leaves.
    ///
    /// # Safety
    /// It has not left, and nothing runs on it. From the first turn on, `this` is the same address.
    pub(crate) unsafe fn resume(this: *const Self) {
        // SAFETY: it is there, as the caller promises.
        let switch = unsafe { &*this };
        // SAFETY: what runs meanwhile, which is on the stack, does not touch the coroutine.
        let coroutine = unsafe { &mut *switch.coroutine.get() }.get_or_insert_with(|| {
            let pointer = |at| StackPointer::new(at).expect("no stack is at 0");
            let bounds = Bounds { top: pointer(switch.start.addr().get()), low: pointer(switch.low) };
            let start = switch.start;
            ManuallyDrop::new(Coroutine::with_stack(bounds, move |yielder, ()| {
                // SAFETY: the switch is at that address as long as the coroutine runs, and `start` is valid.
                unsafe {
                    (*this).yielder.set(yielder);
                    ((*start.as_ptr()).run)(this, start.as_ptr());
                }
            }))
        });
        if let CoroutineResult::Return(()) = coroutine.resume(()) {
            switch.done.set(true);
        }
    }

    /// Goes back to who resumed it, until it is resumed again.
    ///
    /// # Safety
    /// The caller runs on the stack of `this`.
    pub(crate) unsafe fn suspend(this: *const Self) {
        let here = 0u8;
        // SAFETY: as the caller promises; the yielder lasts as long as the coroutine runs.
        unsafe {
            (*this).ahead.set(&raw const here);
            (*(*this).yielder.get()).suspend(());
        }
    }

    /// Goes back to who resumed it, for good: as soon as what runs returns.
    ///
    /// # Safety
    /// As for [`suspend`](Self::suspend), and `run` returns then.
    pub(crate) unsafe fn leave(_this: *const Self) {}
}
