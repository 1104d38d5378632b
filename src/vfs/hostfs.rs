//! Directories of the host as file systems.
//!
//! The host is only ever given one name at a time, relative to a directory that is open, and told not to follow links.
//! Where a node is used again it is by its descriptor, through `/proc/self/fd`. So nothing that others do to the host's
//! directories meanwhile leads out of the one that was mounted.
//!
//! What the host would let its process do and a virtual one must not: devices of the host are not opened (`EACCES`, as
//! with mount(8)'s `nodev`), and on a mount with an owner of its own no program gets set-ID bits, which would be those of
//! the host's process.
//!
//! Lock order: [`HostFs::changing`], then a directory's `below`, then its `link`.

mod attributes;
mod birth;
mod checks;
mod flat;
mod local;

use std::any::Any;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FileType, Mode as HostMode, OFlags};

use self::flat::Flat;
use super::MountOptions;
use super::access::{Access, Change, Permissions};
use super::node::{New, Node, Opened};
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, HostFile, OpenFlags, Stat, kind_of_type, retry, stat_of};
use crate::id::{Gid, Mode, Uid};
use crate::wait::nowait;

/// Names a file and does nothing else with it.
const PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A mounted directory of the host.
pub(super) struct HostFs {
    /// Whom all files appear to belong to.
    owner: Option<(Uid, Gid)>,
    /// Whether there are no directories in it.
    flat: bool,
    /// The device of its root, if what the host knows of a file there it knows at once.
    local: Option<u64>,
    /// Held while names change, so that nobody puts another file in the place of one that was just made before that has
    /// its owner.
    changing: Mutex<()>,
}

/// A file of the host.
pub(super) struct HostNode {
    fs: Arc<HostFs>,
    /// Opened with `O_PATH`.
    fd: OwnedFd,
    kind: FileKind,
    /// Its device and number, which are its own as long as it is open.
    id: (u64, u64),
    me: Weak<HostNode>,
    link: Mutex<Link>,
    /// The directories in this one that are in use.
    below: Mutex<HashMap<OsString, Weak<HostNode>>>,
    /// What it was looked up with, until that was looked at or the file is open: of no directory, since those stay in use.
    found: Mutex<Option<Permissions>>,
    /// A file that was just made, open for whoever made it, whatever its permissions are.
    made: Mutex<Option<OwnedFd>>,
}

/// Where a node was found. Directories keep it up to date when they are moved here; others do not need it.
#[derive(Clone)]
enum Link {
    Root,
    In(Arc<HostNode>, OsString),
    Removed(Arc<HostNode>),
}

impl HostFs {
    pub(super) fn root(dir: OwnedFd, MountOptions { owner, flat, .. }: MountOptions) -> Result<Arc<dyn Node>> {
        let fd = retry(|| rustix::fs::openat(&dir, ".", PATH | OFlags::DIRECTORY, HostMode::empty()))?;
        let local = local::device(&fd)?;
        Ok(HostNode::new(&Arc::new(Self { owner, flat, local, changing: Mutex::new(()) }), fd, |_| Link::Root)?)
    }

    /// What a file that has these attributes appears to be.
    fn permissions(&self, Stat { mode, uid, gid, .. }: Stat) -> Permissions {
        let (uid, gid) = self.owner.unwrap_or((uid, gid));
        Permissions { mode, uid, gid }
    }

    /// # Errors
    /// `ENOENT`: files of this kind are left out.
    fn shows(&self, kind: FileKind) -> Result<()> {
        if self.flat && kind == FileKind::Directory { Err(Errno::ENOENT) } else { Ok(()) }
    }
}

impl HostNode {
    fn new(fs: &Arc<HostFs>, fd: OwnedFd, link: impl FnOnce(FileKind) -> Link) -> Result<Arc<Self>> {
        let stat = retry(|| rustix::fs::fstat(&fd))?;
        let kind = kind_of_type(FileType::from_raw_mode(stat.st_mode)).ok_or(Errno::EIO)?;
        Ok(Arc::new_cyclic(|me| Self {
            fs: Arc::clone(fs),
            fd,
            kind,
            found: Mutex::new((kind != FileKind::Directory).then(|| fs.permissions(stat_of(&stat)))),
            id: (stat.st_dev, stat.st_ino),
            me: Weak::clone(me),
            link: Mutex::new(link(kind)),
            below: Mutex::new(HashMap::new()),
            made: Mutex::new(None),
        }))
    }

    fn counted(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or(Errno::ENOENT)
    }

    /// The host's file as a path of the host's own, whatever it is called meanwhile.
    fn way(&self) -> String {
        way_to(self.fd.as_fd())
    }

    /// The child called `name`, without a look at permissions. A directory that is in use is the same node again.
    fn child(&self, name: &OsStr) -> Result<Arc<Self>> {
        self.at_hand()?;
        let fd = if nowait::asked() {
            local::open_cached(&self.fd, name)?
        } else {
            retry(|| rustix::fs::openat(&self.fd, name, PATH, HostMode::empty()))?
        };
        let me = self.counted()?;
        let node = Self::new(&self.fs, fd, |_| Link::In(me, name.to_owned()))?;
        if node.kind != FileKind::Directory {
            return Ok(node);
        }
        self.fs.shows(node.kind)?;
        // No node is dropped while the table is locked: its drop looks there.
        let mut below = self.below.lock();
        let known = below.get(name).and_then(Weak::upgrade);
        match &known {
            Some(known) if known.id == node.id => {}
            _ => {
                below.insert(name.to_owned(), Arc::downgrade(&node));
            }
        }
        drop(below);
        Ok(known.filter(|known| known.id == node.id).unwrap_or(node))
    }

    fn of(node: &dyn Node) -> Result<&Self> {
        (node as &dyn Any).downcast_ref().ok_or(Errno::EXDEV)
    }

    /// `node`, if it is of the same mount.
    fn beside<'n>(&self, node: &'n dyn Node) -> Result<&'n Self> {
        let node = Self::of(node)?;
        if Arc::ptr_eq(&self.fs, &node.fs) { Ok(node) } else { Err(Errno::EXDEV) }
    }

    /// The attributes of the child called `name`, as seen here.
    fn look(&self, name: &OsStr) -> Result<Stat> {
        nowait::may_wait()?;
        let stat = stat_of(&retry(|| rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW))?);
        self.fs.shows(stat.kind())?;
        Ok(self.mapped(stat))
    }

    fn mapped(&self, stat: Stat) -> Stat {
        match self.fs.owner {
            Some((uid, gid)) => Stat { uid, gid, ..stat },
            None => stat,
        }
    }

    /// From now on it is looked at.
    fn forget_found(&self) {
        *self.found.lock() = None;
    }

    /// Takes the directory called `name` out of those in use, if it is one.
    fn forget(&self, name: &OsStr) -> Option<Arc<Self>> {
        let known = self.below.lock().remove(name);
        known.and_then(|known| known.upgrade())
    }
}

impl Node for HostNode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn stat(&self) -> Result<Stat> {
        self.at_hand()?;
        Ok(self.mapped(stat_of(&retry(|| rustix::fs::fstat(&self.fd))?)))
    }

    fn permissions(&self) -> Result<Permissions> {
        let found = self.found.lock().take();
        let own = found.map_or_else(|| self.own(), Ok)?;
        if own.mode & 0o7777 != 0 {
            return Ok(own);
        }
        // None at all: it may be just being made, and gets them before its maker lets go.
        nowait::may_wait()?;
        drop(self.fs.changing.lock());
        self.own()
    }

    fn lookup(&self, cred: &Cred, name: &OsStr) -> Result<Arc<dyn Node>> {
        self.permissions()?.check(cred, Access::EXECUTE)?;
        Ok(self.child(name)?)
    }

    fn parent(&self) -> Result<Arc<dyn Node>> {
        match &*self.link.lock() {
            Link::Root => Err(Errno::ENOENT),
            Link::In(parent, _) | Link::Removed(parent) => Ok(Arc::clone(parent) as Arc<dyn Node>),
        }
    }

    fn name(&self) -> Result<OsString> {
        let link = self.link.lock().clone();
        let Link::In(parent, name) = link else { return Err(Errno::ENOENT) };
        // The host's own processes may have moved it.
        let stat = parent.look(&name)?;
        if (stat.dev, stat.ino) == self.id { Ok(name) } else { Err(Errno::ENOENT) }
    }

    fn make(&self, cred: &Cred, name: &OsStr, new: New<'_>, mode: Mode) -> Result<Arc<dyn Node>> {
        nowait::may_wait()?;
        let _changing = self.fs.changing.lock();
        let newborn = self.check_add(cred, name)?.newborn(cred, new.kind(), mode);
        match new {
            New::Regular => Ok(self.bear(name, newborn)?),
            New::Directory if self.fs.flat => Err(Errno::EPERM),
            New::Directory => {
                retry(|| rustix::fs::mkdirat(&self.fd, name, HostMode::empty()))?;
                Ok(self.born(name, newborn, AtFlags::REMOVEDIR)?)
            }
            New::Symlink(target) => {
                retry(|| rustix::fs::symlinkat(target, &self.fd, name))?;
                Ok(self.born(name, newborn, AtFlags::empty())?)
            }
            // The host's devices are the host's, and it has no such files.
            New::Device(..) | New::Shown(_) => Err(Errno::EPERM),
        }
    }

    fn link(&self, cred: &Cred, name: &OsStr, target: &Arc<dyn Node>) -> Result<()> {
        let target = self.beside(&**target)?;
        nowait::may_wait()?;
        let _changing = self.fs.changing.lock();
        self.check_add(cred, name)?;
        retry(|| rustix::fs::linkat(CWD, target.way(), &self.fd, name, AtFlags::SYMLINK_FOLLOW))
    }

    fn unlink(&self, cred: &Cred, name: &OsStr) -> Result<()> {
        nowait::may_wait()?;
        let _changing = self.fs.changing.lock();
        if self.check_remove(cred, name)?.kind() == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        retry(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()))
    }

    fn rmdir(&self, cred: &Cred, name: &OsStr) -> Result<()> {
        nowait::may_wait()?;
        let _changing = self.fs.changing.lock();
        if self.check_remove(cred, name)?.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        retry(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR))?;
        if let Some(removed) = self.forget(name) {
            let parent = self.counted()?;
            *removed.link.lock() = Link::Removed(parent);
        }
        Ok(())
    }

    fn rename(&self, cred: &Cred, name: &OsStr, to: &dyn Node, to_name: &OsStr) -> Result<()> {
        let to = self.beside(to)?;
        nowait::may_wait()?;
        let _changing = self.fs.changing.lock();
        self.own()?.check(cred, Access::EXECUTE)?;
        to.own()?.check(cred, Access::EXECUTE)?;
        let source = self.look(name)?;
        let there = match to.look(to_name) {
            Ok(there) => Some(there),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        let is_dir = source.kind() == FileKind::Directory;
        // As the host has it, but before permissions are looked at.
        if to.is_in(&source)? {
            return Err(Errno::EINVAL);
        }
        if let Some(there) = &there {
            if self.is_in(there)? {
                return Err(Errno::ENOTEMPTY);
            }
            if (there.dev, there.ino) == (source.dev, source.ino) {
                return Ok(());
            }
        }
        self.check_remove(cred, name)?;
        match &there {
            Some(there) => {
                to.check_remove(cred, to_name)?;
                match (is_dir, there.kind() == FileKind::Directory) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    _ => {}
                }
            }
            None => to.own()?.may_add(cred)?,
        }
        // Its own `..` changes.
        if is_dir && self.id != to.id {
            let Stat { mode, uid, gid, .. } = source;
            Permissions { mode, uid, gid }.check(cred, Access::WRITE)?;
        }
        retry(|| rustix::fs::renameat(&self.fd, name, &to.fd, to_name))?;
        if let Some(replaced) = to.forget(to_name) {
            *replaced.link.lock() = Link::Removed(to.counted()?);
        }
        if let Some(moved) = self.forget(name) {
            let weak = Arc::downgrade(&moved);
            let old = mem::replace(&mut *moved.link.lock(), Link::In(to.counted()?, to_name.to_owned()));
            to.below.lock().insert(to_name.to_owned(), weak);
            drop(old);
        }
        Ok(())
    }

    fn readlink(&self) -> Result<OsString> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        self.at_hand()?;
        let target = retry(|| rustix::fs::readlinkat(&self.fd, "", Vec::new()))?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    fn change(&self, cred: &Cred, change: Change) -> Result<()> {
        nowait::may_wait()?;
        self.change_attributes(cred, change)
    }

    fn open(&self, flags: OpenFlags) -> Result<Opened> {
        self.forget_found();
        if let Some(fd) = self.made.lock().take() {
            return Ok(Opened::File(Box::new(HostFile::new(fd)?)));
        }
        if matches!(self.kind, FileKind::CharDevice | FileKind::BlockDevice) {
            return Err(Errno::EACCES);
        }
        self.at_hand()?;
        // Never waits, for a FIFO's other end say; the host's file goes with `O_NONBLOCK` then, which regular files
        // do not mind.
        let mut host = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        host |= OFlags::from_bits_retain((flags & OpenFlags::ACCMODE).bits());
        let fd = retry(|| rustix::fs::openat(CWD, self.way(), host, HostMode::empty()))?;
        let file = HostFile::of_kind(fd, Some(self.kind))?;
        let flat = self.fs.flat && self.kind == FileKind::Directory;
        Ok(Opened::File(if flat { Box::new(Flat(file)) } else { Box::new(file) }))
    }

    fn bind(
        &self,
        cred: &Cred,
        name: &OsStr,
        mode: Mode,
        bind: &mut dyn FnMut(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<()> {
        nowait::may_wait()?;
        let _changing = self.fs.changing.lock();
        let newborn = self.check_add(cred, name)?.newborn(cred, FileKind::Socket, mode);
        bind(self.fd.as_fd())?;
        self.born(name, newborn, AtFlags::empty()).map(drop)
    }

    fn host(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn strip(&self) -> Result<()> {
        let own = self.permissions()?;
        if self.kind == FileKind::Regular && own.stripped() != own {
            nowait::may_wait()?;
            self.set_mode(own.stripped().mode)
        } else {
            Ok(())
        }
    }

    fn set_len(&self, len: u64, strip: bool) -> Result<()> {
        nowait::may_wait()?;
        if strip {
            self.strip()?;
        }
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = retry(|| rustix::fs::openat(CWD, self.way(), flags, HostMode::empty()))?;
        retry(|| rustix::fs::ftruncate(&fd, len))
    }
}

fn way_to(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

impl Drop for HostNode {
    /// Leaves the parent, step by step: directories go deeper than any stack.
    fn drop(&mut self) {
        let mut link = mem::replace(self.link.get_mut(), Link::Root);
        let mut dead = self.me.clone();
        loop {
            let parent = match link {
                Link::Root => return,
                Link::Removed(parent) => parent,
                Link::In(parent, name) => {
                    let mut below = parent.below.lock();
                    if below.get(&name).is_some_and(|known| known.ptr_eq(&dead)) {
                        below.remove(&name);
                    }
                    drop(below);
                    parent
                }
            };
            let Some(mut parent) = Arc::into_inner(parent) else { return };
            link = mem::replace(parent.link.get_mut(), Link::Root);
            dead = parent.me.clone();
        }
    }
}
