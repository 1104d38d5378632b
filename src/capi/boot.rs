//! Booting, and what else concerns the kernel as a whole.

use std::ffi::c_int;

use super::answer::errno_of;
use crate::kernel::Kernel;

/// Boots the default kernel.
#[unsafe(no_mangle)]
pub extern "C" fn rump_init() -> c_int {
    errno_of(|| Kernel::try_global().map(drop))
}

/// The version of this crate as NetBSD writes versions: two digits each of major, minor, an `rr` that is 0, patch, and 00.
const VERSION: c_int = {
    let (major, minor) = (number(env!("CARGO_PKG_VERSION_MAJOR")), number(env!("CARGO_PKG_VERSION_MINOR")));
    let patch = number(env!("CARGO_PKG_VERSION_PATCH"));
    assert!(major < 21 && minor < 100 && patch < 100);
    major * 100_000_000 + minor * 1_000_000 + patch * 100
};

const fn number(digits: &str) -> c_int {
    match c_int::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("a version is a number"),
    }
}

/// The library's version.
#[unsafe(no_mangle)]
pub extern "C" fn rump_getversion() -> c_int {
    VERSION
}

/// The same, under its older name.
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_getversion() -> c_int {
    VERSION
}

/// Nothing: a host thread needs no turn to be in the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn rump_schedule() {}

/// Nothing, as [`rump_schedule`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_unschedule() {}
