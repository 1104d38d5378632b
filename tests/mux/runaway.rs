//! Those that keep their turns: seen from outside, and told of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lwproc::mux::{self, LongTurn};
use lwproc::{Errno, Kernel, LwpId, Mux, MuxBuilder, Pid, ProcOptions, Runtime, sys};

use super::{lwp, mux};

/// After which time a watchdog tells.
const LIMIT: Duration = Duration::from_millis(2);

/// Whether the process called `name` runs, and how often it was switched from.
fn row(kernel: &Kernel, name: &str) -> Option<(u32, u64)> {
    kernel.ps().iter().find(|row| row.name == name).map(|row| (row.running, row.switches))
}

#[test]
fn one_that_never_yields_is_seen_to_run_with_switches_that_stand_still() {
    let (kernel, mut mux) = mux();
    let enough = Arc::new(AtomicBool::new(false));
    let (runs, ends) = (kernel.spawn(ProcOptions::new().name("runs")).unwrap(), Arc::clone(&enough));
    mux.spawn_fiber(runs, move || {
        while !ends.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    })
    .unwrap();
    mux.spawn_fiber(kernel.spawn(ProcOptions::new().name("waits")).unwrap(), || ()).unwrap();
    mux.spawn_fiber(lwp(&kernel), || ()).unwrap();
    let sees = kernel.clone();
    let observer = std::thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(60);
        while row(&sees, "runs") != Some((1, 0)) {
            assert!(Instant::now() < until, "it is never seen to run");
            std::thread::yield_now();
        }
        let later = (row(&sees, "runs"), row(&sees, "waits"));
        enough.store(true, Ordering::Relaxed);
        later
    });
    mux.run().unwrap();
    assert_eq!(observer.join().unwrap(), (Some((1, 0)), Some((0, 0))));
}

/// A watchdog's hook that sends what it is told of, and where to hear it.
fn told() -> (impl Fn(&LongTurn) + Send + Sync + Clone + 'static, mpsc::Receiver<LongTurn>) {
    let (tell, told) = mpsc::channel();
    (move |turn: &LongTurn| _ = tell.send(turn.clone()), told)
}

/// What a fiber called `name` hears that keeps its turn until `hear` comes back.
fn keeps_its_turn(
    builder: MuxBuilder,
    name: &str,
    hear: impl FnOnce() -> LongTurn + 'static,
) -> (LongTurn, LwpId, Pid) {
    let mut mux = builder.name("web").build().unwrap();
    let lwp = mux.kernel().spawn(ProcOptions::new().name(name)).unwrap();
    let (id, pid) = (lwp.id(), lwp.pid());
    let mut join = mux.spawn_fiber(lwp, hear).unwrap();
    mux.run().unwrap();
    (join.join().unwrap(), id, pid)
}

#[test]
fn a_watchdog_tells_once_who_keeps_its_turn() {
    let kernel = Kernel::new().unwrap();
    let (hook, told) = told();
    let builder = Mux::builder(&kernel).watchdog(LIMIT, hook);
    let told = Arc::new(Mutex::new(told));
    let (hears, another) = (Arc::clone(&told), builder.clone());
    let (turn, lwp, pid) = keeps_its_turn(builder, "long", move || {
        let turn = hears.lock().unwrap().recv().unwrap();
        // The same turn, until another one's is told of.
        let other =
            thread::spawn(move || keeps_its_turn(another, "other", move || hears.lock().unwrap().recv().unwrap()));
        assert_eq!(other.join().unwrap().0.name, "other");
        turn
    });
    assert_eq!((turn.mux.as_str(), turn.lwp, turn.pid, turn.name.as_str()), ("web", Some(lwp), Some(pid), "long"));
    assert!(turn.lasted >= LIMIT);
    assert!(turn.to_string().starts_with(&format!("web: pid {pid} (long), lwp {lwp} keeps its turn, for ")), "{turn}");
    assert!(told.lock().unwrap().try_recv().is_err());
}

#[test]
fn a_watchdog_tells_of_the_main_future_and_of_one_that_has_switched_away() {
    let kernel = Kernel::new().unwrap();
    let (hook, told) = told();
    let mut mux = Mux::builder(&kernel).watchdog(LIMIT, hook).build().unwrap();
    let turn = mux.run_until(async { told.recv().unwrap() }).unwrap().unwrap();
    assert_eq!((turn.lwp, turn.pid, turn.name.as_str()), (None, Some(Pid::INIT), "init"));
    let lwp = lwp(&kernel);
    let id = lwp.id();
    let ends = kernel.clone();
    let mut ended = mux
        .spawn_fiber(lwp, move || {
            let pid = sys::getpid();
            ends.switch(None);
            let turn = told.recv().unwrap();
            (turn.pid == Some(pid), turn)
        })
        .unwrap();
    mux.run().unwrap();
    let (there, turn) = ended.join().unwrap();
    assert!(there && turn.lwp == Some(id));
}

#[test]
fn a_watchdogs_hook_may_kill_who_keeps_its_turn() {
    let kernel = Kernel::new().unwrap();
    let kills = kernel.clone();
    let hook = move |turn: &LongTurn| {
        assert_eq!(turn.mux, "web-0");
        _ = turn.pid.map(|pid| kills.kill(pid));
        panic!("this goes no further");
    };
    let runtime = Runtime::with(&Mux::builder(&kernel).name("web").watchdog(LIMIT, hook), 1).unwrap();
    for _ in 0..2 {
        let mut computes = runtime
            .spawn_fiber(lwp(&kernel), || -> Result<(), Errno> {
                loop {
                    thread::sleep(2 * LIMIT);
                    mux::checkpoint()?;
                }
            })
            .unwrap();
        assert_eq!(computes.join().unwrap(), Err(Errno::EINTR));
    }
}

#[test]
fn a_multiplexer_that_is_gone_leaves_nothing_with_the_watchdog() {
    let kernel = Kernel::new().unwrap();
    let captured = Arc::new(());
    let kept = Arc::clone(&captured);
    let limit = Duration::from_secs(3600);
    let builder = Mux::builder(&kernel).watchdog(limit, move |_| _ = &kept);
    let muxes = [builder.clone().build().unwrap(), builder.build().unwrap()];
    assert_eq!(Arc::strong_count(&captured), 2);
    drop(muxes);
    assert_eq!(Arc::strong_count(&captured), 1);
}
