//! The multiplexer: fibers and futures, each in its lwp, on one host thread.

mod contexts;
mod edges;
mod ends;
mod fairness;
mod joining;
mod runaway;
mod sockets;
mod stacks;
mod threads;

use lwproc::{FdInherit, Kernel, Lwp, Mux, ProcOptions};

/// A kernel, and a multiplexer for it.
fn mux() -> (Kernel, Mux) {
    let kernel = Kernel::new().unwrap();
    let mux = Mux::new(&kernel).unwrap();
    (kernel, mux)
}

/// A process of its own, without descriptors.
fn lwp(kernel: &Kernel) -> Lwp {
    kernel.spawn(ProcOptions::new()).unwrap()
}

/// A process with the descriptors of pid 1.
fn sharing(kernel: &Kernel) -> Lwp {
    kernel.spawn(ProcOptions::new().fds(FdInherit::Share)).unwrap()
}

/// That nothing is left of what was spawned.
#[track_caller]
fn nothing_left(kernel: &Kernel) {
    let usage = kernel.usage();
    assert_eq!((usage.procs, usage.lwps), (0, 0));
}
