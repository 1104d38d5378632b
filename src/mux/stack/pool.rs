//! The stacks of fibers: a pool for one host thread, without locks.

use std::rc::Rc;

use super::cxx;
use super::guards::Layout;
use super::overflow;
use super::slab::{Guard, Slab, Stack};
use crate::errno::{Errno, Result};

/// The stacks of one multiplexer. Taking one is a pop, giving it back a push: the last that came back goes out first,
/// while it is in the cache.
///
/// Up to `keep` free stacks keep the memory that was touched in them. The others give it back to the host, and wait in
/// their slab. When a second slab has no stack in use or kept, it is unmapped; one such is kept, so that a load which
/// swings about a slab's border does not map and unmap.
///
/// The pool may go before its stacks do: each keeps its slab.
#[derive(Debug)]
pub(in crate::mux) struct StackPool {
    kept: Vec<Stack>,
    keep: usize,
    layout: Layout,
    guard: Guard,
    /// Oldest first, and used in that order, so that the younger ones become idle.
    slabs: Vec<Rc<Slab>>,
    /// No slab before this one has a stack to give, but those whose stacks were dropped and not put.
    search_from: usize,
}

impl StackPool {
    /// The least size of a stack, in bytes. What std does to report a panic with a backtrace takes 17 KiB.
    pub(in crate::mux) const MIN_SIZE: usize = 32 << 10;
    /// The largest size of a stack, in bytes.
    pub(in crate::mux) const MAX_SIZE: usize = 1 << 30;

    /// A slab has room for so many stacks at least, and then for as many as there are; but for no more than these bytes,
    /// if that is not less than a stack.
    const FIRST_SLAB: usize = 16;
    const MAX_SLAB: usize = 256 << 20;

    /// A pool of stacks of `size` bytes, rounded up to pages, for the calling host thread. Up to 2 KiB of a stack are left
    /// free above its first frame, for the cache's sake. Its guard of one page comes on top.
    ///
    /// Maps no stack yet. The handler that reports overflows is there from now on; see [`overflow`].
    ///
    /// # Errors
    /// `EINVAL`: less than [`MIN_SIZE`](Self::MIN_SIZE) or more than [`MAX_SIZE`](Self::MAX_SIZE). `ENOMEM`: no room for
    /// the stack on which the handler runs.
    pub(in crate::mux) fn new(size: usize, keep: usize) -> Result<Self> {
        if !(Self::MIN_SIZE..=Self::MAX_SIZE).contains(&size) {
            return Err(Errno::EINVAL);
        }
        overflow::watch()?;
        cxx::look();
        let page = rustix::param::page_size();
        let layout = Layout { guard: page, usable: size.next_multiple_of(page) };
        Ok(Self { kept: Vec::new(), keep, layout, guard: Guard::Marker, slabs: Vec::new(), search_from: 0 })
    }

    /// A stack that nobody uses.
    ///
    /// # Errors
    /// `ENOMEM`: the host has no room for it, or for its guard.
    #[inline]
    pub(in crate::mux) fn take(&mut self) -> Result<Stack> {
        match self.kept.pop() {
            Some(stack) => Ok(stack),
            None => self.cut(),
        }
    }

    /// Gives back a stack that was taken here.
    #[inline]
    pub(in crate::mux) fn put(&mut self, stack: Stack) {
        if self.kept.len() < self.keep {
            self.kept.push(stack);
        } else {
            self.retire(stack);
        }
    }

    #[cold]
    fn cut(&mut self) -> Result<Stack> {
        for from in [self.search_from, 0] {
            for place in from..self.slabs.len() {
                if let Some(stack) = self.slabs[place].take()? {
                    self.search_from = place;
                    return Ok(stack);
                }
            }
        }
        let there: usize = self.slabs.iter().map(|slab| slab.stacks()).sum();
        let most = (Self::MAX_SLAB / self.layout.stride()).max(1);
        let slab = Slab::map(self.layout, there.max(Self::FIRST_SLAB).min(most), self.guard)?;
        let stack = slab.take()?.ok_or(Errno::ENOMEM)?;
        self.search_from = self.slabs.len();
        self.slabs.push(slab);
        Ok(stack)
    }

    #[cold]
    fn retire(&mut self, stack: Stack) {
        let slab = Rc::clone(stack.slab());
        drop(stack);
        let Some(place) = self.slabs.iter().position(|other| Rc::ptr_eq(other, &slab)) else { return };
        self.search_from = self.search_from.min(place);
        if slab.is_idle() && self.slabs.iter().filter(|slab| slab.is_idle()).count() > 1 {
            self.slabs.remove(place);
            self.search_from = 0;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
