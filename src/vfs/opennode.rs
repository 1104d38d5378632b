//! The file that an open of a name refers to.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::access::{Access, Change, SetTime};
use super::mount::Mount;
use super::node::{Node, Opened};
use super::place::Place;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{DirEntry, File, FileKind, OpenFile, OpenFlags, Stat, fsize};
use crate::id::{Gid, Mode, Uid};
use crate::wait::events::Events;
use crate::wait::watch::Watch;

/// An open node. It keeps the file and its mount, whatever happens to its name.
pub(crate) struct OpenNode {
    opened: Opened,
    node: Arc<dyn Node>,
    mount: Arc<Mount>,
    /// Whether writing takes set-ID bits away: opened by somebody else than root.
    strips: bool,
}

impl OpenNode {
    pub(super) fn new(node: Arc<dyn Node>, mount: Arc<Mount>, flags: OpenFlags, cred: &Cred) -> Result<Self> {
        Ok(Self { opened: node.open(flags)?, node, mount, strips: !cred.is_root() })
    }

    /// What an open file refers to, if it was opened by name.
    pub(crate) fn of(open: &OpenFile) -> Option<&Self> {
        (open.file() as &dyn Any).downcast_ref()
    }

    /// Opens a device. This runs the embedder's code.
    ///
    /// # Errors
    /// What the device says.
    #[inline]
    pub(crate) fn start(&mut self, flags: OpenFlags) -> Result<()> {
        if let Opened::Device(opener) = &self.opened {
            self.opened = Opened::File(opener(flags)?);
        }
        Ok(())
    }

    /// Whether it is on a mount of the host, but for what is a stream there.
    pub(crate) fn pooled(&self) -> bool {
        self.node.host().is_some() && matches!(self.node.kind(), FileKind::Regular | FileKind::Directory)
    }

    /// The directory that is open.
    ///
    /// # Errors
    /// `ENOTDIR`: it is none.
    pub(crate) fn place(&self) -> Result<Place> {
        if self.node.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(Place { node: Arc::clone(&self.node), mount: Arc::clone(&self.mount) })
    }

    /// The directory that is open, to be a process's working directory.
    ///
    /// # Errors
    /// `ENOTDIR`: it is none. `EACCES`: no permission to search it.
    pub(crate) fn enter(&self, cred: &Cred) -> Result<Place> {
        let place = self.place()?;
        place.node.permissions()?.check(cred, Access::EXECUTE)?;
        Ok(place)
    }

    /// Before the contents change by way of another file.
    fn strip(&self) -> Result<()> {
        if self.strips { self.node.strip() } else { Ok(()) }
    }

    /// Never changes.
    pub(crate) fn kind(&self) -> FileKind {
        self.node.kind()
    }

    /// [`File::append`], which leaves out what would make a regular file longer than `limit`: exactly in memory, as
    /// [`fsize::append`] on the host.
    ///
    /// # Errors
    /// `EFBIG`: nothing is left.
    pub(crate) fn append_within(&self, buf: &[u8], limit: u64) -> Result<(usize, u64)> {
        match &self.opened {
            Opened::File(file) if self.kind() == FileKind::Regular => {
                self.strip().and_then(|()| fsize::append(&**file, buf, limit))
            }
            Opened::File(_) | Opened::Device(_) => self.append(buf),
            Opened::Node => self.node.append(buf, limit, self.strips),
        }
    }

    /// [`File::set_len`], which makes no regular file longer than `limit`.
    ///
    /// # Errors
    /// `EFBIG`: it would.
    pub(crate) fn set_len_within(&self, len: u64, limit: u64) -> Result<()> {
        match &self.opened {
            Opened::Node => self.node.set_len_within(len, limit, self.strips),
            Opened::File(file) if self.kind() == FileKind::Regular => {
                fsize::check(file.stat()?.size, len, limit)?;
                self.set_len(len)
            }
            Opened::File(_) | Opened::Device(_) => self.set_len(len),
        }
    }

    fn change(&self, cred: &Cred, change: Change) -> Result<()> {
        self.mount.writable()?;
        self.node.change(cred, change)
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// As [`Namei::chmod`](super::Namei::chmod).
    pub(crate) fn chmod(&self, cred: &Cred, mode: Mode) -> Result<()> {
        self.change(cred, Change::Mode(mode))
    }

    /// Sets owner and group; `None` leaves one.
    ///
    /// # Errors
    /// As [`Namei::chown`](super::Namei::chown).
    pub(crate) fn chown(&self, cred: &Cred, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
        self.change(cred, Change::Owner(uid, gid))
    }

    /// Sets the times of the last read and the last write.
    ///
    /// # Errors
    /// As [`Namei::utimens`](super::Namei::utimens).
    pub(crate) fn utimens(&self, cred: &Cred, atime: SetTime, mtime: SetTime) -> Result<()> {
        self.change(cred, Change::Times(atime, mtime))
    }
}

impl File for OpenNode {
    #[inline]
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        match &self.opened {
            Opened::File(file) => file.read_at(buf, at),
            _ => self.node.read_at(buf, at),
        }
    }

    #[inline]
    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        match &self.opened {
            Opened::File(file) => self.strip().and_then(|()| file.write_at(buf, at)),
            _ => self.node.write_at(buf, at, self.strips),
        }
    }

    fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        match &self.opened {
            Opened::File(file) => self.strip().and_then(|()| file.append(buf)),
            _ => self.node.append(buf, u64::MAX, self.strips),
        }
    }

    #[inline]
    fn seekable(&self) -> bool {
        match &self.opened {
            Opened::File(file) => file.seekable(),
            _ => true,
        }
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        match &self.opened {
            Opened::File(file) => file.poll(events, watch),
            _ => events & (Events::IN | Events::OUT),
        }
    }

    fn stat(&self) -> Result<Stat> {
        self.node.stat()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        match &self.opened {
            Opened::File(file) => self.strip().and_then(|()| file.set_len(len)),
            _ => self.node.set_len(len, self.strips),
        }
    }

    fn sync(&self) -> Result<()> {
        match &self.opened {
            Opened::File(file) => file.sync(),
            _ => Ok(()),
        }
    }

    fn read_dir(&self, at: u64) -> Result<Option<(DirEntry, u64)>> {
        match &self.opened {
            Opened::File(file) => file.read_dir(at),
            _ => self.node.read_dir(at),
        }
    }
}

impl fmt::Debug for OpenNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenNode").field("kind", &self.kind()).finish_non_exhaustive()
    }
}
