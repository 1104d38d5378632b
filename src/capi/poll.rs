//! Waiting for many descriptors at once.

use std::ffi::c_int;
use std::mem::offset_of;
use std::time::Duration;

use super::answer::call;
use super::memory;
use crate::OPEN_MAX;
use crate::errno::Errno;
use crate::sys::{self, PollFd};

// C's array is used as it is.
const _: () = assert!(
    size_of::<PollFd>() == size_of::<libc::pollfd>()
        && align_of::<PollFd>() == align_of::<libc::pollfd>()
        && offset_of!(PollFd, events) == offset_of!(libc::pollfd, events)
        && offset_of!(PollFd, revents) == offset_of!(libc::pollfd, revents)
);

/// [`sys::poll`]. `timeout` is in milliseconds; a negative one is for ever.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int) -> c_int {
    call(|| {
        let count = usize::try_from(count).ok().filter(|count| *count <= OPEN_MAX as usize).ok_or(Errno::EINVAL)?;
        // SAFETY: the caller's. A `PollFd` is laid out as the host's, and any numbers in it will do.
        let fds = unsafe { memory::items_mut(fds.cast::<PollFd>(), count) }?;
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        // No more than `count`.
        sys::poll(fds, timeout).map(|found| found as c_int)
    })
}
