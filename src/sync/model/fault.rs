//! Faults: a model that holds must fail once its protocol is broken, or it sees nothing.
//!
//! A fault breaks the crate's own code, through the atomics and threads that it is built on, in the file that is named.
//! Loom runs all threads of a model on one host thread, so a fault, and what was freed, belong to that one.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::panic::Location;

use super::Ordering;

/// What is broken, and where: the end of a source file's name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// What is written is not released.
    Release(&'static str),
    /// What is read is not acquired.
    Acquire(&'static str),
    /// Fences are not there.
    Fence(&'static str),
    /// A read-modify-write is a load, and then a store.
    Torn(&'static str),
    /// Only the orderings, or the fence, of this line are not there.
    Line(&'static str, u32),
    /// What is retired is freed at once.
    FreeAtOnce,
    /// Who is unparked is not.
    NoUnpark,
}

std::thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    /// What was freed in this run of the model: kept, so that who uses it still is found out and not obeyed.
    static FREED: RefCell<Vec<(*mut u8, Layout)>> = const { RefCell::new(Vec::new()) };
    /// Where orderings stronger than Relaxed were seen, if anyone wants to know.
    static SEEN: RefCell<Option<Vec<(&'static str, u32)>>> = const { RefCell::new(None) };
}

impl Fault {
    /// Breaks what this host thread's models run until the guard is dropped.
    pub(crate) fn arm(self) -> Armed {
        FAULT.set(Some(self));
        Armed
    }

    pub(crate) fn frees_at_once() -> bool {
        matches!(FAULT.get(), Some(Self::FreeAtOnce))
    }

    pub(super) fn loses_unparks() -> bool {
        matches!(FAULT.get(), Some(Self::NoUnpark))
    }

    pub(super) fn tears(at: &Location<'_>) -> bool {
        matches!(FAULT.get(), Some(Self::Torn(file)) if at.file().ends_with(file))
    }

    pub(super) fn drops_fence(at: &Location<'static>) -> bool {
        note(at);
        match FAULT.get() {
            Some(Self::Fence(file)) => at.file().ends_with(file),
            Some(Self::Line(file, line)) => at.file().ends_with(file) && at.line() == line,
            _ => false,
        }
    }

    /// What is left of `ordering` in code at `at`.
    pub(super) fn weaken(ordering: Ordering, at: &Location<'static>) -> Ordering {
        if ordering == Ordering::Relaxed {
            return ordering;
        }
        note(at);
        match FAULT.get() {
            Some(Self::Line(file, line)) if at.file().ends_with(file) && at.line() == line => Ordering::Relaxed,
            Some(Self::Release(file)) if at.file().ends_with(file) => match ordering {
                Ordering::AcqRel | Ordering::Acquire => Ordering::Acquire,
                _ => Ordering::Relaxed,
            },
            Some(Self::Acquire(file)) if at.file().ends_with(file) => match ordering {
                Ordering::AcqRel | Ordering::Release => Ordering::Release,
                _ => Ordering::Relaxed,
            },
            _ => ordering,
        }
    }
}

fn note(at: &Location<'static>) {
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen
            && !seen.contains(&(at.file(), at.line()))
        {
            seen.push((at.file(), at.line()));
        }
    });
}

/// Notes, while `f` runs, where orderings stronger than Relaxed are.
pub(crate) fn sites(f: impl FnOnce()) -> Vec<(&'static str, u32)> {
    SEEN.set(Some(Vec::new()));
    f();
    SEEN.take().unwrap_or_default()
}

/// A fault in force.
#[must_use]
#[derive(Debug)]
pub(crate) struct Armed;

impl Drop for Armed {
    fn drop(&mut self) {
        FAULT.set(None);
    }
}

/// Remembers that the memory of a `T` is freed; it is given back when the next run begins.
pub(crate) fn freed<T>(memory: *mut T) {
    FREED.with_borrow_mut(|freed| freed.push((memory.cast(), Layout::new::<T>())));
}

/// Gives back what former runs of the model freed.
pub(crate) fn begin_run() {
    for (memory, layout) in FREED.take() {
        // SAFETY: `freed` got it, once, from one who owned it, and nobody has it any more.
        unsafe { std::alloc::dealloc(memory, layout) };
    }
}

/// Panics if `place` lies in memory that was freed in this run.
pub(super) fn check_lives<T>(place: *const T) {
    let used_after_free = FREED.with_borrow(|freed| {
        freed.iter().any(|(memory, layout)| (memory.addr()..memory.addr() + layout.size()).contains(&place.addr()))
    });
    assert!(!used_after_free, "used after it was freed");
}
