//! Descriptors that close themselves.

use std::any::Any;
use std::ffi::c_int;
use std::path::Path;

use lwproc::{Fd, Mode, OpenFile, OpenFlags, Result, Socket, sys};
use rustix::ioctl::{Getter, Opcode, ioctl};

/// Asks a socket of the host what the peer has not acknowledged (`SIOCOUTQ`).
///
/// Source: tcp(7), unix(7).
const OUTQ: Opcode = libc::TIOCOUTQ as Opcode;

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

    /// How many bytes were written that the peer has not acknowledged; none of what is no socket.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let Ok(file) = sys::export(self.0) else { return 0 };
        let file: &dyn Any = file.file();
        let Some(socket) = file.downcast_ref::<Socket>() else { return 0 };
        // SAFETY: a socket answers this with an int.
        let asked = unsafe { ioctl(socket, Getter::<OUTQ, c_int>::new()) };
        asked.map_or(0, |bytes| u64::try_from(bytes).unwrap_or(0))
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
