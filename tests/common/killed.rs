//! Calls whose process is killed while they wait.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use lwproc::{Kernel, ProcOptions};

/// Runs `call` in a new process on another host thread, kills that process once the call waits, and gives its answer.
pub(crate) fn killed<T: Send>(kernel: &Kernel, call: impl FnOnce() -> T + Send) -> T {
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let (pid, ready) = (lwp.pid(), Barrier::new(2));
    thread::scope(|scope| {
        let caller = scope.spawn(|| {
            lwp.enter(|| {
                ready.wait();
                call()
            })
        });
        ready.wait();
        thread::sleep(Duration::from_millis(30));
        assert!(!caller.is_finished());
        kernel.kill(pid).unwrap();
        caller.join().unwrap()
    })
}
