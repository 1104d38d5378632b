//! An allocator that counts the bytes that are out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// The bytes that are out.
pub(crate) fn out() -> usize {
    OUT.load(Ordering::Relaxed)
}

/// Makes `count` of something, kept in memory made before, and says how many bytes each took.
pub(crate) fn each<T>(count: usize, mut make: impl FnMut() -> T) -> (f64, Vec<T>) {
    let mut made = Vec::with_capacity(count);
    let before = out();
    made.extend((0..count).map(|_| make()));
    let bytes = out() - before;
    (bytes as f64 / count as f64, made)
}
