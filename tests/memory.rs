//! What processes and lwps cost, in bytes that the allocator was asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use lwproc::{Console, Kernel, Lwp, ProcOptions, sys};

/// Counts the bytes that are out.
struct Counting;

static OUT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        OUT.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        OUT.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        OUT.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Makes `count` of something, kept in memory made before, and says how many bytes each took.
fn each<T>(count: usize, mut make: impl FnMut() -> T) -> (f64, Vec<T>) {
    let mut made = Vec::with_capacity(count);
    let before = OUT.load(Ordering::Relaxed);
    made.extend((0..count).map(|_| make()));
    let bytes = OUT.load(Ordering::Relaxed) - before;
    (bytes as f64 / count as f64, made)
}

/// One test: a second one beside it would be counted too.
#[test]
fn a_process_takes_at_most_640_bytes_and_a_further_lwp_256_with_their_slots() {
    // So many that both tables are full to the end of a segment: each slot is counted once. Tables are 64 · (2ⁿ - 1)
    // long, and pids 0 and 1 have two of them.
    const PROCS: usize = 64 * 255 - 2;
    const LWPS: usize = 64 * 1023 - PROCS;
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    // What a thread makes at its first entry is not the processes'.
    kernel.enter(sys::getuid);
    let (proc, mut procs) = each(PROCS, || kernel.spawn(ProcOptions::new()).unwrap());
    let (lwp, lwps) = each(LWPS, || procs[0].newlwp().unwrap());
    let (entered, ()) = {
        let before = OUT.load(Ordering::Relaxed);
        procs.iter_mut().for_each(|lwp| lwp.enter(|| assert_eq!(sys::getuid(), 0)));
        ((OUT.load(Ordering::Relaxed) - before) as f64 / PROCS as f64, ())
    };
    println!("process with its lwp: {proc:.1} bytes; and {entered:.1} once it has asked for its credentials");
    println!("further lwp: {lwp:.1} bytes");
    assert!(proc <= 640.0, "{proc} bytes a process");
    assert!(lwp <= 256.0, "{lwp} bytes a lwp");
    assert!(proc + entered <= 640.0, "{proc} + {entered} bytes a process that runs");

    // Released, they go back: what stays is the tables, which are used again.
    drop((procs, lwps));
    let released = OUT.load(Ordering::Relaxed);
    for _ in 0..3 {
        let again: Vec<Lwp> = (0..PROCS).map(|_| kernel.spawn(ProcOptions::new()).unwrap()).collect();
        drop(again);
    }
    let grown = OUT.load(Ordering::Relaxed).saturating_sub(released);
    assert!(grown < 64 * PROCS, "{grown} bytes more after making and releasing all of it three times");
}
