//! Files by name, and the working directory.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::call::{Call, block};
use super::pool::{on_file, pooled};
use super::{file, fsize};
use crate::context::current;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{DirEntry, OpenFile, OpenFlags, Stat};
use crate::id::{Fd, Gid, Mode, Uid};
use crate::vfs::{Access, Cwd, Namei, Namespace, OpenNode, Place, SetTime};

/// In the place of a directory's descriptor: the cwd.
///
/// Source: POSIX.1-2024, `<fcntl.h>`.
pub const AT_FDCWD: Fd = -100;

/// How many entries of a directory are read at a time.
const LISTED: usize = 128;

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

/// The directory `dir`, where paths begin that are not from the root; `None` for [`AT_FDCWD`], and where none of `paths` does.
fn base<const N: usize>(dir: Fd, paths: [&Path; N]) -> Result<Option<Place>> {
    if dir == AT_FDCWD || paths.iter().all(|path| path.is_absolute()) {
        return Ok(None);
    }
    let open = file(dir)?;
    OpenNode::of(&open).ok_or(Errno::ENOTDIR)?.place().map(Some)
}

/// What a [`Namei`] shows, by count: for the pool.
struct Names {
    namespace: Arc<Namespace>,
    cred: Cred,
    cwd: Arc<Cwd>,
    base: Option<Place>,
    umask: Mode,
}

impl Names {
    /// As the current process sees them.
    fn current(base: Option<Place>) -> Self {
        current(|current| Self {
            namespace: Arc::clone(&current.kernel().namespace),
            cred: current.cred(Cred::clone),
            cwd: current.proc().cwd.load_full(),
            base,
            umask: current.proc().umask(),
        })
    }

    fn show<R>(&self, f: impl FnOnce(&Namei<'_>) -> R) -> R {
        f(&Namei {
            namespace: &self.namespace,
            cred: &self.cred,
            root: &self.cwd.root,
            base: self.base.as_ref().unwrap_or(&self.cwd.dir),
            umask: self.umask,
        })
    }
}

/// `look` at `paths` from the directory `dir` or [`AT_FDCWD`], as a call that may be one for the pool: where the host is asked.
#[inline]
fn looking<T: Send + 'static, const N: usize>(
    dir: Fd,
    paths: [&Path; N],
    look: impl Fn(&Namei<'_>, [&Path; N]) -> Result<T> + Clone + Send + 'static,
) -> Result<impl Call<Output = T>> {
    Ok(pooled(
        false,
        (base(dir, paths)?, paths, look),
        |(base, paths, look)| with_namei(base.as_ref(), |namei| look(namei, *paths)),
        |(base, paths, look)| {
            let (names, look, paths) = (Names::current(base.clone()), look.clone(), paths.map(Path::to_path_buf));
            move || names.show(|namei| look(namei, paths.each_ref().map(|path| &**path)))
        },
    ))
}

/// [`looking`] from the cwd, seen through.
#[inline]
fn look<T: Send + 'static, const N: usize>(
    paths: [&Path; N],
    look: impl Fn(&Namei<'_>, [&Path; N]) -> Result<T> + Clone + Send + 'static,
) -> Result<T> {
    block(looking(AT_FDCWD, paths, look)?)
}

/// Looks up `path`, from the directory `dir` or [`AT_FDCWD`], to be [`opened`].
pub(super) fn opening(dir: Fd, path: &Path, flags: OpenFlags, mode: Mode) -> Result<impl Call<Output = OpenNode>> {
    looking(dir, [path], move |namei, [path]| namei.open(path, flags, mode))
}

/// What was opened; a device now. This may run the embedder's code.
#[inline]
pub(super) fn opened(mut node: OpenNode, flags: OpenFlags) -> Result<OpenFile> {
    node.start(flags)?;
    let pooled = node.pooled();
    Ok(OpenFile::with(Box::new(node), flags, pooled))
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
    block(stating(path.as_ref())?)
}

pub(super) fn stating(path: &Path) -> Result<impl Call<Output = Stat>> {
    looking(AT_FDCWD, [path], |namei, [path]| namei.stat(path))
}

/// As [`stat`], of a symbolic link itself.
///
/// # Errors
/// Those of every path, as for [`stat`].
///
/// Source: POSIX.1-2024, lstat.
pub fn lstat(path: impl AsRef<Path>) -> Result<Stat> {
    block(lstating(path.as_ref())?)
}

pub(super) fn lstating(path: &Path) -> Result<impl Call<Output = Stat>> {
    looking(AT_FDCWD, [path], |namei, [path]| namei.lstat(path))
}

/// The attributes of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. What the file says.
///
/// Source: POSIX.1-2024, fstat.
pub fn fstat(fd: Fd) -> Result<Stat> {
    block(fstating(fd)?)
}

pub(super) fn fstating(fd: Fd) -> Result<impl Call<Output = Stat>> {
    Ok(on_file(file(fd)?, |open| open.file().stat()))
}

/// Whether the real user, not the effective one, may do `wanted` to a file; nothing: whether it is there.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EACCES`: it may not. `EROFS`: to be written, on a read-only mount.
///
/// Source: POSIX.1-2024, access.
pub fn access(path: impl AsRef<Path>, wanted: Access) -> Result<()> {
    look([path.as_ref()], move |namei, [path]| namei.access(path, wanted))
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
    block(making_dir(path.as_ref(), mode)?)
}

pub(super) fn making_dir(path: &Path, mode: Mode) -> Result<impl Call<Output = ()>> {
    looking(AT_FDCWD, [path], move |namei, [path]| namei.mkdir(path, mode))
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
    block(removing_dir(path.as_ref())?)
}

pub(super) fn removing_dir(path: &Path) -> Result<impl Call<Output = ()>> {
    looking(AT_FDCWD, [path], |namei, [path]| namei.rmdir(path))
}

/// Takes away a name. The file goes with its last name and the last open file description of it.
///
/// # Errors
/// As [`rmdir`], less `ENOTEMPTY` and `EBUSY`, and: `EISDIR`: a directory.
///
/// Source: POSIX.1-2024, unlink; unlink(2) of Linux for `EISDIR`, which POSIX has as `EPERM`.
pub fn unlink(path: impl AsRef<Path>) -> Result<()> {
    block(unlinking(path.as_ref())?)
}

pub(super) fn unlinking(path: &Path) -> Result<impl Call<Output = ()>> {
    looking(AT_FDCWD, [path], |namei, [path]| namei.unlink(path))
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
    block(renaming(from.as_ref(), to.as_ref())?)
}

pub(super) fn renaming<'p>(from: &'p Path, to: &'p Path) -> Result<impl Call<Output = ()> + use<'p>> {
    looking(AT_FDCWD, [from, to], |namei, [from, to]| namei.rename(from, to))
}

/// Gives a file one more name; a symbolic link is not followed.
///
/// # Errors
/// As [`mkdir`], and: `EPERM`: a directory. `EXDEV`: on another mount.
///
/// Source: POSIX.1-2024, link; link(2) of Linux for symbolic links.
pub fn link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    look([from.as_ref(), to.as_ref()], |namei, [from, to]| namei.link(from, to))
}

/// Makes a symbolic link to `target`, which need not be there.
///
/// # Errors
/// As [`mkdir`]; `ENOENT`, `ENAMETOOLONG` and `EINVAL` for `target` as for a path.
///
/// Source: POSIX.1-2024, symlink.
pub fn symlink(target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
    look([target.as_ref(), path.as_ref()], |namei, [target, path]| namei.symlink(target, path))
}

/// What a symbolic link refers to.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EINVAL`: no symbolic link.
///
/// Source: POSIX.1-2024, readlink.
pub fn readlink(path: impl AsRef<Path>) -> Result<PathBuf> {
    block(reading_link(path.as_ref())?)
}

pub(super) fn reading_link(path: &Path) -> Result<impl Call<Output = PathBuf>> {
    looking(AT_FDCWD, [path], |namei, [path]| namei.readlink(path))
}

/// Sets the permission bits; the umask does not count. Who is not in the file's group and not root sets no set-group-ID.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EPERM`: neither the owner nor root. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, chmod.
pub fn chmod(path: impl AsRef<Path>, mode: Mode) -> Result<()> {
    look([path.as_ref()], move |namei, [path]| namei.chmod(path, mode))
}

/// As [`chmod`], of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EPERM`, `EROFS`: as [`chmod`]. `EINVAL`: not opened by name.
///
/// Source: POSIX.1-2024, fchmod.
pub fn fchmod(fd: Fd, mode: Mode) -> Result<()> {
    change(fd, move |node, cred| node.chmod(cred, mode))
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
    look([path.as_ref()], move |namei, [path]| namei.chown(path, uid, gid))
}

/// As [`chown`], of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EPERM`, `EROFS`: as [`chown`]. `EINVAL`: not opened by name.
///
/// Source: POSIX.1-2024, fchown.
pub fn fchown(fd: Fd, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
    change(fd, move |node, cred| node.chown(cred, uid, gid))
}

/// As [`chown`], of a symbolic link itself.
///
/// # Errors
/// As [`chown`].
///
/// Source: POSIX.1-2024, lchown.
pub fn lchown(path: impl AsRef<Path>, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
    look([path.as_ref()], move |namei, [path]| namei.lchown(path, uid, gid))
}

/// Cuts a regular file to `len` bytes, or extends it by zeros.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EACCES`: it may not be written. `EISDIR`: a directory. `EINVAL`: another
/// file that is not regular, or more than 2⁶³-1 bytes. `EFBIG`: more than the file system can have in one file, or longer
/// than it is and than the process may make it ([`Resource::FSize`](crate::Resource::FSize)). `ENOSPC`: more than is left.
/// `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, truncate.
pub fn truncate(path: impl AsRef<Path>, len: u64) -> Result<()> {
    block(truncating_at(path.as_ref(), len)?)
}

pub(super) fn truncating_at(path: &Path, len: u64) -> Result<impl Call<Output = ()>> {
    i64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let limit = fsize::limit();
    looking(AT_FDCWD, [path], move |namei, [path]| namei.truncate(path, len, limit))
}

/// Sets the times of the last read and the last write.
///
/// # Errors
/// Those of every path, as for [`stat`], and: `EPERM`: neither the owner nor root. `EACCES`: both to the present, and it may
/// not be written either. `EINVAL`: a time that the host has not, on a mount. `EROFS`: on a read-only mount.
///
/// Source: POSIX.1-2024, utimensat.
pub fn utimens(path: impl AsRef<Path>, atime: SetTime, mtime: SetTime) -> Result<()> {
    look([path.as_ref()], move |namei, [path]| namei.utimens(path, atime, mtime))
}

/// As [`utimens`], from the directory `dir` instead of the cwd; [`AT_FDCWD`] is the cwd.
///
/// # Errors
/// As [`utimens`], and: `EBADF`: `dir` is not open. `ENOTDIR`: it is no directory.
///
/// Source: POSIX.1-2024, utimensat.
pub fn utimensat(dir: Fd, path: impl AsRef<Path>, atime: SetTime, mtime: SetTime) -> Result<()> {
    let path = path.as_ref();
    block(looking(dir, [path], move |namei, [path]| namei.utimens(path, atime, mtime))?)
}

/// As [`utimens`], of an open file.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EPERM`, `EACCES`, `EROFS`: as [`utimens`]. `EINVAL`: not opened by name.
///
/// Source: POSIX.1-2024, futimens.
pub fn futimens(fd: Fd, atime: SetTime, mtime: SetTime) -> Result<()> {
    change(fd, move |node, cred| node.utimens(cred, atime, mtime))
}

/// Does something to an open file in the name of the current process.
fn change(fd: Fd, change: impl Fn(&OpenNode, &Cred) -> Result<()> + Clone + Send + 'static) -> Result<()> {
    let open = file(fd)?;
    OpenNode::of(&open).ok_or(Errno::EINVAL)?;
    look([], move |namei, []| change(OpenNode::of(&open).ok_or(Errno::EINVAL)?, namei.cred))
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
    each_dirent(fd, count, |entry, _| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// Shows `take` up to `count` entries of an open directory, each with the position after it, from where the descriptor's offset
/// is, until it breaks off: the last is then not taken. An error after the first ends the listing, and comes up with the next one.
///
/// # Errors
/// As [`getdents`].
pub(crate) fn each_dirent(fd: Fd, count: usize, mut take: impl FnMut(DirEntry, u64) -> ControlFlow<()>) -> Result<()> {
    let open = file(fd)?;
    let mut left = count;
    loop {
        match block(listing(&open, left)) {
            Err(error) if left == count => return Err(error),
            Err(_) => return Ok(()),
            Ok(listed) => {
                if listed.take(&open, &mut left, &mut take)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
}

/// What a directory had to list from somewhere on.
pub(super) struct Listed {
    at: u64,
    /// Each with the position after it.
    entries: Vec<(DirEntry, u64)>,
}

/// Up to `count` entries from where the descriptor's offset is, and not too many, to be [taken](Listed::take).
///
/// # Errors
/// That of the first.
pub(super) fn listing(open: &OpenFile, count: usize) -> impl Call<Output = Listed> + use<> {
    // One at least: whether it is a directory.
    let count = count.clamp(1, LISTED);
    on_file(open.clone(), move |open| {
        let at = *open.offset()?;
        let mut next = at;
        let mut entries = Vec::new();
        while entries.len() < count {
            match open.file().read_dir(next) {
                Ok(Some((entry, after))) => {
                    entries.push((entry, after));
                    next = after;
                }
                Err(error) if entries.is_empty() => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Listed { at, entries })
    })
}

impl Listed {
    /// Shows `take` up to `left` of them, and moves the descriptor's offset on. A break: there are no more, or enough.
    pub(super) fn take(
        self,
        open: &OpenFile,
        left: &mut usize,
        mut take: impl FnMut(DirEntry, u64) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut offset = open.offset()?;
        if *offset != self.at {
            // Somebody else has them.
            return Ok(ControlFlow::Continue(()));
        }
        let none = self.entries.is_empty();
        for (entry, next) in self.entries.into_iter().take(*left) {
            *left -= 1;
            if take(entry, next).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            *offset = next;
        }
        Ok(if none || *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
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
    let dir = look([path.as_ref()], |namei, [path]| namei.enter(path))?;
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
    OpenNode::of(&open).ok_or(Errno::ENOTDIR)?;
    let dir = look([], move |namei, []| {
        let dir = OpenNode::of(&open).ok_or(Errno::ENOTDIR)?.enter(namei.cred)?;
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
    let cwd = current(|current| current.proc().cwd.load_full());
    block(pooled(
        false,
        cwd,
        |cwd| cwd.path(),
        |cwd| {
            let cwd = Arc::clone(cwd);
            move || cwd.path()
        },
    ))
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
    let root = look([path.as_ref()], |namei, [path]| {
        let root = namei.enter(path)?;
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
