//! `block_on` in coroutines of others, which suspend and end in any order.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use lwproc::mux::yield_turn;
use lwproc::sys::aio;
use lwproc::{Errno, Kernel, Mux, block_on};

use super::muxes::{lwp, mux, nothing_left};
use super::{counter, poll};

const SHORT: Duration = Duration::from_millis(1);

type Wait = Coroutine<(), (), ()>;

/// Blocks on a future that suspends the coroutine in the midst of a poll, and goes on with `then`.
fn waits(then: impl Future<Output = ()> + 'static) -> Wait {
    let mut wait = Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
        let waited = block_on(async {
            yielder.suspend(());
            then.await;
        });
        assert_eq!(waited, Ok(()));
    });
    assert!(matches!(wait.resume(()), CoroutineResult::Yield(())));
    wait
}

async fn sleeps() {
    assert_eq!(aio::nanosleep(SHORT, None).await, Ok(()));
}

/// Goes on with what was suspended, to its end.
fn end(mut wait: Wait) {
    assert!(matches!(wait.resume(()), CoroutineResult::Return(())));
}

/// That nobody on this host thread waits for a future's descriptors and times, and that it can be done.
fn nobody_drives() {
    let (_, waker) = counter();
    let mut sleep = Box::pin(aio::nanosleep(SHORT, None));
    assert_eq!(poll(&mut sleep, &waker), Poll::Ready(Err(Errno::EOPNOTSUPP)));
    assert_eq!(block_on(aio::nanosleep(SHORT, None)), Ok(Ok(())));
}

#[test]
fn waits_of_one_host_thread_end_in_any_order() {
    Kernel::new().unwrap().enter(|| {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut all = [(); 3].map(|()| Some(waits(sleeps())));
            order.into_iter().for_each(|next: usize| end(all[next].take().unwrap()));
            nobody_drives();
        }
    });
}

#[test]
fn waits_that_panic_or_are_dropped_or_forgotten_leave_the_others_as_they_were() {
    Kernel::new().unwrap().enter(|| {
        let [panics, dropped] = [waits(async { panic!("in the future") }), waits(sleeps())];
        let last = waits(sleeps());
        assert!(catch_unwind(AssertUnwindSafe(|| end(panics))).is_err());
        drop(dropped);
        end(last);
        nobody_drives();
        let [forgotten, last] = [waits(sleeps()), waits(sleeps())];
        mem::forget(forgotten);
        end(last);
        assert_eq!(block_on(aio::nanosleep(SHORT, None)), Ok(Ok(())));
    });
}

#[test]
fn a_multiplexer_in_a_coroutine_and_a_wait_outside_end_in_any_order() {
    let kernel = Kernel::new().unwrap();
    kernel.enter(|| {
        for mux_first in [true, false] {
            let kernel = kernel.clone();
            let mut runs = Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
                let mut mux = Mux::new(&kernel).unwrap();
                assert_eq!(mux.run_until(async { yielder.suspend(()) }), Ok(Some(())));
            });
            assert!(matches!(runs.resume(()), CoroutineResult::Yield(())));
            let wait = waits(sleeps());
            if mux_first {
                end(runs);
                end(wait);
            } else {
                end(wait);
                end(runs);
            }
            nobody_drives();
        }
    });
}

#[test]
fn a_wait_that_a_fiber_began_goes_on_where_it_is_resumed() {
    let begun = || {
        let (kernel, mut mux) = mux();
        let left = Rc::new(RefCell::new(None));
        let leaves = Rc::clone(&left);
        mux.spawn_fiber(lwp(&kernel), move || {
            // The poll in which it is suspended is still the fiber's.
            *leaves.borrow_mut() = Some(waits(async {
                yield_turn().await;
                sleeps().await;
            }));
        })
        .unwrap();
        mux.run().unwrap();
        nothing_left(&kernel);
        drop(mux);
        left.take().unwrap()
    };
    // On a plain host thread, and in another fiber.
    Kernel::new().unwrap().enter(|| {
        end(begun());
        nobody_drives();
    });
    let (kernel, mut mux) = mux();
    let wait = begun();
    let mut ended = mux.spawn_fiber(lwp(&kernel), move || end(wait)).unwrap();
    mux.run().unwrap();
    ended.join().unwrap();
}
