//! Files by name, and the working directory.

use std::any::Any;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file;
use crate::context::current;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{DirEntry, OpenFile, OpenFlags, Stat};
use crate::id::{Fd, Gid, Mode, Uid};
use crate::vfs::{Access, Cwd, Namei, OpenNode, Place, SetTime};

/// In the place of a directory's descriptor: the cwd.
///
/// Source: POSIX.1-2024, `<fcntl.h>`.
pub const AT_FDCWD: Fd = -100;

/// Shows `f` the names as the current process sees them, from the directory `base` or the cwd. `f` runs no embedder's
/// code, which the file systems here do not have: devices are opened, and files closed, elsewhere.
#[inline]
fn with_namei<R>(base: Option<&Place>, f: impl FnOnce(&Namei<'_>) -> R) -> R {
    current(|current| {
        let proc = current.proc();
        let cwd = proc.cwd.load();
        // No walk comes here again.
        current.cred(|cred| {
            f(&Namei {
                namespace: &current.kernel().namespace,
                cred,
                root: &cwd.root,
                base: base.unwrap_or(&cwd.dir),
                umask: proc.umask(),
            })
        })
    })
}

pub(super) fn at_cwd<R>(f: impl FnOnce(&Namei<'_>) -> R) -> R {
    with_namei(None, f)
}

/// What an open file refers to, if it was opened by name.
fn node(open: &OpenFile) -> Option<&OpenNode> {
    (open.file() as &dyn Any).downcast_ref()
}

/// A look at names from the directory `dir` or [`AT_FDCWD`], for `path`.
#[inline]
fn at_dir<R>(dir: Fd, path: &Path, f: impl FnOnce(&Namei<'_>) -> Result<R>) -> Result<R> {
    if dir == AT_FDCWD || path.is_absolute() {
        return at_cwd(f);
    }
    let open = file(dir)?;
    let base = node(&open).ok_or(Errno::ENOTDIR)?.place()?;
    with_namei(Some(&base), f)
}

/// Opens `path`, from the directory `dir` or [`AT_FDCWD`].
#[inline]
pub(super) fn open_file(dir: Fd, path: &Path, flags: OpenFlags, mode: Mode) -> Result<OpenFile> {
    let mut opened = at_dir(dir, path, |namei| namei.open(path, flags, mode))?;
    opened.start(flags)?;
    Ok(OpenFile::new(Box::new(opened), flags))
}

/// The attributes of the file at `path`; of what a symbolic link refers to.
///
/// # Errors
/// Those of every path: `ENOENT`: it is empty, or something on it is not there. `ENOTDIR`: something that more comes after
/// is no directory. `EACCES`: no permission to search a directory on it. `ELOOP`: more than 40 symbolic links.
/// `ENAMETOOLONG`: more than 4,095 bytes, or 255 between slashes. `EINVAL`: it has a NUL. `EIO`, `ENFILE` and the like: from
/// the host, on a mount.
///
/// Source: POSIX.1-2024, stat.
///
/// ```
/// use lwproc::{Errno, FileKind, Kernel, sys};
///
/// Kernel::new()?.enter(|| {
///     sys::mkdir("/srv", 0o755)?;
///     assert_eq!(sys::stat("/srv/../srv/.")?.kind(), FileKind::Directory);
///     assert_eq!(sys::stat("/srv/none"), Err(Errno::ENOENT));
///     Ok::<(), Errno>(())
/// })?;
/// # Ok::<(), Errno>(())
/// ```
pub fn stat(path: impl AsRef<Path>) -> Result<Stat> {
    at_cwd(|namei| namei.stat(path.as_ref()))
}

/// As [`stat`], of a symbolic link itself.
///
/// # Errors
/// Those of every path, as for [`stat`].
///
/// Source: POSIX.1-2024, lstat.
pub fn lstat(path: impl AsRef<Path>) -> Result<Stat> {
    at_cwd(|namei| namei.lstat(path.as_ref()))
}

/// The attributes of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. What the file says.
///
/// Source: POSIX.1-2024, fstat.
pub fn fstat(fd: Fd) -> Result<Stat> {
    file(fd)?.file().stat()
}

/// Whether the real user, not the effective one, may do `wanted` to a file; nothing: whether it is there.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EACCES`: it may not. `EROFS`: to be written, on a read-only mount.
///
/// Source: POSIX.1-2024, access.
pub fn access(path: impl AsRef<Path>, wanted: Access) -> Result<()> {
    at_cwd(|namei| namei.access(path.as_ref(), wanted))
}

/// Makes a directory, with `mode` less the umask. In a set-group-ID directory it is of that one's group, and
/// set-group-ID too.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EEXIST`: there is something. `EACCES`: the directory that it would be in may
/// not be written. `ENOSPC`. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, mkdir.
pub fn mkdir(path: impl AsRef<Path>, mode: Mode) -> Result<()> {
    at_cwd(|namei| namei.mkdir(path.as_ref(), mode))
}

/// Removes an empty directory. Whoever is in it, or has it open, stays there.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `ENOTEMPTY`. `ENOTDIR`: no directory, or a symbolic link to one. `EBUSY`: the
/// root, or something is mounted there. `EINVAL`: the last part is `.`. `EACCES`: the directory that it is in may not be
/// written. `EPERM`: that one is sticky, and neither is the user's. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, rmdir.
pub fn rmdir(path: impl AsRef<Path>) -> Result<()> {
    at_cwd(|namei| namei.rmdir(path.as_ref()))
}

/// Takes away a name. The file goes with its last name and the last open file description of it.
///
/// # Errors
/// As [`rmdir`], less `ENOTEMPTY` and `EBUSY`, and: `EISDIR`: a directory.
///
/// Source: POSIX.1-2024, unlink; unlink(2) of Linux for `EISDIR`, which POSIX has as `EPERM`.
pub fn unlink(path: impl AsRef<Path>) -> Result<()> {
    at_cwd(|namei| namei.unlink(path.as_ref()))
}

/// Gives a file another name, in the place of what has it, in one step.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EACCES`: a directory that would change may not be written. `EPERM`: one is
/// sticky, and the file is somebody else's. `EINVAL`: a directory into itself. `EISDIR`, `ENOTDIR`: one is a directory and
/// the other is not. `ENOTEMPTY`: what has the name is a directory and not empty. `EBUSY`: a last part that is `.` or `..`,
/// or something is mounted there. `EXDEV`: on another mount. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, rename.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    at_cwd(|namei| namei.rename(from.as_ref(), to.as_ref()))
}

/// Gives a file one more name; a symbolic link is not followed.
///
/// # Errors
/// As [`mkdir`], and: `EPERM`: a directory. `EXDEV`: on another mount.
///
/// Source: POSIX.1-2024, link; link(2) of Linux for symbolic links.
pub fn link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    at_cwd(|namei| namei.link(from.as_ref(), to.as_ref()))
}

/// Makes a symbolic link to `target`, which need not be there.
///
/// # Errors
/// As [`mkdir`]; `ENOENT`, `ENAMETOOLONG` and `EINVAL` for `target` as for a path.
///
/// Source: POSIX.1-2024, symlink.
pub fn symlink(target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
    at_cwd(|namei| namei.symlink(target.as_ref(), path.as_ref()))
}

/// What a symbolic link refers to.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EINVAL`: no symbolic link.
///
/// Source: POSIX.1-2024, readlink.
pub fn readlink(path: impl AsRef<Path>) -> Result<PathBuf> {
    at_cwd(|namei| namei.readlink(path.as_ref()))
}

/// Sets the permission bits; the umask does not count. Who is not in the file's group and not root sets no set-group-ID.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EPERM`: neither the owner nor root. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, chmod.
pub fn chmod(path: impl AsRef<Path>, mode: Mode) -> Result<()> {
    at_cwd(|namei| namei.chmod(path.as_ref(), mode))
}

/// As [`chmod`], of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EPERM`, `EROFS`: as [`chmod`]. `EINVAL`: not opened by name.
///
/// Source: POSIX.1-2024, fchmod.
pub fn fchmod(fd: Fd, mode: Mode) -> Result<()> {
    change(fd, |node, cred| node.chmod(cred, mode))
}

/// Sets owner and group; `None` leaves one. Root alone gives files away; an owner may choose among its groups. Set-ID bits
/// of what is no directory go.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EPERM`: not permitted. `EINVAL`: 2³²-1, which is no
/// user. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, chown, where -1 is `None`.
pub fn chown(path: impl AsRef<Path>, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
    at_cwd(|namei| namei.chown(path.as_ref(), uid, gid))
}

/// As [`chown`], of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EPERM`, `EROFS`: as [`chown`]. `EINVAL`: not opened by name.
///
/// Source: POSIX.1-2024, fchown.
pub fn fchown(fd: Fd, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
    change(fd, |node, cred| node.chown(cred, uid, gid))
}

/// As [`chown`], of a symbolic link itself.
///
/// # Errors
/// As [`chown`].
///
/// Source: POSIX.1-2024, lchown.
pub fn lchown(path: impl AsRef<Path>, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
    at_cwd(|namei| namei.lchown(path.as_ref(), uid, gid))
}

/// Cuts a regular file to `len` bytes, or extends it by zeros.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EACCES`: it may not be written. `EISDIR`: a directory. `EINVAL`: another
/// file that is not regular, or more than 2⁶³-1 bytes. `EFBIG`: more than the file system can have in one file. `ENOSPC`:
/// more than it has left. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, truncate.
pub fn truncate(path: impl AsRef<Path>, len: u64) -> Result<()> {
    i64::try_from(len).map_err(|_| Errno::EINVAL)?;
    at_cwd(|namei| namei.truncate(path.as_ref(), len))
}

/// Sets the times of the last read and the last write.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EPERM`: neither the owner nor root. `EACCES`: both to the present, and it may
/// not be written either. `EINVAL`: a time that the host has not, on a mount. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, utimensat.
pub fn utimens(path: impl AsRef<Path>, atime: SetTime, mtime: SetTime) -> Result<()> {
    at_cwd(|namei| namei.utimens(path.as_ref(), atime, mtime))
}

/// As [`utimens`], from the directory `dir` instead of the cwd; [`AT_FDCWD`] is the cwd.
///
/// # Errors
/// As [`utimens`], and: `EBADF`: `dir` is not open. `ENOTDIR`: it is no directory.
///
/// Source: POSIX.1-2024, utimensat.
pub fn utimensat(dir: Fd, path: impl AsRef<Path>, atime: SetTime, mtime: SetTime) -> Result<()> {
    let path = path.as_ref();
    at_dir(dir, path, |namei| namei.utimens(path, atime, mtime))
}

/// As [`utimens`], of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EPERM`, `EACCES`, `EROFS`: as [`utimens`]. `EINVAL`: not opened by name.
///
/// Source: POSIX.1-2024, futimens.
pub fn futimens(fd: Fd, atime: SetTime, mtime: SetTime) -> Result<()> {
    change(fd, |node, cred| node.utimens(cred, atime, mtime))
}

/// Does something to an open file in the name of the current process.
fn change(fd: Fd, change: impl FnOnce(&OpenNode, &Cred) -> Result<()>) -> Result<()> {
    let open = file(fd)?;
    let node = node(&open).ok_or(Errno::EINVAL)?;
    at_cwd(|namei| change(node, namei.cred))
}

/// Up to `count` entries of an open directory, `.` and `..` among them, from where the descriptor's offset is, which moves
/// on; none at the end. What is there all the while is listed once, whatever comes and goes.
///
/// # Errors
/// `EBADF`: `fd` is not open. `ENOTDIR`: no directory.
///
/// Source: getdents(2); POSIX.1-2024, readdir.
pub fn getdents(fd: Fd, count: usize) -> Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    each_dirent(fd, |entry, _| {
        if entries.len() == count {
            return ControlFlow::Break(Taken::No);
        }
        entries.push(entry);
        if entries.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(Taken::Yes) }
    })?;
    Ok(entries)
}

/// Whether the last entry that a listing was shown is behind it, or comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    No,
}

/// Shows `take` the entries of an open directory, each with the position after it, from where the descriptor's offset is,
/// until it breaks off. An error after the first ends the listing, and comes up with the next one.
///
/// # Errors
/// As [`getdents`].
pub(crate) fn each_dirent(fd: Fd, mut take: impl FnMut(DirEntry, u64) -> ControlFlow<Taken>) -> Result<()> {
    let open = file(fd)?;
    let mut offset = open.offset();
    let mut first = true;
    loop {
        let (entry, next) = match open.file().read_dir(*offset) {
            Ok(Some(found)) => found,
            Err(error) if first => return Err(error),
            Ok(None) | Err(_) => return Ok(()),
        };
        let done = take(entry, next);
        if done != ControlFlow::Break(Taken::No) {
            *offset = next;
        }
        if done.is_break() {
            return Ok(());
        }
        first = false;
    }
}

/// Replaces what the process takes for cwd and root.
fn set_cwd(change: impl Fn(&Cwd) -> Cwd) {
    current(|current| {
        let proc = current.proc();
        loop {
            let old = proc.cwd.load();
            if proc.cwd.replace(&old, Arc::new(change(&old))) {
                break;
            }
        }
    });
}

/// Makes the directory at `path` the process's cwd.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `ENOTDIR`: no directory. `EACCES`: it may not be searched.
///
/// Source: POSIX.1-2024, chdir.
pub fn chdir(path: impl AsRef<Path>) -> Result<()> {
    let dir = at_cwd(|namei| namei.enter(path.as_ref()))?;
    set_cwd(|old| Cwd { root: old.root.clone(), dir: dir.clone() });
    Ok(())
}

/// Makes an open directory the process's cwd.
///
/// # Errors
/// `EBADF`: `fd` is not open. `ENOTDIR`: no directory. `EACCES`: it may not be searched. `EPERM`: it is outside of the
/// process's root.
///
/// Source: POSIX.1-2024, fchdir; fchdir(2) of NetBSD for `EPERM`.
pub fn fchdir(fd: Fd) -> Result<()> {
    let open = file(fd)?;
    let node = node(&open).ok_or(Errno::ENOTDIR)?;
    let dir = at_cwd(|namei| {
        let dir = node.enter(namei.cred)?;
        if dir.is_in(namei.root) { Ok(dir) } else { Err(Errno::EPERM) }
    })?;
    set_cwd(|old| Cwd { root: old.root.clone(), dir: dir.clone() });
    Ok(())
}

/// The path of the cwd, as seen from the process's root; right even after directories on it were renamed.
///
/// # Errors
/// `ENOENT`: it was removed, or is not below the root.
///
/// Source: POSIX.1-2024, getcwd; getcwd(2) of Linux, which says `(unreachable)` for the latter.
pub fn getcwd() -> Result<PathBuf> {
    current(|current| current.proc().cwd.load().path())
}

/// Makes the directory at `path` the process's root: where paths that begin with a slash begin, and where `..` ends. A cwd
/// that is not below becomes the root too. Directories that are open stay so, and with [`openat`](super::openat) what is
/// below them can be reached; `..` leads from there to the root.
///
/// # Errors
/// As [`chdir`], and `EPERM`: not root.
///
/// Source: chroot(2) of NetBSD.
pub fn chroot(path: impl AsRef<Path>) -> Result<()> {
    let root = at_cwd(|namei| {
        let root = namei.enter(path.as_ref())?;
        if namei.cred.is_root() { Ok(root) } else { Err(Errno::EPERM) }
    })?;
    set_cwd(|old| {
        let dir = if old.dir.is_in(&root) { &old.dir } else { &root };
        Cwd { root: root.clone(), dir: dir.clone() }
    });
    Ok(())
}

/// Sets the permission bits that files made by the process do not get, and gives the old ones.
///
/// Source: POSIX.1-2024, umask.
pub fn umask(mask: Mode) -> Mode {
    current(|current| current.proc().set_umask(mask))
}
