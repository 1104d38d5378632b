//! Where the guards of stacks are, for the handler of faults to look up: readable in a signal handler, at any moment.
//!
//! A list that is only ever pushed to. Each entry is one slab's, taken by a compare-exchange of `taken` and given back when
//! the slab goes; entries are never freed. What an entry says is guarded by its `version`, odd while it changes:
//!
//! - writer (the one that has `taken` it): version + 1, the words, version + 2;
//! - reader: version, the words, version again. It passes over an entry that is odd or has changed. The slab that a thread
//!   faults in is its own, so the entry that matters does not change then.

use std::ptr;

use crate::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

/// Those of this host process.
#[cfg(not(loom))]
pub(super) static GUARDS: Guards = Guards { first: AtomicPtr::new(ptr::null_mut()) };

/// How the pages of a stack are laid out: guard, then what is used, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) guard: usize,
    pub(crate) usable: usize,
}

impl Layout {
    pub(crate) const fn stride(self) -> usize {
        self.guard + self.usable
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Guards {
    first: AtomicPtr<Entry>,
}

#[derive(Debug)]
struct Entry {
    taken: AtomicBool,
    version: AtomicUsize,
    low: AtomicUsize,
    high: AtomicUsize,
    guard: AtomicUsize,
    usable: AtomicUsize,
    /// *Immutable* once the entry is in the list.
    next: *mut Entry,
}

/// A slab that the handler knows, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched(&'static Entry);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.set(0, 0, Layout { guard: 0, usable: 0 });
        // Release: pairs with the Acquire in `take`, whose words come after these.
        self.0.taken.store(false, Ordering::Release);
    }
}

impl Guards {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self { first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Watches a slab from `low` to `high`, where one stack follows the other as `layout` says.
    pub(crate) fn watch(&self, low: usize, high: usize, layout: Layout) -> Watched {
        let entry = self.take();
        entry.set(low, high, layout);
        Watched(entry)
    }

    /// The layout of the slab in one of whose guards `address` lies. Async-signal-safe.
    pub(crate) fn at(&self, address: usize) -> Option<Layout> {
        let (low, layout) = self.stack(address)?;
        (address - low < layout.guard).then_some(layout)
    }

    /// Where the stack in which `address` lies begins, with its guard, and its layout. Async-signal-safe.
    pub(crate) fn stack(&self, address: usize) -> Option<(usize, Layout)> {
        self.entries().find_map(|entry| {
            let (low, high, layout) = entry.get()?;
            (low..high).contains(&address).then(|| (address - (address - low) % layout.stride(), layout))
        })
    }

    fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        // Acquire: pairs with the Release in `take`, which pushes; of the entries behind the first one, too, since each
        // push continues the one before it.
        let mut next = self.first.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: null, or an entry, which is never freed.
            let entry: &'static Entry = unsafe { next.as_ref() }?;
            next = entry.next;
            Some(entry)
        })
    }

    /// An entry that says nothing, for the caller alone to write.
    fn take(&self) -> &'static Entry {
        // Acquire: pairs with the Release in `drop`.
        let free =
            |entry: &&Entry| entry.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if let Some(entry) = self.entries().find(free) {
            return entry;
        }
        let word = || AtomicUsize::new(0);
        // Relaxed: nothing is read through it here, and the push continues the one that it follows.
        let mut first = self.first.load(Ordering::Relaxed);
        let entry = Box::into_raw(Box::new(Entry {
            taken: AtomicBool::new(true),
            version: word(),
            low: word(),
            high: word(),
            guard: word(),
            usable: word(),
            next: first,
        }));
        // Release: pairs with the Acquire in `entries`.
        while let Err(now) = self.first.compare_exchange_weak(first, entry, Ordering::Release, Ordering::Relaxed) {
            first = now;
            // SAFETY: it is not in the list yet, so it is nobody else's.
            unsafe { (*entry).next = first };
        }
        // SAFETY: never freed, and from now on not written to but through its atomics.
        unsafe { &*entry }
    }
}

impl Entry {
    fn set(&self, low: usize, high: usize, layout: Layout) {
        // Relaxed: only the caller writes.
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        // Release: pairs with the Acquire fence in `get`: who reads one of these words sees the odd version.
        fence(Ordering::Release);
        self.low.store(low, Ordering::Relaxed);
        self.high.store(high, Ordering::Relaxed);
        self.guard.store(layout.guard, Ordering::Relaxed);
        self.usable.store(layout.usable, Ordering::Relaxed);
        // Release: pairs with the Acquire load in `get`: who sees this version sees the words.
        self.version.store(version + 2, Ordering::Release);
    }

    /// What it says; `None` while that changes.
    fn get(&self) -> Option<(usize, usize, Layout)> {
        // Acquire: pairs with the Release store in `set`.
        let version = self.version.load(Ordering::Acquire);
        let words = [&self.low, &self.high, &self.guard, &self.usable];
        let [low, high, guard, usable] = words.map(|word| word.load(Ordering::Relaxed));
        // Acquire: pairs with the Release fence in `set`.
        fence(Ordering::Acquire);
        let unchanged = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        unchanged.then_some((low, high, Layout { guard, usable }))
    }
}
