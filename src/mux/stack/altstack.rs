//! The stack on which a host thread's handlers of faults run: there is no other left when a fiber's has overflowed.
//!
//! Rust's standard library gives one to its threads. A thread of another kind, and any thread of a program that Rust did
//! not start, gets one here, when its first pool is made.

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags};

use crate::errno::{Errno, Result};
use crate::sync::host_local;

/// What the handler needs, on top of what the kernel and the processor do.
const NEED: usize = 64 << 10;

host_local! {
    /// The calling thread's, where it was made here.
    static OWN: RefCell<Option<AltStack>> = const { RefCell::new(None) };
}

/// Sees to it that the calling host thread has an alternate stack.
///
/// # Errors
/// `ENOMEM`: no room for one.
pub(super) fn ensure() -> Result<()> {
    if enabled()?.is_some() {
        return Ok(());
    }
    let made = AltStack::new()?;
    // In a thread whose thread-locals are gone already there is nobody to free it: then it goes without, and an overflow
    // ends the program without a report.
    let _ = OWN.try_with(|own| own.replace(Some(made)));
    Ok(())
}

/// The lowest address of the calling thread's alternate stack, if it has one.
fn enabled() -> Result<Option<*mut c_void>> {
    let mut now = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: asks, and changes nothing.
    if unsafe { libc::sigaltstack(ptr::null(), now.as_mut_ptr()) } != 0 {
        return Err(last_error());
    }
    // SAFETY: filled in by the call.
    let now = unsafe { now.assume_init() };
    Ok((now.ss_flags & libc::SS_DISABLE == 0).then_some(now.ss_sp))
}

/// An alternate stack, which is the calling thread's until this is dropped.
#[derive(Debug)]
struct AltStack {
    low: *mut c_void,
    len: usize,
}

impl AltStack {
    fn new() -> Result<Self> {
        // SAFETY: asks for a number; 0 where the kernel does not say.
        let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        let len = (NEED + frame).next_multiple_of(rustix::param::page_size());
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: a new mapping where the kernel likes.
        let low = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, access, flags) }?;
        let made = Self { low, len };
        let stack = libc::stack_t { ss_sp: low, ss_flags: 0, ss_size: len };
        // SAFETY: the mapping is this stack's alone, and stays until `drop` has taken it back.
        if unsafe { libc::sigaltstack(&stack, ptr::null_mut()) } != 0 {
            return Err(last_error());
        }
        Ok(made)
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        // Not if somebody put another in its place.
        if enabled() == Ok(Some(self.low)) {
            let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: takes the stack from the kernel; this does not run on it.
            if unsafe { libc::sigaltstack(&none, ptr::null_mut()) } != 0 {
                return;
            }
        }
        // SAFETY: the mapping is this one's, and the kernel does not use it any more. A failure leaves it mapped.
        let _ = unsafe { rustix::mm::munmap(self.low, self.len) };
    }
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().into()
}
