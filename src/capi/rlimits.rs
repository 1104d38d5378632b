//! Limits of the current process.

use std::ffi::c_int;

use super::answer::call_unit;
use super::memory::{self, Place};
use crate::errno::{Errno, Result};
use crate::proc::limits::{Resource, Rlimit};
use crate::sys;

/// `RUMP_RLIMIT_NTHR`: NetBSD's own number is another limit on the host.
const RLIMIT_NTHR: c_int = 256;

const _: () = assert!(Rlimit::INFINITY == libc::RLIM_INFINITY);

/// # Errors
/// `EINVAL`: not a limit that there is.
fn resource(resource: c_int) -> Result<Resource> {
    if resource == libc::RLIMIT_NOFILE as c_int {
        Ok(Resource::NoFile)
    } else if resource == libc::RLIMIT_NPROC as c_int {
        Ok(Resource::NProc)
    } else if resource == libc::RLIMIT_FSIZE as c_int {
        Ok(Resource::FSize)
    } else if resource == RLIMIT_NTHR {
        Ok(Resource::NThr)
    } else {
        Err(Errno::EINVAL)
    }
}

/// [`sys::getrlimit`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_getrlimit(which: c_int, limit: *mut libc::rlimit) -> c_int {
    call_unit(|| {
        // SAFETY: the caller's.
        let (which, place) = (resource(which)?, unsafe { Place::new(limit) }?);
        let Rlimit { soft, hard } = sys::getrlimit(which);
        place.put(libc::rlimit { rlim_cur: soft, rlim_max: hard });
        Ok(())
    })
}

/// [`sys::setrlimit`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_setrlimit(which: c_int, limit: *const libc::rlimit) -> c_int {
    call_unit(|| {
        // SAFETY: the caller's.
        let (which, limit) = (resource(which)?, unsafe { memory::value(limit) }?);
        sys::setrlimit(which, Rlimit { soft: limit.rlim_cur, hard: limit.rlim_max })
    })
}
