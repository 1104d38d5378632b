//! Other host threads: they wake, spawn and stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lwproc::{Errno, JoinError, Mux, sys};

use super::{lwp, mux, nothing_left, sharing};

#[test]
fn another_thread_wakes_a_mux_that_sleeps() {
    let (kernel, mut mux) = mux();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let (back, reply) = kernel.enter(sys::pipe).unwrap();
    mux.spawn_fiber(sharing(&kernel), move || {
        for round in 0..100 {
            let mut byte = [0];
            sys::read(reader, &mut byte).unwrap();
            assert_eq!(byte[0], round);
            sys::write(reply, &byte).unwrap();
        }
    })
    .unwrap();
    let other = kernel.clone();
    let writes = std::thread::spawn(move || {
        other.enter(|| {
            for round in 0..100 {
                if round % 10 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                sys::write(writer, &[round]).unwrap();
                let mut byte = [0];
                sys::read(back, &mut byte).unwrap();
                assert_eq!(byte[0], round);
            }
        });
    });
    mux.run().unwrap();
    writes.join().unwrap();
    nothing_left(&kernel);
}

#[test]
fn other_threads_spawn_and_stop() {
    const THREADS: u32 = 4;
    const EACH: u32 = 100;
    let (kernel, mut mux) = mux();
    let ran = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (kernel, handle, ran) = (kernel.clone(), mux.handle(), Arc::clone(&ran));
            std::thread::spawn(move || {
                for turn in 0..EACH {
                    let ran = Arc::clone(&ran);
                    let count = move || ran.fetch_add(1, Ordering::Relaxed);
                    let lwp = lwp(&kernel);
                    let mut join = if turn % 2 == 0 {
                        handle.spawn_fiber(lwp, count).unwrap()
                    } else {
                        handle.spawn(lwp, async move { count() }).unwrap()
                    };
                    join.join().unwrap();
                }
                if ran.load(Ordering::Relaxed) == THREADS * EACH {
                    handle.stop();
                }
            })
        })
        .collect();
    assert_eq!(mux.run_until(std::future::pending::<()>()), Ok(None));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(ran.load(Ordering::Relaxed), THREADS * EACH);
    nothing_left(&kernel);
}

#[test]
fn a_stop_with_everything_ready_keeps_all_for_the_next_run() {
    let (kernel, mut mux) = mux();
    let ran = Arc::new(AtomicU32::new(0));
    for number in 0..1000 {
        let (ran, stop) = (Arc::clone(&ran), mux.handle());
        mux.spawn_fiber(lwp(&kernel), move || {
            ran.fetch_add(1, Ordering::Relaxed);
            if number == 10 {
                stop.stop();
            }
        })
        .unwrap();
    }
    mux.run().unwrap();
    assert_eq!((ran.load(Ordering::Relaxed), mux.handle().load()), (11, 989));
    mux.run().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 1000);
    nothing_left(&kernel);
}

#[test]
fn what_is_spawned_by_others_while_the_mux_goes_is_cancelled_or_refused() {
    for _ in 0..50 {
        let (kernel, mux) = mux();
        let handle = mux.handle();
        let lwps: Vec<_> = (0..20).map(|_| lwp(&kernel)).collect();
        let spawns = std::thread::spawn(move || {
            for lwp in lwps {
                match handle.spawn_fiber(lwp, || ()) {
                    Ok(mut join) => assert!(matches!(join.join(), Err(JoinError::Cancelled))),
                    Err(error) => drop(error.into_lwp()),
                }
            }
        });
        drop(mux);
        spawns.join().unwrap();
        nothing_left(&kernel);
    }
}

#[test]
fn a_run_within_a_run_is_refused() {
    let (kernel, mut mux) = mux();
    let inner = kernel.clone();
    let mut refused = mux
        .spawn_fiber(lwp(&kernel), move || {
            let mut nested = Mux::new(&inner).unwrap();
            let lwp = lwp(&inner);
            nested.spawn_fiber(lwp, || ()).unwrap();
            (nested.run(), nested.run_until(async {}))
        })
        .unwrap();
    mux.run().unwrap();
    assert_eq!(refused.join().unwrap(), (Err(Errno::EDEADLK), Err(Errno::EDEADLK)));
    nothing_left(&kernel);
}
