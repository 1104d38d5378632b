//! The multiplexer: what `include/lwproc.h` declares.
//!
//! A fiber has frames of C, which nothing unwinds: when the multiplexer is freed, its calls answer `EINTR` until it returns, or
//! has been told so 64 times; then it is suspended for good.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem::{self, ManuallyDrop};
use std::ptr;

use super::answer::{errno_of, set_errno};
use super::boundary::{boundary, fatal};
use super::lwproc::{id, lwp};
use super::time::duration;
use crate::context::curlwp::cpu;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::lwproc::Lwp;
use crate::mux::{self, Mux, MuxHandle, SpawnErrorKind};
use crate::sys;

/// `struct lwproc_mux` of C: a multiplexer.
#[allow(non_camel_case_types, reason = "its name in C")]
#[derive(Debug)]
pub struct lwproc_mux {
    /// Used on its host thread alone, and not while it runs.
    mux: UnsafeCell<ManuallyDrop<Mux>>,
    handle: MuxHandle,
}

impl lwproc_mux {
    fn is_here(&self) -> bool {
        self.handle.host() == cpu(|cpu| cpu.host())
    }
}

/// What a fiber calls.
#[derive(Clone, Copy)]
struct Call {
    function: unsafe extern "C-unwind" fn(*mut c_void),
    argument: *mut c_void,
}

// SAFETY: what the argument points to is C's, which hands it to another host thread knowingly.
unsafe impl Send for Call {}

impl Call {
    fn call(self) {
        let guard = NoException;
        // SAFETY: the caller of `lwproc_mux_spawn` promised that it can be called so.
        unsafe { (self.function)(self.argument) };
        mem::forget(guard);
    }
}

/// Dropped by an exception of C++, which must not leave the function.
struct NoException;

impl Drop for NoException {
    fn drop(&mut self) {
        fatal("an exception left the function that a fiber ran");
    }
}

/// [`Mux::builder`], for the calling host thread.
#[unsafe(no_mangle)]
pub extern "C" fn lwproc_mux_new(stack_size: usize) -> *mut lwproc_mux {
    boundary(|| match make(stack_size) {
        Ok(mux) => Box::into_raw(Box::new(mux)),
        Err(error) => {
            set_errno(error);
            ptr::null_mut()
        }
    })
}

fn make(stack_size: usize) -> Result<lwproc_mux> {
    let builder = Mux::builder(Kernel::try_global()?);
    let mux = if stack_size == 0 { builder.build() } else { builder.stack_size(stack_size).build() }?;
    Ok(lwproc_mux { handle: mux.handle(), mux: UnsafeCell::new(ManuallyDrop::new(mux)) })
}

/// # Errors
/// `EFAULT`: null.
///
/// # Safety
/// Null, or a multiplexer that is not freed meanwhile.
unsafe fn the<'m>(mux: *mut lwproc_mux) -> Result<&'m lwproc_mux> {
    // SAFETY: the caller's.
    unsafe { mux.as_ref() }.ok_or(Errno::EFAULT)
}

/// [`Mux::spawn_fiber`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lwproc_mux_spawn(
    mux: *mut lwproc_mux,
    lwp: *mut lwp,
    function: Option<unsafe extern "C-unwind" fn(*mut c_void)>,
    argument: *mut c_void,
) -> c_int {
    errno_of(|| {
        // SAFETY: the caller's.
        let mux = unsafe { the(mux) }?;
        let call = Call { function: function.ok_or(Errno::EFAULT)?, argument };
        let kernel = Kernel::try_global()?;
        let lwp = Lwp::from_id(kernel, id(kernel, lwp).ok_or(Errno::EINVAL)?)?;
        let spawned = if mux.is_here() && !mux::runs_here() {
            // SAFETY: on its host thread, and it does not run.
            unsafe { &*mux.mux.get() }.spawn_guest(lwp, move || call.call())
        } else {
            mux.handle.spawn_guest(lwp, move || call.call())
        };
        spawned.map_err(|error| {
            let kind = error.kind();
            // It is the caller's as before.
            error.into_lwp().into_id();
            match kind {
                SpawnErrorKind::Lwp(error) => error.into(),
                SpawnErrorKind::NoStack(error) => error,
                _ => Errno::ECANCELED,
            }
        })
    })
}

/// [`Mux::run`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lwproc_mux_run(mux: *mut lwproc_mux) -> c_int {
    errno_of(|| {
        // SAFETY: the caller's.
        let mux = unsafe { the(mux) }?;
        if !mux.is_here() {
            return Err(Errno::EPERM);
        }
        if mux::runs_here() {
            return Err(Errno::EDEADLK);
        }
        // SAFETY: on its host thread, where none runs; while it does, nobody else uses it.
        unsafe { &mut *mux.mux.get() }.run()
    })
}

/// [`MuxHandle::stop`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lwproc_mux_stop(mux: *mut lwproc_mux) {
    boundary(|| {
        // SAFETY: the caller's.
        if let Ok(mux) = unsafe { the(mux) } {
            mux.handle.stop();
        }
    });
}

/// Ends a multiplexer, with the fibers that it still has.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lwproc_mux_free(mux: *mut lwproc_mux) {
    boundary(|| {
        // SAFETY: the caller's.
        let Ok(shared) = (unsafe { the(mux) }) else { return };
        if !shared.is_here() {
            fatal("lwproc_mux_free on another host thread than the multiplexer's");
        }
        if mux::runs_here() {
            fatal("lwproc_mux_free in a fiber");
        }
        // SAFETY: on its host thread, where it does not run, and not used after this.
        unsafe { ManuallyDrop::drop(&mut *shared.mux.get()) };
        // Not before: the fibers that went on to their ends just now may have asked for it.
        // SAFETY: made by `lwproc_mux_new`, and the caller's to free.
        drop(unsafe { Box::from_raw(mux) });
    });
}

/// [`mux::yield_now`].
#[unsafe(no_mangle)]
pub extern "C" fn lwproc_mux_yield() {
    boundary(mux::yield_now);
}

/// [`sys::nanosleep`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lwproc_mux_sleep(time: *const libc::timespec) -> c_int {
    // SAFETY: the caller's.
    errno_of(|| sys::nanosleep(unsafe { duration(time) }?, None))
}
