//! The kernel's name as a host.

use std::sync::Arc;

use crate::context::current;
use crate::errno::{Errno, Result};

/// The longest host name, in bytes.
const HOST_NAME_MAX: usize = 255;

/// The kernel's host name.
///
/// Source: POSIX.1-2024, gethostname.
pub fn gethostname() -> String {
    current(|current| current.kernel().hostname.load().to_string())
}

/// Sets the kernel's host name.
///
/// # Errors
/// `EPERM`: not root. `EINVAL`: longer than 255 bytes, or with a NUL inside.
///
/// Source: sethostname(2).
pub fn sethostname(name: &str) -> Result<()> {
    if name.len() > HOST_NAME_MAX || name.contains('\0') {
        return Err(Errno::EINVAL);
    }
    let name = Arc::new(name.into());
    current(|current| {
        if !current.proc().identity.load().cred.is_root() {
            return Err(Errno::EPERM);
        }
        current.kernel().hostname.store(name);
        Ok(())
    })
}
