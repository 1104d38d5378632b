//! The lwp table: handles to slots.

use super::Slot;
use super::state::State;
use crate::id::{LwpHandle, Pid};
use crate::proc::Proc;
use crate::table::{Indices, Segments};

#[cfg(not(loom))]
const FIRST: usize = 64;
#[cfg(loom)]
const FIRST: usize = 1;
const SEGMENTS: usize = 18;

/// All lwps of a kernel.
#[derive(Debug)]
pub(crate) struct LwpTable {
    slots: Segments<Slot, FIRST, SEGMENTS>,
    indices: Indices,
}

/// A lwp as one who does not hold it sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glimpse {
    pub(crate) handle: LwpHandle,
    pub(crate) pid: Pid,
    pub(crate) running: bool,
    pub(crate) switches: u64,
}

impl LwpTable {
    /// The most lwps that a kernel can be allowed.
    pub(crate) const MAX: u32 = Segments::<Slot, FIRST, SEGMENTS>::CAPACITY as u32;

    /// An empty table for at most `limit` lwps.
    pub(crate) fn new(limit: u32) -> Self {
        Self { slots: Segments::new(), indices: Indices::new(FIRST as u32, Self::MAX, limit.min(Self::MAX)) }
    }

    /// How many lwps there are.
    pub(crate) fn live(&self) -> u32 {
        self.indices.live()
    }

    /// The slot that `handle` points to, whoever lives there now.
    #[inline]
    pub(crate) fn slot(&self, handle: LwpHandle) -> Option<&Slot> {
        self.slots.get(handle.index() as usize)
    }

    /// Takes a slot; `None` at the limit.
    pub(crate) fn reserve(&self) -> Option<Reserved<'_>> {
        let index = self.indices.acquire()?;
        let slot = self.slots.ensure(index as usize).expect("indices end where segments do");
        Some(Reserved { table: self, slot, index })
    }

    /// Ends a lwp and takes its slot back.
    ///
    /// # Safety
    /// The caller holds Running, the slot is this table's, and the caller stops using the lwp.
    pub(crate) unsafe fn free(&self, slot: &Slot) {
        let index = slot.handle().index();
        // SAFETY: as the caller promises.
        if unsafe { slot.free() } {
            self.indices.release(index);
        } else {
            self.indices.retire();
        }
    }

    /// All lwps that live now, each as it is when the walk comes to it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Glimpse> {
        self.slots.iter().filter_map(|(_, slot)| {
            let word = slot.word();
            if word.state() == State::Free {
                return None;
            }
            let glimpse = Glimpse {
                handle: slot.handle(),
                pid: slot.pid(),
                running: word.state().runs() && !slot.turns().parked(),
                switches: slot.turns().over(),
            };
            slot.still_lives(word).then_some(glimpse)
        })
    }
}

/// A slot that is taken and has no lwp yet. Dropped, it is free again.
#[must_use]
#[derive(Debug)]
pub(crate) struct Reserved<'t> {
    table: &'t LwpTable,
    slot: &'t Slot,
    index: u32,
}

impl<'t> Reserved<'t> {
    /// Starts the lwp, running on host thread `host`, in `proc`, where it is counted already.
    pub(crate) fn start(self, proc: *const Proc, pid: Pid, host: u32) -> &'t Slot {
        self.slot.start(self.index, proc, pid, host);
        let slot = self.slot;
        std::mem::forget(self);
        slot
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.table.indices.release(self.index);
    }
}
