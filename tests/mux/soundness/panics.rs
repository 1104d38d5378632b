//! Panics, results, closures and drivers: what one task leaves is no other's end.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::time::Duration;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use lwproc::mux::{self, yield_now};
use lwproc::{Kernel, Mux, Runtime, block_on, sys};

use super::bounded;
use crate::muxes::{lwp, mux, nothing_left, sharing};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a result's drop");
    }
}

#[test]
fn a_result_or_payload_that_panics_in_drop_ends_no_runtime() {
    bounded(|| {
        let kernel = Kernel::new().unwrap();
        let runtime = Runtime::new(&kernel, 1).unwrap();
        let (reader, writer) = kernel.enter(sys::pipe).unwrap();
        let waits = move || {
            sys::read(reader, &mut [0]).unwrap();
            7
        };
        let mut neighbour = runtime.spawn_fiber(sharing(&kernel), waits).unwrap();
        // Nobody takes these results.
        drop(runtime.spawn_fiber(lwp(&kernel), || Bomb).unwrap());
        drop(runtime.spawn(lwp(&kernel), async { Bomb }).unwrap());
        drop(runtime.spawn_fiber(lwp(&kernel), || panic_any(Bomb)).unwrap());
        drop(runtime.spawn(lwp(&kernel), async { panic_any(Bomb) }).unwrap());
        let mut last = runtime.spawn_fiber(lwp(&kernel), || ()).unwrap();
        last.join().unwrap();
        kernel.enter(|| sys::write(writer, b"x")).unwrap();
        assert_eq!(neighbour.join().unwrap(), 7);
        runtime.spawn_fiber(lwp(&kernel), || ()).unwrap().join().unwrap();
        drop(runtime);
        nothing_left(&kernel);
    });
}

#[test]
fn a_run_goes_on_after_a_detached_result_or_payload_that_panics_in_drop() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        for _ in 0..2 {
            drop(mux.spawn_fiber(lwp(&kernel), || Bomb).unwrap());
            drop(mux.spawn(lwp(&kernel), async { panic_any(Bomb) }).unwrap());
            let mut other = mux
                .spawn_fiber(lwp(&kernel), || {
                    yield_now();
                    7
                })
                .unwrap();
            assert_eq!(mux.run(), Ok(()));
            assert_eq!(other.join().unwrap(), 7);
        }
        nothing_left(&kernel);
    });
}

#[test]
fn a_fiber_takes_a_closure_of_any_size_here_and_from_elsewhere() {
    bounded(|| {
        let (kernel, mut mux) = mux();
        let (small, large) = ([7u8; 1100], [7u8; 8000]);
        let mut here = [
            mux.spawn_fiber(lwp(&kernel), move || small[1099]).unwrap(),
            mux.spawn_fiber(lwp(&kernel), move || large[7999]).unwrap(),
        ];
        mux.run().unwrap();
        assert_eq!(here.each_mut().map(|join| join.join().unwrap()), [7, 7]);

        let runtime = Runtime::new(&kernel, 1).unwrap();
        let (reader, writer) = kernel.enter(sys::pipe).unwrap();
        let mut neighbour = runtime.spawn_fiber(sharing(&kernel), move || sys::read(reader, &mut [0])).unwrap();
        let mut there = [
            runtime.spawn_fiber(lwp(&kernel), move || small[1099]).unwrap(),
            runtime.spawn_fiber(lwp(&kernel), move || large[7999]).unwrap(),
        ];
        assert_eq!(there.each_mut().map(|join| join.join().unwrap()), [7, 7]);
        kernel.enter(|| sys::write(writer, b"x")).unwrap();
        assert_eq!(neighbour.join().unwrap(), Ok(1));
        drop(runtime);
        nothing_left(&kernel);
    });
}

/// Runs a multiplexer when it is dropped.
struct Runs(Kernel);

impl Drop for Runs {
    fn drop(&mut self) {
        let mut mux = Mux::new(&self.0).unwrap();
        let (reader, writer) = self.0.enter(sys::pipe).unwrap();
        let mut read = mux.spawn_fiber(sharing(&self.0), move || sys::read(reader, &mut [0])).unwrap();
        let writes = move || {
            yield_now();
            sys::write(writer, b"x")
        };
        let mut wrote = mux.spawn_fiber(sharing(&self.0), writes).unwrap();
        let mut panicked = mux.spawn_fiber(lwp(&self.0), || panic!("a task's")).unwrap();
        mux.run().unwrap();
        assert_eq!((read.join().unwrap(), wrote.join().unwrap()), (Ok(1), Ok(1)));
        assert_eq!(panicked.join().unwrap_err().to_string(), "it panicked: a task's");
    }
}

#[test]
fn a_mux_that_runs_while_its_host_thread_unwinds_works_as_otherwise() {
    bounded(|| {
        let kernel = Kernel::new().unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _runs = Runs(kernel.clone());
            panic!("the host thread's");
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"the host thread's"));
        nothing_left(&kernel);
    });
}

#[test]
fn two_waits_of_one_host_thread_may_end_out_of_order() {
    bounded(|| {
        let kernel = Kernel::new().unwrap();
        kernel.switch(None);
        let waits = || {
            Coroutine::<(), (), ()>::new(|yielder: &Yielder<(), ()>, ()| {
                block_on(async {
                    yielder.suspend(());
                    mux::sleep(Duration::from_millis(1)).await
                })
                .unwrap()
                .unwrap();
            })
        };
        let (mut first, mut second) = (waits(), waits());
        assert!(matches!(first.resume(()), CoroutineResult::Yield(())));
        assert!(matches!(second.resume(()), CoroutineResult::Yield(())));
        assert!(matches!(first.resume(()), CoroutineResult::Return(())));
        assert!(matches!(second.resume(()), CoroutineResult::Return(())));
        // Nothing of them is left to the thread's next waits.
        sys::nanosleep(Duration::from_millis(1), None).unwrap();
        block_on(mux::sleep(Duration::from_millis(1))).unwrap().unwrap();
        let mut mux = Mux::new(&kernel).unwrap();
        let mut slept = mux.spawn_fiber(lwp(&kernel), || sys::nanosleep(Duration::from_millis(1), None)).unwrap();
        mux.run().unwrap();
        assert_eq!(slept.join().unwrap(), Ok(()));
    });
}
