//! `Mutex`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use lwproc::blocking::Mutex;
use lwproc::mux::yield_now;
use lwproc::{Errno, Kernel};

use super::killed::killed;
use super::{lwp, mux, poll, poll_and_drop, soon};

#[test]
fn a_mutex_is_held_by_one() {
    let mutex = Mutex::new(1);
    let guard = mutex.lock().unwrap();
    assert_eq!(mutex.try_lock().unwrap_err(), Errno::EBUSY);
    assert_eq!(mutex.lock_until(soon()).unwrap_err(), Errno::ETIMEDOUT);
    assert!(poll_and_drop(mutex.lock_async()).is_pending());
    assert_eq!(format!("{mutex:?} {guard:?} {guard}"), "Mutex { value: <locked> } 1 1");
    drop(guard);
    *mutex.try_lock().unwrap() += 1;
    assert_eq!(format!("{mutex:?}"), "Mutex { value: 2 }");
    assert_eq!(mutex.into_inner(), 2);
}

#[test]
fn a_mutex_takes_what_has_no_size_and_can_be_borrowed_instead() {
    let mut mutex: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2]));
    mutex.get_mut()[0] = 3;
    assert_eq!(*mutex.lock().unwrap(), [3, 2]);
}

#[test]
fn threads_count_and_miss_nothing() {
    let count = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..2000).for_each(|_| *count.lock().unwrap() += 1));
        }
    });
    assert_eq!(count.into_inner(), 8000);
}

#[test]
fn those_who_wait_are_served_in_order_whatever_they_are() {
    let (kernel, mut mux) = mux();
    let (mutex, order) = (Rc::new(Mutex::new(())), Rc::new(RefCell::new(Vec::new())));
    let guard = mutex.lock().unwrap();
    for number in 0..6 {
        let (mutex, order) = (Rc::clone(&mutex), Rc::clone(&order));
        if number % 2 == 0 {
            mux.spawn_fiber(lwp(&kernel), move || {
                let _guard = mutex.lock().unwrap();
                yield_now();
                order.borrow_mut().push(number);
            })
            .unwrap();
        } else {
            mux.spawn(lwp(&kernel), async move {
                let _guard = mutex.lock_async().await;
                order.borrow_mut().push(number);
            })
            .unwrap();
        }
    }
    mux.run_until(lwproc::mux::yield_turn()).unwrap();
    assert!(order.borrow().is_empty());
    drop(guard);
    mux.run().unwrap();
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_fiber_that_locks_in_a_loop_starves_nobody() {
    let (kernel, mut mux) = mux();
    let turns = Rc::new(Mutex::new(Vec::new()));
    for name in ["a", "b", "c"] {
        let turns = Rc::clone(&turns);
        mux.spawn_fiber(lwp(&kernel), move || {
            for _ in 0..10 {
                let mut turns = turns.lock().unwrap();
                turns.push(name);
                // So that the others come to wait.
                yield_now();
            }
        })
        .unwrap();
    }
    mux.run().unwrap();
    let turns = turns.lock().unwrap();
    assert_eq!(turns.len(), 30);
    assert!(turns[3..27].chunks(3).all(|round| round[0] != round[1] && round[1] != round[2] && round[0] != round[2]));
}

#[test]
fn a_panic_unlocks_and_poisons_nothing() {
    let mutex = Mutex::new(1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = mutex.lock().unwrap();
        *guard = 2;
        panic!("held");
    }));
    assert!(panicked.is_err());
    assert_eq!(*mutex.try_lock().unwrap(), 2);
}

#[test]
fn a_kill_ends_a_lock_and_leaves_the_mutex_to_others() {
    let kernel = Kernel::new().unwrap();
    let mutex = Mutex::new(());
    let guard = mutex.lock().unwrap();
    assert_eq!(killed(&kernel, || mutex.lock().map(|_| ())), Err(Errno::EINTR));
    drop(guard);
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_lock_that_came_to_one_who_gave_up_goes_on() {
    let mutex = Mutex::new(());
    let guard = mutex.lock().unwrap();
    let mut first = Box::pin(mutex.lock_async());
    let mut second = pin!(mutex.lock_async());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    drop(guard);
    // It has it, and has not seen it.
    assert_eq!(mutex.try_lock().unwrap_err(), Errno::EBUSY);
    drop(first);
    assert!(poll(second.as_mut()).is_ready());
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn who_leaves_the_line_anywhere_leaves_the_rest_in_order() {
    let mutex = Mutex::new(());
    for gone in 0..3 {
        let guard = mutex.lock().unwrap();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(mutex.lock_async())).collect();
        assert!(waits.iter_mut().all(|wait| poll(wait.as_mut()).is_pending()));
        drop(waits.remove(gone));
        drop(guard);
        for wait in &mut waits {
            // Before the next, which waits for it.
            let Poll::Ready(_guard) = poll(wait.as_mut()) else { panic!("not served in order") };
        }
    }
}

#[test]
fn a_guard_may_go_to_another_thread() {
    let mutex = Arc::new(Mutex::new(0));
    let mut guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            *guard = 1;
            drop(guard);
        });
    });
    assert_eq!(*mutex.lock().unwrap(), 1);
}
