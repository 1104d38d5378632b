//! What a process and a lwp take, by counting what is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use lwproc::{FdInherit, Kernel, sys};

use crate::common::kernel;
use crate::table::verdict;

/// The system's allocator, which counts while it is asked to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    if COUNTS.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What each of `number` that `make` makes takes in bytes, the table's slots included.
fn each(number: usize, before: impl FnOnce(&Kernel), make: impl Fn(&Kernel)) -> f64 {
    let kernel = kernel();
    kernel.enter(|| {
        before(&kernel);
        // What was ended before is freed before.
        (0..100_000).for_each(|_| crossbeam_epoch::pin().flush());
        BYTES.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
        (0..number).for_each(|_| make(&kernel));
        COUNTS.store(false, Ordering::Relaxed);
    });
    BYTES.load(Ordering::Relaxed) as f64 / number as f64
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
