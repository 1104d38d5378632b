//! What the benches share: what they compare with, and lwps to switch among.

#![allow(dead_code, unreachable_pub, reason = "each bench takes what it needs")]

pub mod host;
pub mod rings;
pub mod yields;

use std::hint::black_box;
use std::sync::OnceLock;

use lwproc::{Console, FdInherit, Kernel};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A kernel whose pid 1 has descriptors 0, 1 and 2, and is not the host's console.
pub fn kernel() -> Kernel {
    Kernel::builder().console(Console::null()).boot().expect("a kernel boots")
}

/// A call that does nothing: what any call costs.
#[inline(never)]
pub fn empty_call() -> i32 {
    black_box(1)
}

/// Runs `f` in a lwp of a process of its own, which has pid 1's descriptors.
pub fn dedicated<R>(kernel: &Kernel, f: impl FnOnce() -> R) -> R {
    kernel.enter(|| {
        kernel.rfork(FdInherit::Copy).expect("the kernel has room");
        let result = f();
        kernel.releaselwp();
        result
    })
}

/// The cpus that this process began with.
fn allowed() -> &'static CpuSet {
    // The first to ask is not tied to one yet.
    static ALLOWED: OnceLock<CpuSet> = OnceLock::new();
    ALLOWED.get_or_init(|| sched_getaffinity(None).expect("a thread may ask for its cpus"))
}

/// How many cpus this process began with.
pub fn cpus() -> usize {
    allowed().count() as usize
}

/// Ties the calling host thread to one cpu, the `number`-th of those that the process began with, if there are as many.
pub fn pin(number: usize) {
    let cpu = (0..CpuSet::MAX_CPU).filter(|cpu| allowed().is_set(*cpu)).nth(number);
    if let Some(cpu) = cpu {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).expect("a thread may tie itself to a cpu of its own");
    }
}
