//! lwproc.

mod cred;
mod curlwp;
mod errno;
mod exit;
mod fd;
mod id;
mod implicit;
mod kernel;
mod limits;
pub mod local;
mod locals;
mod lwp;
mod lwproc;
mod park;
mod proc;
mod ps;
mod sync;
pub mod sys;
mod table;
mod user;
mod vfs;
mod wait;
mod watch;

pub use cred::{Cred, NGROUPS_MAX};
pub use errno::{Errno, Result};
pub use fd::{
    Console, DirEntry, Domain, FdFlags, File, FileKind, HostFile, OPEN_MAX, OpenFile, OpenFlags, PIPE_BUF,
    PIPE_CAPACITY, PipeReader, PipeWriter, S_IFMT, Socket, SocketAddress, SocketKind, SocketOption, Stat, pipe,
};
pub use id::{Fd, Gid, LwpId, Mode, Pid, Uid};
pub use kernel::{Builder, Fatal, FatalKind, Kernel, Usage};
pub use limits::{Resource, Rlimit};
pub use lwp::SwitchError;
pub use lwproc::{FdInherit, Lwp, ProcOptions};
pub use ps::{Ps, PsRow};
pub use watch::{Events, WaitQueue, Watch};
