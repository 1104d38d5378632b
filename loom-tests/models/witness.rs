//! A file that finds out what a table does to it.

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use crate::fd::{FdFlags, FdTable, File, OpenFile, OpenFlags};
use crate::panics::go_on;
use crate::sync::{AtomicU32, Ordering, UnlessFailed};

/// A file that knows how often it was closed, and that is not used and closed at the same time.
struct Witness {
    closed: Arc<AtomicU32>,
    used: UnsafeCell<u32>,
}

// SAFETY: loom's cell finds out who breaks its rules.
unsafe impl Send for Witness {}
// SAFETY: as above.
unsafe impl Sync for Witness {}

impl File for Witness {
    fn read_at(&self, _buf: &mut [u8], _at: u64) -> crate::errno::Result<usize> {
        assert_eq!(self.closed.load(Ordering::Relaxed), 0, "used after it was closed");
        self.used.with(|_| ());
        Ok(0)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.used.with_mut(|_| ());
            self.closed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An open file, and how often it was closed.
pub(super) fn witness() -> (OpenFile, Arc<AtomicU32>) {
    let closed = Arc::new(AtomicU32::new(0));
    let file = Witness { closed: Arc::clone(&closed), used: UnsafeCell::new(0) };
    (OpenFile::new(Box::new(file), OpenFlags::RDWR), closed)
}

/// An open file of no interest.
pub(super) fn open() -> OpenFile {
    witness().0
}

/// A table that is not torn down when the model has failed.
pub(super) fn table() -> Arc<UnlessFailed<FdTable>> {
    Arc::new(UnlessFailed::new(FdTable::new()))
}

pub(super) fn install(table: &FdTable, file: OpenFile) -> i32 {
    table.take_lowest(0, 64).expect("there is room").install(file, FdFlags::empty()).expect("the table has a user")
}

/// Closes everything; what a file finds out then goes on.
pub(super) fn close_all(table: &FdTable) {
    let mut panic = None;
    table.close_all(&mut panic);
    go_on(panic);
}

pub(super) fn use_once(file: OpenFile) {
    let file = UnlessFailed::new(file);
    file.file().read_at(&mut [], 0).unwrap();
}
