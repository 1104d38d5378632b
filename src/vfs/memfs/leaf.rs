//! Symbolic links, devices, and files that the host keeps.

use std::ffi::OsString;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::Charge;
use super::attributes::Attributes;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{File, FileKind, HostRange, OpenFlags, Stat};
use crate::vfs::access::{Change, Permissions};
use crate::vfs::node::{Node, Opened, Opener};

pub(super) enum Content {
    Symlink(OsString, #[expect(dead_code, reason = "held for its drop")] Charge),
    /// Its number and what opens it.
    Device(u64, Weak<Opener>),
    /// A regular file's contents, size and times.
    Shown(Arc<HostRange>),
}

/// A node without contents of its own that could change.
pub(super) struct Leaf {
    ino: u64,
    attributes: RwLock<Attributes>,
    content: Content,
}

impl Leaf {
    pub(super) fn new(ino: u64, permissions: Permissions, content: Content) -> Self {
        Self { ino, attributes: RwLock::new(Attributes::new(permissions, 1)), content }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn attributes<R>(&self, f: impl FnOnce(&mut Attributes) -> R) -> R {
        f(&mut self.attributes.write())
    }
}

impl Node for Leaf {
    fn kind(&self) -> FileKind {
        match self.content {
            Content::Symlink(..) => FileKind::Symlink,
            Content::Device(..) => FileKind::CharDevice,
            Content::Shown(_) => FileKind::Regular,
        }
    }

    fn stat(&self) -> Result<Stat> {
        let (size, rdev) = match &self.content {
            Content::Symlink(target, _) => (target.len() as u64, 0),
            Content::Device(number, _) => (0, *number),
            Content::Shown(file) => {
                let Stat { size, blocks, blksize, atime, mtime, ctime, .. } = file.stat()?;
                let own = self.attributes.read().stat(self.ino, size);
                return Ok(Stat { blocks, blksize, atime, mtime, ctime, ..own });
            }
        };
        Ok(Stat { rdev, blocks: 0, ..self.attributes.read().stat(self.ino, size) })
    }

    fn permissions(&self) -> Result<Permissions> {
        Ok(self.attributes.read().permissions)
    }

    fn readlink(&self) -> Result<OsString> {
        match &self.content {
            Content::Symlink(target, _) => Ok(target.clone()),
            Content::Device(..) | Content::Shown(_) => Err(Errno::EINVAL),
        }
    }

    fn change(&self, cred: &Cred, change: Change) -> Result<()> {
        match (&self.content, change) {
            // A link's mode does not count, and the host's times are the host's.
            (Content::Symlink(..), Change::Mode(_)) | (Content::Shown(_), Change::Times(..)) => {
                return Err(Errno::EOPNOTSUPP);
            }
            _ => {}
        }
        self.attributes.write().change(cred, change)
    }

    fn open(&self, flags: OpenFlags) -> Result<Opened> {
        match &self.content {
            Content::Symlink(..) => Err(Errno::ELOOP),
            // Gone with its kernel, in whose implicit context the caller is still.
            Content::Device(_, opener) => opener.upgrade().map(Opened::Device).ok_or(Errno::ENXIO),
            Content::Shown(file) if flags.writable() && !file.writable() => Err(Errno::EROFS),
            Content::Shown(file) => Ok(Opened::File(Box::new(Arc::clone(file)))),
        }
    }

    fn strip(&self) -> Result<()> {
        if let Content::Shown(_) = self.content {
            let permissions = self.permissions()?;
            if permissions.stripped() != permissions {
                self.attributes(|attributes| attributes.permissions = attributes.permissions.stripped());
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64, strip: bool) -> Result<()> {
        let Content::Shown(file) = &self.content else { return Err(Errno::EINVAL) };
        if !file.writable() {
            return Err(Errno::EROFS);
        }
        if strip {
            self.strip()?;
        }
        file.set_len(len)
    }
}
