//! What stands in the way of a response.

use lwproc::Errno;

use super::connection::End;
use super::http::{Refusal, Status};

/// Why a request was not served.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The client is to be told.
    Refused(Refusal),
    /// Nobody is there to be told.
    Over(End),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<End> for Trouble {
    fn from(end: End) -> Self {
        Self::Over(end)
    }
}

/// A system call on a file failed.
impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        if errno == Errno::EINTR { Self::Over(End::Stopped) } else { Self::Refused(refusal(errno)) }
    }
}

/// What a failed system call on a file means to the client. Nothing of it tells where the file lies.
pub(crate) fn refusal(errno: Errno) -> Refusal {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => Refusal::new(Status::NOT_FOUND, "there is no such file"),
        Errno::ENAMETOOLONG => Refusal::new(Status::URI_TOO_LONG, "no file has a name this long"),
        Errno::EACCES | Errno::EPERM => Refusal::new(Status::FORBIDDEN, "the tenant may not do this"),
        Errno::EROFS => Refusal::new(Status::FORBIDDEN, "the tenant's directory is read-only"),
        Errno::EISDIR | Errno::EEXIST | Errno::ENOTEMPTY | Errno::EBUSY => {
            Refusal::new(Status::CONFLICT, "something else has this name")
        }
        Errno::ENOSPC | Errno::EDQUOT => Refusal::new(Status::INSUFFICIENT_STORAGE, "there is no room left"),
        Errno::EFBIG => Refusal::new(Status::CONTENT_TOO_LARGE, "the file system holds no file of this length"),
        Errno::EMFILE | Errno::ENFILE | Errno::EAGAIN | Errno::ENOMEM => overloaded(),
        _ => Refusal::new(Status::INTERNAL_SERVER_ERROR, "the file cannot be used"),
    }
}

/// The tenant has no descriptor or lwp left.
pub(crate) fn overloaded() -> Refusal {
    Refusal::new(Status::SERVICE_UNAVAILABLE, "the tenant serves as much as it may at a time").with("Retry-After", "1")
}
