//! Multiplexers, and lwps for them.
#![allow(dead_code, reason = "not all tests need all of it")]

use lwproc::{FdInherit, Kernel, Lwp, Mux, ProcOptions};

/// A kernel, and a multiplexer for it.
pub(crate) fn mux() -> (Kernel, Mux) {
    let kernel = Kernel::new().unwrap();
    let mux = Mux::new(&kernel).unwrap();
    (kernel, mux)
}

/// A process of its own, without descriptors.
pub(crate) fn lwp(kernel: &Kernel) -> Lwp {
    kernel.spawn(ProcOptions::new()).unwrap()
}

/// A process with the descriptors of pid 1.
pub(crate) fn sharing(kernel: &Kernel) -> Lwp {
    kernel.spawn(ProcOptions::new().fds(FdInherit::Share)).unwrap()
}

/// That nothing is left of what was spawned.
#[track_caller]
pub(crate) fn nothing_left(kernel: &Kernel) {
    let usage = kernel.usage();
    assert_eq!((usage.procs, usage.lwps), (0, 0));
}
