//! Which lwp a task has: never one that was released, nor one that another runs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use lwproc::mux::{yield_now, yield_turn};
use lwproc::{Kernel, Lwp, LwpId, Mux, Pid, ProcOptions, SwitchError, sys};

use super::bounded;
use crate::muxes::{lwp, mux, nothing_left};

/// That `result` is the error of a lwp that runs.
#[track_caller]
fn runs(result: Result<(), SwitchError>) {
    assert!(matches!(result, Err(SwitchError::Running { .. })), "{result:?}");
}

/// Fills the kernel's table of lwps but for one slot, so that a released one's is the next but one that is used.
fn crowd(kernel: &Kernel) -> Vec<Lwp> {
    (0..63).map(|_| lwp(kernel)).collect()
}

#[test]
fn a_tasks_own_lwp_that_is_put_aside_runs_even_for_the_task() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let in_task = |kernel: Kernel, id: LwpId| {
            move || {
                kernel.enter(|| {
                    runs(kernel.try_switch(Some(id)));
                    assert_eq!(kernel.curlwp(), None);
                });
                assert_eq!((kernel.curlwp(), sys::getuid()), (Some(id), 1001));
            }
        };
        let alice = || kernel.spawn(ProcOptions::new().uid(1001)).unwrap();
        let (first, second) = (alice(), alice());
        let fiber = in_task(kernel.clone(), first.id());
        let future = in_task(kernel.clone(), second.id());
        let mut ended = [mux.spawn_fiber(first, fiber).unwrap(), mux.spawn(second, async move { future() }).unwrap()];
        mux.run().unwrap();
        for join in &mut ended {
            join.join().unwrap();
        }
        nothing_left(&kernel);
    });
}

#[test]
fn a_task_whose_lwp_was_released_is_nobody_until_it_switches_whoever_takes_the_slot() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let others = crowd(&kernel);
        let alice = kernel.spawn(ProcOptions::new().uid(1001)).unwrap();
        let its = kernel.clone();
        let mut ended = mux
            .spawn_fiber(alice, move || {
                its.releaselwp();
                // Another host thread's new lwp takes the slot.
                let theirs = its.clone();
                let root = thread::spawn(move || lwp(&theirs)).join().unwrap();
                yield_now();
                assert_eq!((its.curlwp(), sys::getpid(), sys::getlwpid()), (None, Pid::INIT, 0));
                root
            })
            .unwrap();
        mux.run().unwrap();
        let mut root = ended.join().unwrap();
        root.enter(|| assert_eq!(sys::getpid(), kernel.ps().iter().last().unwrap().pid));
        drop((root, others));
        nothing_left(&kernel);
    });
}

#[test]
fn the_lwp_that_took_the_slot_of_a_tasks_own_is_not_the_tasks() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let others = crowd(&kernel);
        let its = kernel.clone();
        let mut ended = mux
            .spawn_fiber(lwp(&kernel), move || {
                its.releaselwp();
                let (tell, told) = mpsc::channel();
                let (end, ended) = mpsc::channel::<()>();
                let theirs = its.clone();
                let another = thread::spawn(move || {
                    let mut mux = Mux::new(&theirs).unwrap();
                    let victim = lwp(&theirs);
                    let id = victim.id();
                    let run = move || {
                        tell.send(id).unwrap();
                        ended.recv().unwrap_err();
                        assert_eq!(theirs.curlwp(), Some(id));
                    };
                    let mut join = mux.spawn_fiber(victim, run).unwrap();
                    mux.run().unwrap();
                    join.join().unwrap();
                });
                runs(its.try_switch(Some(told.recv().unwrap())));
                assert_eq!(its.curlwp(), None);
                drop(end);
                another.join().unwrap();
            })
            .unwrap();
        mux.run().unwrap();
        ended.join().unwrap();
        drop(others);
        nothing_left(&kernel);
    });
}

/// A kernel of that host name.
fn named(name: &str) -> Kernel {
    Kernel::builder().hostname(name).on_fatal(|fatal| panic!("{fatal}")).boot().unwrap()
}

#[test]
fn a_task_that_is_suspended_in_a_kernel_keeps_it() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let mut joins = Vec::new();
        for dedicated in [false, true] {
            let other = named("other");
            let ends = Arc::new(AtomicU32::new(0));
            let ended = Arc::clone(&ends);
            let suspended = move || {
                if dedicated {
                    let hooked = ProcOptions::new().on_exit(move |_| _ = ended.fetch_add(1, Ordering::Relaxed));
                    other.switch(Some(other.spawn(hooked).unwrap().into_id()));
                } else {
                    other.switch(None);
                }
                // The last handle.
                drop(other);
                for _ in 0..10 {
                    yield_now();
                    assert_eq!(sys::gethostname(), "other");
                    assert_eq!(sys::getpid() == Pid::INIT, !dedicated);
                    assert_eq!(ends.load(Ordering::Relaxed), 0);
                }
                ends
            };
            joins.push((mux.spawn_fiber(lwp(&kernel), suspended).unwrap(), u32::from(dedicated)));
        }
        for _ in 0..5 {
            assert_eq!(mux.run_until(yield_turn()), Ok(Some(())));
            // A host thread that comes into a kernel lets go of those that have halted.
            named("another").enter(|| assert_eq!(sys::gethostname(), "another"));
        }
        mux.run().unwrap();
        for (mut join, ends) in joins {
            assert_eq!(join.join().unwrap().load(Ordering::Relaxed), ends);
        }
        nothing_left(&kernel);
    });
}

/// Says where it is dropped.
struct Tells(Kernel, mpsc::Sender<(Option<LwpId>, Pid)>);

impl Drop for Tells {
    fn drop(&mut self) {
        thread::scope(|scope| {
            // A thread that comes into the kernel meanwhile: each has an implicit lwp of its own.
            scope.spawn(|| self.0.enter(|| assert_eq!(sys::getuid(), 0)));
            assert_eq!(sys::getuid(), 0);
        });
        self.1.send((self.0.curlwp(), sys::getpid())).unwrap();
    }
}

thread_local! {
    static KEPT: RefCell<Option<Mux>> = const { RefCell::new(None) };
}

#[test]
fn a_mux_in_a_thread_local_unwinds_its_fibers_where_they_are_in_every_order_of_destruction() {
    bounded(|| {
        for mux_first in [true, false] {
            let kernel = Kernel::new().unwrap();
            let (tell, told) = mpsc::channel();
            let theirs = kernel.clone();
            let expected = thread::spawn(move || {
                if mux_first {
                    KEPT.with(|kept| assert!(kept.borrow().is_none()));
                } else {
                    theirs.switch(None);
                }
                let mut mux = Mux::new(&theirs).unwrap();
                let own = lwp(&theirs);
                let expected = [(Some(own.id()), own.pid()), (None, Pid::INIT)];
                let (first, second) = (Tells(theirs.clone(), tell.clone()), Tells(theirs.clone(), tell));
                let stays = move || {
                    let _tells = first;
                    loop {
                        yield_now();
                    }
                };
                let leaves = move || {
                    let _tells = second;
                    theirs.switch(None);
                    loop {
                        yield_now();
                    }
                };
                drop(mux.spawn_fiber(own, stays).unwrap());
                drop(mux.spawn_fiber(lwp(mux.kernel()), leaves).unwrap());
                assert_eq!(mux.run_until(yield_turn()), Ok(Some(())));
                KEPT.with(|kept| *kept.borrow_mut() = Some(mux));
                expected
            })
            .join()
            .unwrap();
            let mut seen: Vec<_> = told.iter().collect();
            seen.sort_by_key(|(lwp, _)| lwp.is_none());
            assert_eq!(seen, expected, "mux first: {mux_first}");
            // The implicit lwp that the thread left is one thread's at a time.
            thread::scope(|scope| {
                scope.spawn(|| kernel.enter(|| assert_eq!(sys::getpid(), Pid::INIT))).join().unwrap()
            });
            nothing_left(&kernel);
        }
    });
}

#[test]
fn a_main_future_that_switches_and_panics_leaves_its_lwp_to_others() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        for turns in 0..2 {
            let id = lwp(&kernel).into_id();
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                mux.run_until(async {
                    kernel.switch(Some(id));
                    for _ in 0..turns {
                        yield_turn().await;
                    }
                    panic!("main");
                })
            }));
            assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"main"));
            assert_eq!((kernel.curlwp(), kernel.try_switch(Some(id))), (None, Ok(())));
            kernel.releaselwp();
        }
        nothing_left(&kernel);
    });
}

#[test]
fn a_fiber_may_end_elsewhere_while_another_thread_runs_its_lwp() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        // The fiber waits until the other thread has come into its lwp, so that the end always meets it there.
        let (tell, told) = mpsc::channel::<LwpId>();
        let (entered, has_entered) = mpsc::channel::<()>();
        let (end, ended) = mpsc::channel::<()>();
        let theirs = kernel.clone();
        let another = thread::spawn(move || {
            for id in told {
                theirs.switch(Some(id));
                entered.send(()).unwrap();
                ended.recv().unwrap();
                assert_eq!(theirs.curlwp(), Some(id), "it runs until it is let go of");
                theirs.switch(None);
                assert_eq!(theirs.try_switch(Some(id)), Err(SwitchError::Stale));
            }
        });
        let own = lwp(&kernel);
        let (its, id) = (kernel.clone(), own.id());
        let ends = move || {
            its.switch(None);
            tell.send(id).unwrap();
            has_entered.recv().unwrap();
        };
        let mut join = mux.spawn_fiber(own, ends).unwrap();
        mux.run().unwrap();
        join.join().unwrap();
        end.send(()).unwrap();
        another.join().unwrap();
        nothing_left(&kernel);
    });
}

#[test]
fn the_end_of_a_fiber_elsewhere_races_with_nobody() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let (published, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (theirs, looked, enough) = (kernel.clone(), Arc::clone(&published), Arc::clone(&over));
        let another = thread::spawn(move || {
            while !enough.load(Ordering::Relaxed) {
                let id = LwpId::from_raw(theirs.id(), looked.load(Ordering::Relaxed));
                if theirs.try_switch(Some(id)).is_ok() {
                    theirs.switch(None);
                }
            }
        });
        for _ in 0..3000 {
            let own = lwp(&kernel);
            published.store(own.id().raw(), Ordering::Relaxed);
            let its = kernel.clone();
            // It may have been taken before: then it comes back, and is dropped while it runs.
            let _ = mux.spawn_fiber(own, move || its.switch(None));
            mux.run().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        another.join().unwrap();
        nothing_left(&kernel);
    });
}
