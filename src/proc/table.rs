//! The process table: pids to processes.

use crossbeam_epoch::{Guard, Owned, Shared};

use super::{Birth, Proc};
use crate::id::Pid;
use crate::sync::{Atomic, AtomicI32, AtomicU32, Ordering};
use crate::table::{self, Indices, Segment, Segments};

#[cfg(not(loom))]
const FIRST: usize = 64;
#[cfg(loom)]
const FIRST: usize = 1;
const SEGMENTS: usize = 14;

/// No pid: the slot is free.
const NONE: i32 = -1;

#[derive(Debug)]
struct Slot {
    /// *Atomic*: the pid of the process that is here, [`NONE`] otherwise.
    pid: AtomicI32,
    /// How many processes were here before. Only the index's holder touches it.
    uses: AtomicU32,
    /// *Atomic*: null, or the process.
    proc: Atomic<Proc>,
}

impl Default for Slot {
    fn default() -> Self {
        Self { pid: AtomicI32::new(NONE), uses: AtomicU32::new(0), proc: Atomic::null() }
    }
}

impl Segment for Slot {}

/// All processes of a kernel.
#[derive(Debug)]
pub(crate) struct ProcTable {
    slots: Segments<Slot, FIRST, SEGMENTS>,
    indices: Indices,
}

impl ProcTable {
    /// The most processes that a kernel can be allowed.
    pub(crate) const MAX: u32 = Segments::<Slot, FIRST, SEGMENTS>::CAPACITY as u32;

    /// An empty table for at most `limit` processes.
    pub(crate) fn new(limit: u32) -> Self {
        Self { slots: Segments::new(), indices: Indices::new(FIRST as u32, Self::MAX, limit.min(Self::MAX)) }
    }

    /// How many processes there are.
    pub(crate) fn live(&self) -> u32 {
        self.indices.live()
    }

    /// Takes a pid; `None` at the limit.
    pub(crate) fn reserve(&self) -> Option<Reserved<'_>> {
        let index = self.indices.acquire()?;
        let slot = self.slots.ensure(index as usize).expect("indices end where segments do");
        // Relaxed: the index came from its last holder through `indices`, which orders it.
        let pid = Pid::pack(slot.uses.load(Ordering::Relaxed), index);
        Some(Reserved { table: self, slot, index, pid })
    }

    #[inline]
    fn slot(&self, pid: Pid) -> Option<&Slot> {
        self.slots.get(pid.index()? as usize)
    }

    /// The process, as long as the guard is held.
    pub(crate) fn get<'g>(&self, pid: Pid, guard: &'g Guard) -> Option<&'g Proc> {
        // Acquire: pairs with the Release in `Reserved::publish`.
        let proc = self.slot(pid)?.proc.load(Ordering::Acquire, guard);
        // SAFETY: read under the guard from the table, so it is not freed before the guard goes.
        unsafe { proc.as_ref() }.filter(|proc| proc.pid == pid)
    }

    /// Whether there is such a process.
    pub(crate) fn contains(&self, pid: Pid) -> bool {
        self.slot(pid).is_some_and(|slot| slot.pid.load(Ordering::Relaxed) == pid.raw())
    }

    /// All processes that are there now, as long as the guard is held.
    pub(crate) fn iter<'g>(&self, guard: &'g Guard) -> impl Iterator<Item = &'g Proc> {
        // Acquire: pairs with the Release in `Reserved::publish`.
        let procs = self.slots.iter().map(|(_, slot)| slot.proc.load(Ordering::Acquire, guard));
        // SAFETY: read under the guard from the table, so it is not freed before the guard goes.
        procs.filter_map(|proc| unsafe { proc.as_ref() })
    }

    /// Takes a dead process out of the table and frees it when nobody looks at it any more.
    ///
    /// # Safety
    /// The process is in this table, dead, nobody else removes it, and nobody uses it but under a guard. Nothing is left in
    /// it but memory.
    pub(crate) unsafe fn remove(&self, pid: Pid) {
        let Some((index, slot)) = pid.index().zip(self.slot(pid)) else { return };
        let guard = table::pin();
        slot.pid.store(NONE, Ordering::Relaxed);
        // Relaxed: detaching the last lwp has ordered all that the others did before this; the collector does the rest.
        let proc = slot.proc.swap(Shared::null(), Ordering::Relaxed, &guard);
        if !proc.is_null() {
            // SAFETY: it is out of the table, by this thread alone. The caller says the rest.
            unsafe { table::retire(&guard, proc) };
        }
        drop(guard);
        slot.uses.store(slot.uses.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.indices.release(index);
    }
}

impl Drop for ProcTable {
    fn drop(&mut self) {
        // Pids 0 and 1 stay to the end.
        for (_, slot) in self.slots.iter() {
            // SAFETY: `&mut self`: nobody else is left.
            let guard = unsafe { crossbeam_epoch::unprotected() };
            let proc = slot.proc.swap(Shared::null(), Ordering::Relaxed, guard);
            if !proc.is_null() {
                // SAFETY: the table owned it.
                drop(unsafe { proc.into_owned() });
            }
        }
    }
}

/// A pid that is taken and names no process yet. Dropped, it is free again.
#[must_use]
#[derive(Debug)]
pub(crate) struct Reserved<'t> {
    table: &'t ProcTable,
    slot: &'t Slot,
    index: u32,
    pub(crate) pid: Pid,
}

impl Reserved<'_> {
    /// Makes the process, with one lwp, and lets it be found. The pointer is good as long as the process has lwps.
    pub(crate) fn publish(self, birth: Birth) -> *const Proc {
        let guard = table::pin();
        let proc = Owned::new(Proc::new(self.pid, birth)).into_shared(&guard);
        // Release: pairs with the Acquire in `get` and `iter`.
        self.slot.proc.store(proc, Ordering::Release);
        self.slot.pid.store(self.pid.raw(), Ordering::Relaxed);
        std::mem::forget(self);
        proc.as_raw()
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.table.indices.release(self.index);
    }
}
