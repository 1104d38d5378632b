//! System calls, as POSIX has them, by family.
//!
//! Each acts for the calling host thread's current lwp: the one it is bound to, or its implicit context. A thread that was
//! in no kernel yet is in the [default kernel](crate::Kernel::global)'s. Errors are errnos; each call's page says which
//! and when.
//!
//! A call that blocks holds up its fiber, or the host thread where there is none, and ends with `EINTR` when its process
//! is [killed](crate::Kernel::kill). [`aio`] has those calls as futures.
//!
//! Under a [multiplexer](crate::Mux) a call on a [mount](crate::Kernel::mount) of the host or on a [`HostFile`](crate::HostFile)
//! that the host does not answer from its cache is made by a thread of a pool, as one that blocks: killed, cancelled or dropped
//! meanwhile, the caller is told `EINTR` or nothing, and a call that has begun goes on to its end all the same. Such a read is of 1 MiB at
//! most. Whoever was killed or cancelled, or unwinds, makes its calls on the host thread itself, as do `close`, and `bind` and
//! `connect` of a path.

pub mod aio;
mod call;
mod data;
mod descriptors;
mod fsize;
mod host;
mod identity;
mod names;
mod poll;
mod pool;
mod ready;
mod rlimits;
mod socket;
mod time;

pub use data::{IOV_MAX, TRANSFER_MAX, fsync, ftruncate, lseek, pread, pwrite, read, readv, write, writev};
pub use descriptors::{Fcntl, close, dup, dup2, dup3, export, fcntl, import, install, open, openat, pipe, pipe2};
pub use host::{gethostname, sethostname};
pub use identity::{
    getegid, geteuid, getgid, getgroups, getlwpid, getpid, getppid, getuid, procname, setegid, seteuid, setgid,
    setgroups, setprocname, setregid, setreuid, setuid,
};
#[cfg(all(feature = "capi", not(loom)))]
pub(crate) use names::each_dirent;
pub use names::{
    AT_FDCWD, access, chdir, chmod, chown, chroot, fchdir, fchmod, fchown, fstat, futimens, getcwd, getdents, lchown,
    link, lstat, mkdir, readlink, rename, rmdir, stat, symlink, truncate, umask, unlink, utimens, utimensat,
};
pub use poll::{PollFd, poll};
pub use rlimits::{getrlimit, setrlimit};
pub use socket::{
    accept, accept4, bind, connect, getpeername, getsockname, getsockopt, listen, setsockopt, shutdown, socket,
    socketpair,
};
pub use time::{Clock, clock_getres, clock_gettime, nanosleep};

use crate::context::current;
use crate::errno::Result;
use crate::fd::OpenFile;
use crate::id::Fd;

/// What `fd` of the current process stands for.
#[inline]
fn file(fd: Fd) -> Result<OpenFile> {
    current(move |current| current.proc().fds.get(fd))
}
