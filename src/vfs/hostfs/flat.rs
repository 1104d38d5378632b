//! An open directory of a mount that leaves directories out.

use crate::errno::Result;
use crate::fd::{DirEntry, File, FileKind, HostFile, Stat};

/// Lists what is no directory, and `.` and `..`.
pub(super) struct Flat(pub(super) HostFile);

impl File for Flat {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        self.0.write_at(buf, at)
    }

    fn stat(&self) -> Result<Stat> {
        self.0.stat()
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    fn read_dir(&self, mut at: u64) -> Result<Option<(DirEntry, u64)>> {
        while let Some((entry, next)) = self.0.read_dir(at)? {
            if entry.kind != FileKind::Directory || entry.name == "." || entry.name == ".." {
                return Ok(Some((entry, next)));
            }
            at = next;
        }
        Ok(None)
    }
}
