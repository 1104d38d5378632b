//! Files, open file descriptions, and the tables that number them.

mod address;
mod console;
mod description;
mod device;
mod fdtable;
mod file;
pub(crate) mod fsize;
mod host;
mod pipe;
mod range;
mod socket;
mod sockopt;

pub use address::{Domain, SocketAddress, SocketKind};
pub use console::Console;
pub use description::OpenFile;
pub(crate) use device::{Null, Zero};
pub(crate) use fdtable::{Closed, FdTable, Number};
pub use fdtable::{FdFlags, OPEN_MAX};
pub use file::{DirEntry, File, FileKind, S_IFMT, Stat};
pub use host::HostFile;
pub(crate) use host::{kind_of_type, retry, stat_of};
pub use pipe::{PIPE_BUF, PIPE_CAPACITY, PipeReader, PipeWriter, pipe};
pub use range::HostRange;
pub use socket::Socket;
pub use sockopt::SocketOption;

use bitflags::bitflags;
use rustix::fs::OFlags;

bitflags! {
    /// How a file is opened, with the host's values of `O_*`.
    ///
    /// The access mode is not a bit but the two lowest together: [`OpenFlags::readable`] and [`OpenFlags::writable`].
    ///
    /// Source: POSIX.1-2024, `<fcntl.h>`; open(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u32 {
        /// Write only.
        const WRONLY = OFlags::WRONLY.bits();
        /// Read and write.
        const RDWR = OFlags::RDWR.bits();
        /// Make the file if it is not there.
        const CREAT = OFlags::CREATE.bits();
        /// With `CREAT`: fail with `EEXIST` if it is there.
        const EXCL = OFlags::EXCL.bits();
        /// Accepted and ignored: there are no terminals.
        const NOCTTY = OFlags::NOCTTY.bits();
        /// Cut a regular file to nothing.
        const TRUNC = OFlags::TRUNC.bits();
        /// Each write goes to the end.
        const APPEND = OFlags::APPEND.bits();
        /// Answer `EAGAIN` instead of blocking.
        const NONBLOCK = OFlags::NONBLOCK.bits();
        /// Fail with `ENOTDIR` unless it is a directory.
        const DIRECTORY = OFlags::DIRECTORY.bits();
        /// Fail with `ELOOP` if the last part of the path is a symbolic link.
        const NOFOLLOW = OFlags::NOFOLLOW.bits();
        /// Set [`FdFlags::CLOEXEC`] on the descriptor.
        const CLOEXEC = OFlags::CLOEXEC.bits();
    }
}

impl OpenFlags {
    /// Read only: no bit at all.
    pub const RDONLY: Self = Self::empty();
    /// The bits that hold the access mode.
    pub const ACCMODE: Self = Self::WRONLY.union(Self::RDWR);

    /// Whether the access mode is one that reads.
    pub const fn readable(self) -> bool {
        !self.contains(Self::WRONLY)
    }

    /// Whether the access mode is one that writes.
    pub const fn writable(self) -> bool {
        self.intersects(Self::ACCMODE)
    }
}
