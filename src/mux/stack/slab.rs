//! A slab: one mapping that many stacks are cut from, each with a guard at its low end.
//!
//! ```text
//!   low                                                                high
//!   ├ guard ┼── stack 0 ──┼ guard ┼── stack 1 ──┼ ... ┼ not yet cut ... ┤
//! ```
//!
//! A stack is *cut* when it is first needed, which is when its guard is made: a marker in the page tables where the kernel
//! has them (`MADV_GUARD_INSTALL`, Linux 6.13), which takes no mapping of its own, so that any number fits. Elsewhere the
//! guard is a page without access, and each of these splits the mapping: at `vm.max_map_count` (about 32,700 stacks) the
//! next stack is `ENOMEM`. No stack is ever given out without its guard.
//!
//! Slabs belong to one host thread. A stack keeps its slab mapped, so a pool and its stacks may go in any order.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr;
use std::rc::Rc;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use super::guards::{GUARDS, Layout, Watched};
use crate::errno::{Errno, Result};

/// The tops of neighbouring stacks lie this much apart within their pages, so that the frames in which fibers wait do not
/// all fall into the same sets of the first-level cache.
const COLOUR: usize = 128;
const COLOURS: usize = 16;

/// What a guard is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Markers in the page tables.
    Marker,
    /// A page without access.
    NoAccess,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slab {
    low: NonZeroUsize,
    layout: Layout,
    stacks: usize,
    guard: Cell<Guard>,
    /// How many stacks have been cut: those below this place.
    cut: Cell<usize>,
    /// Stacks that are cut, not out, and have given their pages back.
    cold: RefCell<Vec<u32>>,
    /// Tells the handler of faults where the guards are. Goes before the memory does.
    watched: Option<Watched>,
}

/// A stack, cut from a slab. It goes back there when it is dropped.
#[derive(Debug)]
pub(in crate::mux) struct Stack {
    top: NonZeroUsize,
    slab: Rc<Slab>,
}

impl Slab {
    /// Maps a slab of as many stacks as asked for, or fewer where the host has no room for so many.
    ///
    /// # Errors
    /// `ENOMEM`: there is no room for one stack.
    pub(super) fn map(layout: Layout, mut stacks: usize, guard: Guard) -> Result<Rc<Self>> {
        let low = loop {
            match map(layout.stride() * stacks) {
                Ok(low) => break low,
                Err(_) if stacks > 1 => stacks /= 2,
                Err(error) => return Err(error),
            }
        };
        let watched = GUARDS.watch(low.get(), low.get() + layout.stride() * stacks, layout);
        Ok(Rc::new(Self {
            low,
            layout,
            stacks,
            guard: Cell::new(guard),
            cut: Cell::new(0),
            cold: RefCell::new(Vec::new()),
            watched: Some(watched),
        }))
    }

    /// A stack that is not in use, if there is one.
    ///
    /// # Errors
    /// `ENOMEM`: the host has no room for the stack's guard.
    pub(super) fn take(self: &Rc<Self>) -> Result<Option<Stack>> {
        let cold = self.cold.borrow_mut().pop();
        let place = match cold {
            Some(place) => place as usize,
            None if self.cut.get() < self.stacks => {
                self.make_guard(self.cut.get())?;
                self.cut.replace(self.cut.get() + 1)
            }
            None => return Ok(None),
        };
        // The colour is the place's, so that a stack that comes back has not touched more than it used.
        let top = self.low.get() + self.layout.stride() * (place + 1);
        let top = NonZeroUsize::new(top - place % COLOURS * COLOUR).expect("above the start of its slab");
        Ok(Some(Stack { top, slab: Rc::clone(self) }))
    }

    /// Whether none of its stacks is out or kept: all have given their pages back, or were never cut.
    pub(super) fn is_idle(&self) -> bool {
        self.cold.borrow().len() == self.cut.get()
    }

    pub(super) fn stacks(&self) -> usize {
        self.stacks
    }

    /// What the next guard is made of, unless the kernel refuses it.
    #[cfg(test)]
    pub(super) fn guard(&self) -> Guard {
        self.guard.get()
    }

    /// The lowest address of the stack at `place`: where its guard begins.
    fn stack(&self, place: usize) -> *mut c_void {
        ptr::with_exposed_provenance_mut(self.low.get() + self.layout.stride() * place)
    }

    /// # Errors
    /// `ENOMEM`: no room for it.
    fn make_guard(&self, place: usize) -> Result<()> {
        let (low, len) = (self.stack(place), self.layout.guard);
        if self.guard.get() == Guard::Marker {
            /// Not in `libc` or `rustix` yet.
            const MADV_GUARD_INSTALL: libc::c_int = 102;
            // SAFETY: these pages are the slab's, and nobody uses them: they are the guard of a stack not yet cut.
            if unsafe { libc::madvise(low, len, MADV_GUARD_INSTALL) } == 0 {
                return Ok(());
            }
            // The kernel has no markers, or not here (locked memory). Whatever it is, the other way finds out.
            self.guard.set(Guard::NoAccess);
        }
        // SAFETY: as above.
        Ok(unsafe { rustix::mm::mprotect(low, len, MprotectFlags::empty()) }?)
    }
}

fn map(len: usize) -> Result<NonZeroUsize> {
    // Not reserved: a stack takes what is touched of it.
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
    // SAFETY: a new mapping where the kernel likes.
    let low = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    // Not in large pages: the first touch would take two megabytes. A kernel without these says EINVAL, and is right.
    // SAFETY: the mapping is ours, and this changes nothing in it.
    let _ = unsafe { rustix::mm::madvise(low, len, Advice::LinuxNoHugepage) };
    NonZeroUsize::new(low.expose_provenance()).ok_or(Errno::ENOMEM)
}

impl Drop for Slab {
    fn drop(&mut self) {
        self.watched = None;
        let len = self.layout.stride() * self.stacks;
        // SAFETY: the mapping is this slab's, and the last of its stacks is gone.
        let unmapped = unsafe { rustix::mm::munmap(self.stack(0), len) };
        if unmapped.is_err() {
            // To cut a piece from a mapping that the kernel had joined with a neighbour may take one mapping more than
            // there may be. Then the addresses stay; the memory goes.
            // SAFETY: as above.
            let _ = unsafe { rustix::mm::madvise(self.stack(0), len, Advice::LinuxDontNeed) };
        }
    }
}

impl Stack {
    /// Where it begins to be used: the address above the highest byte.
    #[inline]
    pub(in crate::mux) fn top(&self) -> usize {
        self.top.get()
    }

    /// How many bytes it has, of which up to 2 KiB are above its top.
    #[inline]
    pub(in crate::mux) fn size(&self) -> usize {
        self.slab.layout.usable
    }

    /// Its lowest byte: the guard is below.
    #[inline]
    pub(in crate::mux) fn low(&self) -> usize {
        self.slab.stack(self.place()).addr() + self.slab.layout.guard
    }

    /// The slab that it was cut from.
    pub(super) fn slab(&self) -> &Rc<Slab> {
        &self.slab
    }

    fn place(&self) -> usize {
        (self.top.get() - 1 - self.slab.low.get()) / self.slab.layout.stride()
    }
}

impl Drop for Stack {
    /// Gives its pages back to the host, and the stack to its slab. Guards stay.
    fn drop(&mut self) {
        let place = self.place();
        let low = self.slab.stack(place).wrapping_byte_add(self.slab.layout.guard);
        // SAFETY: the pages are this stack's, which nobody runs on any more. Where the host refuses (locked memory), the
        // next user finds the old bytes, which a stack may hold.
        let _ = unsafe { rustix::mm::madvise(low, self.slab.layout.usable, Advice::LinuxDontNeed) };
        self.slab.cold.borrow_mut().push(place as u32);
    }
}
