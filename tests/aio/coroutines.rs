//! Coroutines of others, which suspend in the midst of a wait or a stay: waits end in any order, and stays in their own.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use lwproc::mux::yield_turn;
use lwproc::sys::aio;
use lwproc::{Errno, Kernel, Lwp, Mux, ProcOptions, SwitchError, block_on};

use super::apart::apart;
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

/// Enters `lwp`, and is suspended there.
fn stays(mut lwp: Lwp) -> Wait {
    let mut stay = Coroutine::new(move |yielder: &Yielder<(), ()>, ()| lwp.enter(|| yielder.suspend(())));
    assert!(matches!(stay.resume(()), CoroutineResult::Yield(())));
    stay
}

#[test]
fn stays_that_coroutines_are_suspended_in_end_in_their_order() {
    let kernel = Kernel::new().unwrap();
    kernel.enter(|| {
        let [outer, inner] = [(); 2].map(|()| kernel.spawn(ProcOptions::new()).unwrap());
        let ids = [outer.id(), inner.id()];
        let (outer, inner) = (stays(outer), stays(inner));
        assert_eq!(kernel.curlwp(), Some(ids[1]));
        end(inner);
        assert_eq!(kernel.curlwp(), Some(ids[0]));
        drop(outer);
        assert_eq!(kernel.curlwp(), None);
    });
    nothing_left(&kernel);
}

#[test]
fn a_stay_that_is_suspended_at_the_end_of_its_host_thread_ends_with_its_coroutine() {
    thread_local! {
        static STAY: RefCell<Option<Wait>> = const { RefCell::new(None) };
    }
    let kernel = Kernel::new().unwrap();
    for before in [true, false] {
        let kernel = &kernel;
        std::thread::scope(|scope| {
            let ended = scope.spawn(move || {
                let lwp = kernel.spawn(ProcOptions::new()).unwrap();
                if before {
                    // Dropped after what the crate has in the thread.
                    STAY.with(|_| ());
                }
                let stay = stays(lwp);
                STAY.set(Some(stay));
            });
            ended.join().unwrap();
        });
    }
    nothing_left(&kernel);
}

/// Runs `body` in a host process of its own, where it is fatal, whatever the hook does.
fn is_fatal(test: &str, body: impl FnOnce(&Kernel)) {
    let run = || {
        let hook = |fatal: &lwproc::Fatal| {
            eprintln!("{fatal}");
            panic!("a hook that does not let it end");
        };
        body(&Kernel::builder().on_fatal(hook).boot().unwrap());
    };
    let Some(child) = apart(&format!("coroutines::{test}"), run) else { return };
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("an enter or a multiplexer ended in another context than its own"), "{said}");
    assert_eq!(child.status.signal(), Some(6), "SIGABRT: {said}");
}

#[test]
fn a_stay_that_ends_before_one_that_began_in_it_is_fatal() {
    is_fatal("a_stay_that_ends_before_one_that_began_in_it_is_fatal", |kernel| {
        let [first, second] = [(); 2].map(|()| stays(kernel.spawn(ProcOptions::new()).unwrap()));
        end(first);
        end(second);
    });
}

#[test]
fn a_stay_that_a_fiber_began_and_that_ends_after_it_is_fatal() {
    is_fatal("a_stay_that_a_fiber_began_and_that_ends_after_it_is_fatal", |kernel| {
        let left = Rc::new(RefCell::new(None));
        let leaves = Rc::clone(&left);
        let other = kernel.spawn(ProcOptions::new()).unwrap();
        let id = other.id();
        let mut mux = Mux::new(kernel).unwrap();
        mux.spawn_fiber(lwp(kernel), move || *leaves.borrow_mut() = Some(stays(other))).unwrap();
        mux.run().unwrap();
        // The fiber is over, and has let go of what was current in it.
        assert_eq!(kernel.try_switch(Some(id)), Ok(()));
        assert!(matches!(kernel.try_switch(Some(id)), Err(SwitchError::Running { .. })));
        drop(mux);
        end(left.take().unwrap());
    });
}

#[test]
fn a_multiplexer_whose_run_ends_in_the_drop_of_another_is_fatal() {
    is_fatal("a_multiplexer_whose_run_ends_in_the_drop_of_another_is_fatal", |kernel| {
        struct Ends(Option<Wait>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.take().into_iter().for_each(end);
            }
        }
        let runs = kernel.clone();
        let mut runs = Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
            let mut mux = Mux::new(&runs).unwrap();
            assert_eq!(mux.run_until(async { yielder.suspend(()) }), Ok(Some(())));
        });
        assert!(matches!(runs.resume(()), CoroutineResult::Yield(())));
        let (over, ends) = (Mux::new(kernel).unwrap(), Ends(Some(runs)));
        over.spawn(lwp(kernel), async move {
            let _ends = ends;
        })
        .unwrap();
        drop(over);
    });
}
