//! A fiber that never yields: seen from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lwproc::{Kernel, ProcOptions};

use super::{lwp, mux};

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
