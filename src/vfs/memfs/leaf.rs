//! Symbolic links and devices.

use std::ffi::OsString;

use parking_lot::RwLock;

use super::Charge;
use super::attributes::Attributes;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, OpenFlags, Stat};
use crate::vfs::access::{Change, Permissions};
use crate::vfs::node::{Node, Opened, Opener};

pub(super) enum Content {
    Symlink(OsString, #[expect(dead_code, reason = "held for its drop")] Charge),
    /// Its number and what opens it.
    Device(u64, Opener),
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
        }
    }

    fn stat(&self) -> Result<Stat> {
        let (size, rdev) = match &self.content {
            Content::Symlink(target, _) => (target.len() as u64, 0),
            Content::Device(number, _) => (0, *number),
        };
        Ok(Stat { rdev, blocks: 0, ..self.attributes.read().stat(self.ino, size) })
    }

    fn permissions(&self) -> Result<Permissions> {
        Ok(self.attributes.read().permissions)
    }

    fn readlink(&self) -> Result<OsString> {
        match &self.content {
            Content::Symlink(target, _) => Ok(target.clone()),
            Content::Device(..) => Err(Errno::EINVAL),
        }
    }

    fn change(&self, cred: &Cred, change: Change) -> Result<()> {
        if let (Content::Symlink(..), Change::Mode(_)) = (&self.content, change) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.attributes.write().change(cred, change)
    }

    fn open(&self, _flags: OpenFlags) -> Result<Opened> {
        match &self.content {
            Content::Symlink(..) => Err(Errno::ELOOP),
            Content::Device(_, opener) => Ok(Opened::Device(opener.clone())),
        }
    }
}
