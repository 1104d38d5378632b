//! Descriptors that close themselves.

use std::path::Path;

use lwproc::{Fd, Mode, OpenFile, OpenFlags, Result, sys};

/// A descriptor of the process that is current. It must be dropped with that process current still: the number means
/// something else in any other.
#[derive(Debug)]
pub(crate) struct Descriptor(Fd);

impl Descriptor {
    /// Takes charge of `fd`.
    pub(crate) fn new(fd: Fd) -> Self {
        Self(fd)
    }

    /// `open`.
    pub(crate) fn open(path: impl AsRef<Path>, flags: OpenFlags, mode: Mode) -> Result<Self> {
        sys::open(path, flags, mode).map(Self)
    }

    /// Gives the open file to the process that is current.
    pub(crate) fn import(file: &OpenFile) -> Result<Self> {
        sys::import(file, OpenFlags::empty()).map(Self)
    }

    /// Takes the open file out of the process that is current, to be imported by another.
    pub(crate) fn export(self) -> Result<OpenFile> {
        sys::export(self.0)
    }

    /// The number.
    pub(crate) fn number(&self) -> Fd {
        self.0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Nothing can be done about an error, and the descriptor is gone all the same.
        let _ = sys::close(self.0);
    }
}
