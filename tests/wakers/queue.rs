//! `WaitQueue`, and the hook.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use lwproc::{Kernel, WaitQueue, Watch};

use super::wakers::{counts, panics_cloned, panics_dropped, panics_woken, runs};
use super::{told, wakes};

fn watch<'w>(queue: &Arc<WaitQueue>, waker: &'w Waker) -> Watch<'w> {
    let mut watch = Watch::new(waker);
    watch.queue(queue);
    watch
}

#[test]
fn wakers_that_panic_keep_nobody_from_being_woken_and_are_told() {
    let (kernel, told) = told();
    let queue = Arc::new(WaitQueue::new());
    let [(one, first), (other, last)] = [counts(), counts()];
    let panics = [panics_woken(), panics_woken()];
    let _entered = [&first, &panics[0], &panics[1], &last].map(|waker| watch(&queue, waker));
    kernel.enter(|| queue.wake_all());
    assert_eq!((wakes(&one), wakes(&other), told()), (1, 1, 2));
    kernel.enter(|| queue.wake_all());
    assert_eq!((wakes(&one), wakes(&other), told()), (1, 1, 2), "once each");
}

#[test]
fn who_only_looks_is_woken_by_the_wake_of_one_whoever_panics() {
    let (kernel, told) = told();
    let queue = Arc::new(WaitQueue::new());
    let [(one, first), (other, last)] = [counts(), counts()];
    let panics = panics_woken();
    let _entered = [&first, &panics, &last].map(|waker| watch(&queue, waker));
    kernel.enter(|| queue.wake_one());
    kernel.enter(|| queue.wake_one());
    assert_eq!((wakes(&one), wakes(&other), told()), (1, 1, 1), "once each");
}

#[test]
fn wakers_that_panic_do_so_for_nobody_who_unwinds() {
    struct Wakes(Arc<WaitQueue>);
    impl Drop for Wakes {
        fn drop(&mut self) {
            self.0.wake_all();
        }
    }
    let queue = Arc::new(WaitQueue::new());
    let panics = [panics_woken(), panics_woken()];
    let _entered = [0, 1].map(|which: usize| watch(&queue, &panics[which]));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _wakes = Wakes(Arc::clone(&queue));
        panic!("the first");
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"the first"));
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_does_so_for_nobody() {
    let (kernel, told) = told();
    let queue = Arc::new(WaitQueue::new());
    let (count, waker) = counts();
    let panics = panics_dropped();
    let _stays = watch(&queue, &waker);
    let entered = [(); 2].map(|()| watch(&queue, &panics));
    kernel.enter(|| drop(entered));
    queue.wake_all();
    assert_eq!((wakes(&count), told()), (1, 2));
}

#[test]
fn a_waker_that_panics_when_it_is_cloned_is_not_entered() {
    let queue = Arc::new(WaitQueue::new());
    let (count, waker) = counts();
    let panics = panics_cloned();
    let mut entered = watch(&queue, &waker);
    assert!(catch_unwind(AssertUnwindSafe(|| watch(&queue, &panics))).is_err());
    entered.queue(&queue);
    queue.wake_all();
    assert_eq!(wakes(&count), 2, "entered twice");
}

#[test]
fn a_waker_may_wake_enter_and_leave_the_queue_that_wakes_it() {
    let queue = Arc::new(WaitQueue::new());
    let (count, counted) = counts();
    let stays = Arc::new(Mutex::new(None));
    let waker = runs({
        let (queue, stays, counted) = (Arc::clone(&queue), Arc::clone(&stays), (*counted).clone());
        move || {
            queue.wake_all();
            drop(watch(&queue, &counted));
            *stays.lock().unwrap() = Some(watch(&queue, Box::leak(Box::new(counted.clone()))));
        }
    });
    let _entered = watch(&queue, &waker);
    queue.wake_all();
    assert_eq!(wakes(&count), 0, "entered after the change");
    queue.wake_all();
    assert_eq!(wakes(&count), 1);
}

#[test]
fn the_hook_is_that_of_the_kernel_that_is_current() {
    let [(one, told_one), (other, told_other)] = [told(), told()];
    let queue = Arc::new(WaitQueue::new());
    let panics = panics_woken();
    let wake = || {
        let _entered = watch(&queue, &panics);
        queue.wake_all();
    };
    wake();
    assert_eq!((told_one(), told_other()), (0, 0), "in no kernel");
    one.enter(|| {
        wake();
        other.enter(wake);
        Kernel::new().unwrap().enter(wake);
    });
    assert_eq!((told_one(), told_other()), (1, 1));
}

#[test]
fn a_hook_and_a_payload_that_panic_end_unseen() {
    struct OnDrop;
    impl Drop for OnDrop {
        fn drop(&mut self) {
            panic!("a payload");
        }
    }
    let told = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&told);
    let hook = move |payload: &(dyn std::any::Any + Send)| {
        assert!(payload.is::<OnDrop>());
        counts.fetch_add(1, Ordering::SeqCst);
        panic!("a hook");
    };
    let kernel = Kernel::builder().on_panic(hook).boot().unwrap();
    let queue = Arc::new(WaitQueue::new());
    let panics = [(); 2].map(|()| runs(|| panic_any(OnDrop)));
    let _entered = [0, 1].map(|which: usize| watch(&queue, &panics[which]));
    kernel.enter(|| queue.wake_all());
    assert_eq!(told.load(Ordering::SeqCst), 2);
}
