//! A multiplexer for each of several host threads.

#[path = "common/muxes.rs"]
mod muxes;

use std::collections::HashSet;
use std::sync::{Arc, Barrier};

use lwproc::{Errno, JoinError, Kernel, Mux, Runtime, sys};

use muxes::lwp;

#[test]
fn what_is_spawned_goes_where_the_fewest_are() {
    const THREADS: usize = 3;
    let kernel = Kernel::new().unwrap();
    let runtime = Runtime::new(&kernel, THREADS).unwrap();
    let meet = Arc::new(Barrier::new(THREADS));
    // All three wait for each other, so each must have a thread of its own.
    let mut joins: Vec<_> = (0..THREADS)
        .map(|_| {
            let meet = Arc::clone(&meet);
            let wait = move || {
                meet.wait();
                std::thread::current().id()
            };
            runtime.spawn_fiber(lwp(&kernel), wait).unwrap()
        })
        .collect();
    let threads: HashSet<_> = joins.iter_mut().map(|join| join.join().unwrap()).collect();
    assert_eq!(threads.len(), THREADS);
    drop(runtime);
    assert_eq!(kernel.usage().lwps, 0);
}

#[test]
fn a_fiber_stays_on_its_host_thread() {
    let kernel = Kernel::new().unwrap();
    let runtime = Runtime::new(&kernel, 2).unwrap();
    let mut joins: Vec<_> = (0..20)
        .map(|_| {
            runtime
                .spawn_fiber(lwp(&kernel), || {
                    let thread = std::thread::current().id();
                    (0..50).all(|_| {
                        lwproc::mux::yield_now();
                        std::thread::current().id() == thread
                    })
                })
                .unwrap()
        })
        .collect();
    assert!(joins.iter_mut().all(|join| join.join().unwrap()));
}

#[test]
fn dropped_it_cancels_what_it_has() {
    let kernel = Kernel::new().unwrap();
    let runtime = Runtime::with(&Mux::builder(&kernel).name("web"), 2).unwrap();
    assert_eq!(runtime.muxes().iter().map(|mux| mux.name()).collect::<Vec<_>>(), ["web-0", "web-1"]);
    let mut waits = runtime.spawn_fiber(lwp(&kernel), || sys::poll(&mut [], None)).unwrap();
    let mut pends = runtime.spawn(lwp(&kernel), std::future::pending::<()>()).unwrap();
    drop(runtime);
    assert!(matches!(waits.join(), Err(JoinError::Cancelled)));
    assert!(matches!(pends.join(), Err(JoinError::Cancelled)));
    assert_eq!(kernel.usage().lwps, 0);
}

#[test]
fn one_of_no_threads_or_of_too_many_is_refused() {
    let kernel = Kernel::new().unwrap();
    for threads in [0, Runtime::MAX_THREADS + 1, usize::MAX] {
        assert_eq!(Runtime::new(&kernel, threads).unwrap_err(), Errno::EINVAL);
    }
}

#[test]
fn a_runtime_may_be_dropped_by_one_of_its_own() {
    let kernel = Kernel::new().unwrap();
    let runtime = Runtime::new(&kernel, 2).unwrap();
    let mux = runtime.muxes()[0].clone();
    let mut join = mux.spawn_fiber(lwp(&kernel), move || drop(runtime)).unwrap();
    assert!(join.join().is_ok());
}
