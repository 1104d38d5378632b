//! What becomes of signals. There is one: `SIGPIPE`, beside `EPIPE`.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, Ordering};

use super::boundary::{boundary, fatal};
use crate::errno::{Errno, Result};

/// `RUMP_SIGMODEL_PANIC`.
const PANIC: c_int = 0;
/// `RUMP_SIGMODEL_IGNORE`.
const IGNORE: c_int = 1;
/// `RUMP_SIGMODEL_RAISE`.
const RAISE: c_int = 3;

/// *Atomic*: what was set last.
static MODEL: AtomicI32 = AtomicI32::new(IGNORE);

/// Says what becomes of signals from now on.
#[unsafe(no_mangle)]
pub extern "C" fn rump_boot_setsigmodel(model: c_int) {
    // Relaxed: it guards no data.
    boundary(|| MODEL.store(model, Ordering::Relaxed));
}

/// What a write says, with the signal that goes with `EPIPE`.
#[inline]
pub(super) fn with_signal<T>(written: Result<T>) -> Result<T> {
    if matches!(written, Err(Errno::EPIPE)) {
        broken_pipe();
    }
    written
}

#[cold]
fn broken_pipe() {
    match MODEL.load(Ordering::Relaxed) {
        PANIC => fatal("SIGPIPE, and the signal model is RUMP_SIGMODEL_PANIC"),
        RAISE => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::PIPE);
        }
        _ => {}
    }
}
