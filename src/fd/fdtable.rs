//! Descriptor tables: numbers to open file descriptions.
//!
//! ```text
//! FdTable ── groups (Segments) ──> Group: used  0b…0111        which numbers are taken
//!                                         entry [d0][d1][d2][  ]…  what they stand for
//! ```
//!
//! A number is taken by setting its bit in `used`, which only one thread can do; its entry is null until that thread
//! installs something, and again from the moment it is closed. So a bit without an entry is a number in transit: being
//! opened, or being closed. It reads as `EBADF`; `dup2` onto it answers `EBUSY`, as Linux documents.
//!
//! Lookup is a load under an epoch guard and a count taken on the description, so that a close meanwhile closes the
//! file only when the call under way is over, as on any Unix.
//!
//! A table dies when its last user leaves, and stays dead. A thread that was opening something by then, whose process has
//! ended meanwhile, may still have hold of it. Both sides write first and look second, sequentially consistent: the last user
//! leaves, then closes what it finds; who installs a file then looks whether there are users. One of them sees the other,
//! and the file is closed, by one of them, at once.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use bitflags::bitflags;
use crossbeam_epoch::{Guard, Shared};

use super::description::Description;
use super::{OpenFile, OpenFlags};
use crate::errno::{Errno, Result};
use crate::id::Fd;
use crate::panics::{Panic, drop_each, go_on};
use crate::sync::{Atomic, AtomicU32, Ordering, fence, sequenced};
use crate::table::{self, Segment, Segments};

bitflags! {
    /// A descriptor's own flags, with the host's values of `FD_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FdFlags: u32 {
        /// Not for programs run by `exec`. There is no `exec` here: the flag is kept and reported.
        const CLOEXEC = 1;
    }
}

#[cfg(not(loom))]
const GROUP: u32 = 16;
#[cfg(loom)]
const GROUP: u32 = 2;
const SEGMENTS: usize = 16;

/// The highest number of descriptors that a process can be allowed: 1,048,560.
pub const OPEN_MAX: u32 = Segments::<Group, 1, SEGMENTS>::CAPACITY as u32 * GROUP;

const FULL: u32 = (1 << GROUP) - 1;

/// A row of numbers.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// *Atomic*: a bit for each number that is taken.
    used: AtomicU32,
    /// *Atomic*: null, or the description (tag: [`FdFlags`]). Written by the one who set the number's bit, then by
    /// whoever takes the description out.
    entries: [Atomic<Description>; GROUP as usize],
}

impl Segment for Group {}

/// A descriptor table, of one process or shared by several (`rfork` without `RFFDG` and `RFCFDG`).
#[derive(Debug)]
pub(crate) struct FdTable {
    /// *Atomic*: the processes that use it, of which there are fewer than 2^20. At 0 it is dead.
    users: AtomicU32,
    /// *Atomic*: no group before this one has a free number.
    lowest: AtomicU32,
    groups: Segments<Group, 1, SEGMENTS>,
}

impl FdTable {
    /// An empty table with one user.
    pub(crate) fn new() -> Self {
        Self { users: AtomicU32::new(1), lowest: AtomicU32::new(0), groups: Segments::new() }
    }

    /// The same table, with one more user; a new one for a child that the caller's process has at its very end, when it has
    /// left a table that died with that.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Self> {
        // Relaxed, here and below: the caller is a user, or was the last.
        if self.users.load(Ordering::Relaxed) == 0 {
            return Arc::new(Self::new());
        }
        self.users.fetch_add(1, Ordering::Relaxed);
        Arc::clone(self)
    }

    /// Whether the caller's process is the only user.
    pub(crate) fn has_one_user(&self) -> bool {
        // Acquire: pairs with the Release in `leave`: all others are done with the table.
        self.users.load(Ordering::Acquire) == 1
    }

    /// A table with the same numbers for the same descriptions, as `fork` makes it.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        let guard = table::pin();
        let mut full_so_far = true;
        for (number, group) in self.groups.iter() {
            // Relaxed: only tells where to look.
            if group.used.load(Ordering::Relaxed) == 0 {
                full_so_far = false;
                continue;
            }
            let Some(target) = copy.groups.ensure(number) else { break };
            let mut used = 0;
            for (bit, (from, to)) in group.entries.iter().zip(&target.entries).enumerate() {
                if let Some((file, flags)) = open_file(from, &guard) {
                    to.store(file.into_entry(&guard).with_tag(flags), Ordering::Relaxed);
                    used |= 1 << bit;
                }
            }
            // Relaxed, here and above: the copy is not shared yet.
            target.used.store(used, Ordering::Relaxed);
            full_so_far &= used == FULL;
            if full_so_far {
                copy.lowest.store(number as u32 + 1, Ordering::Relaxed);
            }
        }
        copy
    }

    /// One user less; `true` for the last one, who closes everything.
    #[must_use]
    pub(crate) fn leave(&self) -> bool {
        // SeqCst: pairs with the load in `died`. As Release it pairs with the fence of the last user, who closes after all
        // others are done with the table, and with the Acquire in `has_one_user`.
        let last = self.users.fetch_sub(1, Ordering::SeqCst) == 1;
        if last {
            // SeqCst: pairs with what `take_lowest` and `install` write. Either `died` sees that there are no users, or that
            // is seen by those who close after this.
            fence(Ordering::SeqCst);
        }
        last
    }

    /// Whether the table has died, asked by one who has just installed something, with SeqCst.
    fn died(&self) -> bool {
        sequenced();
        // SeqCst: pairs with that in `leave`.
        self.users.load(Ordering::SeqCst) == 0
    }

    /// Closes every number, each in spite of the others' panics.
    pub(crate) fn close_all(&self, panic: &mut Option<Panic>) {
        for (first, groups) in self.groups.segments() {
            for (number, group) in (first as u32..).zip(groups) {
                for bit in 0..GROUP {
                    // Relaxed: `close` looks again.
                    if group.used.load(Ordering::Relaxed) & 1 << bit != 0 {
                        drop_each(self.close((number * GROUP + bit) as Fd), panic);
                    }
                }
            }
        }
    }

    /// How many numbers are taken.
    pub(crate) fn open_count(&self) -> u32 {
        self.groups.iter().map(|(_, group)| group.used.load(Ordering::Relaxed).count_ones()).sum()
    }

    #[inline]
    fn locate(&self, fd: Fd) -> Option<(&Group, u32)> {
        let fd = u32::try_from(fd).ok()?;
        Some((self.groups.get((fd / GROUP) as usize)?, fd % GROUP))
    }

    /// What `fd` stands for.
    ///
    /// # Errors
    /// `EBADF`: nothing.
    #[inline]
    pub(crate) fn get(&self, fd: Fd) -> Result<OpenFile> {
        let (group, bit) = self.locate(fd).ok_or(Errno::EBADF)?;
        let guard = table::pin();
        open_file(&group.entries[bit as usize], &guard).map(|(file, _)| file).ok_or(Errno::EBADF)
    }

    /// Whether it is open.
    ///
    /// # Errors
    /// `EBADF`: it is not.
    pub(crate) fn check(&self, fd: Fd) -> Result<()> {
        self.fd_flags(fd).map(drop)
    }

    /// The access mode and the status flags of what `fd` stands for. No reference is counted for that.
    ///
    /// # Errors
    /// `EBADF`: nothing.
    #[inline]
    pub(crate) fn status(&self, fd: Fd) -> Result<OpenFlags> {
        self.look(fd, Description::flags)
    }

    /// Sets the status flags of what `fd` stands for; the access mode stays.
    ///
    /// # Errors
    /// `EBADF`: nothing.
    pub(crate) fn set_status(&self, fd: Fd, flags: OpenFlags) -> Result<()> {
        self.look(fd, |description| description.set_flags(flags))
    }

    /// Looks at the description that `fd` stands for, whose file may be gone by then.
    #[inline]
    fn look<R>(&self, fd: Fd, look: impl FnOnce(&Description) -> R) -> Result<R> {
        let (group, bit) = self.locate(fd).ok_or(Errno::EBADF)?;
        let guard = table::pin();
        // Acquire: pairs with the Release in `install` and `replace`.
        let seen = group.entries[bit as usize].load(Ordering::Acquire, &guard);
        // SAFETY: read under the guard from an entry, so not freed before the guard goes.
        unsafe { seen.as_ref() }.map(look).ok_or(Errno::EBADF)
    }

    /// The descriptor's flags.
    ///
    /// # Errors
    /// `EBADF`: it is not open.
    pub(crate) fn fd_flags(&self, fd: Fd) -> Result<FdFlags> {
        let (group, bit) = self.locate(fd).ok_or(Errno::EBADF)?;
        // SAFETY: of the entry only the tag is looked at.
        let entry = group.entries[bit as usize].load(Ordering::Relaxed, unsafe { table::unguarded() });
        entry.tag_if_open().map(FdFlags::from_bits_truncate)
    }

    /// Sets the descriptor's flags.
    ///
    /// # Errors
    /// `EBADF`: it is not open.
    pub(crate) fn set_fd_flags(&self, fd: Fd, flags: FdFlags) -> Result<()> {
        let (group, bit) = self.locate(fd).ok_or(Errno::EBADF)?;
        let entry = &group.entries[bit as usize];
        let guard = table::pin();
        let mut old = entry.load(Ordering::Relaxed, &guard);
        loop {
            old.tag_if_open()?;
            let new = old.with_tag(flags.bits() as usize);
            // Relaxed: the description is not looked at here, and readers go on to see it as its installer released it,
            // since an exchange continues the release sequence that it reads from.
            match entry.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed, &guard) {
                Ok(_) => return Ok(()),
                Err(changed) => old = changed.current,
            }
        }
    }

    /// Takes the lowest free number that is at least `min` and below `limit`.
    ///
    /// # Errors
    /// `EMFILE`: there is none.
    pub(crate) fn take_lowest(&self, min: u32, limit: u32) -> Result<Number<'_>> {
        let limit = limit.min(OPEN_MAX);
        // Relaxed: only tells where to begin. A number that came free before that is not missed for good: see `pass_by`.
        let mut number = (min / GROUP).max(self.lowest.load(Ordering::Relaxed));
        while number < limit.div_ceil(GROUP) {
            let group = self.groups.ensure(number as usize).ok_or(Errno::EMFILE)?;
            let first = number * GROUP;
            let allowed = FULL & FULL << min.saturating_sub(first).min(GROUP) & below(limit - first);
            let mut used = group.used.load(Ordering::Relaxed);
            while let bit = (!used & allowed).trailing_zeros()
                && bit < GROUP
            {
                // Acquire: pairs with the Release in `give_back`, so that the entry is seen empty. SeqCst: pairs with the
                // fence in `leave`.
                match group.used.compare_exchange_weak(used, used | 1 << bit, Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => return Ok(Number { table: self, group, bit, fd: (first + bit) as Fd }),
                    Err(now) => used = now,
                }
            }
            if used == FULL {
                self.pass_by(number, group);
            }
            number += 1;
        }
        Err(Errno::EMFILE)
    }

    /// Moves `lowest` past a full group, unless a number in it came free meanwhile.
    fn pass_by(&self, number: u32, group: &Group) {
        // SeqCst: pairs with that in `give_back`. Whoever gives a number back clears its bit, then looks at `lowest`. If that
        // came before this, the second look sees the cleared bit; if after, it sees this, and undoes it.
        if self.lowest.compare_exchange(number, number + 1, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            sequenced();
            if group.used.load(Ordering::SeqCst) != FULL {
                self.lowest.fetch_min(number, Ordering::Relaxed);
            }
        }
    }

    fn give_back(&self, fd: Fd, group: &Group, bit: u32) {
        // Release: pairs with the Acquire in `take_lowest` and `replace`. SeqCst: pairs with the load in `pass_by`.
        group.used.fetch_and(!(1 << bit), Ordering::SeqCst);
        let number = fd as u32 / GROUP;
        sequenced();
        // SeqCst: pairs with the exchange in `pass_by`. Most often `lowest` is low enough, and stays unwritten.
        if self.lowest.load(Ordering::SeqCst) > number {
            self.lowest.fetch_min(number, Ordering::Relaxed);
        }
    }

    /// Makes `fd` stand for `file`, and gives what it stood for before, to be dropped by the caller.
    ///
    /// # Errors
    /// `EBADF`: `fd` is negative or not below `limit`. `EBUSY`: the number is being opened or closed at this moment. `ESRCH`:
    /// the table has died. (Where something is replaced nobody asks: who closes that, if the table dies, closes what is
    /// there then.)
    pub(crate) fn replace(&self, fd: Fd, file: OpenFile, flags: FdFlags, limit: u32) -> Result<Option<Closed>> {
        let number = u32::try_from(fd).ok().filter(|fd| *fd < limit.min(OPEN_MAX)).ok_or(Errno::EBADF)?;
        let group = self.groups.ensure((number / GROUP) as usize).ok_or(Errno::EBADF)?;
        let bit = number % GROUP;
        // As in `take_lowest`.
        if group.used.fetch_or(1 << bit, Ordering::SeqCst) & 1 << bit == 0 {
            let number = Number { table: self, group, bit, fd };
            return number.install(file, flags).map(|_| None).map_err(|_closed| Errno::ESRCH);
        }
        let guard = table::pin();
        let entry = &group.entries[bit as usize];
        let new = file.into_entry(&guard).with_tag(flags.bits() as usize);
        let mut old = entry.load(Ordering::Relaxed, &guard);
        while !old.is_null() {
            // AcqRel: Release hands `file` to readers (Acquire in `get`), Acquire takes the old one over from `install`.
            match entry.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed, &guard) {
                // SAFETY: the exchange took `old` out of the table. (What it gives is `new`.)
                Ok(_) => return Ok(unsafe { OpenFile::from_entry(old) }.map(Closed)),
                Err(changed) => old = changed.current,
            }
        }
        // SAFETY: it never got into the table.
        let unused = unsafe { OpenFile::from_entry(new) };
        // Off the guard: the file may close.
        drop(guard);
        drop(unused);
        Err(Errno::EBUSY)
    }

    /// Frees the number `fd` and gives what it stood for, to be dropped by the caller.
    ///
    /// # Errors
    /// `EBADF`: it is not open.
    pub(crate) fn close(&self, fd: Fd) -> Result<Closed> {
        let (group, bit) = self.locate(fd).ok_or(Errno::EBADF)?;
        // SAFETY: nothing is followed that was not taken out.
        let unguarded = unsafe { table::unguarded() };
        let entry = &group.entries[bit as usize];
        // Relaxed: looked at first, so that a number in transit is left alone.
        entry.load(Ordering::Relaxed, unguarded).tag_if_open()?;
        // Acquire: takes the description over from `install` (Release).
        let taken = entry.swap(Shared::null(), Ordering::Acquire, unguarded);
        // SAFETY: the swap took it out of the table.
        let file = unsafe { OpenFile::from_entry(taken) }.ok_or(Errno::EBADF)?;
        self.give_back(fd, group, bit);
        Ok(Closed(file))
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        // A table that died is empty; this serves one that never became a process's.
        let mut panic = None;
        self.close_all(&mut panic);
        go_on(panic);
    }
}

/// What an entry stands for at this moment, and its tag; `None` if nothing.
#[inline]
fn open_file(entry: &Atomic<Description>, guard: &Guard) -> Option<(OpenFile, usize)> {
    loop {
        // Acquire: pairs with the Release in `install` and `replace`.
        let seen = entry.load(Ordering::Acquire, guard);
        // SAFETY: read under the guard from an entry, so not freed before the guard goes.
        let description = unsafe { seen.as_ref() }?;
        // Its last holder may be gone since: then the entry has changed, and `acquire` makes that seen.
        if let Some(file) = OpenFile::acquire(description) {
            return Some((file, seen.tag()));
        }
    }
}

/// The lowest `count` bits.
const fn below(count: u32) -> u32 {
    if count >= GROUP { FULL } else { (1 << count) - 1 }
}

trait Entry {
    fn tag_if_open(&self) -> Result<u32>;
}

impl Entry for Shared<'_, Description> {
    fn tag_if_open(&self) -> Result<u32> {
        if self.is_null() { Err(Errno::EBADF) } else { Ok(self.tag() as u32) }
    }
}

/// A number that is taken and stands for nothing yet. Dropped, it is free again.
#[must_use]
#[derive(Debug)]
pub(crate) struct Number<'t> {
    table: &'t FdTable,
    group: &'t Group,
    bit: u32,
    fd: Fd,
}

impl Number<'_> {
    /// Makes the number stand for `file`.
    ///
    /// # Errors
    /// The table has died: the file, if it was not closed by the table's last user, is given to be dropped.
    pub(crate) fn install(self, file: OpenFile, flags: FdFlags) -> std::result::Result<Fd, Option<Closed>> {
        // SAFETY: nothing is followed: the entry is null.
        let unguarded = unsafe { table::unguarded() };
        let entry = file.into_entry(unguarded).with_tag(flags.bits() as usize);
        // Release: pairs with the Acquire in `get`, `copy`, `close` and `replace`. SeqCst: pairs with the fence in `leave`; a
        // swap for the sake of that alone.
        self.group.entries[self.bit as usize].swap(entry, Ordering::SeqCst, unguarded);
        let Self { table, fd, .. } = *ManuallyDrop::new(self);
        // Of several who come too late to a number, one may close another's file: all of them are to be closed.
        if table.died() { Err(table.close(fd).ok()) } else { Ok(fd) }
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.table.give_back(self.fd, self.group, self.bit);
    }
}

/// A description that has left the table. Drop it where the embedder's code may run: if this was its last holder, the
/// file closes then.
#[must_use = "the file closes when this is dropped"]
#[derive(Debug)]
pub(crate) struct Closed(#[expect(dead_code, reason = "held to be dropped")] OpenFile);

impl From<OpenFile> for Closed {
    /// One that was to come into a table, and did not.
    fn from(file: OpenFile) -> Self {
        Self(file)
    }
}
