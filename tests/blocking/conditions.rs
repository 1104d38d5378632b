//! `Condition`.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use lwproc::blocking::{Condition, Mutex};
use lwproc::{Errno, Kernel};

use super::killed::killed;
use super::{late, lwp, mux, poll, soon};

#[test]
fn nobody_is_notified_of_what_came_before() {
    let (mutex, changed) = (Mutex::new(7), Condition::new());
    changed.notify_one();
    changed.notify_all();
    let (guard, notified) = changed.wait_until(mutex.lock().unwrap(), soon()).unwrap();
    assert_eq!((*guard, notified), (7, false));
    // It is held again.
    assert_eq!(mutex.try_lock().unwrap_err(), Errno::EBUSY);
    drop(guard);
    assert_eq!(format!("{changed:?}"), "Condition { waited_for: false }");
}

#[test]
fn one_notification_ends_the_wait_of_the_first() {
    let (mutex, changed) = (Mutex::new(()), Condition::new());
    let mut waits: Vec<_> = (0..3)
        .map(|_| {
            let mut wait = Box::pin(changed.wait_async(mutex.try_lock().unwrap()));
            assert!(poll(wait.as_mut()).is_pending());
            wait
        })
        .collect();
    changed.notify_one();
    assert!(waits[1..].iter_mut().all(|wait| poll(wait.as_mut()).is_pending()));
    assert!(poll(waits[0].as_mut()).is_ready());
    changed.notify_all();
    assert!(waits[1..].iter_mut().all(|wait| poll(wait.as_mut()).is_ready()));
}

#[test]
fn a_wait_that_was_not_begun_holds_the_mutex_until_it_goes() {
    let (mutex, changed) = (Mutex::new(()), Condition::new());
    let wait = changed.wait_async(mutex.lock().unwrap());
    assert!(mutex.try_lock().is_err());
    drop(wait);
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_notification_to_one_who_gave_up_goes_on() {
    let (mutex, changed) = (Mutex::new(()), Condition::new());
    // Given up before it has seen the notification, and given up in locking again.
    for sees in [false, true] {
        let mut first = Box::pin(changed.wait_async(mutex.try_lock().unwrap()));
        assert!(poll(first.as_mut()).is_pending());
        let mut second = pin!(changed.wait_async(mutex.try_lock().unwrap()));
        assert!(poll(second.as_mut()).is_pending());
        let guard = mutex.lock().unwrap();
        changed.notify_one();
        if sees {
            assert!(poll(first.as_mut()).is_pending());
        }
        assert!(poll(second.as_mut()).is_pending());
        drop(first);
        drop(guard);
        assert!(poll(second.as_mut()).is_ready());
    }
}

#[test]
fn a_kill_ends_a_wait_and_unlocks() {
    let kernel = Kernel::new().unwrap();
    let (mutex, changed) = (Mutex::new(()), Condition::new());
    let waited = killed(&kernel, || changed.wait(mutex.lock().unwrap()).map(|_| ()));
    assert_eq!(waited, Err(Errno::EINTR));
    let waited = killed(&kernel, || changed.wait_until(mutex.lock().unwrap(), late()).map(|_| ()));
    assert_eq!(waited, Err(Errno::EINTR));
    assert!(mutex.try_lock().is_ok());
    assert_eq!(format!("{changed:?}"), "Condition { waited_for: false }");
}

/// What is put in one place, and taken from there.
struct Place {
    value: Mutex<Option<u32>>,
    changed: Condition,
}

const VALUES: u32 = 500;

impl Place {
    fn new() -> Self {
        Self { value: Mutex::new(None), changed: Condition::new() }
    }

    fn put(&self) {
        for value in 0..VALUES {
            let mut place = self.changed.wait_while(self.value.lock().unwrap(), |place| place.is_some()).unwrap();
            *place = Some(value);
            drop(place);
            self.changed.notify_all();
        }
    }

    fn take(&self) -> u32 {
        let taken = (0..VALUES).map(|_| {
            let mut place = self.changed.wait_while(self.value.lock().unwrap(), |place| place.is_none()).unwrap();
            self.changed.notify_all();
            place.take().unwrap()
        });
        taken.sum()
    }

    async fn take_async(&self) -> u32 {
        let mut sum = 0;
        for _ in 0..VALUES {
            let guard = self.value.lock_async().await;
            let mut place = self.changed.wait_while_async(guard, |place| place.is_none()).await;
            self.changed.notify_all();
            sum += place.take().unwrap();
        }
        sum
    }
}

const EACH: u32 = VALUES * (VALUES - 1) / 2;

#[test]
fn threads_put_and_take_through_one_place() {
    let place = Place::new();
    let taken: u32 = thread::scope(|scope| {
        let takers: Vec<_> = (0..2).map(|_| scope.spawn(|| place.take())).collect();
        (0..2).for_each(|_| drop(scope.spawn(|| place.put())));
        takers.into_iter().map(|taker| taker.join().unwrap()).sum()
    });
    assert_eq!(taken, 2 * EACH);
}

#[test]
fn fibers_futures_and_threads_put_and_take_through_one_place() {
    let (kernel, mut mux) = mux();
    let place = Arc::new(Place::new());
    let [putter, other, taker, last] = [(); 4].map(|()| Arc::clone(&place));
    let puts = thread::spawn(move || other.put());
    mux.spawn_fiber(lwp(&kernel), move || putter.put()).unwrap();
    let mut fiber = mux.spawn_fiber(lwp(&kernel), move || taker.take()).unwrap();
    let mut future = mux.spawn(lwp(&kernel), async move { last.take_async().await }).unwrap();
    mux.run().unwrap();
    puts.join().unwrap();
    assert_eq!(fiber.join().unwrap() + future.join().unwrap(), 2 * EACH);
}

#[test]
fn a_fiber_waits_until_a_deadline() {
    let (kernel, mut mux) = mux();
    let shared = Rc::new((Mutex::new(()), Condition::new()));
    let mut waits = mux
        .spawn_fiber(lwp(&kernel), move || {
            let (mutex, changed) = &*shared;
            changed.wait_until(mutex.lock().unwrap(), soon()).map(|(_, notified)| notified)
        })
        .unwrap();
    mux.run().unwrap();
    assert_eq!(waits.join().unwrap(), Ok(false));
}
