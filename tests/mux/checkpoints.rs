//! Long computations with checkpoints.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use lwproc::mux::{checkpoint, checkpoint_async, yield_now};
use lwproc::{Errno, JoinError, Kernel, Pid, ProcOptions, sys};

use super::{lwp, mux, nothing_left};

/// So many checkpoints are more than any test takes.
const MANY: u32 = 100_000_000;

/// Runs a fiber and a future that compute until `enough`, and answers what they told, as their pids are shown to `meanwhile`,
/// which another fiber runs.
fn computing(
    enough: &Rc<Cell<bool>>,
    meanwhile: impl FnOnce(&Kernel, [Pid; 2]) + 'static,
) -> [Result<Result<u32, Errno>, JoinError>; 2] {
    let (kernel, mut mux) = mux();
    let lwps = [(); 2].map(|()| kernel.spawn(ProcOptions::new()).unwrap());
    let pids = [lwps[0].pid(), lwps[1].pid()];
    let [one, other] = lwps;
    let over = Rc::clone(enough);
    let mut fiber = mux
        .spawn_fiber(one, move || {
            let mut checkpoints = 0;
            while checkpoints < MANY && !over.get() {
                checkpoint()?;
                checkpoints += 1;
            }
            Ok(checkpoints)
        })
        .unwrap();
    let over = Rc::clone(enough);
    let mut future = mux
        .spawn(other, async move {
            let mut checkpoints = 0;
            while checkpoints < MANY && !over.get() {
                checkpoint_async().await?;
                checkpoints += 1;
            }
            Ok(checkpoints)
        })
        .unwrap();
    let kills = kernel.clone();
    mux.spawn_fiber(lwp(&kernel), move || meanwhile(&kills, pids)).unwrap();
    mux.run().unwrap();
    let told = [fiber.join(), future.join()];
    nothing_left(&kernel);
    told
}

#[test]
fn those_that_compute_with_checkpoints_keep_others_neither_from_turns_nor_from_timers() {
    let enough = Rc::new(Cell::new(false));
    let ends = Rc::clone(&enough);
    let told = computing(&enough, move |_, _| {
        (0..3).for_each(|_| yield_now());
        sys::nanosleep(Duration::from_millis(1), None).unwrap();
        ends.set(true);
    });
    // Some end without a turn more than that in which they learn of it.
    assert!(told.iter().all(|told| matches!(told, Ok(Ok(checkpoints)) if *checkpoints < MANY)), "{told:?}");
}

#[test]
fn those_whose_process_is_killed_are_told_so_at_a_checkpoint() {
    let told = computing(&Rc::default(), |kernel, pids| pids.iter().for_each(|pid| kernel.kill(*pid).unwrap()));
    assert!(told.iter().all(|told| matches!(told, Ok(Err(Errno::EINTR)))), "{told:?}");
}

#[test]
fn killed_ones_that_take_no_notice_are_ended_at_a_checkpoint() {
    let (kernel, mut mux) = mux();
    let lwps = [(); 2].map(|()| kernel.spawn(ProcOptions::new()).unwrap());
    let pids = [lwps[0].pid(), lwps[1].pid()];
    let [one, other] = lwps;
    let mut fiber = mux.spawn_fiber(one, || (0..MANY).for_each(|_| _ = checkpoint())).unwrap();
    let mut future = mux
        .spawn(other, async {
            for _ in 0..MANY {
                let _ = checkpoint_async().await;
            }
        })
        .unwrap();
    let kills = kernel.clone();
    mux.spawn_fiber(lwp(&kernel), move || pids.iter().for_each(|pid| kills.kill(*pid).unwrap())).unwrap();
    mux.run().unwrap();
    assert!(matches!(fiber.join(), Err(JoinError::Cancelled)));
    assert!(matches!(future.join(), Err(JoinError::Cancelled)));
    nothing_left(&kernel);
}

#[test]
fn a_checkpoint_of_a_host_thread_tells_of_a_kill_alone() {
    let kernel = Kernel::new().unwrap();
    let mut lwp = lwp(&kernel);
    let pid = lwp.pid();
    lwp.enter(|| {
        assert_eq!(checkpoint(), Ok(()));
        assert_eq!(lwproc::block_on(checkpoint_async()), Ok(Ok(())));
        kernel.kill(pid).unwrap();
        assert_eq!(checkpoint(), Err(Errno::EINTR));
        assert_eq!(lwproc::block_on(checkpoint_async()), Ok(Err(Errno::EINTR)));
    });
}

/// Computes for long when it is dropped.
struct Computes(Rc<Cell<u32>>);

impl Drop for Computes {
    fn drop(&mut self) {
        for _ in 0..100_000 {
            checkpoint().unwrap();
        }
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_drop_while_it_unwinds_computes_to_its_end() {
    let (kernel, mut mux) = mux();
    let dropped = Rc::new(Cell::new(0));
    let (panics, waits) = (Computes(Rc::clone(&dropped)), Computes(Rc::clone(&dropped)));
    let panicked = mux
        .spawn_fiber(lwp(&kernel), move || {
            let _computes = panics;
            panic!("on purpose");
        })
        .unwrap();
    mux.spawn_fiber(lwp(&kernel), move || {
        let _computes = waits;
        let _ = sys::nanosleep(Duration::from_secs(3600), None);
    })
    .unwrap();
    mux.run_until(async { assert!(matches!(panicked.await, Err(JoinError::Panicked(_)))) }).unwrap();
    drop(mux);
    assert_eq!(dropped.get(), 2);
    nothing_left(&kernel);
}
