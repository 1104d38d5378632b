//! Regular files.

use std::sync::Arc;

use parking_lot::RwLock;

use super::MemFs;
use super::attributes::Attributes;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, OpenFlags, Stat, fsize};
use crate::vfs::access::{Change, Permissions};
use crate::vfs::node::{Node, Opened};

/// The longest a file can be, in bytes: 16 TiB.
const SIZE_MAX: u64 = 1 << 44;

pub(super) struct MemFile {
    ino: u64,
    fs: Arc<MemFs>,
    state: RwLock<State>,
}

struct State {
    attributes: Attributes,
    /// Every byte of it is taken from the file system; holes are zeros like any other.
    data: Vec<u8>,
}

impl MemFile {
    pub(super) fn new(fs: &Arc<MemFs>, ino: u64, permissions: Permissions) -> Self {
        let state = State { attributes: Attributes::new(permissions, 1), data: Vec::new() };
        Self { ino, fs: Arc::clone(fs), state: RwLock::new(state) }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn attributes<R>(&self, f: impl FnOnce(&mut Attributes) -> R) -> R {
        f(&mut self.state.write().attributes)
    }

    /// Makes room for `data` to become `end` bytes long, or as long as there is room for, and says how long that is; at
    /// least as long as it is. Those bytes are taken: the caller extends it, or gives them back.
    fn reserve(&self, data: &mut Vec<u8>, end: u64) -> u64 {
        let len = data.len() as u64;
        let taken = self.fs.take(end.saturating_sub(len));
        if data.try_reserve(taken as usize).is_err() {
            self.fs.give_back(taken);
            return len;
        }
        len + taken
    }

    /// Writes at `at` as much as there is room for.
    ///
    /// # Errors
    /// `EFBIG`: beyond [`SIZE_MAX`]. `ENOSPC`: there is room for nothing.
    fn write(&self, state: &mut State, buf: &[u8], at: u64, strip: bool) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if at >= SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let State { attributes, data } = state;
        let old = data.len() as u64;
        let wanted = (at + buf.len() as u64).min(SIZE_MAX);
        let end = self.reserve(data, wanted).min(wanted);
        if end <= at {
            // No hole is left behind by a write that did nothing.
            self.fs.give_back(end.saturating_sub(old));
            return Err(Errno::ENOSPC);
        }
        let (start, len) = (at as usize, (end - at) as usize);
        if start > data.len() {
            data.resize(start, 0);
        }
        let over = len.min(data.len() - start);
        data[start..start + over].copy_from_slice(&buf[..over]);
        data.extend_from_slice(&buf[over..len]);
        attributes.modified();
        if strip {
            attributes.permissions = attributes.permissions.stripped();
        }
        Ok(len)
    }
}

impl Node for MemFile {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn stat(&self) -> Result<Stat> {
        let state = self.state.read();
        Ok(state.attributes.stat(self.ino, state.data.len() as u64))
    }

    fn permissions(&self) -> Result<Permissions> {
        Ok(self.state.read().attributes.permissions)
    }

    fn change(&self, cred: &Cred, change: Change) -> Result<()> {
        self.attributes(|attributes| attributes.change(cred, change))
    }

    fn open(&self, _flags: OpenFlags) -> Result<Opened> {
        Ok(Opened::Node)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        let state = self.state.read();
        let Some(rest) = usize::try_from(at).ok().and_then(|at| state.data.get(at..)) else {
            return Ok(0);
        };
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        if state.attributes.read_is_news() && len > 0 {
            drop(state);
            self.attributes(|attributes| attributes.atime = std::time::SystemTime::now());
        }
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], at: u64, strip: bool) -> Result<usize> {
        self.write(&mut self.state.write(), buf, at, strip)
    }

    fn append(&self, buf: &[u8], limit: u64, strip: bool) -> Result<(usize, u64)> {
        let mut state = self.state.write();
        let end = state.data.len() as u64;
        let written = self.write(&mut state, fsize::within(buf, end, limit)?, end, strip)?;
        Ok((written, end + written as u64))
    }

    fn set_len(&self, len: u64, strip: bool) -> Result<()> {
        self.set_len_within(len, u64::MAX, strip)
    }

    fn set_len_within(&self, len: u64, limit: u64, strip: bool) -> Result<()> {
        if len > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let mut state = self.state.write();
        let State { attributes, data } = &mut *state;
        let old = data.len() as u64;
        fsize::check(old, len, limit)?;
        let room = self.reserve(data, len);
        if room < len {
            self.fs.give_back(room - old);
            return Err(Errno::ENOSPC);
        }
        data.resize(len as usize, 0);
        if len < old {
            self.fs.give_back(old - len);
            data.shrink_to(data.len() * 2);
        }
        attributes.modified();
        if strip {
            attributes.permissions = attributes.permissions.stripped();
        }
        Ok(())
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        self.fs.give_back(self.state.get_mut().data.len() as u64);
    }
}
