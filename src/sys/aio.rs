//! The [system calls](super) that may wait, as futures: each does what the call of the same name does, and answers
//! `Pending` where that would hold up its host thread or fiber.
//!
//! A future acts for the context that is current when it is polled: in a [`Mux`](crate::Mux), for its task's lwp. Nothing
//! happens before it is polled for the first time: only then are its descriptors looked up, and times count from there.
//! From then on it holds on to the open files, whoever closes the descriptors. Where the descriptor is non-blocking it is
//! ready at once, unless its task has used up the calls of its [turn](crate::mux#a-turn): then it is pending once, and is woken.
//!
//! A future may be dropped at any time. It has then left whatever it waited for, and the pages say what may have been done
//! by then: mostly nothing, since what takes or makes something is ready in that same poll. It may be polled with another
//! waker each time; the last one is woken.
//!
//! A call on the host's files that is under way in [the pool](super) goes on to its end without its future: the descriptor's
//! offset may have moved, and what was to be written may be written.
//!
//! # Errors
//! Those of the call of the same name. `EINTR`: the process was killed while waiting; the future was woken for that. And
//! `EOPNOTSUPP` where it would have to wait for a descriptor of the host or for a time, and is not polled by a multiplexer
//! or by [`block_on`](crate::block_on); what is in memory can be waited for under any executor. `ENOMEM`, `ENOSPC`: the
//! host can watch no more.
//!
//! ```
//! use lwproc::{Kernel, Mux, ProcOptions, sys};
//!
//! let kernel = Kernel::new()?;
//! let mut mux = Mux::new(&kernel)?;
//! let mut talk = mux.spawn(kernel.spawn(ProcOptions::new())?, async {
//!     let (reader, writer) = sys::pipe()?;
//!     let mut buf = [0; 5];
//!     sys::aio::write(writer, b"hello").await?;
//!     sys::aio::read(reader, &mut buf).await.map(|_| buf)
//! })?;
//! mux.run()?;
//! assert_eq!(&talk.join().unwrap()?, b"hello");
//! # Ok::<(), lwproc::Errno>(())
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::call::future;
use super::descriptors::open_async;
use super::poll::{PollFd, polling};
use super::{AT_FDCWD, data, file, names, socket, time};
use crate::errno::Result;
use crate::fd::{DirEntry, OpenFlags, SocketAddress, Stat};
use crate::id::{Fd, Mode};

/// [`sys::read`](super::read) as a future. Dropped before it is ready, it has taken nothing.
///
/// # Errors
/// As there, and as [above](self).
pub async fn read(fd: Fd, buf: &mut [u8]) -> Result<usize> {
    future(|| data::reading(fd, buf)).await
}

/// [`sys::pread`](super::pread) as a future. Dropped before it is ready, it has taken nothing.
///
/// # Errors
/// As there, and as [above](self).
pub async fn pread(fd: Fd, buf: &mut [u8], at: u64) -> Result<usize> {
    future(|| data::reading_at(fd, buf, at)).await
}

/// [`sys::readv`](super::readv) as a future. Dropped before it is ready, it has taken nothing.
///
/// # Errors
/// As there, and as [above](self).
pub async fn readv(fd: Fd, bufs: &mut [IoSliceMut<'_>]) -> Result<usize> {
    future(|| data::reading_each(fd, bufs)).await
}

/// [`sys::write`](super::write()) as a future. Dropped before it is ready, it may have written a part to a stream, unless
/// it is one that goes in one piece; nothing says how much. To know, make the descriptor non-blocking and
/// [`poll`] it.
///
/// # Errors
/// As there, and as [above](self).
pub async fn write(fd: Fd, buf: &[u8]) -> Result<usize> {
    future(|| data::writing(fd, buf)).await
}

/// [`sys::pwrite`](super::pwrite) as a future. Dropped before it is ready, it has written nothing.
///
/// # Errors
/// As there, and as [above](self).
pub async fn pwrite(fd: Fd, buf: &[u8], at: u64) -> Result<usize> {
    future(|| data::writing_at(fd, buf, at)).await
}

/// [`sys::writev`](super::writev) as a future. Dropped before it is ready, it may have written a part, as [`write`](write()).
///
/// # Errors
/// As there, and as [above](self).
pub async fn writev(fd: Fd, bufs: &[IoSlice<'_>]) -> Result<usize> {
    future(|| data::writing_each(fd, bufs)).await
}

/// [`sys::open`](super::open) as a future. Dropped before it is ready, it has opened nothing, and may have made the file.
///
/// # Errors
/// As there, and as [above](self).
pub async fn open(path: impl AsRef<Path>, flags: OpenFlags, mode: Mode) -> Result<Fd> {
    open_async(AT_FDCWD, path.as_ref(), flags, mode).await
}

/// [`sys::openat`](super::openat) as a future. Dropped before it is ready, it has opened nothing, and may have made the file.
///
/// # Errors
/// As there, and as [above](self).
pub async fn openat(dir: Fd, path: impl AsRef<Path>, flags: OpenFlags, mode: Mode) -> Result<Fd> {
    open_async(dir, path.as_ref(), flags, mode).await
}

/// [`sys::stat`](super::stat) as a future.
///
/// # Errors
/// As there, and as [above](self).
pub async fn stat(path: impl AsRef<Path>) -> Result<Stat> {
    future(|| names::stating(path.as_ref())).await
}

/// [`sys::lstat`](super::lstat) as a future.
///
/// # Errors
/// As there, and as [above](self).
pub async fn lstat(path: impl AsRef<Path>) -> Result<Stat> {
    future(|| names::lstating(path.as_ref())).await
}

/// [`sys::fstat`](super::fstat) as a future.
///
/// # Errors
/// As there, and as [above](self).
pub async fn fstat(fd: Fd) -> Result<Stat> {
    future(|| names::fstating(fd)).await
}

/// [`sys::readlink`](super::readlink) as a future.
///
/// # Errors
/// As there, and as [above](self).
pub async fn readlink(path: impl AsRef<Path>) -> Result<PathBuf> {
    future(|| names::reading_link(path.as_ref())).await
}

/// [`sys::mkdir`](super::mkdir) as a future. Dropped before it is ready, it may have been done.
///
/// # Errors
/// As there, and as [above](self).
pub async fn mkdir(path: impl AsRef<Path>, mode: Mode) -> Result<()> {
    future(|| names::making_dir(path.as_ref(), mode)).await
}

/// [`sys::rmdir`](super::rmdir) as a future. Dropped before it is ready, it may have been done.
///
/// # Errors
/// As there, and as [above](self).
pub async fn rmdir(path: impl AsRef<Path>) -> Result<()> {
    future(|| names::removing_dir(path.as_ref())).await
}

/// [`sys::unlink`](super::unlink) as a future. Dropped before it is ready, it may have been done.
///
/// # Errors
/// As there, and as [above](self).
pub async fn unlink(path: impl AsRef<Path>) -> Result<()> {
    future(|| names::unlinking(path.as_ref())).await
}

/// [`sys::rename`](super::rename) as a future. Dropped before it is ready, it may have been done.
///
/// # Errors
/// As there, and as [above](self).
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    future(|| names::renaming(from.as_ref(), to.as_ref())).await
}

/// [`sys::truncate`](super::truncate) as a future. Dropped before it is ready, it may have been done.
///
/// # Errors
/// As there, and as [above](self).
pub async fn truncate(path: impl AsRef<Path>, len: u64) -> Result<()> {
    future(|| names::truncating_at(path.as_ref(), len)).await
}

/// [`sys::ftruncate`](super::ftruncate) as a future. Dropped before it is ready, it may have been done.
///
/// # Errors
/// As there, and as [above](self).
pub async fn ftruncate(fd: Fd, len: u64) -> Result<()> {
    future(|| data::truncating(fd, len)).await
}

/// [`sys::fsync`](super::fsync) as a future. Dropped before it is ready, it may have been done.
///
/// # Errors
/// As there, and as [above](self).
pub async fn fsync(fd: Fd) -> Result<()> {
    future(|| data::syncing(fd)).await
}

/// [`sys::getdents`](super::getdents) as a future. Dropped before it is ready, it has taken none.
///
/// # Errors
/// As there, and as [above](self).
pub async fn getdents(fd: Fd, count: usize) -> Result<Vec<DirEntry>> {
    let open = file(fd)?;
    let mut entries = Vec::new();
    let mut left = count;
    loop {
        let listed = match future(|| Ok(names::listing(&open, left))).await {
            Err(error) if entries.is_empty() => return Err(error),
            Err(_) => return Ok(entries),
            Ok(listed) => listed,
        };
        let take = |entry, _| {
            entries.push(entry);
            ControlFlow::Continue(())
        };
        if listed.take(&open, &mut left, take)?.is_break() {
            return Ok(entries);
        }
    }
}

/// [`sys::accept`](super::accept) as a future. Dropped before it is ready, it has accepted nothing.
///
/// # Errors
/// As there, and as [above](self).
pub async fn accept(fd: Fd) -> Result<(Fd, SocketAddress)> {
    accept4(fd, OpenFlags::empty()).await
}

/// [`sys::accept4`](super::accept4) as a future. Dropped before it is ready, it has accepted nothing.
///
/// # Errors
/// As there, and as [above](self).
pub async fn accept4(fd: Fd, flags: OpenFlags) -> Result<(Fd, SocketAddress)> {
    future(|| socket::accepting(fd, flags)).await
}

/// [`sys::connect`](super::connect) as a future. Dropped before it is ready, the connection goes on without it, as when
/// the call is interrupted: awaited again, it answers how that went, or `EISCONN`.
///
/// # Errors
/// As there, and as [above](self).
pub async fn connect(fd: Fd, address: &SocketAddress) -> Result<()> {
    future(|| socket::connecting(fd, address)).await
}

/// [`sys::poll`](super::poll()) as a future. Dropped before it is ready, it has changed nothing but `revents`.
///
/// # Errors
/// As there, and as [above](self).
pub async fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
    future(|| polling(fds, timeout)).await
}

/// [`sys::nanosleep`](super::nanosleep) as a future. Dropped before it is ready, it leaves `remaining` as it was.
///
/// # Errors
/// As there, and as [above](self).
pub async fn nanosleep(time: Duration, remaining: Option<&mut Duration>) -> Result<()> {
    future(|| Ok(time::sleeping(time, remaining))).await
}
