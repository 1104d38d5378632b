//! What is done to files by name.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::{Access, Change, SetTime};
use super::namei::{Found, Here, Last, Name, Namei};
use super::node::{New, Node};
use super::opennode::OpenNode;
use super::place::Place;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, OpenFlags, Stat, retry};
use crate::id::{Gid, Mode, Uid};

/// How often an open looks again when others make and remove the file meanwhile.
const RACES: u32 = 1000;

/// The errors of paths, which every call here has, are those of `walk`; each call names its own on top.
impl Namei<'_> {
    /// Opens a file, and with [`OpenFlags::CREAT`] makes it if need be. A device is opened when the caller says so, with
    /// [`OpenNode::start`].
    ///
    /// # Errors
    /// Those of [`sys::open`](crate::sys::open).
    pub(crate) fn open(&self, path: &Path, flags: OpenFlags, mode: Mode) -> Result<OpenNode> {
        let creates = flags.contains(OpenFlags::CREAT);
        let exclusive = creates && flags.contains(OpenFlags::EXCL);
        let follow = !flags.contains(OpenFlags::NOFOLLOW) && !exclusive;
        let last = match follow {
            _ if creates => Last::Create { follow },
            true => Last::Follow,
            false => Last::Keep,
        };
        for _ in 0..RACES {
            let found = self.walk(path, last)?;
            if !creates || found.exists() && !exclusive {
                return self.open_found(found, flags);
            }
            if found.exists() {
                return Err(Errno::EEXIST);
            }
            if flags.contains(OpenFlags::DIRECTORY) {
                return Err(Errno::EINVAL);
            }
            found.dir.mount.writable()?;
            let Name::Plain(name) = found.name() else { return Err(Errno::EISDIR) };
            match found.dir.node.make(self.cred, name, New::Regular, mode & !self.umask) {
                // Whoever makes a file may use it, whatever its mode.
                Ok(node) => return OpenNode::new(node, Arc::clone(&found.dir.mount), flags, self.cred),
                // Somebody else was faster.
                Err(Errno::EEXIST) if !exclusive => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EEXIST)
    }

    fn open_found(&self, found: Found<'_>, flags: OpenFlags) -> Result<OpenNode> {
        let (node, mount) = found.into_file().ok_or(Errno::ENOENT)?;
        let creates = flags.contains(OpenFlags::CREAT);
        match node.kind() {
            FileKind::Symlink => {
                return Err(if flags.contains(OpenFlags::DIRECTORY) { Errno::ENOTDIR } else { Errno::ELOOP });
            }
            FileKind::Directory if creates || flags.writable() => return Err(Errno::EISDIR),
            FileKind::Directory => {}
            _ if flags.contains(OpenFlags::DIRECTORY) => return Err(Errno::ENOTDIR),
            FileKind::Socket => return Err(Errno::ENXIO),
            _ => {}
        }
        let cuts = flags.contains(OpenFlags::TRUNC);
        let mut wanted = Access::empty();
        wanted.set(Access::READ, flags.readable());
        wanted.set(Access::WRITE, flags.writable() || cuts);
        node.permissions()?.check(self.cred, wanted)?;
        if wanted.contains(Access::WRITE) {
            if node.kind() == FileKind::Directory {
                return Err(Errno::EISDIR);
            }
            // Devices and pipes can be written on a read-only mount, as on Linux.
            if node.kind() == FileKind::Regular {
                mount.writable()?;
            }
        }
        if cuts && node.kind() == FileKind::Regular {
            node.set_len(0, !self.cred.is_root())?;
        }
        OpenNode::new(node, Arc::clone(&mount), flags, self.cred)
    }

    /// The attributes of a file; of what a link refers to.
    ///
    /// # Errors
    /// Those of paths alone.
    pub(crate) fn stat(&self, path: &Path) -> Result<Stat> {
        self.file(path, Last::Follow)?.0.stat()
    }

    /// The attributes of a file, or of a link.
    ///
    /// # Errors
    /// Those of paths alone.
    pub(crate) fn lstat(&self, path: &Path) -> Result<Stat> {
        self.file(path, Last::Keep)?.0.stat()
    }

    /// Whether the real user may do `wanted`.
    ///
    /// # Errors
    /// `EACCES`: it may not. `EROFS`: to be written, on a read-only mount.
    pub(crate) fn access(&self, path: &Path, wanted: Access) -> Result<()> {
        let real = Cred { euid: self.cred.ruid, egid: self.cred.rgid, ..self.cred.clone() };
        let namei = Namei { cred: &real, ..*self };
        let (node, mount) = namei.file(path, Last::Follow)?;
        let special = !matches!(node.kind(), FileKind::Regular | FileKind::Directory);
        if wanted.contains(Access::WRITE) && !special {
            mount.writable()?;
        }
        node.permissions()?.check(&real, wanted)
    }

    /// Makes a file that is not there; the umask is taken off `mode`.
    ///
    /// # Errors
    /// `EEXIST`, `EACCES`, `ENOSPC`, `EROFS`. `ENOENT`: a slash at the end, and it is to be no directory.
    pub(super) fn make(&self, path: &Path, new: New<'_>, mode: Mode) -> Result<Arc<dyn Node>> {
        let kind = new.kind();
        let mode = if kind == FileKind::Symlink { mode } else { mode & !self.umask };
        self.add(path, kind == FileKind::Directory, |dir, name| dir.node.make(self.cred, name, new, mode))
    }

    /// Adds a name that is not there by `add`.
    fn add<R>(&self, path: &Path, slash: bool, add: impl FnOnce(&Here<'_>, &OsStr) -> Result<R>) -> Result<R> {
        let found = self.walk(path, Last::Parent)?;
        let Name::Plain(name) = found.name() else { return Err(Errno::EEXIST) };
        let dir = &*found.dir.node;
        let foul = if found.slash && !slash { Some(Errno::ENOENT) } else { found.dir.mount.writable().err() };
        match foul {
            None => add(&found.dir, name),
            // That it is there goes before all else.
            Some(error) => Err(dir
                .lookup(self.cred, name)
                .map_or_else(|other| if other == Errno::ENOENT { error } else { other }, |_| Errno::EEXIST)),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// `EEXIST`, `EACCES`, `ENOSPC`, `EROFS`.
    pub(crate) fn mkdir(&self, path: &Path, mode: Mode) -> Result<()> {
        self.make(path, New::Directory, mode & 0o1777).map(drop)
    }

    /// Makes a symbolic link to `target`, whatever that is.
    ///
    /// # Errors
    /// As [`mkdir`](Self::mkdir), and `ENOENT`: `target` is empty. `ENAMETOOLONG`: longer than a path can be. `EINVAL`:
    /// it has a NUL.
    pub(crate) fn symlink(&self, target: &Path, path: &Path) -> Result<()> {
        let target = target.as_os_str();
        match target.len() {
            0 => Err(Errno::ENOENT),
            4096.. => Err(Errno::ENAMETOOLONG),
            _ if target.as_encoded_bytes().contains(&0) => Err(Errno::EINVAL),
            _ => self.make(path, New::Symlink(target), 0o777).map(drop),
        }
    }

    /// Gives the file `path` one more name; of a link, the link itself.
    ///
    /// # Errors
    /// As [`mkdir`](Self::mkdir), and `EPERM`: a directory. `EXDEV`: on another mount.
    pub(crate) fn link(&self, path: &Path, to: &Path) -> Result<()> {
        let (node, mount) = self.file(path, Last::Keep)?;
        self.add(to, false, |dir, name| {
            // Of the very directory that the name is added to: a second walk might come to another.
            let other = !Arc::ptr_eq(&dir.mount, &mount);
            let dir = &**dir.node;
            if other || node.kind() == FileKind::Directory {
                // That it is there goes before all else.
                return Err(match dir.lookup(self.cred, name) {
                    Ok(_) => Errno::EEXIST,
                    Err(Errno::ENOENT) if other => Errno::EXDEV,
                    Err(Errno::ENOENT) => dir.permissions()?.may_add(self.cred).err().unwrap_or(Errno::EPERM),
                    Err(error) => error,
                });
            }
            dir.link(self.cred, name, &node)
        })
    }

    /// Takes away a name; the file goes with its last name and its last open description.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`. `EISDIR`: a directory. `EPERM`: in a sticky directory, and somebody else's.
    pub(crate) fn unlink(&self, path: &Path) -> Result<()> {
        let found = self.walk(path, Last::Parent)?;
        let Name::Plain(name) = found.name() else { return Err(Errno::EISDIR) };
        let dir = &**found.dir.node;
        found.dir.mount.writable()?;
        if found.slash {
            let node = dir.lookup(self.cred, name)?;
            return Err(if node.kind() == FileKind::Directory { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        dir.unlink(self.cred, name)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`, `ENOTDIR`. `ENOTEMPTY`: it is not empty, or `..`. `EINVAL`: the last component is `.`. `EBUSY`:
    /// the root, or something is mounted there. `EPERM`: in a sticky directory, and somebody else's.
    pub(crate) fn rmdir(&self, path: &Path) -> Result<()> {
        let found = self.walk(path, Last::Parent)?;
        let name = match found.name() {
            Name::Plain(name) => name,
            Name::Dot => return Err(Errno::EINVAL),
            Name::DotDot => return Err(Errno::ENOTEMPTY),
            Name::Root => return Err(Errno::EBUSY),
        };
        let dir = &**found.dir.node;
        found.dir.mount.writable()?;
        let mounts = self.namespace.hold();
        mounts.check_free(self.cred, dir, name)?;
        dir.rmdir(self.cred, name)
    }

    /// Moves a file, in the place of what is there.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`, `ENOSPC`. `EXDEV`: to another mount. `EBUSY`: the last component is `.` or `..`, or something
    /// is mounted there. `EINVAL`: a directory into itself. `EISDIR`, `ENOTDIR`: one is a directory, the other is not.
    /// `ENOTEMPTY`: what is there is a directory and not empty. `EPERM`: in a sticky directory, and somebody else's.
    pub(crate) fn rename(&self, path: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.walk(path, Last::Parent)?, self.walk(to, Last::Parent)?);
        if !Arc::ptr_eq(&from.dir.mount, &to.dir.mount) {
            return Err(Errno::EXDEV);
        }
        let (Name::Plain(name), Name::Plain(to_name)) = (from.name(), to.name()) else {
            return Err(Errno::EBUSY);
        };
        from.dir.mount.writable()?;
        let (dir, to_dir) = (&**from.dir.node, &**to.dir.node);
        if from.slash || to.slash {
            let node = dir.lookup(self.cred, name)?;
            if node.kind() != FileKind::Directory {
                return Err(Errno::ENOTDIR);
            }
        }
        let mounts = self.namespace.hold();
        mounts.check_free(self.cred, dir, name)?;
        mounts.check_free(self.cred, to_dir, to_name)?;
        dir.rename(self.cred, name, to_dir, to_name)
    }

    /// What a symbolic link refers to.
    ///
    /// # Errors
    /// `EINVAL`: it is none.
    pub(crate) fn readlink(&self, path: &Path) -> Result<PathBuf> {
        self.file(path, Last::Keep)?.0.readlink().map(PathBuf::from)
    }

    fn change(&self, path: &Path, last: Last, change: Change) -> Result<()> {
        let (node, mount) = self.file(path, last)?;
        mount.writable()?;
        node.change(self.cred, change)
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// `EPERM`: not the owner. `EROFS`.
    pub(crate) fn chmod(&self, path: &Path, mode: Mode) -> Result<()> {
        self.change(path, Last::Follow, Change::Mode(mode))
    }

    /// Sets owner and group; `None` leaves one.
    ///
    /// # Errors
    /// `EPERM`: an owner or group that the user may not give. `EROFS`.
    pub(crate) fn chown(&self, path: &Path, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
        self.change(path, Last::Follow, Change::Owner(uid, gid))
    }

    /// As [`chown`](Self::chown), of a link itself.
    ///
    /// # Errors
    /// As [`chown`](Self::chown).
    pub(crate) fn lchown(&self, path: &Path, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
        self.change(path, Last::Keep, Change::Owner(uid, gid))
    }

    /// Sets the times of the last read and the last write.
    ///
    /// # Errors
    /// `EPERM`: not the owner. `EACCES`: both to the present, and it may not be written either. `EROFS`. `EINVAL`: a time
    /// that the file system has not.
    pub(crate) fn utimens(&self, path: &Path, atime: SetTime, mtime: SetTime) -> Result<()> {
        self.change(path, Last::Follow, Change::Times(atime, mtime))
    }

    /// Cuts a regular file, or extends it up to `limit`.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`, `ENOSPC`, `EFBIG`. `EISDIR`: a directory. `EINVAL`: not a regular file.
    pub(crate) fn truncate(&self, path: &Path, len: u64, limit: u64) -> Result<()> {
        let (node, mount) = self.file(path, Last::Follow)?;
        match node.kind() {
            FileKind::Directory => return Err(Errno::EISDIR),
            FileKind::Regular => {}
            _ => return Err(Errno::EINVAL),
        }
        node.permissions()?.check(self.cred, Access::WRITE)?;
        mount.writable()?;
        node.set_len_within(len, limit, !self.cred.is_root())
    }

    /// The directory at `path`, to be a process's working directory or root.
    ///
    /// # Errors
    /// Those of [`directory`](Self::directory), and `EACCES`: no permission to search it.
    pub(crate) fn enter(&self, path: &Path) -> Result<Place> {
        let place = self.directory(path)?;
        place.node.permissions()?.check(self.cred, Access::EXECUTE)?;
        Ok(place)
    }

    /// Makes the socket file `path` by `bind`, which is given a directory of the host, opened with `O_PATH`, and the name
    /// there.
    ///
    /// # Errors
    /// `EADDRINUSE`: there is something. `EACCES`, `EROFS`. `EOPNOTSUPP`: not on a mount of the host. What `bind` says.
    pub(crate) fn bind(&self, path: &Path, bind: impl FnOnce(BorrowedFd<'_>, &OsStr) -> Result<()>) -> Result<()> {
        let found = self.walk(path, Last::Keep)?;
        let Name::Plain(name) = found.name() else { return Err(Errno::EADDRINUSE) };
        if found.exists() {
            return Err(Errno::EADDRINUSE);
        }
        if found.slash {
            return Err(Errno::ENOENT);
        }
        let dir = &**found.dir.node;
        found.dir.mount.writable()?;
        let mut bind = Some(bind);
        let mut once = |host: BorrowedFd<'_>| bind.take().map_or(Err(Errno::EINVAL), |bind| bind(host, name));
        match dir.bind(self.cred, name, 0o777 & !self.umask, &mut once) {
            Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
            bound => bound,
        }
    }

    /// The socket file `path` of the host, opened with `O_PATH`, to be connected to.
    ///
    /// # Errors
    /// `EACCES`: it may not be written. `ECONNREFUSED`: no socket. `ENFILE`: the host is out of descriptors.
    pub(crate) fn socket(&self, path: &Path) -> Result<OwnedFd> {
        let (node, _) = self.file(path, Last::Follow)?;
        node.permissions()?.check(self.cred, Access::WRITE)?;
        match node.host() {
            Some(host) if node.kind() == FileKind::Socket => retry(|| rustix::io::fcntl_dupfd_cloexec(host, 0)),
            _ => Err(Errno::ECONNREFUSED),
        }
    }
}
