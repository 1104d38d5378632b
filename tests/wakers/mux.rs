//! Join handles, timers and descriptors: in a multiplexer, and under `block_on`.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use lwproc::mux::yield_turn;
use lwproc::sys::{self, aio};
use lwproc::{HostFile, JoinError, Kernel, Mux, OpenFlags, block_on};

use super::muxes::{lwp, nothing_left};
use super::wakers::{Owned, panics_cloned, panics_dropped, panics_woken, runs};
use super::{poll, told};

const SHORT: Duration = Duration::from_millis(1);

/// Enters each of `wakers` for a time and a descriptor, both ready soon, and itself after them; and waits for these until
/// `done`.
async fn waits_among(kernel: &Kernel, wakers: &[Owned], done: impl Fn() -> bool) {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let fd = kernel.enter(|| sys::install(HostFile::new(read).unwrap(), OpenFlags::RDONLY).unwrap());
    let waits = || (Box::pin(aio::nanosleep(SHORT, None)), Box::pin(async move { aio::read(fd, &mut [0]).await }));
    let mut others: Vec<_> = wakers.iter().map(|waker| (waits(), waker)).collect();
    let (mut sleep, mut read) = waits();
    poll_fn(|cx| {
        for ((sleep, read), waker) in &mut others {
            assert!(poll(sleep, waker).is_pending() && poll(read, waker).is_pending());
        }
        assert!(poll(&mut sleep, cx.waker()).is_pending() && poll(&mut read, cx.waker()).is_pending());
        Poll::Ready(())
    })
    .await;
    rustix::io::write(&write, b"x").unwrap();
    assert_eq!(sleep.await, Ok(()));
    while !done() {
        aio::nanosleep(SHORT, None).await.unwrap();
    }
    assert_eq!(read.await, Ok(1));
    kernel.enter(|| sys::close(fd)).unwrap();
}

#[test]
fn a_multiplexer_wakes_all_who_are_due_whosever_waker_panics() {
    let (kernel, told) = told();
    let mut mux = Mux::new(&kernel).unwrap();
    let wakers = [panics_woken(), panics_woken()];
    assert_eq!(mux.run_until(waits_among(&kernel, &wakers, || told() == 4)), Ok(Some(())));
    let wakers = [panics_dropped(), panics_dropped()];
    assert_eq!(mux.run_until(waits_among(&kernel, &wakers, || true)), Ok(Some(())));
}

#[test]
fn a_host_thread_wakes_all_who_are_due_whosever_waker_panics() {
    let (kernel, told) = told();
    kernel.enter(|| {
        let wakers = [panics_woken(), panics_woken()];
        assert_eq!(block_on(waits_among(&kernel, &wakers, || told() == 4)), Ok(()));
        let wakers = [panics_dropped(), panics_dropped()];
        assert_eq!(block_on(waits_among(&kernel, &wakers, || true)), Ok(()));
    });
}

#[test]
fn what_is_still_waited_for_goes_with_its_driver_whosever_waker_panics() {
    let (kernel, told) = told();
    let mut sleeps = [(); 2].map(|()| Box::pin(aio::nanosleep(Duration::from_secs(600), None)));
    let panics = panics_dropped();
    let mut enter = async || {
        for sleep in &mut sleeps {
            assert!(poll(sleep, &panics).is_pending());
        }
    };
    let mut mux = Mux::new(&kernel).unwrap();
    mux.run_until(enter()).unwrap();
    kernel.enter(|| drop(mux));
    let of_mux = told();
    kernel.enter(|| block_on(enter())).unwrap();
    assert!(of_mux >= 2 && told() >= of_mux + 2);
}

#[test]
fn a_poll_whose_waker_cannot_be_cloned_waits_for_nothing() {
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    let slept = mux.run_until(async {
        let mut sleep = Box::pin(aio::nanosleep(SHORT, None));
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut sleep, &panics_cloned()))).is_err());
        aio::nanosleep(SHORT, None).await
    });
    assert_eq!(slept, Ok(Some(Ok(()))));
}

#[test]
fn a_task_finishes_whosever_waker_waits_for_it() {
    let (kernel, told) = told();
    let mut mux = Mux::new(&kernel).unwrap();
    let mut joins = [(); 2].map(|()| Box::pin(mux.spawn(lwp(&kernel), yield_turn()).unwrap()));
    let mut last = mux.spawn_fiber(lwp(&kernel), || 7).unwrap();
    let (panics, dropped) = (panics_woken(), panics_dropped());
    for join in &mut joins {
        // The one that was there goes.
        assert!(poll(join, &dropped).is_pending() && poll(join, &panics).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| poll(join, &panics_cloned()))).is_err());
        assert!(poll(join, &panics).is_pending());
    }
    kernel.enter(|| mux.run()).unwrap();
    assert_eq!(last.join().unwrap(), 7);
    assert_eq!(told(), 2, "those that were dropped in no kernel were told to nobody");
    for join in &mut joins {
        assert!(matches!(poll(join, Waker::noop()), Poll::Ready(Ok(()))));
    }
    nothing_left(&kernel);
}

#[test]
fn a_result_that_nobody_takes_is_dropped_for_nobody() {
    struct OnDrop;
    impl Drop for OnDrop {
        fn drop(&mut self) {
            panic!("a result");
        }
    }
    let (kernel, told) = told();
    let mut mux = Mux::new(&kernel).unwrap();
    // Detached, and finished before the handle goes.
    drop(mux.spawn_fiber(lwp(&kernel), || OnDrop).unwrap());
    drop(mux.spawn(lwp(&kernel), async { std::panic::panic_any(OnDrop) }).unwrap());
    let late = mux.spawn_fiber(lwp(&kernel), || OnDrop).unwrap();
    mux.run().unwrap();
    kernel.enter(|| drop(late));
    assert_eq!(told(), 3);
    nothing_left(&kernel);
}

#[test]
fn a_waker_may_poll_the_handle_that_wakes_it() {
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    let join = Arc::new(Mutex::new(Box::pin(mux.spawn(lwp(&kernel), async { 7 }).unwrap())));
    let seen = Arc::new(Mutex::new(None));
    let waker = runs({
        let (join, seen) = (Arc::clone(&join), Arc::clone(&seen));
        move || *seen.lock().unwrap() = Some(poll(&mut join.lock().unwrap(), Waker::noop()))
    });
    assert!(poll(&mut join.lock().unwrap(), &waker).is_pending());
    mux.run().unwrap();
    // It is the task's own turn still.
    assert!(matches!(seen.lock().unwrap().take(), Some(Poll::Ready(Err(JoinError::Deadlock)))));
    assert!(matches!(poll(&mut join.lock().unwrap(), Waker::noop()), Poll::Ready(Ok(7))));
}
