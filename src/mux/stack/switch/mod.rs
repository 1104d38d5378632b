//! The switch between two stacks, by architecture: our own on x86-64, corosensei's elsewhere. Both have one face.
//!
//! `--cfg lwproc_corosensei` takes corosensei's on x86-64, too, to test it there.

#[cfg(any(not(target_arch = "x86_64"), lwproc_corosensei))]
mod other;
#[cfg(all(target_arch = "x86_64", not(lwproc_corosensei)))]
mod x86_64;

#[cfg(any(not(target_arch = "x86_64"), lwproc_corosensei))]
pub(crate) use other::Switch;
#[cfg(all(target_arch = "x86_64", not(lwproc_corosensei)))]
pub(crate) use x86_64::Switch;

/// What lies at the top of a stack before its first turn: the first frame's caller, as it were.
///
/// Its address is where the stack begins to be used, and aligned as a stack pointer is where a function is called.
#[derive(Debug)]
#[repr(C, align(16))]
pub(crate) struct Start {
    /// Runs what the stack is for, and then [leaves](Switch::leave). It is given the switch that came here.
    pub(crate) run: unsafe extern "C" fn(*const Switch, *const Start),
    /// What `run` is to know.
    pub(crate) data: *mut u8,
    /// Drops `data`, if it never runs.
    pub(crate) drop: unsafe fn(*mut u8),
}
