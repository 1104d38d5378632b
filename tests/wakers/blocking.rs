//! `Mutex`, `Condition` and channels.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};

use lwproc::Errno;
use lwproc::blocking::{Condition, Mutex, channel};

use super::wakers::{counts, panics_cloned, panics_dropped, panics_woken, runs};
use super::{poll, told, wakes};

/// Panics when it is dropped.
#[derive(Debug)]
struct OnDrop;

impl Drop for OnDrop {
    fn drop(&mut self) {
        panic!("a value");
    }
}

#[test]
fn an_unlock_is_not_told_of_the_next_ones_waker() {
    let (kernel, told) = told();
    kernel.enter(|| {
        let mutex = Mutex::new(());
        let guard = mutex.lock().unwrap();
        let [mut next, mut last] = [(); 2].map(|()| Box::pin(mutex.lock_async()));
        let (count, waker) = counts();
        assert!(poll(&mut next, &panics_woken()).is_pending());
        assert!(poll(&mut last, &waker).is_pending());
        drop(guard);
        assert_eq!((told(), wakes(&count)), (1, 0), "it is the next one's");
        assert_eq!(mutex.try_lock().unwrap_err(), Errno::EBUSY);
        // Given up, it goes on to the last.
        drop(next);
        assert_eq!(wakes(&count), 1);
        assert!(poll(&mut last, &waker).is_ready());
    });
}

#[test]
fn a_lock_that_is_given_up_or_polled_with_another_waker_drops_the_one_it_had() {
    let (kernel, told) = told();
    kernel.enter(|| {
        let mutex = Mutex::new(());
        let guard = mutex.lock().unwrap();
        let mut lock = Box::pin(mutex.lock_async());
        let (panics, (count, waker)) = (panics_dropped(), counts());
        assert!(poll(&mut lock, &panics).is_pending());
        assert!(poll(&mut lock, &waker).is_pending());
        assert_eq!(told(), 1);
        let mut other = Box::pin(mutex.lock_async());
        assert!(poll(&mut other, &panics).is_pending());
        drop(other);
        assert_eq!(told(), 2);
        drop(guard);
        assert_eq!(wakes(&count), 1);
    });
}

#[test]
fn a_poll_whose_waker_cannot_be_cloned_changes_nothing() {
    let mutex = Mutex::new(());
    let guard = mutex.lock().unwrap();
    let mut lock = Box::pin(mutex.lock_async());
    let (panics, (count, waker)) = (panics_cloned(), counts());
    let polled = |lock: &mut _| catch_unwind(AssertUnwindSafe(|| poll(lock, &panics)));
    assert!(polled(&mut lock).is_err());
    assert!(poll(&mut lock, &waker).is_pending());
    assert!(polled(&mut lock).is_err());
    drop(guard);
    assert_eq!(wakes(&count), 1);
    assert!(poll(&mut lock, &waker).is_ready());
}

#[test]
fn all_are_notified_whosever_waker_panics() {
    let (kernel, told) = told();
    kernel.enter(|| {
        let (mutex, condition) = (Mutex::new(()), Condition::new());
        let [(one, first), (other, last)] = [counts(), counts()];
        let panics = [panics_woken(), panics_woken()];
        let _waits = [&first, &panics[0], &panics[1], &last].map(|waker| {
            let mut wait = Box::pin(condition.wait_async(mutex.try_lock().unwrap()));
            assert!(poll(&mut wait, waker).is_pending());
            wait
        });
        condition.notify_all();
        assert_eq!((wakes(&one), wakes(&other), told()), (1, 1, 2));
    });
}

#[test]
fn a_value_arrives_whosever_waker_panics() {
    let (kernel, told) = told();
    kernel.enter(|| {
        let (sender, receiver) = channel(1);
        let mut receiving = Box::pin(receiver.recv_async());
        assert!(poll(&mut receiving, &panics_woken()).is_pending());
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(poll(&mut receiving, Waker::noop()), Poll::Ready(Ok(1)));
        drop(receiving);
        sender.send(2).unwrap();
        let mut sending = Box::pin(sender.send_async(3));
        assert!(poll(&mut sending, &panics_woken()).is_pending());
        assert_eq!(receiver.recv(), Ok(2));
        assert_eq!(poll(&mut sending, Waker::noop()), Poll::Ready(Ok(())));
        assert_eq!((receiver.recv(), told()), (Ok(3), 2));
    });
}

#[test]
fn a_side_that_goes_dismisses_the_whole_other() {
    let (kernel, told) = told();
    kernel.enter(|| {
        let (sender, receiver) = channel::<u32>(0);
        let (count, waker) = counts();
        let panics = [panics_woken(), panics_woken()];
        let _waits = [&panics[0], &panics[1], &waker].map(|waker| {
            let receiver = receiver.clone();
            let mut wait = Box::pin(async move { receiver.recv_async().await });
            assert!(poll(&mut wait, waker).is_pending());
            wait
        });
        drop(sender);
        assert_eq!((wakes(&count), told()), (1, 2));
    });
}

#[test]
fn values_that_nobody_takes_are_dropped_each_in_spite_of_the_others() {
    let (kernel, told) = told();
    kernel.enter(|| {
        let (sender, receiver) = channel(3);
        for _ in 0..3 {
            sender.send(OnDrop).unwrap();
        }
        drop(receiver);
        assert_eq!(told(), 3);
        assert_eq!(
            sender.send(OnDrop).map_err(|error| {
                let errno = error.errno();
                std::mem::forget(error.into_inner());
                errno
            }),
            Err(Errno::EPIPE)
        );
        // Taken for one who is gone, as are all others by then.
        let (sender, receiver) = channel(0);
        let mut receiving = Box::pin({
            let receiver = receiver.clone();
            async move { receiver.recv_async().await }
        });
        assert!(poll(&mut receiving, Waker::noop()).is_pending());
        sender.send(OnDrop).unwrap();
        drop(receiver);
        drop(receiving);
        assert_eq!(told(), 4);
    });
}

#[test]
fn a_waker_may_use_what_wakes_it() {
    let shared = Arc::new((Mutex::new(()), Condition::new(), channel::<u32>(1)));
    let (count, counted) = counts();
    let waker = runs({
        let (shared, counted) = (Arc::clone(&shared), (*counted).clone());
        move || {
            let (mutex, condition, (sender, receiver)) = &*shared;
            let _ = (mutex.try_lock(), sender.try_send(1), receiver.try_recv());
            condition.notify_all();
            counted.wake_by_ref();
        }
    });
    let (mutex, condition, (sender, receiver)) = &*shared;
    let guard = mutex.lock().unwrap();
    let mut lock = Box::pin(mutex.lock_async());
    assert!(poll(&mut lock, &waker).is_pending());
    drop(guard);
    let Poll::Ready(guard) = poll(&mut lock, &waker) else { panic!("not handed over") };
    let mut wait = Box::pin(condition.wait_async(guard));
    assert!(poll(&mut wait, &waker).is_pending());
    condition.notify_one();
    let mut receiving = Box::pin(receiver.recv_async());
    assert!(poll(&mut receiving, &waker).is_pending());
    sender.send(2).unwrap();
    assert_eq!(poll(&mut receiving, &waker), Poll::Ready(Ok(2)));
    assert_eq!(wakes(&count), 3);
}
