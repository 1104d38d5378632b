//! Memory to read to and write from.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// The length of a [`Piece`] in bytes: what is read from or written to a descriptor at a time.
pub(crate) const PIECE: usize = 64 * 1024;
/// How many pieces a host thread keeps that nobody uses.
const KEPT: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A piece of memory, with whatever was in it before. Connections have one only while there is something in it, so that
/// those that wait take none; the next one on the same host thread gets it.
#[derive(Debug)]
pub(crate) struct Piece(Box<[u8]>);

impl Piece {
    pub(crate) fn new() -> Self {
        let kept = FREE.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| vec![0; PIECE].into()))
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.0);
        // Where the thread's locals are gone there is nothing to keep it for.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(memory);
            }
        });
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
