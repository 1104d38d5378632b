//! What a process and a lwp take, by counting what is allocated.

use lwproc::{FdInherit, Kernel, sys};

use crate::common::kernel;
use crate::counting;
use crate::table::verdict;

/// What each of `number` that `make` makes takes in bytes, the table's slots included.
fn each(number: usize, before: impl FnOnce(&Kernel), make: impl Fn(&Kernel)) -> f64 {
    let kernel = kernel();
    kernel.enter(|| {
        before(&kernel);
        // What was ended before is freed before.
        (0..100_000).for_each(|_| crossbeam_epoch::pin().flush());
        let ((), bytes) = counting::allocated(|| (0..number).for_each(|_| make(&kernel)));
        bytes as f64 / number as f64
    })
}

fn proc_and_lwp(kernel: &Kernel) {
    kernel.rfork(FdInherit::Clean).expect("the kernel has room");
}

/// Prints the table. `small`: with few of each, to see that it runs.
pub(crate) fn print(small: bool) {
    // Tables double: they fit best just before they grow, worst just after.
    let full = if small { 64 - 2 } else { 65_472 - 2 };
    println!("\n| memory, slots included | bytes each | target | |");
    println!("|---|---:|---|---|");
    let newlwp = |kernel: &Kernel| kernel.newlwp(sys::getpid()).expect("the kernel has room");
    for (name, target, full, grown) in [
        (
            "process with its lwp and an empty fd table",
            640.0,
            each(full, |_| {}, proc_and_lwp),
            each(full + 3, |_| {}, proc_and_lwp),
        ),
        ("a further lwp", 256.0, each(full, proc_and_lwp, newlwp), each(full + 3, proc_and_lwp, newlwp)),
    ] {
        for (when, bytes) in [("tables full", full), ("tables just doubled", grown)] {
            println!("| {name}; {when} | {bytes:.0} | <= {target} | {} |", verdict(bytes <= target));
        }
    }
}
