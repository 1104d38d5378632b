//! Clocks, sleeping, and the times of files.

use std::ffi::{c_char, c_int};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::answer::call_unit;
use super::memory::{self, Place};
use crate::errno::{Errno, Result};
use crate::sys::{self, AT_FDCWD, Clock};
use crate::vfs::SetTime;

const _: () = assert!(AT_FDCWD == libc::AT_FDCWD);

/// [`sys::clock_gettime`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put_time(clock, time, sys::clock_gettime) })
}

/// [`sys::clock_getres`]. `time` may be null.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_clock_getres(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    call_unit(|| {
        if time.is_null() {
            return self::clock(clock).map(drop);
        }
        // SAFETY: the caller's.
        unsafe { put_time(clock, time, sys::clock_getres) }
    })
}

/// # Errors
/// `EINVAL`: no such clock here.
fn clock(clock: libc::clockid_t) -> Result<Clock> {
    match clock {
        libc::CLOCK_REALTIME => Ok(Clock::Realtime),
        libc::CLOCK_MONOTONIC => Ok(Clock::Monotonic),
        _ => Err(Errno::EINVAL),
    }
}

/// # Safety
/// `time` is null, or room for one.
unsafe fn put_time(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
    ask: impl FnOnce(Clock) -> Result<Duration>,
) -> Result<()> {
    // SAFETY: the caller's.
    let (clock, place) = (self::clock(clock)?, unsafe { Place::new(time) }?);
    place.put(timespec(ask(clock)?)?);
    Ok(())
}

/// # Errors
/// `EOVERFLOW`: more seconds than the host counts.
pub(super) fn timespec(time: Duration) -> Result<libc::timespec> {
    let tv_sec = time.as_secs().try_into().map_err(|_| Errno::EOVERFLOW)?;
    Ok(libc::timespec { tv_sec, tv_nsec: time.subsec_nanos().into() })
}

/// A length of time.
///
/// # Errors
/// `EINVAL`: negative, or of more than a billion nanoseconds. `EFAULT`.
///
/// # Safety
/// Null, or a time.
pub(super) unsafe fn duration(time: *const libc::timespec) -> Result<Duration> {
    // SAFETY: the caller's.
    let time = unsafe { memory::value(time) }?;
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Errno::EINVAL),
    }
}

/// [`sys::nanosleep`]. `remaining` may be null.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_nanosleep(time: *const libc::timespec, remaining: *mut libc::timespec) -> c_int {
    call_unit(|| {
        let mut left = Duration::ZERO;
        // SAFETY: the caller's.
        let slept = sys::nanosleep(unsafe { duration(time) }?, Some(&mut left));
        if slept == Err(Errno::EINTR) && !remaining.is_null() {
            // SAFETY: the caller's.
            unsafe { Place::new(remaining) }?.put(timespec(left)?);
        }
        slept
    })
}

/// [`sys::utimens`], from the directory `dir` where the path is relative. `EINVAL`: a flag.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_utimensat(
    dir: c_int,
    path: *const c_char,
    times: *const libc::timespec,
    flags: c_int,
) -> c_int {
    call_unit(|| {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's.
        let (path, (atime, mtime)) = unsafe { (memory::path(path)?, file_times(times, of_timespec)?) };
        sys::utimensat(dir, path, atime, mtime)
    })
}

/// [`sys::futimens`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_futimens(fd: c_int, times: *const libc::timespec) -> c_int {
    call_unit(|| {
        // SAFETY: the caller's.
        let (atime, mtime) = unsafe { file_times(times, of_timespec) }?;
        sys::futimens(fd, atime, mtime)
    })
}

/// [`sys::utimens`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_utimes(path: *const c_char, times: *const libc::timeval) -> c_int {
    call_unit(|| {
        // SAFETY: the caller's.
        let (path, (atime, mtime)) = unsafe { (memory::path(path)?, file_times(times, of_timeval)?) };
        sys::utimens(path, atime, mtime)
    })
}

/// [`sys::futimens`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_futimes(fd: c_int, times: *const libc::timeval) -> c_int {
    call_unit(|| {
        // SAFETY: the caller's.
        let (atime, mtime) = unsafe { file_times(times, of_timeval) }?;
        sys::futimens(fd, atime, mtime)
    })
}

/// The times of the last read and the last write; null: the present, both.
///
/// # Errors
/// `EINVAL`: no time.
///
/// # Safety
/// Null, or two times.
unsafe fn file_times<T: Copy>(times: *const T, of: impl Fn(T) -> Result<SetTime>) -> Result<(SetTime, SetTime)> {
    if times.is_null() {
        return Ok((SetTime::Now, SetTime::Now));
    }
    // SAFETY: the caller's.
    let [atime, mtime] = unsafe { memory::value(times.cast::<[T; 2]>()) }?;
    Ok((of(atime)?, of(mtime)?))
}

fn of_timespec(time: libc::timespec) -> Result<SetTime> {
    match time.tv_nsec {
        libc::UTIME_NOW => Ok(SetTime::Now),
        libc::UTIME_OMIT => Ok(SetTime::Omit),
        nanos => Ok(SetTime::At(since_epoch(time.tv_sec, nanos)?)),
    }
}

fn of_timeval(time: libc::timeval) -> Result<SetTime> {
    let nanos = time.tv_usec.checked_mul(1000).ok_or(Errno::EINVAL)?;
    Ok(SetTime::At(since_epoch(time.tv_sec, nanos)?))
}

/// `nanos` count forward from `seconds`, which may be before the epoch.
fn since_epoch(seconds: i64, nanos: i64) -> Result<SystemTime> {
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000).ok_or(Errno::EINVAL)?;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    start.and_then(|start| start.checked_add(Duration::new(0, nanos))).ok_or(Errno::EINVAL)
}
