//! Limits of the current process.

use crate::context::current;
use crate::errno::Result;
use crate::proc::limits::{Resource, Rlimit};

/// The soft and hard limit of a resource.
///
/// Source: POSIX.1-2024, getrlimit.
pub fn getrlimit(resource: Resource) -> Rlimit {
    current(|current| current.proc().limits.get(resource))
}

/// Sets the soft and hard limit of a resource. What is in use beyond it stays.
///
/// # Errors
/// `EINVAL`: soft above hard; or more descriptors than [`OPEN_MAX`](crate::OPEN_MAX), unless [`Rlimit::INFINITY`], which
/// is that many. `EPERM`: a higher hard limit, without being root.
///
/// ```
/// use lwproc::{Errno, Kernel, OpenFlags, ProcOptions, Resource, Rlimit, sys};
///
/// let kernel = Kernel::new()?;
/// kernel.spawn(ProcOptions::new())?.enter(|| {
///     sys::setrlimit(Resource::FSize, Rlimit::both(3))?;
///     let fd = sys::open("/tmp/f", OpenFlags::WRONLY | OpenFlags::CREAT, 0o600)?;
///     assert_eq!(sys::write(fd, b"hello"), Ok(3));
///     assert_eq!(sys::write(fd, b"lo"), Err(Errno::EFBIG));
///     Ok::<(), Errno>(())
/// })?;
/// # Ok::<(), Errno>(())
/// ```
///
/// Source: POSIX.1-2024, setrlimit; setrlimit(2).
pub fn setrlimit(resource: Resource, limit: Rlimit) -> Result<()> {
    current(|current| current.proc().limits.set(resource, limit, &current.proc().identity.load().cred))
}
