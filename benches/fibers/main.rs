//! The bare switch of stacks beside corosensei's, in one run: inlined, and in functions that are called so many deep.
//!
//! Each finds the fiber that runs where a scheduler would have it, and not on the fiber's own stack.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../src/mux/stack/switch/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the crate's own multiplexer takes all of it")]
mod switch;
#[path = "../ratios/table.rs"]
#[allow(dead_code, reason = "the other bench takes all of it")]
mod table;

use std::cell::{Cell, UnsafeCell};
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::time::Duration;

use corosensei::stack::StackPointer;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use switch::{Start, Switch};
use table::{Effort, Row, Target, bare_claim};

/// How the stacks of a multiplexer lie.
const STRIDE: usize = 68 << 10;

fn main() {
    let measures = std::env::args().any(|arg| arg == "--bench") && !std::env::args().any(|arg| arg == "--test");
    let effort = match measures {
        true => Effort { batch: Duration::from_micros(400), rounds: 101, warm: true },
        false => Effort::ONCE,
    };
    common::pin(0);
    table::print_machine(effort.rounds);
    for count in [2, if measures { 1_000 } else { 64 }] {
        println!("\n### A resume and a suspend, {count} fibers\n");
        table::print_head();
        let mut rows = vec![bare_claim()];
        for (ours, theirs, depth) in DEPTHS {
            rows.push(row::<Ours>(ours, count, depth));
            rows.push(row::<Theirs>(theirs, count, depth));
        }
        table::print(&effort.measure(rows));
    }
}

/// Our row's name, corosensei's, and how deep a fiber of a number suspends.
type Depth = (&'static str, &'static str, fn(usize) -> usize);

const DEPTHS: [Depth; 4] = [
    ("inlined", "inlined, corosensei", |_| 0),
    ("1 deep", "1 deep, corosensei", |_| 1),
    ("3 deep", "3 deep, corosensei", |_| 3),
    ("1 to 8 deep", "1 to 8 deep, corosensei", |number| number * 7 % 8 + 1),
];

/// A fiber of either kind, which suspends for ever.
trait Fiber: Sized + 'static {
    /// On a stack from `low` to `top`.
    fn new(low: *mut u8, top: *mut u8, depth: usize) -> Box<Self>;
    fn resume(&self);
    /// Suspends the one that runs.
    fn suspend();
}

fn row<F: Fiber>(name: &'static str, count: usize, depth: fn(usize) -> usize) -> Row {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping, wherever the host likes, which stays.
    let low = unsafe { mmap_anonymous(ptr::null_mut(), count * STRIDE, access, flags) }.expect("there is room").cast();
    let fiber = |number| {
        let top = (number + 1) * STRIDE - number % 16 * 128;
        let stack = |offset| <*mut u8>::wrapping_add(low, offset);
        let fiber = F::new(stack(number * STRIDE), stack(top), depth(number));
        fiber.resume();
        fiber
    };
    let fibers: Vec<Box<F>> = (0..count).map(fiber).collect();
    let laps = move |iters| (0..iters / count as u64).for_each(|_| fibers.iter().for_each(|fiber| fiber.resume()));
    Row::new(name, Target::None, laps).in_laps(count)
}

fn forever<F: Fiber>(depth: usize) {
    match depth {
        0 => loop {
            F::suspend();
        },
        _ => loop {
            deep::<F>(depth);
        },
    }
}

#[inline(never)]
fn deep<F: Fiber>(depth: usize) {
    if depth == 1 {
        F::suspend()
    } else {
        deep::<F>(depth - 1)
    }
    // So that the call is no jump.
    black_box(());
}

thread_local! {
    static OURS: Cell<*const Switch> = const { Cell::new(ptr::null()) };
    static THEIRS: Cell<*const Theirs> = const { Cell::new(ptr::null()) };
}

struct Ours(Switch);

impl Fiber for Ours {
    fn new(low: *mut u8, top: *mut u8, depth: usize) -> Box<Self> {
        unsafe extern "C" fn run(_: *const Switch, start: *const Start) {
            // SAFETY: it is the one below.
            forever::<Ours>(unsafe { (*start).data }.addr());
        }
        let start = top.wrapping_sub(size_of::<Start>()).cast::<Start>();
        // SAFETY: the stack is this one's alone, and aligned; the depth is a number, which nobody drops.
        unsafe {
            start.write(Start { run, data: ptr::without_provenance_mut(depth), drop: |_| () });
            Box::new(Self(Switch::new(NonNull::new_unchecked(start), low.addr())))
        }
    }

    #[inline(always)]
    fn resume(&self) {
        OURS.set(&self.0);
        // SAFETY: it never leaves, and stays in its box.
        unsafe { Switch::resume(&self.0) };
        assert!(!self.0.done(), "it never ends");
    }

    #[inline(always)]
    fn suspend() {
        // SAFETY: the one that was resumed last is the one that runs.
        unsafe { Switch::suspend(OURS.get()) }
    }
}

struct Theirs {
    coroutine: UnsafeCell<Coroutine<(), (), (), Bounds>>,
    yielder: Cell<*const Yielder<(), ()>>,
}

struct Bounds(StackPointer, StackPointer);

// SAFETY: `row` gives each a part of the mapping of its own, aligned and never freed.
unsafe impl corosensei::stack::Stack for Bounds {
    fn base(&self) -> StackPointer {
        self.1
    }

    fn limit(&self) -> StackPointer {
        self.0
    }
}

impl Fiber for Theirs {
    fn new(low: *mut u8, top: *mut u8, depth: usize) -> Box<Self> {
        let pointer = |at: *mut u8| StackPointer::new(at.addr()).expect("no mapping begins at 0");
        let coroutine = Coroutine::with_stack(Bounds(pointer(low), pointer(top)), move |yielder, ()| {
            // SAFETY: as below.
            unsafe { (*THEIRS.get()).yielder.set(yielder) };
            forever::<Self>(depth);
        });
        Box::new(Self { coroutine: UnsafeCell::new(coroutine), yielder: Cell::new(ptr::null()) })
    }

    #[inline(always)]
    fn resume(&self) {
        THEIRS.set(self);
        // SAFETY: nobody else uses it meanwhile.
        let resumed = unsafe { &mut *self.coroutine.get() }.resume(());
        assert!(matches!(resumed, CoroutineResult::Yield(())), "it never ends");
    }

    #[inline(always)]
    fn suspend() {
        // SAFETY: the one that was resumed last is the one that runs.
        unsafe { (*(*THEIRS.get()).yielder.get()).suspend(()) }
    }
}
