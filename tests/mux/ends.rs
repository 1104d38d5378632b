//! Ends: of tasks by panic, kill and cancellation, of multiplexers and kernels in any order.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Waker};

use lwproc::mux::{self, SpawnErrorKind, yield_now};
use lwproc::{Errno, JoinError, Kernel, Mux, Pid, ProcOptions, sys};

use super::{lwp, mux, nothing_left, sharing};

#[test]
fn a_panic_ends_its_task_alone_and_is_in_the_handle() {
    let (kernel, mut mux) = mux();
    let mut fiber = mux.spawn_fiber(lwp(&kernel), || -> u32 { panic!("fiber {}", 1) }).unwrap();
    let mut future = mux.spawn(lwp(&kernel), async { panic!("future") }).unwrap();
    let mut other = mux.spawn_fiber(lwp(&kernel), || 7).unwrap();
    mux.run().unwrap();
    for (error, text) in [(fiber.join().unwrap_err(), "fiber 1"), (future.join().unwrap_err(), "future")] {
        assert!(matches!(&error, JoinError::Panicked(_)));
        assert_eq!(error.to_string(), format!("it panicked: {text}"));
    }
    assert_eq!(other.join().unwrap(), 7);
    nothing_left(&kernel);
}

#[test]
fn a_panic_of_a_drop_or_an_exit_hook_is_its_tasks_and_nothing_is_left() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("drop");
        }
    }
    let (kernel, mut mux) = mux();
    let hooked = kernel.spawn(ProcOptions::new().on_exit(|_| panic!("hook"))).unwrap();
    let mut ended = [
        mux.spawn_fiber(hooked, || ()).unwrap(),
        mux.spawn(lwp(&kernel), {
            let bomb = Bomb;
            async move {
                let _bomb = bomb;
            }
        })
        .unwrap(),
    ];
    mux.run().unwrap();
    assert_eq!(
        ended.each_mut().map(|join| join.join().unwrap_err().to_string()),
        ["it panicked: hook", "it panicked: drop"]
    );
    nothing_left(&kernel);
}

#[test]
fn kill_wakes_the_fibers_and_futures_of_its_process() {
    let (kernel, mut mux) = mux();
    let (reader, _writer) = kernel.enter(sys::pipe).unwrap();
    let victim = sharing(&kernel);
    let pid = victim.pid();
    let second = victim.newlwp().unwrap();
    let mut ended = [
        mux.spawn_fiber(victim, move || sys::read(reader, &mut [0])).unwrap(),
        mux.spawn_fiber(second, || {
            // Forever, but for the kill.
            sys::poll(&mut [], None)
        })
        .unwrap(),
    ];
    let killer = kernel.clone();
    mux.spawn_fiber(lwp(&kernel), move || {
        yield_now();
        killer.kill(pid).unwrap();
    })
    .unwrap();
    mux.run().unwrap();
    for join in &mut ended {
        assert_eq!(join.join().unwrap(), Err(Errno::EINTR));
    }
    nothing_left(&kernel);
}

#[test]
fn a_task_of_a_process_that_was_killed_before_it_was_spawned_ends_though_it_only_yields() {
    let (kernel, mut mux) = mux();
    let spawned = [0, 1].map(|_| lwp(&kernel));
    for lwp in &spawned {
        kernel.kill(lwp.pid()).unwrap();
    }
    let [first, second] = spawned;
    let mut ended = [
        mux.spawn_fiber(first, || {
            loop {
                yield_now();
            }
        })
        .unwrap(),
        mux.spawn(second, async {
            loop {
                mux::yield_turn().await;
            }
        })
        .unwrap(),
    ];
    mux.run().unwrap();
    for join in &mut ended {
        assert!(matches!(join.join(), Err(JoinError::Cancelled)));
    }
    nothing_left(&kernel);
}

/// Tells where and in what process it is dropped.
struct Tell(Rc<RefCell<Vec<Pid>>>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.borrow_mut().push(sys::getpid());
    }
}

#[test]
fn a_dropped_mux_unwinds_its_fibers_and_drops_its_futures_each_in_its_lwp() {
    let (kernel, mut mux) = mux();
    let (reader, _writer) = kernel.enter(sys::pipe).unwrap();
    let told = Rc::new(RefCell::new(Vec::new()));
    let tell = || Tell(Rc::clone(&told));
    let mut joins = Vec::new();
    for begun in [true, false] {
        let (first, second) = (tell(), tell());
        joins.push(
            mux.spawn_fiber(sharing(&kernel), move || {
                let _told = first;
                let _ = sys::read(reader, &mut [0]);
            })
            .unwrap(),
        );
        joins.push(
            mux.spawn(sharing(&kernel), async move {
                let _told = second;
                pending::<()>().await;
            })
            .unwrap(),
        );
        if begun {
            mux.handle().stop();
            // Stopped at once, and then again when both have begun.
            mux.run().unwrap();
            let stop = mux.handle();
            mux.spawn_fiber(lwp(&kernel), move || stop.stop()).unwrap();
            mux.run().unwrap();
        }
    }
    assert!(told.borrow().is_empty());
    drop(mux);
    told.borrow_mut().sort();
    assert_eq!(told.borrow().iter().map(|pid| pid.raw()).collect::<Vec<_>>(), [2, 3, 5, 6]);
    for mut join in joins {
        assert!(matches!(join.join(), Err(JoinError::Cancelled)));
    }
    nothing_left(&kernel);
}

#[test]
fn what_blocks_in_a_drop_while_its_fiber_is_unwound_is_interrupted() {
    struct Reads(i32, Rc<Cell<Option<Errno>>>);
    impl Drop for Reads {
        fn drop(&mut self) {
            self.1.set(sys::read(self.0, &mut [0]).err());
            yield_now();
        }
    }
    let (kernel, mut mux) = mux();
    let (reader, _writer) = kernel.enter(sys::pipe).unwrap();
    let seen = Rc::new(Cell::new(None));
    let reads = Reads(reader, Rc::clone(&seen));
    mux.spawn_fiber(sharing(&kernel), move || {
        let _reads = reads;
        panic!("on purpose");
    })
    .unwrap();
    mux.run().unwrap();
    assert_eq!(seen.take(), Some(Errno::EINTR));

    let reads = Reads(reader, Rc::clone(&seen));
    mux.spawn_fiber(sharing(&kernel), move || {
        let _reads = reads;
        // A fiber that catches what unwinds it is unwound again at the next call that blocks.
        loop {
            let _ = catch_unwind(|| sys::read(reader, &mut [0]));
            let _ = sys::read(reader, &mut [0]);
        }
    })
    .unwrap();
    let stop = mux.handle();
    mux.spawn_fiber(lwp(&kernel), move || stop.stop()).unwrap();
    mux.run().unwrap();
    drop(mux);
    assert_eq!(seen.take(), Some(Errno::EINTR));
    nothing_left(&kernel);
}

#[test]
fn a_mux_that_is_dropped_in_a_panic_lets_that_go_on() {
    let kernel = Kernel::new().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut mux = Mux::new(&kernel).unwrap();
        let (reader, _writer) = kernel.enter(sys::pipe).unwrap();
        mux.spawn_fiber(sharing(&kernel), move || sys::read(reader, &mut [0])).unwrap();
        let _: Option<()> = mux
            .run_until(async {
                yield_turn_twice().await;
                panic!("main");
            })
            .unwrap();
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"main"));
    nothing_left(&kernel);
}

async fn yield_turn_twice() {
    mux::yield_turn().await;
    mux::yield_turn().await;
}

#[test]
fn a_task_that_spawns_while_it_is_cancelled_is_told_that_the_mux_is_closed() {
    struct Spawns(Kernel, Rc<Cell<Option<SpawnErrorKind>>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let spawned = mux::spawn_fiber(lwp(&self.0), || ());
            self.1.set(spawned.err().map(|error| error.kind()));
        }
    }
    let (kernel, mux) = mux();
    let seen = Rc::new(Cell::new(None));
    let spawns = Spawns(kernel.clone(), Rc::clone(&seen));
    mux.spawn_fiber(lwp(&kernel), move || drop(spawns)).unwrap();
    drop(mux);
    assert_eq!(seen.get(), Some(SpawnErrorKind::Closed));
    nothing_left(&kernel);
}

#[test]
fn kernels_muxes_and_handles_may_be_dropped_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let hooks = Arc::new(AtomicU32::new(0));
        let (kernel, mut mux) = mux();
        let counted = Arc::clone(&hooks);
        let options = ProcOptions::new().on_exit(move |_| _ = counted.fetch_add(1, Ordering::Relaxed));
        let (reader, _writer) = kernel.enter(sys::pipe).unwrap();
        let join = mux.spawn_fiber(kernel.spawn(options).unwrap(), move || sys::read(reader, &mut [0])).unwrap();
        mux.spawn(lwp(&kernel), pending::<()>()).unwrap();
        let stop = mux.handle();
        mux.spawn_fiber(lwp(&kernel), move || stop.stop()).unwrap();
        mux.run().unwrap();
        let (mut kernel, mut mux, mut handles) = (Some(kernel), Some(mux), Some(join));
        for which in order {
            match which {
                0 => drop(kernel.take()),
                1 => drop(mux.take()),
                _ => drop(handles.take()),
            }
        }
        assert_eq!(hooks.load(Ordering::Relaxed), 1, "{order:?}");
    }
}

#[test]
fn a_waker_may_outlive_its_task_and_its_mux() {
    let (kernel, mut mux) = mux();
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let kept = Rc::clone(&waker);
    mux.spawn(
        lwp(&kernel),
        poll_fn(move |cx| {
            *kept.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        }),
    )
    .unwrap();
    mux.run().unwrap();
    let waker = waker.take().unwrap();
    waker.wake_by_ref();
    mux.run().unwrap();
    let elsewhere = waker.clone();
    std::thread::spawn(move || elsewhere.wake()).join().unwrap();
    mux.run().unwrap();
    drop(mux);
    waker.wake_by_ref();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    nothing_left(&kernel);
}

#[test]
fn a_waker_that_panics_is_its_own_affair() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    let (kernel, mut mux) = mux();
    let waker = Waker::from(Arc::new(Panics));
    let mut join = mux.spawn_fiber(lwp(&kernel), || 1).unwrap();
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut join).poll(&mut cx).is_pending());
    mux.run().unwrap();
    assert_eq!(join.join().unwrap(), 1);
    nothing_left(&kernel);
}
