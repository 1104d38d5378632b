//! placeholder

mod cred;
mod errno;
mod fd;
mod id;
mod sync;
mod watch;

pub use cred::{Cred, NGROUPS_MAX};
pub use errno::{Errno, Result};
pub use fd::{
    Console, DirEntry, Domain, File, FileKind, HostFile, OpenFlags, PIPE_BUF, PIPE_CAPACITY, PipeReader, PipeWriter,
    S_IFMT, Socket, SocketAddress, SocketKind, SocketOption, Stat, pipe,
};
pub use id::{Fd, Gid, LwpId, Mode, Pid, Uid};
pub use watch::{Events, WaitQueue, Watch};
