//! Nobody starves, counted in turns.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use lwproc::mux::{self, yield_now, yield_turn};
use lwproc::{Kernel, Mux, sys};

use super::{lwp, mux, nothing_left, sharing};

#[test]
fn turns_go_round() {
    let (kernel, mut mux) = mux();
    let turns = Rc::new(Cell::new(0));
    for place in 0..50 {
        let turns = Rc::clone(&turns);
        let take = move |round: u32| {
            assert_eq!(turns.get(), round * 50 + place);
            turns.set(turns.get() + 1);
        };
        if place % 2 == 0 {
            mux.spawn_fiber(lwp(&kernel), move || {
                for round in 0..20 {
                    take(round);
                    yield_now();
                }
            })
            .unwrap();
        } else {
            mux.spawn(lwp(&kernel), async move {
                for round in 0..20 {
                    take(round);
                    yield_turn().await;
                }
            })
            .unwrap();
        }
    }
    mux.run().unwrap();
    assert_eq!(turns.get(), 1000);
}

#[test]
fn one_that_is_spawned_by_one_that_yields_has_its_turn_next() {
    let (kernel, mut mux) = mux();
    let lwp = lwp(&kernel);
    mux.spawn_fiber(lwp.newlwp().unwrap(), move || {
        let began = Rc::new(Cell::new(false));
        let begins = Rc::clone(&began);
        mux::spawn_fiber(lwp, move || begins.set(true)).unwrap();
        yield_now();
        assert!(began.get());
    })
    .unwrap();
    mux.run().unwrap();
    nothing_left(&kernel);
}

/// Spawns a fiber and a future that yield until `ended`, and count their turns.
fn hogs(kernel: &Kernel, mux: &Mux, ended: &Rc<Cell<bool>>) -> Rc<Cell<u64>> {
    let turns = Rc::new(Cell::new(0));
    let hog = || {
        let (turns, ended) = (Rc::clone(&turns), Rc::clone(ended));
        move || {
            turns.set(turns.get() + 1);
            !ended.get()
        }
    };
    let fiber = hog();
    mux.spawn_fiber(lwp(kernel), move || {
        while fiber() {
            yield_now();
        }
    })
    .unwrap();
    let future = hog();
    mux.spawn(lwp(kernel), async move {
        while future() {
            yield_turn().await;
        }
    })
    .unwrap();
    turns
}

#[test]
fn those_that_always_yield_keep_no_wake_from_another_thread_longer_than_the_budget() {
    const BUDGET: u32 = 64;
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::builder(&kernel).budget(BUDGET).build().unwrap();
    let ended = Rc::new(Cell::new(false));
    let turns = hogs(&kernel, &mux, &ended);
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let (told, tell) = (Rc::new(Cell::new(0)), Rc::clone(&turns));
    let at = Rc::clone(&told);
    mux.spawn_fiber(sharing(&kernel), move || {
        let mut written = [0; 8];
        for _ in 0..10 {
            sys::read(reader, &mut written).unwrap();
            // The wake was left before this many turns had been taken.
            at.set(tell.get());
        }
        ended.set(true);
    })
    .unwrap();
    let writes = kernel.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..10 {
                writes.enter(|| sys::write(writer, &[0; 8]).unwrap());
            }
        });
        mux.run().unwrap();
    });
    // From the last wake on no more than what was ready and one budget.
    assert!(turns.get() - told.get() <= u64::from(BUDGET) + 4);
    nothing_left(&kernel);
}

#[test]
fn those_that_always_yield_keep_neither_timers_nor_descriptors_waiting() {
    let (kernel, mut mux) = mux();
    let ended = Rc::new(Cell::new(false));
    let turns = hogs(&kernel, &mux, &ended);
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let fd =
        kernel.enter(|| sys::install(lwproc::HostFile::new(here.into()).unwrap(), lwproc::OpenFlags::RDWR)).unwrap();
    let mut both = mux
        .spawn_fiber(sharing(&kernel), move || {
            sys::nanosleep(Duration::from_millis(2), None).unwrap();
            std::io::Write::write_all(&mut &there, b"x").unwrap();
            let read = sys::read(fd, &mut [0]).unwrap();
            // Ready when it was asked for: again, and this time it is not.
            let writer = there.try_clone().unwrap();
            let later = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(2));
                std::io::Write::write_all(&mut &writer, b"y").unwrap();
            });
            let read = read + sys::read(fd, &mut [0]).unwrap();
            later.join().unwrap();
            ended.set(true);
            read
        })
        .unwrap();
    mux.run().unwrap();
    assert_eq!(both.join().unwrap(), 2);
    assert!(turns.get() > 2);
    nothing_left(&kernel);
}
