//! Giving back what a fiber has touched of its stack and does not use now.

use super::guards::GUARDS;

/// What may lie below the caller's frame and in use, in bytes: the call itself.
const SLACK: usize = 512;

/// Gives the host back the memory below the caller's frame that the running fiber has touched of its stack; what is
/// touched again is there again. One system call, worth it before a wait that is long: a fiber that once went deep keeps
/// those pages otherwise. Outside of fibers it does nothing.
///
/// ```
/// use lwproc::{Kernel, Mux, ProcOptions, mux, sys};
///
/// let kernel = Kernel::new()?;
/// let mut runs = Mux::new(&kernel)?;
/// runs.spawn_fiber(kernel.spawn(ProcOptions::new())?, || {
///     let name = sys::gethostname(); // or whatever goes deep
///     mux::trim_stack();
///     mux::yield_now(); // or whatever takes long
///     assert_eq!(name, sys::gethostname());
/// })?;
/// runs.run()?;
/// # Ok::<(), lwproc::Errno>(())
/// ```
#[inline(never)]
pub fn trim_stack() {
    let here = 0u8;
    let here = (&raw const here).addr();
    // Any other stack is not in a slab.
    let Some((stack, layout)) = GUARDS.stack(here) else { return };
    let page = rustix::param::page_size();
    let (low, high) = (stack + layout.guard, (here - SLACK) / page * page);
    if high <= low {
        return;
    }
    // Through libc, whose call takes no more stack than `SLACK` in any build.
    // SAFETY: the pages are between the guard and this frame, of the stack that runs this: nothing is in them. Where the
    // host refuses (locked memory) they stay.
    unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(low), high - low, libc::MADV_DONTNEED) };
}
