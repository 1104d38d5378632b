//! Files, open file descriptions, and the tables that number them.

mod address;
mod console;
mod description;
mod device;
mod fdtable;
mod file;
mod host;
mod pipe;
mod range;
mod socket;
mod sockopt;

pub use address::{Domain, SocketAddress, SocketKind};
pub use console::Console;
pub use description::OpenFile;
pub(crate) use device::{Null, Zero};
pub(crate) use fdtable::FdTable;
pub use fdtable::{FdFlags, OPEN_MAX};
pub use file::{DirEntry, File, FileKind, S_IFMT, Stat};
pub use host::HostFile;
pub(crate) use host::{kind_of_type, retry, stat_of};
pub use pipe::{PIPE_BUF, PIPE_CAPACITY, PipeReader, PipeWriter, pipe};
pub use range::HostRange;
pub use socket::Socket;
pub use sockopt::SocketOption;

use bitflags::bitflags;

bitflags! {
    /// How a file is opened, with the host's values of `O_*`.
    ///
    /// The access mode is not a bit but the two lowest together: [`OpenFlags::readable`] and [`OpenFlags::writable`].
    ///
    /// Source: POSIX.1-2024, `<fcntl.h>`; open(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u32 {
        /// Write only.
        const WRONLY = 0o1;
        /// Read and write.
        const RDWR = 0o2;
        /// Make the file if it is not there.
        const CREAT = 0o100;
        /// With `CREAT`: fail with `EEXIST` if it is there.
        const EXCL = 0o200;
        /// Accepted and ignored: there are no terminals.
        const NOCTTY = 0o400;
        /// Cut a regular file to nothing.
        const TRUNC = 0o1000;
        /// Each write goes to the end.
        const APPEND = 0o2000;
        /// Answer `EAGAIN` instead of blocking.
        const NONBLOCK = 0o4000;
        /// Fail with `ENOTDIR` unless it is a directory.
        const DIRECTORY = 0o200_000;
        /// Fail with `ELOOP` if the last part of the path is a symbolic link.
        const NOFOLLOW = 0o400_000;
        /// Set [`FdFlags::CLOEXEC`] on the descriptor.
        const CLOEXEC = 0o2_000_000;
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
