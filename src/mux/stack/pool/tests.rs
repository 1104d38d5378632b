//! Stacks as fibers see them, and what the host has of them.

use std::fs;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;

use super::super::Fiber;
use super::{Guard, Stack, StackPool};
use crate::errno::Errno;
use crate::mux::stack::apart::apart;

const SIZE: usize = 64 << 10;

/// A pool of either kind of guard. A kernel without markers makes the other instead.
fn pools(keep: usize) -> impl Iterator<Item = (Guard, StackPool)> {
    [Guard::Marker, Guard::NoAccess].into_iter().map(move |guard| (guard, pool(guard, keep)))
}

fn pool(guard: Guard, keep: usize) -> StackPool {
    StackPool { guard, ..StackPool::new(SIZE, keep).unwrap() }
}

fn many(pool: &mut StackPool, stacks: usize) -> Vec<Stack> {
    (0..stacks).map(|_| pool.take().unwrap()).collect()
}

/// Uses `bytes` of the stack that it runs on.
fn dig(bytes: usize) -> usize {
    let frame = black_box([1u8; 1024]);
    if bytes <= frame.len() { bytes } else { dig(bytes - frame.len()) + usize::from(frame[bytes % 1024]) }
}

/// Runs `f` on `stack` to its end.
fn run(stack: Stack, f: impl FnOnce() + 'static) -> Stack {
    let fiber = Fiber::new(stack, f);
    // SAFETY: its first turn, and its last.
    assert!(unsafe { fiber.resume() });
    fiber.into_stack()
}

/// How many pages of the stack are in memory.
fn resident(stack: &Stack) -> usize {
    let page = rustix::param::page_size();
    let low = stack.low();
    let mut pages = vec![0u8; (stack.top() - low).div_ceil(page)];
    // SAFETY: the vector has a byte for each page.
    let answer =
        unsafe { libc::mincore(std::ptr::with_exposed_provenance_mut(low), pages.len() * page, pages.as_mut_ptr()) };
    assert_eq!(answer, 0, "mapped");
    pages.iter().filter(|&&page| page & 1 == 1).count()
}

/// The mappings of this host process.
fn mappings() -> Vec<(usize, usize)> {
    let address = |text| usize::from_str_radix(text, 16).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ranges = maps.lines().map(|line| line.split_once(' ').unwrap().0.split_once('-').unwrap());
    ranges.map(|(low, high)| (address(low), address(high))).collect()
}

/// How many of the addresses lie in a mapping.
fn mapped(addresses: &[usize]) -> usize {
    let maps = mappings();
    addresses.iter().filter(|address| maps.iter().any(|&(low, high)| (low..high).contains(*address))).count()
}

/// Runs `body` apart, where it must come to its end.
fn ends_well(test: &str, body: impl FnOnce()) {
    if let Some(child) = apart(test, body) {
        assert!(child.status.success(), "{child:?}");
    }
}

#[test]
fn sizes_are_rounded_up_to_pages_and_absurd_ones_refused() {
    for size in [0, 1, StackPool::MIN_SIZE - 1, StackPool::MAX_SIZE + 1, usize::MAX] {
        assert_eq!(StackPool::new(size, 0).unwrap_err(), Errno::EINVAL, "{size}");
    }
    let page = rustix::param::page_size();
    for size in [StackPool::MIN_SIZE, StackPool::MIN_SIZE + 1, 40_001, SIZE, StackPool::MAX_SIZE] {
        let mut pool = StackPool::new(size, 0).unwrap();
        for stack in many(&mut pool, 3) {
            let there = stack.top() - stack.low();
            let whole = size.next_multiple_of(page);
            assert!((whole - (2 << 10)..=whole).contains(&there), "{there} of {size}");
            assert_eq!(stack.top() % 16, 0);
            drop(run(stack, move || assert!(dig(size.min(12 << 10) / 2) > 0)));
        }
    }
}

#[test]
fn the_last_that_came_back_goes_out_first() {
    let mut pool = StackPool::new(SIZE, 8).unwrap();
    let stacks = many(&mut pool, 8);
    let bases: Vec<_> = stacks.iter().map(Stack::top).collect();
    for stack in stacks {
        pool.put(stack);
    }
    let again: Vec<_> = many(&mut pool, 8).iter().map(Stack::top).collect();
    assert_eq!(again, bases.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn stacks_do_not_overlap_and_each_is_used_to_its_end() {
    for (_, mut pool) in pools(0) {
        let mut stacks = many(&mut pool, 100);
        stacks.sort_by_key(Stack::low);
        for pair in stacks.windows(2) {
            assert!(pair[0].top() < pair[1].low());
        }
        for stack in &stacks {
            for address in [stack.low(), stack.top() - 1] {
                // SAFETY: nobody else uses the stack.
                unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
            }
        }
    }
}

#[test]
fn a_stack_takes_the_pages_that_are_touched() {
    for (guard, mut pool) in pools(0) {
        let stacks = many(&mut pool, 1_000);
        assert_eq!(stacks.iter().map(resident).sum::<usize>(), 0, "{guard:?}");
        for stack in stacks.into_iter().take(50) {
            let stack = run(stack, || ());
            assert!(resident(&stack) <= 2, "{guard:?}: {}", resident(&stack));
        }
    }
}

#[test]
fn stacks_that_are_kept_keep_their_memory_and_others_give_it_back() {
    for (guard, mut pool) in pools(2) {
        let deep = |stack| run(stack, || assert!(dig(16 << 10) > 0));
        let stacks: Vec<_> = many(&mut pool, 5).into_iter().map(deep).collect();
        assert!(stacks.iter().all(|stack| resident(stack) > 3), "{guard:?}");
        for stack in stacks {
            pool.put(stack);
        }
        let pages: Vec<_> = many(&mut pool, 5).iter().map(resident).collect();
        assert!(pages[..2].iter().all(|&pages| pages > 3) && pages[2..] == [0; 3], "{guard:?}: {pages:?}");
    }
}

#[test]
fn slabs_without_a_stack_in_use_are_unmapped_but_for_one() {
    ends_well("mux::stack::pool::tests::slabs_without_a_stack_in_use_are_unmapped_but_for_one", || {
        for (guard, mut pool) in pools(0) {
            let mut stacks = many(&mut pool, 1_000);
            let places: Vec<_> = stacks.iter().map(|stack| stack.low()).collect();
            let slabs = pool.slabs.len();
            assert!((2..20).contains(&slabs), "{guard:?}: {slabs}");
            while let Some(stack) = stacks.pop() {
                pool.put(stack);
            }
            assert_eq!(pool.slabs.len(), 1, "{guard:?}");
            assert!(mapped(&places) <= pool.slabs[0].stacks(), "{guard:?}");
            // What is taken and given back about the border of a slab maps nothing anew.
            let border = pool.slabs[0].stacks();
            let stacks = many(&mut pool, border + 1);
            let before = pool.slabs.len();
            assert_eq!(before, 2);
            for stack in stacks {
                pool.put(stack);
                assert!(pool.slabs.len() <= before);
            }
        }
    });
}

#[test]
fn a_pool_and_its_stacks_go_in_any_order_and_leave_nothing_mapped() {
    ends_well("mux::stack::pool::tests::a_pool_and_its_stacks_go_in_any_order_and_leave_nothing_mapped", || {
        for first in ["pool", "stacks", "half"] {
            for (guard, mut pool) in pools(20) {
                let mut stacks = many(&mut pool, 200);
                let places: Vec<_> = stacks.iter().map(|stack| stack.low()).collect();
                assert_eq!(mapped(&places), 200);
                for _ in 0..30 {
                    pool.put(stacks.pop().unwrap());
                }
                match first {
                    "pool" => {
                        drop(pool);
                        for stack in &stacks {
                            let last = std::ptr::with_exposed_provenance_mut::<u8>(stack.top() - 1);
                            // SAFETY: nobody else uses the stack.
                            unsafe { last.write_volatile(1) };
                        }
                        drop(stacks);
                    }
                    "stacks" => {
                        drop(stacks);
                        drop(pool);
                    }
                    _ => {
                        stacks.truncate(50);
                        drop(pool);
                        drop(stacks);
                    }
                }
                assert_eq!(mapped(&places), 0, "{guard:?}, {first} first");
            }
        }
    });
}

#[test]
fn stacks_that_were_dropped_are_used_again() {
    let mut pool = StackPool::new(SIZE, 0).unwrap();
    for _ in 0..100 {
        drop(many(&mut pool, 40));
    }
    assert!(pool.slabs.len() < 5, "{}", pool.slabs.len());
}

/// Faults in the guard of a stack that was used before.
fn touch_guard(test: &str, guard: Guard) {
    let child = apart(test, || {
        let mut pool = pool(guard, 0);
        let stacks = many(&mut pool, 40).into_iter().map(|stack| run(stack, || assert!(dig(32 << 10) > 0)));
        stacks.collect::<Vec<_>>().into_iter().for_each(|stack| pool.put(stack));
        let stack = pool.take().unwrap();
        let guard = std::ptr::with_exposed_provenance_mut::<u8>(stack.low() - 17);
        // SAFETY: nobody else uses the stack.
        unsafe { guard.write_volatile(1) };
        println!("it went on");
    });
    let Some(child) = child else { return };
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    assert!(!String::from_utf8_lossy(&child.stdout).contains("it went on"));
    let report = String::from_utf8_lossy(&child.stderr);
    assert!(report.contains("lwproc: fatal: stack overflow in an implicit context, host thread "), "{report}");
    assert!(report.ends_with("65536 bytes of stack\n"), "{report}");
}

#[test]
fn a_guard_of_markers_stops_whoever_reaches_it() {
    touch_guard("mux::stack::pool::tests::a_guard_of_markers_stops_whoever_reaches_it", Guard::Marker);
}

#[test]
fn a_guard_without_access_stops_whoever_reaches_it() {
    touch_guard("mux::stack::pool::tests::a_guard_without_access_stops_whoever_reaches_it", Guard::NoAccess);
}

#[test]
fn guards_that_take_mappings_end_in_a_clear_error_and_begin_again() {
    let most: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    ends_well("mux::stack::pool::tests::guards_that_take_mappings_end_in_a_clear_error_and_begin_again", || {
        if most > 2_000_000 {
            return println!("{most} mappings are more than a test should make");
        }
        let mut pool = pool(Guard::NoAccess, 0);
        let mut stacks = Vec::with_capacity(most);
        let error = loop {
            match pool.take() {
                Ok(stack) => stacks.push(stack),
                Err(error) => break error,
            }
        };
        assert_eq!(error, Errno::ENOMEM);
        assert_eq!(pool.take().unwrap_err(), Errno::ENOMEM, "and again");
        assert!((most / 2 - 1_000..=most / 2).contains(&stacks.len()), "{} of {most}", stacks.len());
        // None is without its guard: what has no access is a mapping of its own.
        let guards: std::collections::HashSet<_> = mappings().into_iter().collect();
        let page = rustix::param::page_size();
        let guarded = |stack: &&Stack| guards.contains(&(stack.low() - page, stack.low()));
        assert_eq!(stacks.iter().filter(guarded).count(), stacks.len());
        let last = stacks.pop().unwrap();
        pool.put(run(last, || ()));
        stacks.push(pool.take().unwrap());
        drop(stacks);
        drop(pool);
        assert!(mappings().len() < 200);
    });
}

/// Where the kernel has markers, guards take no mappings.
fn guarded_stacks(test: &str, stacks: usize) {
    ends_well(test, || {
        let mut pool = StackPool::new(SIZE, 0).unwrap();
        drop(pool.take().unwrap());
        if pool.slabs[0].guard() != Guard::Marker {
            return println!("this kernel has no markers");
        }
        let before = mappings().len();
        let stacks = many(&mut pool, stacks);
        assert!(pool.slabs.iter().all(|slab| slab.guard() == Guard::Marker));
        assert!(mappings().len() < before + 50, "{} mappings", mappings().len());
        drop(pool);
        drop(stacks);
    });
}

#[test]
fn more_stacks_than_mappings_are_guarded() {
    guarded_stacks("mux::stack::pool::tests::more_stacks_than_mappings_are_guarded", 100_000);
}

#[test]
#[ignore = "takes a few hundred megabytes of page tables"]
fn a_million_stacks_are_guarded() {
    guarded_stacks("mux::stack::pool::tests::a_million_stacks_are_guarded", 1_000_000);
}
