//! The `File` trait: what an open file description refers to.

use std::any::Any;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::SystemTime;

use crate::errno::{Errno, Result};
use crate::id::{Gid, Mode, Uid};
use crate::wait::events::Events;
use crate::wait::watch::Watch;

/// Something that file descriptors refer to. Embedders implement it for files of their own; everything built in
/// implements it too.
///
/// No method blocks. One that would answers `EAGAIN`, and [`poll`](File::poll) tells when to try again: the system call
/// on top then waits, or hands `EAGAIN` on where the descriptor is non-blocking. Every method may be called by many
/// threads at once, and may itself make system calls; only not read or write through the descriptor that it is called
/// for, whose offset is held meanwhile. Dropping the file is its last close: it happens in the call that
/// closes the last descriptor, not later.
///
/// ```
/// use lwproc::{File, Kernel, OpenFlags, Result, sys};
///
/// /// Reads as an endless row of the same byte.
/// struct Repeat(u8);
///
/// impl File for Repeat {
///     fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
///         buf.fill(self.0);
///         Ok(buf.len())
///     }
/// }
///
/// let kernel = Kernel::new()?;
/// kernel.enter(|| {
///     let fd = sys::install(Repeat(b'x'), OpenFlags::RDONLY)?;
///     let mut buf = [0; 3];
///     assert_eq!(sys::read(fd, &mut buf)?, 3);
///     assert_eq!(&buf, b"xxx");
///     sys::close(fd)
/// })?;
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub trait File: Any + Send + Sync {
    /// Reads at `at`, which is 0 where the file is not [`seekable`](File::seekable). 0 bytes is the end of the file.
    ///
    /// # Errors
    /// `EAGAIN`: nothing to read yet. `EINVAL` unless implemented.
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        let _ = (buf, at);
        Err(Errno::EINVAL)
    }

    /// Writes at `at`, which is 0 where the file is not [`seekable`](File::seekable), and says how much.
    ///
    /// # Errors
    /// `EAGAIN`: no room yet. `EPIPE`: nobody can read it any more. `EINVAL` unless implemented.
    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        let _ = (buf, at);
        Err(Errno::EINVAL)
    }

    /// Writes at the end, whatever others append meanwhile, and says how much and where the end is then.
    ///
    /// # Errors
    /// As [`write_at`](File::write_at).
    fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        let end = self.stat()?.size;
        let written = self.write_at(buf, end)?;
        Ok((written, end + written as u64))
    }

    /// Whether the file has positions. Without them `lseek`, `pread` and `pwrite` are `ESPIPE`.
    fn seekable(&self) -> bool {
        false
    }

    /// Which of `events` (and of [`Events::ALWAYS`]) hold now. With a `watch`, enters the waiter first in everything
    /// that will tell it of a change. Always ready unless implemented.
    ///
    /// Of those who wait to read or to write, [`WaitQueue::wake_one`](crate::WaitQueue::wake_one) wakes one.
    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        let _ = watch;
        events & (Events::IN | Events::OUT)
    }

    /// The file's attributes; those of a character device unless implemented.
    ///
    /// # Errors
    /// What the implementation says.
    fn stat(&self) -> Result<Stat> {
        Ok(Stat::new(FileKind::CharDevice, 0o666))
    }

    /// Cuts or extends the file to `len` bytes.
    ///
    /// # Errors
    /// `EINVAL` unless implemented.
    fn set_len(&self, len: u64) -> Result<()> {
        let _ = len;
        Err(Errno::EINVAL)
    }

    /// Makes what was written lasting.
    ///
    /// # Errors
    /// `EINVAL` unless implemented.
    fn sync(&self) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// The directory entry at position `at` (0 is the first) and the position after it; `None` at the end.
    ///
    /// # Errors
    /// `ENOTDIR` unless implemented.
    fn read_dir(&self, at: u64) -> Result<Option<(DirEntry, u64)>> {
        let _ = at;
        Err(Errno::ENOTDIR)
    }
}

/// One file that several open file descriptions refer to, each with an offset of its own.
impl<T: File + ?Sized> File for Arc<T> {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        (**self).read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        (**self).write_at(buf, at)
    }

    fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        (**self).append(buf)
    }

    fn seekable(&self) -> bool {
        (**self).seekable()
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        (**self).poll(events, watch)
    }

    fn stat(&self) -> Result<Stat> {
        (**self).stat()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        (**self).set_len(len)
    }

    fn sync(&self) -> Result<()> {
        (**self).sync()
    }

    fn read_dir(&self, at: u64) -> Result<Option<(DirEntry, u64)>> {
        (**self).read_dir(at)
    }
}

impl std::fmt::Debug for dyn File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("File")
    }
}

/// What kind of file it is, with the values of `S_IFMT` in [`Stat::mode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FileKind {
    /// A pipe.
    Fifo = 0o010_000,
    /// A character device.
    CharDevice = 0o020_000,
    /// A directory.
    Directory = 0o040_000,
    /// A block device.
    BlockDevice = 0o060_000,
    /// A regular file.
    Regular = 0o100_000,
    /// A symbolic link.
    Symlink = 0o120_000,
    /// A socket.
    Socket = 0o140_000,
}

/// The bits of [`Stat::mode`] that hold the [`FileKind`].
pub const S_IFMT: Mode = 0o170_000;

/// A file's attributes.
///
/// Source: POSIX.1-2024, `<sys/stat.h>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The file system that holds it.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// Kind and permission bits.
    pub mode: Mode,
    /// Names it has.
    pub nlink: u64,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Device number, for a device.
    pub rdev: u64,
    /// Length in bytes.
    pub size: u64,
    /// Preferred size of reads and writes, in bytes.
    pub blksize: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub atime: SystemTime,
    /// Last write.
    pub mtime: SystemTime,
    /// Last change of attributes.
    pub ctime: SystemTime,
}

impl Stat {
    /// Attributes of a nameless file of `kind`, owned by root, as old as the epoch.
    pub fn new(kind: FileKind, permissions: Mode) -> Self {
        Self {
            dev: 0,
            ino: 0,
            mode: kind as Mode | permissions,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            blksize: 4096,
            blocks: 0,
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
        }
    }

    /// The kind that `mode` holds; a regular file where it holds none.
    pub fn kind(&self) -> FileKind {
        [
            FileKind::Fifo,
            FileKind::CharDevice,
            FileKind::Directory,
            FileKind::BlockDevice,
            FileKind::Symlink,
            FileKind::Socket,
        ]
        .into_iter()
        .find(|kind| *kind as Mode == self.mode & S_IFMT)
        .unwrap_or(FileKind::Regular)
    }

    /// The permission bits, set-id and sticky bits included.
    pub fn permissions(&self) -> Mode {
        self.mode & 0o7777
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The file's number.
    pub ino: u64,
    /// The file's kind.
    pub kind: FileKind,
    /// The name, without a slash.
    pub name: OsString,
}
