//! Rings to go round: bare cells, and lwps.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use lwproc::{FdInherit, Kernel, LwpId};

const IDLE: u64 = 1;
const RUNNING: u64 = 2;

/// A cell as large as an lwp's slot.
#[repr(align(64))]
struct Word(AtomicU64);

thread_local! {
    static CURRENT: Cell<Option<&'static Word>> = const { Cell::new(None) };
}

/// The bare claim, `F`: what no switch that validates and claims can do without. A compare-exchange on the next cell, a
/// thread-local write, a Release store to the cell before.
pub struct Claims {
    /// Leaked, so that `CURRENT` needs no check.
    cells: &'static [Word],
    at: usize,
}

impl Claims {
    /// A ring of `count` cells, at least one.
    pub fn new(count: usize) -> Self {
        let cells: Vec<Word> = (0..count).map(|_| Word(AtomicU64::new(IDLE))).collect();
        Self { cells: cells.leak(), at: 0 }
    }

    /// Claims the next cell and lets go of the one before.
    #[inline]
    pub fn next(&mut self) {
        let cell = &self.cells[self.at];
        self.at = if self.at + 1 == self.cells.len() { 0 } else { self.at + 1 };
        let claimed = cell.0.compare_exchange(IDLE, RUNNING, Ordering::Acquire, Ordering::Relaxed);
        assert!(claimed.is_ok(), "the cell runs");
        if let Some(old) = CURRENT.replace(Some(cell)) {
            old.0.store(IDLE, Ordering::Release);
        }
    }
}

/// Lwps to switch among, in the order in which they were made.
pub struct Lwps {
    kernel: Kernel,
    ids: Vec<LwpId>,
    at: usize,
}

impl Lwps {
    /// `count` lwps of one process, at least one.
    pub fn of_one_proc(count: usize) -> Self {
        Self::new(count, |kernel, first| match first {
            None => kernel.rfork(FdInherit::Clean),
            Some(_) => kernel.newlwp(lwproc::sys::getpid()),
        })
    }

    /// `count` lwps, at least one, each of a process of its own.
    pub fn of_many_procs(count: usize) -> Self {
        Self::new(count, |kernel, _| kernel.rfork(FdInherit::Clean))
    }

    fn new(count: usize, make: impl Fn(&Kernel, Option<LwpId>) -> lwproc::Result<()>) -> Self {
        let kernel = super::kernel();
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            make(&kernel, ids.first().copied()).expect("the kernel has room");
            ids.push(kernel.curlwp().expect("a lwp that was just made is current"));
        }
        kernel.switch(None);
        Self { kernel, ids, at: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Runs `f` in the kernel: nothing that it measures is a step from one kernel into another.
    pub fn enter<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        let kernel = self.kernel.clone();
        kernel.enter(|| f(self))
    }

    /// Switches to the next lwp.
    #[inline]
    pub fn next(&mut self) {
        let id = self.ids[self.at];
        self.at = if self.at + 1 == self.ids.len() { 0 } else { self.at + 1 };
        self.kernel.switch(Some(id));
    }
}
