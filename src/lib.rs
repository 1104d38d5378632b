//! placeholder

mod cred;
mod errno;
mod fd;
mod id;
mod sync;
mod watch;

pub use cred::{Cred, NGROUPS_MAX};
pub use errno::{Errno, Result};
pub use fd::{DirEntry, File, FileKind, OpenFlags, S_IFMT, Stat};
pub use id::{Fd, Gid, LwpId, Mode, Pid, Uid};
pub use watch::{Events, WaitQueue, Watch};
