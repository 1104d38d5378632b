//! The file system in memory.
//!
//! Every node has one lock over its attributes and contents. A thread that holds a directory's takes no other but that of
//! a file, which holds none; only `rmdir` and `rename` hold several directories', and take `moves` before the first. So
//! nobody waits in a circle. A directory's own place (`dir::Link`) has a lock of its own, under which none is taken.

mod attributes;
mod dir;
mod file;
mod leaf;

use std::sync::Arc;

use parking_lot::Mutex;

pub(super) use self::dir::MemDir;
use self::file::MemFile;
use self::leaf::Leaf;
use super::node::Node;
use crate::errno::{Errno, Result};
use crate::sync::{AtomicU64, Ordering};

/// What one name, with its file, counts for, in bytes, on top of the file's contents.
const NAME: u64 = 512;
/// The names that a namespace begins with, which the limit is not spent on.
const FIRST_NAMES: u64 = 4;

/// What all nodes of a file system share.
pub(super) struct MemFs {
    /// *Atomic*: the number of the next file.
    next_ino: AtomicU64,
    /// *Atomic*: bytes that can still be taken.
    free: AtomicU64,
    /// Held while more than one directory is locked.
    moves: Mutex<()>,
}

impl MemFs {
    /// The device number of files in memory.
    const DEV: u64 = 1;

    /// The root of an empty file system of `limit` bytes.
    pub(super) fn root(limit: u64) -> Arc<MemDir> {
        let free = limit.saturating_add(FIRST_NAMES * NAME);
        MemDir::root(Arc::new(Self { next_ino: AtomicU64::new(2), free: AtomicU64::new(free), moves: Mutex::new(()) }))
    }

    fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes as many of `wanted` bytes as there are.
    fn take(&self, wanted: u64) -> u64 {
        let taken = |free: u64| wanted.min(free);
        // Relaxed: a count, which guards no data.
        match self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| Some(free - taken(free))) {
            Ok(free) | Err(free) => taken(free),
        }
    }

    fn give_back(&self, bytes: u64) {
        self.free.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Bytes taken from a file system, given back when dropped.
struct Charge {
    fs: Arc<MemFs>,
    bytes: u64,
}

impl Charge {
    /// # Errors
    /// `ENOSPC`.
    fn new(fs: &Arc<MemFs>, bytes: u64) -> Result<Self> {
        let charge = Self { fs: Arc::clone(fs), bytes: fs.take(bytes) };
        if charge.bytes == bytes { Ok(charge) } else { Err(Errno::ENOSPC) }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.fs.give_back(self.bytes);
    }
}

/// A node by what it is.
#[derive(Clone)]
enum MemNode {
    Dir(Arc<MemDir>),
    File(Arc<MemFile>),
    Leaf(Arc<Leaf>),
}

impl MemNode {
    fn node(&self) -> Arc<dyn Node> {
        match self {
            Self::Dir(dir) => Arc::clone(dir) as Arc<dyn Node>,
            Self::File(file) => Arc::clone(file) as Arc<dyn Node>,
            Self::Leaf(leaf) => Arc::clone(leaf) as Arc<dyn Node>,
        }
    }

    fn as_node(&self) -> &dyn Node {
        match self {
            Self::Dir(dir) => &**dir,
            Self::File(file) => &**file,
            Self::Leaf(leaf) => &**leaf,
        }
    }

    fn ino(&self) -> u64 {
        match self {
            Self::Dir(dir) => dir.ino(),
            Self::File(file) => file.ino(),
            Self::Leaf(leaf) => leaf.ino(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.ino() == other.ino()
    }

    /// One name more or less, of a file that is no directory.
    fn add_links(&self, change: i64) {
        match self {
            Self::Dir(_) => {}
            Self::File(file) => file.attributes(|attributes| attributes.add_links(change)),
            Self::Leaf(leaf) => leaf.attributes(|attributes| attributes.add_links(change)),
        }
    }
}
