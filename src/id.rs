//! Names of things: pids, lwp ids, users, groups, descriptors.

use std::fmt;
use std::num::NonZeroU32;

/// A user id.
pub type Uid = u32;
/// A group id.
pub type Gid = u32;
/// A file descriptor number; -1 and other nonsense are `EBADF` where they are used.
pub type Fd = i32;
/// Permission bits, and the file's kind where `stat` reports them.
pub type Mode = u32;

/// A process id.
///
/// Pids of live processes are unique in their kernel and never negative. A pid comes back only after its table slot was
/// reused [`Pid::USES`] times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// The kernel's own process.
    pub const KERNEL: Self = Self(0);
    /// The process of implicit contexts, parent of all orphans.
    pub const INIT: Self = Self(1);
    /// How often a slot of the process table is used before its first pid returns.
    pub const USES: u32 = 1 << (31 - Self::INDEX_BITS);

    pub(crate) const INDEX_BITS: u32 = 20;

    /// Any number as a pid; one that names no process is `ESRCH` where it is used.
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The pid of the `uses`-th process in table slot `index`.
    pub(crate) const fn pack(uses: u32, index: u32) -> Self {
        Self((((uses % Self::USES) << Self::INDEX_BITS) | index) as i32)
    }

    /// The table slot, for a pid that could name one.
    pub(crate) const fn index(self) -> Option<u32> {
        if self.0 < 0 { None } else { Some(self.0 as u32 & ((1 << Self::INDEX_BITS) - 1)) }
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.0)
    }
}

/// An lwp: which kernel, which slot of its table, and which of the slot's lives. Never an address: a stale or invented
/// one is recognized, not followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LwpId {
    kernel: NonZeroU32,
    handle: LwpHandle,
}

/// An [`LwpId`] within its kernel: the slot's generation above its index, never 0. What C sees as `struct lwp *`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LwpHandle(u64);

impl LwpHandle {
    pub(crate) const INDEX_BITS: u32 = 24;
    /// The last generation of a slot; a slot that reached it is never used again, so a handle never names two lwps.
    pub(crate) const LAST_GENERATION: u64 = (1 << (64 - Self::INDEX_BITS)) - 1;

    /// Generations count from 1.
    pub(crate) const fn pack(generation: u64, index: u32) -> Self {
        Self(generation << Self::INDEX_BITS | index as u64)
    }

    pub(crate) const fn index(self) -> u32 {
        self.0 as u32 & ((1 << Self::INDEX_BITS) - 1)
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 >> Self::INDEX_BITS
    }

    /// The number.
    pub(crate) const fn raw(self) -> u64 {
        self.0
    }
}

impl LwpId {
    pub(crate) const fn new(kernel: NonZeroU32, handle: LwpHandle) -> Self {
        Self { kernel, handle }
    }

    /// The number of the kernel that the lwp lives in; see [`Kernel::id`](crate::Kernel::id).
    pub const fn kernel(self) -> NonZeroU32 {
        self.kernel
    }

    pub(crate) const fn handle(self) -> LwpHandle {
        self.handle
    }

    /// The lwp's number in its kernel, as [`sys::getlwpid`](crate::sys::getlwpid) gives it.
    pub const fn raw(self) -> u64 {
        self.handle.0
    }

    /// The lwp with this number in the kernel with that number. Any numbers will do: an id that names no lwp is `ESRCH`
    /// or a fatal error where it is used.
    pub const fn from_raw(kernel: NonZeroU32, raw: u64) -> Self {
        Self { kernel, handle: LwpHandle(raw) }
    }
}

impl fmt::Display for LwpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.handle.index(), self.handle.generation())
    }
}

impl fmt::Debug for LwpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lwp {self} of kernel {}", self.kernel)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{LwpHandle, Pid};

    #[test]
    fn pids_pack_and_unpack() {
        for (uses, index) in [(0, 2), (1, 2), (Pid::USES - 1, (1 << Pid::INDEX_BITS) - 1)] {
            let pid = Pid::pack(uses, index);
            assert!(pid.raw() >= 0);
            assert_eq!(pid.index(), Some(index));
            assert_eq!(Pid::pack(uses + Pid::USES, index), pid, "uses wrap");
            assert_ne!(Pid::pack(uses + 1, index), pid);
        }
        assert_eq!(Pid::pack(0, 2).raw(), 2);
        assert_eq!(Pid::from_raw(-1).index(), None);
    }

    #[test]
    fn handles_pack_and_unpack() {
        for (generation, index) in [(1, 0), (LwpHandle::LAST_GENERATION, (1 << LwpHandle::INDEX_BITS) - 1)] {
            let handle = LwpHandle::pack(generation, index);
            assert_eq!((handle.generation(), handle.index()), (generation, index));
        }
    }
}
