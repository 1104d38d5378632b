//! The host's `struct stat`.

use std::ffi::{c_char, c_int};
use std::mem;
use std::time::{SystemTime, UNIX_EPOCH};

use super::answer::call_unit;
use super::memory::{self, Place};
use crate::errno::{Errno, Result};
use crate::fd::Stat;
use crate::sys;

/// [`sys::stat`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_stat(path: *const c_char, stat: *mut libc::stat) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put(stat, || sys::stat(memory::path(path)?)) })
}

/// [`sys::lstat`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_lstat(path: *const c_char, stat: *mut libc::stat) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put(stat, || sys::lstat(memory::path(path)?)) })
}

/// [`sys::fstat`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_fstat(fd: c_int, stat: *mut libc::stat) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put(stat, || sys::fstat(fd)) })
}

/// # Safety
/// `stat` is null, or room for one.
unsafe fn put(stat: *mut libc::stat, ask: impl FnOnce() -> Result<Stat>) -> Result<()> {
    // SAFETY: the caller's.
    let place = unsafe { Place::new(stat) }?;
    place.put(to_host(&ask()?)?);
    Ok(())
}

/// # Errors
/// `EOVERFLOW`: a number that the host's type has no room for.
#[allow(clippy::useless_conversion, reason = "the host's fields are narrower on some architectures")]
fn to_host(stat: &Stat) -> Result<libc::stat> {
    let too_large = |_| Errno::EOVERFLOW;
    // SAFETY: zero is valid for each field: all are numbers.
    let mut host: libc::stat = unsafe { mem::zeroed() };
    host.st_dev = stat.dev.into();
    host.st_ino = stat.ino.into();
    host.st_mode = stat.mode;
    host.st_nlink = stat.nlink.try_into().map_err(|_| Errno::EOVERFLOW)?;
    host.st_uid = stat.uid;
    host.st_gid = stat.gid;
    host.st_rdev = stat.rdev.into();
    host.st_size = stat.size.try_into().map_err(too_large)?;
    host.st_blksize = stat.blksize.try_into().map_err(|_| Errno::EOVERFLOW)?;
    host.st_blocks = stat.blocks.try_into().map_err(too_large)?;
    (host.st_atime, host.st_atime_nsec) = seconds(stat.atime);
    (host.st_mtime, host.st_mtime_nsec) = seconds(stat.mtime);
    (host.st_ctime, host.st_ctime_nsec) = seconds(stat.ctime);
    Ok(host)
}

/// Whole seconds since the epoch, and nanoseconds forward from there.
fn seconds(time: SystemTime) -> (i64, i64) {
    // A `SystemTime` has no more seconds than this type.
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, i64::from(after.subsec_nanos())),
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => (-(before.as_secs() as i64), 0),
                nanos => (-(before.as_secs() as i64) - 1, 1_000_000_000 - i64::from(nanos)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::seconds;

    #[test]
    fn nanoseconds_count_forward_before_the_epoch_too() {
        assert_eq!(seconds(UNIX_EPOCH + Duration::new(3, 5)), (3, 5));
        assert_eq!(seconds(UNIX_EPOCH - Duration::new(3, 0)), (-3, 0));
        assert_eq!(seconds(UNIX_EPOCH - Duration::new(3, 1)), (-4, 999_999_999));
    }
}
