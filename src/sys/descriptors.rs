//! Descriptors: opening, closing, duplicating.

use std::path::Path;
use std::sync::Arc;

use super::call::{block, future};
use super::{file, names};
use crate::context::{Current, current};
use crate::errno::{Errno, Result};
use crate::fd::{self, Closed, FdFlags, FdTable, File, Number, OpenFile, OpenFlags};
use crate::id::{Fd, Mode};
use crate::proc::limits::Resource;

/// The descriptor table, to be used when the context may have changed, and the limit on its numbers.
fn table(current: Current<'_>) -> (Arc<FdTable>, u32) {
    (Arc::clone(&current.proc().fds), current.proc().limits.soft(Resource::NoFile))
}

fn fd_flags(flags: OpenFlags) -> FdFlags {
    if flags.contains(OpenFlags::CLOEXEC) { FdFlags::CLOEXEC } else { FdFlags::empty() }
}

/// Takes the lowest free number, and makes it stand for what `open` gives.
///
/// The number is taken first: without one, nothing is opened.
pub(super) fn open_with(flags: OpenFlags, open: impl FnOnce() -> Result<OpenFile>) -> Result<Fd> {
    let (fds, limit) = current(table);
    let number = fds.take_lowest(0, limit)?;
    install_in(number, open()?, flags)
}

/// Makes `number` stand for `file`, where the embedder's code may run.
///
/// # Errors
/// `ESRCH`: the table has died, as the process has ended; the file is closed.
fn install_in(number: Number<'_>, file: OpenFile, flags: OpenFlags) -> Result<Fd> {
    number.install(file, fd_flags(flags)).map_err(|_closed| Errno::ESRCH)
}

/// [`openat`] as a future.
pub(super) async fn open_async(dir: Fd, path: &Path, flags: OpenFlags, mode: Mode) -> Result<Fd> {
    check_access_mode(flags)?;
    let (fds, limit) = current(table);
    let number = fds.take_lowest(0, limit)?;
    let node = future(|| names::opening(dir, path, flags, mode)).await?;
    install_in(number, names::opened(node, flags)?, flags)
}

/// # Errors
/// `EINVAL`: an access mode that there is not.
fn check_access_mode(flags: OpenFlags) -> Result<()> {
    if flags.contains(OpenFlags::ACCMODE) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Opens a file, and with [`OpenFlags::CREAT`] makes it if need be, with `mode` less the umask.
///
/// # Errors
/// Those of the path, as for [`stat`](super::stat), and: `EMFILE`: no number is left below [`Resource::NoFile`].
/// `EACCES`: its permissions forbid it, or those of the directory it would be made in; or it is a device of the host, on a
/// mount. `EEXIST`: it is there, and
/// [`OpenFlags::EXCL`] given. `EISDIR`: a directory, to be written or made. `ENOTDIR`: not one, with
/// [`OpenFlags::DIRECTORY`]. `ELOOP`: a link, with [`OpenFlags::NOFOLLOW`]. `EROFS`: to be written on a read-only mount.
/// `ENOSPC`: no room to make it. `EINVAL`: an access mode that there is not. `ESRCH`: the process ended meanwhile, by what
/// opens the device; the file is closed.
///
/// Source: POSIX.1-2024, open.
///
/// ```
/// use lwproc::{Kernel, OpenFlags, sys};
///
/// Kernel::new()?.enter(|| {
///     let fd = sys::open("/tmp/note", OpenFlags::RDWR | OpenFlags::CREAT, 0o644)?;
///     sys::write(fd, b"hello")?;
///     let mut buf = [0; 8];
///     assert_eq!(sys::pread(fd, &mut buf, 1)?, 4);
///     sys::close(fd)
/// })?;
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub fn open(path: impl AsRef<Path>, flags: OpenFlags, mode: Mode) -> Result<Fd> {
    openat(names::AT_FDCWD, path, flags, mode)
}

/// As [`open`], from the directory `dir` instead of the cwd; [`AT_FDCWD`](super::AT_FDCWD) is the cwd.
///
/// # Errors
/// As [`open`], and: `EBADF`: `dir` is not open. `ENOTDIR`: it is no directory.
///
/// Source: POSIX.1-2024, openat.
pub fn openat(dir: Fd, path: impl AsRef<Path>, flags: OpenFlags, mode: Mode) -> Result<Fd> {
    check_access_mode(flags)?;
    open_with(flags, || names::opened(block(names::opening(dir, path.as_ref(), flags, mode)?)?, flags))
}

/// Makes a descriptor for a file of the embedder's.
///
/// # Errors
/// `EMFILE`: no number is left below [`Resource::NoFile`]; the file is dropped. `ESRCH`: the process has ended, but for the
/// drops of what it had; the file is dropped.
pub fn install(file: impl File, flags: OpenFlags) -> Result<Fd> {
    open_with(flags, || Ok(OpenFile::new(Box::new(file), flags)))
}

/// What `fd` stands for, to be [`import`]ed into another process; `fd` stays open.
///
/// # Errors
/// `EBADF`: `fd` is not open.
///
/// Source: in the place of `SCM_RIGHTS`, POSIX.1-2024, `<sys/socket.h>`.
pub fn export(fd: Fd) -> Result<OpenFile> {
    file(fd)
}

/// Makes a descriptor for an open file description; of `flags` only [`OpenFlags::CLOEXEC`] counts.
///
/// # Errors
/// `EMFILE`: no number is left below [`Resource::NoFile`].
pub fn import(file: &OpenFile, flags: OpenFlags) -> Result<Fd> {
    open_with(flags, || Ok(file.clone()))
}

/// Closes a descriptor. With the last descriptor of an open file description, and the last call that is using it, the file
/// closes, before this returns.
///
/// # Errors
/// `EBADF`: `fd` is not open.
///
/// Source: POSIX.1-2024, close.
#[inline]
pub fn close(fd: Fd) -> Result<()> {
    // Dropped here, where the embedder's code may run.
    current(move |current| current.proc().fds.close(fd)).map(drop)
}

/// Makes the lowest free number stand for what `fd` does.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EMFILE`: no number is left below [`Resource::NoFile`].
///
/// Source: POSIX.1-2024, dup.
#[inline]
pub fn dup(fd: Fd) -> Result<Fd> {
    dup_from(fd, 0, FdFlags::empty())
}

#[inline]
fn dup_from(fd: Fd, min: u32, flags: FdFlags) -> Result<Fd> {
    let duplicated: std::result::Result<Fd, (Errno, Option<Closed>)> = current(move |current| {
        let proc = current.proc();
        let file = proc.fds.get(fd).map_err(|errno| (errno, None))?;
        match proc.fds.take_lowest(min, proc.limits.soft(Resource::NoFile)) {
            Ok(number) => number.install(file, flags).map_err(|closed| (Errno::ESRCH, closed)),
            Err(errno) => Err((errno, Some(Closed::from(file)))),
        }
    });
    // A reference that was not used may be the last by now: it is dropped here, where the embedder's code may run.
    duplicated.map_err(|(errno, _unused)| errno)
}

/// Makes `to` stand for what `from` does, closing what it stood for; both the same: nothing. In one step: nobody sees `to`
/// closed meanwhile.
///
/// # Errors
/// `EBADF`: `from` is not open; `to` is negative, or not below [`Resource::NoFile`]. `EBUSY`: `to` is being opened or
/// closed by another lwp at this moment.
///
/// Source: POSIX.1-2024, dup2; dup2(2) of Linux for `EBUSY`.
pub fn dup2(from: Fd, to: Fd) -> Result<Fd> {
    if from == to {
        return current(move |current| current.proc().fds.check(from)).map(|()| to);
    }
    replace(from, to, FdFlags::empty())
}

/// As [`dup2`], with [`OpenFlags::CLOEXEC`] if wanted.
///
/// # Errors
/// As [`dup2`], and `EINVAL`: another flag, or `from` and `to` the same.
///
/// Source: POSIX.1-2024, dup3.
pub fn dup3(from: Fd, to: Fd, flags: OpenFlags) -> Result<Fd> {
    if from == to || !(flags - OpenFlags::CLOEXEC).is_empty() {
        return Err(Errno::EINVAL);
    }
    replace(from, to, fd_flags(flags))
}

fn replace(from: Fd, to: Fd, flags: FdFlags) -> Result<Fd> {
    let (fds, limit) = current(table);
    drop(fds.replace(to, fds.get(from)?, flags, limit)?);
    Ok(to)
}

/// What `fcntl` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fcntl {
    /// `F_DUPFD`: duplicate to the lowest free number from this one on.
    DupFd(Fd),
    /// `F_DUPFD_CLOEXEC`: the same, with [`FdFlags::CLOEXEC`].
    DupFdCloexec(Fd),
    /// `F_GETFD`: the descriptor's [`FdFlags`].
    GetFd,
    /// `F_SETFD`: sets them.
    SetFd(FdFlags),
    /// `F_GETFL`: the access mode and status flags, as [`OpenFlags`].
    GetFl,
    /// `F_SETFL`: sets [`OpenFlags::APPEND`] and [`OpenFlags::NONBLOCK`]; the rest is ignored.
    SetFl(OpenFlags),
}

/// Does `what` to a descriptor, and gives the new number, the flags' bits, or 0.
///
/// # Errors
/// `EBADF`: `fd` is not open. For duplicates: `EINVAL`: the lowest number wanted is negative or not below
/// [`Resource::NoFile`]; `EMFILE`: none is left from there on.
///
/// Source: POSIX.1-2024, fcntl.
pub fn fcntl(fd: Fd, what: Fcntl) -> Result<i32> {
    match what {
        Fcntl::DupFd(min) => dup_from(fd, lowest(fd, min)?, FdFlags::empty()),
        Fcntl::DupFdCloexec(min) => dup_from(fd, lowest(fd, min)?, FdFlags::CLOEXEC),
        Fcntl::GetFd => current(move |current| current.proc().fds.fd_flags(fd)).map(|flags| flags.bits() as i32),
        Fcntl::SetFd(flags) => current(move |current| current.proc().fds.set_fd_flags(fd, flags)).map(|()| 0),
        Fcntl::GetFl => current(move |current| current.proc().fds.status(fd)).map(|flags| flags.bits() as i32),
        Fcntl::SetFl(flags) => current(move |current| current.proc().fds.set_status(fd, flags)).map(|()| 0),
    }
}

/// The lowest number for a duplicate of `fd`.
fn lowest(fd: Fd, min: Fd) -> Result<u32> {
    let limit = current(|current| {
        let proc = current.proc();
        proc.fds.check(fd).map(|()| proc.limits.soft(Resource::NoFile))
    })?;
    u32::try_from(min).ok().filter(|min| *min < limit).ok_or(Errno::EINVAL)
}

/// Makes a pipe: a descriptor to read from and one to write to.
///
/// # Errors
/// `EMFILE`: no two numbers are left below [`Resource::NoFile`].
///
/// Source: POSIX.1-2024, pipe.
pub fn pipe() -> Result<(Fd, Fd)> {
    pipe2(OpenFlags::empty())
}

/// As [`pipe`], with [`OpenFlags::CLOEXEC`] and [`OpenFlags::NONBLOCK`] if wanted.
///
/// # Errors
/// As [`pipe`], and `EINVAL`: another flag.
///
/// Source: POSIX.1-2024, pipe2.
pub fn pipe2(flags: OpenFlags) -> Result<(Fd, Fd)> {
    if !(flags - OpenFlags::CLOEXEC - OpenFlags::NONBLOCK).is_empty() {
        return Err(Errno::EINVAL);
    }
    let (fds, limit) = current(table);
    let (reads, writes) = (fds.take_lowest(0, limit)?, fds.take_lowest(0, limit)?);
    let (reader, writer) = fd::pipe();
    let status = flags & OpenFlags::NONBLOCK;
    let read = install_in(reads, OpenFile::new(Box::new(reader), OpenFlags::RDONLY | status), flags)?;
    let write = install_in(writes, OpenFile::new(Box::new(writer), OpenFlags::WRONLY | status), flags)?;
    Ok((read, write))
}
