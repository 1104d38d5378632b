//! Open file descriptions: a file, an offset and status flags, shared by all descriptors made from one open.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crossbeam_epoch::{Guard, Owned, Shared};
use parking_lot::{Mutex, MutexGuard};

use super::{File, HostFile, OpenFlags};
use crate::errno::{Errno, Result};
use crate::sync::{AtomicU32, AtomicUsize, Ordering, add_reference, check_references, fence};
use crate::table;
use crate::wait::nowait;

/// What an [`OpenFile`] refers to. The file is dropped with the last holder, at once; this memory after that, when no
/// thread can be looking at it any more.
pub(super) struct Description {
    /// *Atomic*: descriptors and calls under way. Once 0 it stays 0.
    holders: AtomicUsize,
    /// *Atomic*: the access mode, which never changes, and the status flags.
    flags: AtomicU32,
    /// Whether the file is on a disk of the host's, or a network: its calls may take long.
    pooled: bool,
    /// Where the next read or write begins.
    offset: Mutex<u64>,
    /// Valid as long as `holders` is not 0; taken by the last holder.
    file: UnsafeCell<ManuallyDrop<Box<dyn File>>>,
}

// SAFETY: the file is `Send + Sync`; it is shared as `&dyn File`, and taken out only by the last holder, alone.
unsafe impl Send for Description {}
// SAFETY: as above.
unsafe impl Sync for Description {}

impl Description {
    /// Status flags that `fcntl` may change.
    const CHANGEABLE: OpenFlags = OpenFlags::APPEND.union(OpenFlags::NONBLOCK);
    /// What is remembered of the flags of `open`.
    const KEPT: OpenFlags = OpenFlags::ACCMODE.union(Self::CHANGEABLE);

    #[inline]
    pub(super) fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the status flags; the access mode stays.
    pub(super) fn set_flags(&self, flags: OpenFlags) {
        let changed = (flags & Self::CHANGEABLE).bits();
        // Relaxed: flags guard no data.
        let _ = self
            .flags
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(old & OpenFlags::ACCMODE.bits() | changed));
    }
}

/// An open file description (POSIX), held by reference count: what a descriptor number stands for, independent of any
/// process. [`sys::export`](crate::sys::export) takes one out of a table, [`sys::import`](crate::sys::import) puts one
/// in, as `SCM_RIGHTS` does between host processes.
///
/// Source: POSIX.1-2024, 3.240 Open File Description.
pub struct OpenFile(NonNull<Description>);

// SAFETY: a counted reference to a description, which is `Send + Sync`.
unsafe impl Send for OpenFile {}
// SAFETY: as above.
unsafe impl Sync for OpenFile {}

impl OpenFile {
    /// Opens `file`, at offset 0.
    pub fn new(file: Box<dyn File>, flags: OpenFlags) -> Self {
        let pooled = (&*file as &dyn Any).downcast_ref().is_some_and(HostFile::may_take_long);
        Self::with(file, flags, pooled)
    }

    /// Opens `file`, which is on a disk of the host's or a network if it is `pooled`: none of an embedder's code is in it then.
    pub(crate) fn with(file: Box<dyn File>, flags: OpenFlags, pooled: bool) -> Self {
        let description = Owned::new(Description {
            holders: AtomicUsize::new(1),
            flags: AtomicU32::new((flags & Description::KEPT).bits()),
            pooled,
            offset: Mutex::new(0),
            file: UnsafeCell::new(ManuallyDrop::new(file)),
        });
        Self(NonNull::from(Box::leak(description.into_box())))
    }

    /// One more reference to what a table's entry points to; `None` if its last holder is gone. What any of the holders
    /// did before it went, above all to the entry, is seen then.
    pub(super) fn acquire(description: &Description) -> Option<Self> {
        let mut holders = description.holders.load(Ordering::Relaxed);
        while holders != 0 {
            check_references(holders);
            // Relaxed: the entry was read with Acquire, which is what makes the file visible; a count that is not 0
            // keeps it.
            match description.holders.compare_exchange_weak(holders, holders + 1, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Some(Self(NonNull::from(description))),
                Err(now) => holders = now,
            }
        }
        // Acquire: pairs with the Release in each holder's `drop`.
        fence(Ordering::Acquire);
        None
    }

    /// The reference as an address for a table's entry, to become one again by [`from_entry`](Self::from_entry).
    pub(super) fn into_entry<'g>(self, _: &'g Guard) -> Shared<'g, Description> {
        Shared::from(ManuallyDrop::new(self).0.as_ptr().cast_const())
    }

    /// The reference that an entry held, now that it is out of the table; `None` if there was none.
    ///
    /// # Safety
    /// `entry` came from [`into_entry`](Self::into_entry) and was taken out of the table by the caller alone.
    pub(super) unsafe fn from_entry(entry: Shared<'_, Description>) -> Option<Self> {
        NonNull::new(entry.with_tag(0).as_raw().cast_mut()).map(Self)
    }

    fn description(&self) -> &Description {
        // SAFETY: this reference is counted, so the description lives.
        unsafe { self.0.as_ref() }
    }

    /// The file.
    #[inline]
    pub fn file(&self) -> &dyn File {
        // SAFETY: the file is taken out only when no holder is left, and this is one.
        unsafe { &***self.description().file.get() }
    }

    /// [`File::read_at`], which reads no more than there is room for, whatever an embedder's file says.
    #[inline]
    pub(crate) fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        let room = buf.len();
        self.file().read_at(buf, at).map(|read| read.min(room))
    }

    /// [`File::write_at`], which writes no more than there is.
    #[inline]
    pub(crate) fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        self.file().write_at(buf, at).map(|written| written.min(buf.len()))
    }

    /// [`File::append`], which writes no more than there is.
    pub(crate) fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        self.file().append(buf).map(|(written, end)| (written.min(buf.len()), end))
    }

    /// The access mode and the status flags ([`OpenFlags::APPEND`], [`OpenFlags::NONBLOCK`]).
    #[inline]
    pub fn flags(&self) -> OpenFlags {
        self.description().flags()
    }

    /// Whether a call on it may take the host long, and is one for the pool under a multiplexer.
    #[inline]
    pub(crate) fn pooled(&self) -> bool {
        self.description().pooled
    }

    /// The offset, held until the guard goes: reads and writes at the offset take turns.
    ///
    /// # Errors
    /// `EAGAIN`: it is held, by one that may take long, and this is not to wait.
    #[inline]
    pub(crate) fn offset(&self) -> Result<MutexGuard<'_, u64>> {
        let offset = &self.description().offset;
        match offset.try_lock() {
            Some(held) => Ok(held),
            None if nowait::asked() => Err(Errno::EAGAIN),
            None => Ok(offset.lock()),
        }
    }
}

impl Clone for OpenFile {
    fn clone(&self) -> Self {
        add_reference(&self.description().holders);
        Self(self.0)
    }
}

impl Drop for OpenFile {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire fence in `close`, so that the last holder closes after all use.
        if self.description().holders.fetch_sub(1, Ordering::Release) == 1 {
            // SAFETY: the count is 0 and never rises again: this is the last holder.
            unsafe { close(self.0) };
        }
    }
}

/// Drops the file now, and its description's memory later.
///
/// # Safety
/// The caller was the last holder.
#[cold]
unsafe fn close(description: NonNull<Description>) {
    // Acquire: pairs with the Release in each other holder's `drop`.
    fence(Ordering::Acquire);
    // SAFETY: the caller is alone with the file; those who still see the description do not touch the file at count 0.
    let file = unsafe { ManuallyDrop::take(&mut *description.as_ref().file.get()) };
    let guard = table::pin();
    // SAFETY: the entries that named it held references, so none is left; it is retired by its last holder alone; the
    // file, which is the embedder's, has been taken out.
    unsafe { table::retire(&guard, Shared::from(description.as_ptr().cast_const())) };
    drop(guard);
    drop(file);
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("flags", &self.flags()).finish_non_exhaustive()
    }
}
