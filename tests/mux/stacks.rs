//! What the host keeps of fibers' stacks.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

use lwproc::{Mux, mux as inside};

use super::{lwp, mux, nothing_left};

/// Uses so many bytes of the stack at least.
fn dig(bytes: usize) -> usize {
    let frame = black_box([1u8; 1024]);
    if bytes <= frame.len() { bytes } else { dig(bytes - frame.len()) + usize::from(frame[bytes % 1024]) }
}

/// How many of the pages below the caller's frame are in memory, of so many bytes.
fn resident_below(bytes: usize) -> usize {
    let page = rustix::param::page_size();
    let here = (&raw const bytes).addr() / page * page;
    let mut pages = vec![0u8; bytes / page];
    let low = std::ptr::with_exposed_provenance_mut(here - pages.len() * page);
    // SAFETY: the vector has a byte for each page.
    let answer = unsafe { libc::mincore(low, pages.len() * page, pages.as_mut_ptr()) };
    assert_eq!(answer, 0);
    pages.iter().filter(|&&page| page & 1 == 1).count()
}

#[test]
fn what_a_fiber_does_not_use_any_more_can_be_given_back() {
    let (kernel, _) = mux();
    let mut mux = Mux::builder(&kernel).stack_size(256 << 10).build().unwrap();
    let found = Rc::new(Cell::new((0, 0)));
    let tell = Rc::clone(&found);
    let trims = move || {
        let kept = [7u8; 3000];
        dig(64 << 10);
        let before = resident_below(60 << 10);
        inside::trim_stack();
        tell.set((before, resident_below(60 << 10)));
        assert_eq!(black_box(kept), [7; 3000]);
        // And used again.
        dig(64 << 10)
    };
    let mut join = mux.spawn_fiber(lwp(&kernel), trims).unwrap();
    mux.run().unwrap();
    assert!(join.join().unwrap() > 0);
    let (before, after) = found.get();
    // What looks takes a page or two itself.
    assert!(before >= 15 && after <= 3, "{before} and {after} pages");
    // Elsewhere it is nothing.
    inside::trim_stack();
    drop(mux);
    nothing_left(&kernel);
}
