//! A part of a file of the host, as a file.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{OFlags, SeekFrom};

use super::host::retry;
use super::{File, FileKind, HostFile, Stat};
use crate::errno::{Errno, Result};
use crate::wait::events::Events;
use crate::wait::watch::Watch;

/// A regular file or device of the host, or a part of it: what a disk image has at some offset, say.
///
/// ```
/// use lwproc::{File, HostRange};
///
/// let manifest = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))?;
/// let file = HostRange::part(manifest.into(), 1, 9)?;
/// let mut buf = [0; 16];
/// assert_eq!(file.read_at(&mut buf, 0)?, 9);
/// assert_eq!(&buf[..9], b"workspace");
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub struct HostRange {
    host: HostFile,
    kind: FileKind,
    writable: bool,
    /// Where the part begins and how long it is; `None` for all of the file, however long that becomes.
    part: Option<(u64, u64)>,
}

impl HostRange {
    /// All of the file.
    ///
    /// # Errors
    /// `EISDIR`: a directory. `EINVAL`: a pipe, socket or symbolic link. And those of [`HostFile::new`].
    pub fn new(fd: OwnedFd) -> Result<Self> {
        let writable = retry(|| rustix::fs::fcntl_getfl(&fd))?.intersects(OFlags::WRONLY | OFlags::RDWR);
        let host = HostFile::new(fd)?;
        match host.stat()?.kind() {
            FileKind::Directory => Err(Errno::EISDIR),
            FileKind::Fifo | FileKind::Socket | FileKind::Symlink => Err(Errno::EINVAL),
            kind => Ok(Self { host, kind, writable, part: None }),
        }
    }

    /// The `len` bytes that begin at `begin`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `EINVAL`: the file has not so many, or has no positions.
    pub fn part(fd: OwnedFd, begin: u64, len: u64) -> Result<Self> {
        let all = Self::new(fd)?;
        let end = begin.checked_add(len).ok_or(Errno::EINVAL)?;
        if !all.host.seekable() || end > all.len()? {
            return Err(Errno::EINVAL);
        }
        Ok(Self { part: Some((begin, len)), ..all })
    }

    /// The bytes from `begin` to where the file ends now.
    ///
    /// # Errors
    /// As [`part`](Self::part).
    pub fn rest(fd: OwnedFd, begin: u64) -> Result<Self> {
        let all = Self::new(fd)?;
        let len = if all.host.seekable() { all.len()?.checked_sub(begin) } else { None };
        Ok(Self { part: Some((begin, len.ok_or(Errno::EINVAL)?)), ..all })
    }

    /// Whether the host lets it be written.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// How long it is, in bytes.
    fn len(&self) -> Result<u64> {
        match (self.part, self.kind) {
            (Some((_, len)), _) => Ok(len),
            // The host has no size for it, but an end. Its own position is used for nothing.
            (None, FileKind::BlockDevice) => retry(|| rustix::fs::seek(self.host.as_fd(), SeekFrom::End(0))),
            (None, _) => Ok(self.host.stat()?.size),
        }
    }

    /// Where `at` is on the host, and how many of `len` bytes there are from there on.
    fn locate(&self, at: u64, len: usize) -> (u64, usize) {
        match self.part {
            None => (at, len),
            Some((begin, size)) => {
                let at = at.min(size);
                (begin + at, usize::try_from(size - at).map_or(len, |room| room.min(len)))
            }
        }
    }
}

impl File for HostRange {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        let (at, len) = self.locate(at, buf.len());
        self.host.read_at(&mut buf[..len], at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        let (at, len) = self.locate(at, buf.len());
        if len == 0 && !buf.is_empty() {
            return Err(Errno::ENOSPC);
        }
        self.host.write_at(&buf[..len], at)
    }

    fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        match self.part {
            None => self.host.append(buf),
            Some((_, len)) => Ok((self.write_at(buf, len)?, len)),
        }
    }

    fn seekable(&self) -> bool {
        self.host.seekable()
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        self.host.poll(events, watch)
    }

    fn stat(&self) -> Result<Stat> {
        let size = self.len()?;
        let host = self.host.stat()?;
        let blocks = if self.part.is_some() { size.div_ceil(512) } else { host.blocks };
        Ok(Stat { size, blocks, ..host })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        if self.part.is_some() {
            return Err(Errno::EINVAL);
        }
        self.host.set_len(len)
    }

    fn sync(&self) -> Result<()> {
        self.host.sync()
    }
}

impl fmt::Debug for HostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRange").field("host", &self.host).field("part", &self.part).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Write;

    use super::HostRange;
    use crate::errno::Errno;
    use crate::fd::File;

    fn file_of(text: &[u8]) -> std::os::fd::OwnedFd {
        let name = rustix::fs::memfd_create("range", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = std::fs::File::from(name);
        file.write_all(text).unwrap();
        file.into()
    }

    #[test]
    fn a_part_has_ends_that_nothing_passes() {
        let part = HostRange::part(file_of(b"0123456789"), 2, 5).unwrap();
        let mut buf = [0; 16];
        assert_eq!(part.read_at(&mut buf, 0), Ok(5));
        assert_eq!(&buf[..5], b"23456");
        assert_eq!((part.read_at(&mut buf, 5), part.read_at(&mut buf, u64::MAX)), (Ok(0), Ok(0)));
        assert_eq!(part.write_at(b"abc", 3), Ok(2));
        assert_eq!(part.write_at(b"c", 5), Err(Errno::ENOSPC));
        assert_eq!(part.append(b"c"), Err(Errno::ENOSPC));
        assert_eq!((part.stat().unwrap().size, part.set_len(1)), (5, Err(Errno::EINVAL)));
        assert_eq!(part.read_at(&mut buf[..2], 3), Ok(2));
        assert_eq!(&buf[..2], b"ab");
    }

    #[test]
    fn a_part_that_is_not_all_there_is_refused() {
        for (begin, len) in [(11, 0), (10, 1), (u64::MAX, 1), (0, 11)] {
            assert_eq!(HostRange::part(file_of(b"0123456789"), begin, len).unwrap_err(), Errno::EINVAL);
        }
        assert_eq!(HostRange::rest(file_of(b"0123456789"), 11).unwrap_err(), Errno::EINVAL);
        assert_eq!(HostRange::rest(file_of(b"0123456789"), 4).unwrap().stat().unwrap().size, 6);
    }

    #[test]
    fn all_of_a_file_grows() {
        let all = HostRange::new(file_of(b"0123")).unwrap();
        assert_eq!(all.append(b"45"), Ok((2, 6)));
        assert_eq!(all.write_at(b"x", 9), Ok(1));
        assert_eq!((all.stat().unwrap().size, all.set_len(3), all.stat().unwrap().size), (10, Ok(()), 3));
    }
}
