//! What fibers promise, and what becomes of those that do not come to their end.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;

use super::super::{Stack, StackPool};
use super::Fiber;
use crate::mux::stack::apart::apart;

#[path = "../../../../tests/common/random.rs"]
mod random;
use random::Random;

const SIZE: usize = 64 << 10;

/// ThreadSanitizer has room for few fibers.
const MANY: usize = if cfg!(lwproc_tsan) { 200 } else { 3_000 };

fn pool(size: usize) -> StackPool {
    StackPool::new(size, 0).unwrap()
}

fn stack() -> Stack {
    pool(SIZE).take().unwrap()
}

/// What a fiber's function needs to suspend it.
#[derive(Clone, Default)]
struct Way(Rc<Cell<*const Fiber>>);

impl Way {
    fn suspend(&self) {
        // SAFETY: only the function of that fiber has the way, and a fiber that runs is where it was put.
        unsafe { (*self.0.get()).suspend() }
    }
}

/// A fiber that stays where it is.
struct Placed(Box<Fiber>);

impl Placed {
    fn on(stack: Stack, f: impl FnOnce(&Way) + 'static) -> Self {
        let way = Way::default();
        let its = way.clone();
        let placed = Self(Box::new(Fiber::new(stack, move || f(&its))));
        way.0.set(&*placed.0);
        placed
    }

    fn new(f: impl FnOnce(&Way) + 'static) -> Self {
        Self::on(stack(), f)
    }

    fn resume(&self) -> bool {
        assert!(!self.0.done());
        // SAFETY: it is in its box, and no test resumes one that runs.
        unsafe { self.0.resume() }
    }

    fn into_stack(self) -> Stack {
        self.0.into_stack()
    }
}

/// Runs `f` on a stack of so many bytes, to its end.
fn run(size: usize, f: impl FnOnce() + 'static) {
    let fiber = Placed(Box::new(Fiber::new(pool(size).take().unwrap(), f)));
    assert!(fiber.resume());
}

/// Uses `bytes` of the stack that it runs on, then does what `then` says.
#[inline(never)]
fn deep(bytes: usize, then: &dyn Fn()) -> usize {
    let frame = black_box([1u8; 512]);
    let below = if bytes <= frame.len() {
        then();
        0
    } else {
        deep(bytes - frame.len(), then)
    };
    below + usize::from(frame[bytes % 512])
}

/// Counts its drops.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_fiber_goes_on_where_it_was_suspended() {
    let said = Rc::new(RefCell::new(Vec::new()));
    let its = Rc::clone(&said);
    let fiber = Placed::new(move |way| {
        for number in 0..3 {
            its.borrow_mut().push(number);
            way.suspend();
        }
    });
    assert!(!fiber.0.started() && !fiber.0.done());
    assert!(said.borrow().is_empty(), "it waits for its first turn");
    for number in 0..3 {
        assert!(!fiber.resume());
        assert!(fiber.0.started() && !fiber.0.done());
        assert_eq!(said.borrow().last(), Some(&number));
    }
    assert!(fiber.resume());
    assert!(fiber.0.started() && fiber.0.done());
    assert_eq!(*said.borrow(), [0, 1, 2]);
}

#[test]
fn closures_of_any_size_come_whole() {
    fn comes<const N: usize>() {
        for size in [StackPool::MIN_SIZE, SIZE, 1 << 20] {
            // It is moved a few times on its way into the test's array.
            if size < 8 * N {
                continue;
            }
            let sent: [u8; N] = std::array::from_fn(|place| (place % 251) as u8);
            let drops = Rc::new(Cell::new(0));
            let (came, counted) = (Rc::new(Cell::new(false)), Counted(Rc::clone(&drops)));
            let its = Rc::clone(&came);
            run(size, move || {
                let _counted = counted;
                its.set(black_box(&sent).iter().enumerate().all(|(place, &byte)| byte == (place % 251) as u8));
            });
            assert!(came.get(), "{N} bytes on a stack of {size}");
            assert_eq!(drops.get(), 1);
        }
    }
    run(SIZE, || ());
    comes::<0>();
    comes::<1>();
    comes::<24>();
    comes::<1000>();
    comes::<1024>();
    comes::<1025>();
    comes::<{ 2 << 10 }>();
    comes::<{ 4 << 10 }>();
    comes::<{ 8 << 10 }>();
    comes::<{ 16 << 10 }>();
    comes::<{ 100 << 10 }>();
}

#[test]
fn a_closure_as_large_as_its_stack_is_not_put_there() {
    let sent = [7u8; StackPool::MIN_SIZE];
    let fiber = Fiber::new(pool(StackPool::MIN_SIZE).take().unwrap(), move || assert!(black_box(sent)[0] > 0));
    drop(fiber.into_stack());
}

#[test]
fn closures_are_aligned_as_their_types_say() {
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Line(u8);
    #[derive(Clone, Copy)]
    #[repr(align(4096))]
    struct Page(u8);
    fn is_aligned<T>(at: &T) -> bool {
        black_box(ptr_of(at)).is_multiple_of(align_of::<T>())
    }
    fn ptr_of<T>(at: &T) -> usize {
        (&raw const *at).addr()
    }
    let seen = Rc::new(Cell::new(0));
    let (line, page, its) = (Line(1), Page(2), Rc::clone(&seen));
    run(SIZE, move || its.set(its.get() + if is_aligned(&line) { line.0 } else { 100 }));
    let its = Rc::clone(&seen);
    run(SIZE, move || its.set(its.get() + if is_aligned(&page) { page.0 } else { 100 }));
    let its = Rc::clone(&seen);
    run(StackPool::MIN_SIZE, move || its.set(its.get() + if is_aligned(&page) { page.0 } else { 100 }));
    assert_eq!(seen.get(), 1 + 2 + 2);
}

#[test]
fn what_was_at_hand_before_a_turn_is_at_hand_after_it() {
    let sums = Rc::new(RefCell::new(Vec::new()));
    let fibers: Vec<_> = (1..=4u32)
        .map(|seed| {
            let sums = Rc::clone(&sums);
            Placed::new(move |way| {
                let (mut whole, mut real) = ([u64::from(seed); 12], [f64::from(seed); 12]);
                for round in 1..=10u32 {
                    for (whole, real) in whole.iter_mut().zip(&mut real) {
                        *whole = whole.wrapping_mul(3).wrapping_add(u64::from(round));
                        *real = *real * 1.5 + f64::from(round);
                    }
                    way.suspend();
                }
                sums.borrow_mut().push((whole.iter().sum::<u64>(), real.iter().sum::<f64>()));
            })
        })
        .collect();
    let (mut before, mut whole) = (1.0f64, 1u64);
    for round in 0..11 {
        for fiber in &fibers {
            assert_eq!(fiber.resume(), round == 10);
            (before, whole) = (before * 1.25, whole.wrapping_mul(3));
        }
    }
    let mut real = std::iter::successors(Some(1.0f64), |before| Some(before * 1.25));
    assert_eq!((Some(before), whole), (real.nth(44), 3u64.wrapping_pow(44)));
    let expected: Vec<_> = (1..=4u32)
        .map(|seed| {
            let (mut whole, mut real) = (u64::from(seed), f64::from(seed));
            for round in 1..=10u32 {
                whole = whole * 3 + u64::from(round);
                real = real * 1.5 + f64::from(round);
            }
            (whole * 12, (0..12).map(|_| real).sum())
        })
        .collect();
    assert_eq!(*sums.borrow(), expected);
}

#[test]
fn a_fiber_may_be_suspended_deep_down_and_uses_its_stack_to_the_end() {
    for size in [StackPool::MIN_SIZE, SIZE, 1 << 20] {
        let drops = Rc::new(Cell::new(0));
        let counted = Counted(Rc::clone(&drops));
        let fiber = Placed::on(pool(size).take().unwrap(), move |way| {
            let _counted = counted;
            // An unoptimized frame takes twice as much, and a sanitizer's more.
            assert!(deep(size / 8, &|| way.suspend()) > 0);
        });
        assert!(!fiber.resume());
        assert_eq!(drops.get(), 0);
        assert!(fiber.resume());
        assert_eq!(drops.get(), 1);
    }
}

#[test]
fn thousands_of_fibers_take_turns_in_any_order() {
    let mut pool = pool(SIZE);
    let mut random = Random(0x5eed);
    let ended = Rc::new(Cell::new(0));
    let mut fibers: Vec<_> = (0..MANY)
        .map(|number| {
            let (turns, ended) = (random.below(20), Rc::clone(&ended));
            let fiber = Placed::on(pool.take().unwrap(), move |way| {
                for turn in 0..turns {
                    let depth = (number + turn) % 8 * 512;
                    assert!(deep(depth, &|| way.suspend()) > 0);
                }
                ended.set(ended.get() + 1);
            });
            (fiber, turns)
        })
        .collect();
    while !fibers.is_empty() {
        let chosen = random.below(fibers.len());
        let (fiber, left) = &mut fibers[chosen];
        assert_eq!(fiber.resume(), *left == 0);
        if *left == 0 {
            pool.put(fibers.swap_remove(chosen).0.into_stack());
        } else {
            *left -= 1;
        }
    }
    assert_eq!(ended.get(), MANY);
}

#[test]
fn a_fiber_may_resume_others() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let (outer_says, inner_says) = (Rc::clone(&order), Rc::clone(&order));
    let inner = Placed::new(move |way| {
        inner_says.borrow_mut().push("inner");
        way.suspend();
        inner_says.borrow_mut().push("inner again");
    });
    let outer = Placed::new(move |way| {
        assert!(!inner.resume());
        outer_says.borrow_mut().push("outer");
        way.suspend();
        assert!(inner.resume());
    });
    assert!(!outer.resume());
    order.borrow_mut().push("whoever is outside");
    assert!(outer.resume());
    assert_eq!(*order.borrow(), ["inner", "outer", "whoever is outside", "inner again"]);
}

#[test]
fn a_fiber_may_be_resumed_from_one_stack_and_then_from_another() {
    let fiber = Rc::new(Placed::new(|way| {
        way.suspend();
        assert!(deep(4 << 10, &|| way.suspend()) > 0);
    }));
    assert!(!fiber.resume());
    let its = Rc::clone(&fiber);
    run(SIZE, move || assert!(!its.resume()));
    assert!(fiber.resume());
}

#[test]
fn a_panic_is_caught_in_its_fiber_whoever_has_turns_meanwhile() {
    let drops = Rc::new(Cell::new(0));
    let fibers: Vec<_> = (0..10usize)
        .map(|number| {
            let drops = Rc::clone(&drops);
            Placed::new(move |way| {
                for round in 0..3 {
                    let caught = catch_unwind(AssertUnwindSafe(|| {
                        let _counted = Counted(Rc::clone(&drops));
                        way.suspend();
                        if round == 1 { panic_any(number) } else { resume_unwind(Box::new(number)) }
                    }));
                    way.suspend();
                    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&number));
                }
            })
        })
        .collect();
    for turn in 0..7 {
        fibers.iter().for_each(|fiber| assert_eq!(fiber.resume(), turn == 6));
    }
    assert_eq!(drops.get(), 30);
}

#[test]
fn a_panic_that_leaves_a_fiber_aborts_with_a_report() {
    let child = apart("mux::stack::fiber::tests::a_panic_that_leaves_a_fiber_aborts_with_a_report", || {
        let _ = catch_unwind(|| run(SIZE, || panic!("nobody catches this")));
        println!("it went on");
    });
    let Some(child) = child else { return };
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    assert!(!String::from_utf8_lossy(&child.stdout).contains("it went on"));
    let report = String::from_utf8_lossy(&child.stderr);
    assert!(report.contains("nobody catches this") && report.contains("cannot unwind"), "{report}");
}

#[test]
fn a_panic_is_reported_with_its_backtrace_on_the_smallest_stack() {
    let child = apart("mux::stack::fiber::tests::a_panic_is_reported_with_its_backtrace_on_the_smallest_stack", || {
        // SAFETY: the only test in this host process, which the harness waits for.
        unsafe { std::env::set_var("RUST_BACKTRACE", "1") };
        run(StackPool::MIN_SIZE, || assert!(catch_unwind(|| panic!("on a small stack")).is_err()));
        println!("it went on");
    });
    let Some(child) = child else { return };
    assert!(child.status.success(), "{child:?}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("it went on"));
    let report = String::from_utf8_lossy(&child.stderr);
    assert!(report.contains("on a small stack") && report.contains("catch_unwind"), "{report}");
}

/// corosensei's shows who resumed it, too.
#[cfg(all(target_arch = "x86_64", not(lwproc_corosensei)))]
#[test]
fn a_backtrace_ends_where_its_fiber_begins() {
    #[inline(never)]
    fn calls_for_a_backtrace(said: &Cell<String>) {
        said.set(std::backtrace::Backtrace::force_capture().to_string());
        black_box(said);
    }
    let said = Rc::new(Cell::default());
    let its = Rc::clone(&said);
    run(1 << 20, move || calls_for_a_backtrace(&its));
    let said = said.take();
    assert!(said.contains("calls_for_a_backtrace"), "{said}");
    assert!(said.contains("switch"), "the fiber's entry is a frame that has a name: {said}");
    assert!(!said.contains("test::run_test"), "who resumed it is on another stack: {said}");
}

#[test]
fn a_fiber_that_never_ran_drops_what_it_would_have_run() {
    let mut pool = pool(SIZE);
    let drops = Rc::new(Cell::new(0));
    let counted = |padding: [u8; 20_000]| {
        let counted = Counted(Rc::clone(&drops));
        move || drop((counted, black_box(padding)))
    };
    // At the top of the stack, and elsewhere.
    let small = Counted(Rc::clone(&drops));
    drop(Fiber::new(pool.take().unwrap(), move || drop(small)));
    assert_eq!(drops.get(), 1);
    drop(Fiber::new(pool.take().unwrap(), counted([0; 20_000])));
    assert_eq!(drops.get(), 2);
    let stack = Fiber::new(pool.take().unwrap(), counted([0; 20_000])).into_stack();
    assert_eq!(drops.get(), 3);
    let top = stack.top();
    drop(stack);
    assert_eq!(pool.take().unwrap().top(), top, "the stack came back");
}

#[test]
fn a_stack_comes_back_though_what_never_ran_panics_when_dropped() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let mut pool = pool(SIZE);
    let stack = pool.take().unwrap();
    let top = stack.top();
    let panics = Panics;
    let fiber = Fiber::new(stack, move || drop(panics));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(fiber))).is_err());
    assert_eq!(pool.take().unwrap().top(), top);
}

#[test]
fn an_abandoned_fiber_keeps_its_stack_for_good() {
    let mut pool = pool(SIZE);
    let drops = Rc::new(Cell::new(0));
    let (counted, way_in) = (Counted(Rc::clone(&drops)), Rc::new(Cell::new(std::ptr::null::<Cell<u64>>())));
    let tell = Rc::clone(&way_in);
    let fiber = Placed::on(pool.take().unwrap(), move |way| {
        let (_counted, pinned) = (counted, Cell::new(17));
        tell.set(&pinned);
        way.suspend();
        unreachable!("it was abandoned");
    });
    assert!(!fiber.resume());
    drop(fiber);
    assert_eq!(drops.get(), 0);
    let others: Vec<_> = (0..100).map(|_| pool.take().unwrap()).collect();
    let pinned = way_in.get().addr();
    assert!(others.iter().all(|stack| !(stack.low()..stack.top()).contains(&pinned)));
    drop((others, pool));
    // SAFETY: the frame in which it lies is never left, and its stack stays.
    assert_eq!(unsafe { &*way_in.get() }.get(), 17);
}

#[test]
fn a_stack_in_use_is_not_given_out_of_its_fiber() {
    let fiber = Placed::new(|way| way.suspend());
    assert!(!fiber.resume());
    assert!(catch_unwind(AssertUnwindSafe(|| fiber.into_stack())).is_err());
}

#[test]
fn where_the_next_turn_begins_is_on_the_fibers_stack() {
    let stack = stack();
    let range = stack.low()..stack.top();
    let fiber = Placed::on(stack, |way| {
        assert!(deep(8 << 10, &|| way.suspend()) > 0);
    });
    let first = fiber.0.ahead();
    assert!(range.contains(&first.addr()));
    assert!(!fiber.resume());
    let deep_down = fiber.0.ahead();
    assert!(range.contains(&deep_down.addr()) && deep_down < first);
    assert!(fiber.resume());
}

#[test]
fn stacks_are_used_again_by_fiber_after_fiber() {
    let mut pool = StackPool::new(SIZE, 1).unwrap();
    let mut stack = pool.take().unwrap();
    let ran = Rc::new(Cell::new(0));
    for number in 0..MANY {
        let its = Rc::clone(&ran);
        let fiber = Placed::on(stack, move |way| {
            let depth = number % 16 * 512;
            assert!(deep(depth, &|| way.suspend()) > 0);
            its.set(its.get() + 1);
        });
        assert!(!fiber.resume());
        assert!(fiber.resume());
        stack = fiber.into_stack();
    }
    assert_eq!(ran.get(), MANY);
}
