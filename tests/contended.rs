//! Host threads that want the same lwp: who has it is alone, and sees what the one before did. Nothing else orders them
//! here, so ThreadSanitizer (`.ci/sanitize thread`) would see a switch that does not.

use std::cell::UnsafeCell;
use std::thread;

use lwproc::{Console, FdInherit, Kernel, sys};

const THREADS: u64 = 4;
const TURNS: u64 = 2_000;

/// What the holder of the lwp alone touches.
struct Held(UnsafeCell<u64>);

// SAFETY: only who is switched to the lwp touches it.
unsafe impl Sync for Held {}

#[test]
fn who_has_a_lwp_is_alone_and_sees_what_the_one_before_did() {
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    kernel.rfork(FdInherit::Clean).unwrap();
    let lwp = kernel.curlwp();
    kernel.switch(None);
    let held = Held(UnsafeCell::new(0));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (kernel, held) = (&kernel, &held);
                scope.spawn(move || {
                    let mut turns = 0;
                    while turns < TURNS {
                        if kernel.try_switch(lwp).is_err() {
                            thread::yield_now();
                            continue;
                        }
                        let count = held.0.get();
                        // SAFETY: this thread has the lwp.
                        unsafe { *count += 1 };
                        assert_eq!(sys::getuid(), 0, "its credentials, through the lwp's own copy");
                        turns += 1;
                        // The last one ends while it has it, and so gives it back.
                        if turns < TURNS || thread % 2 == 0 {
                            kernel.switch(None);
                        }
                    }
                })
            })
            .collect();
        // A scope's own end does not wait for the threads' thread-locals, which give the lwp back.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    kernel.switch(lwp);
    assert_eq!(held.0.into_inner(), THREADS * TURNS);
    kernel.releaselwp();
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
}
