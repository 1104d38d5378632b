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
/// Source: POSIX.1-2024, setrlimit.
pub fn setrlimit(resource: Resource, limit: Rlimit) -> Result<()> {
    current(|current| current.proc().limits.set(resource, limit, &current.proc().identity.load().cred))
}
