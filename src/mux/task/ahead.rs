//! Fetching ahead what the next turns will touch.
//!
//! Many tasks are bound by cache misses: each turn begins in lines that were last used as many turns ago as there are
//! tasks. What the queue says of the next few is fetched while others run: first the task, then its stack or future and
//! its lwp's slot.

use std::collections::VecDeque;
use std::ptr::NonNull;

use super::Task;

/// Fewer than these stay in the cache.
const MANY: usize = 256;
/// How many turns ahead a task itself is fetched, then what it points to.
const TASK: usize = 8;
const REST: usize = 4;
const LINE: usize = 64;

/// Looks at the next tasks in `ready`, all of them alive.
#[inline(always)]
pub(super) fn fetch(ready: &VecDeque<NonNull<Task>>) {
    if ready.len() < MANY {
        return;
    }
    if let Some(task) = ready.get(TASK) {
        let task = task.as_ptr().cast::<u8>();
        line(task);
        line(task.wrapping_add(LINE));
    }
    if let Some(task) = ready.get(REST) {
        // SAFETY: what is in the queue is alive.
        let task = unsafe { task.as_ref() };
        line(task.saved.current().cast());
        let ahead = task.ahead.get();
        line(ahead);
        line(ahead.wrapping_add(LINE));
        line(ahead.wrapping_sub(LINE));
    }
}

/// Fetches the line around `address`, which may be any.
#[inline(always)]
fn line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
