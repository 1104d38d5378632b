//! Faults: a model that holds must fail once its protocol is broken, or it sees nothing.
//!
//! A fault breaks the crate's own code, through the atomics and threads that it is built on, in the file that is named.
//! Loom runs all threads of a model on one host thread, so a fault, and what was freed, belong to that one.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
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
    /// As the three above, in one line alone.
    Site(Site),
    /// What is retired is freed at once.
    FreeAtOnce,
    /// Who is unparked is not.
    NoUnpark,
}

/// An ordering stronger than Relaxed, or one half of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) half: Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Half {
    Release,
    Acquire,
    Fence,
}

std::thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    /// What was freed in this run of the model: kept, so that who uses it still is found out and not obeyed.
    static FREED: RefCell<Vec<(*mut u8, Layout)>> = const { RefCell::new(Vec::new()) };
    /// Where orderings stronger than Relaxed were seen, if anyone wants to know.
    static SEEN: RefCell<Option<BTreeSet<Site>>> = const { RefCell::new(None) };
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
        let fence = Site { file: at.file(), line: at.line(), half: Half::Fence };
        note(fence);
        Self::hits(fence)
    }

    /// What is left of `ordering` in code at `at`.
    pub(super) fn weaken(ordering: Ordering, at: &Location<'static>) -> Ordering {
        let keeps = |half| {
            let site = Site { file: at.file(), line: at.line(), half };
            note(site);
            !Self::hits(site)
        };
        match ordering {
            Ordering::Acquire if keeps(Half::Acquire) => Ordering::Acquire,
            Ordering::Release if keeps(Half::Release) => Ordering::Release,
            // As much as loom makes of SeqCst; what it is more comes from `sequenced`.
            Ordering::AcqRel | Ordering::SeqCst => match (keeps(Half::Acquire), keeps(Half::Release)) {
                (true, true) => Ordering::AcqRel,
                (true, false) => Ordering::Acquire,
                (false, true) => Ordering::Release,
                (false, false) => Ordering::Relaxed,
            },
            _ => Ordering::Relaxed,
        }
    }

    /// What is left of the `ordering` of a load in code at `at`.
    pub(super) fn weaken_load(ordering: Ordering, at: &Location<'static>) -> Ordering {
        Self::weaken(if ordering == Ordering::SeqCst { Ordering::Acquire } else { ordering }, at)
    }

    fn hits(site: Site) -> bool {
        match (FAULT.get(), site.half) {
            (Some(Self::Site(broken)), _) => broken == site,
            (Some(Self::Release(file)), Half::Release)
            | (Some(Self::Acquire(file)), Half::Acquire)
            | (Some(Self::Fence(file)), Half::Fence) => site.file.ends_with(file),
            _ => false,
        }
    }
}

fn note(site: Site) {
    SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.insert(site)));
}

/// The orderings that `f` comes by.
pub(crate) fn sites(f: impl FnOnce()) -> BTreeSet<Site> {
    SEEN.set(Some(BTreeSet::new()));
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
