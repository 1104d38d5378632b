//! Clocks and sleep.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lwproc::sys::{self, Clock};
use lwproc::{Console, Errno, Kernel, ProcOptions};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

#[test]
fn clocks_are_the_hosts() {
    boot().enter(|| {
        let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = sys::clock_gettime(Clock::Realtime).unwrap();
        let after = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert!(before <= now && now <= after);
        let host = || Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)).unwrap();
        let (before, now, after) = (host(), sys::clock_gettime(Clock::Monotonic).unwrap(), host());
        assert!(before <= now && now <= after);
        for (clock, host) in
            [(Clock::Realtime, rustix::time::ClockId::Realtime), (Clock::Monotonic, rustix::time::ClockId::Monotonic)]
        {
            let host = Duration::try_from(rustix::time::clock_getres(host)).unwrap();
            assert_eq!(sys::clock_getres(clock), Ok(host));
        }
    });
}

#[test]
fn sleep_is_never_short() {
    boot().enter(|| {
        for time in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(1), Duration::from_millis(30)] {
            let start = Instant::now();
            let mut remaining = Duration::MAX;
            assert_eq!(sys::nanosleep(time, Some(&mut remaining)), Ok(()));
            assert!(start.elapsed() >= time);
            assert_eq!(remaining, Duration::MAX);
        }
    });
}

#[test]
fn a_kill_ends_a_sleep_and_tells_what_was_left() {
    let kernel = boot();
    for time in [Duration::from_secs(600), Duration::MAX] {
        let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
        let (pid, ready) = (lwp.pid(), Barrier::new(2));
        thread::scope(|scope| {
            let sleeping = scope.spawn(|| {
                lwp.enter(|| {
                    ready.wait();
                    let mut remaining = Duration::ZERO;
                    let interrupted = sys::nanosleep(time, Some(&mut remaining));
                    // From now on every sleep ends at once.
                    assert_eq!(sys::nanosleep(time, None), Err(Errno::EINTR));
                    (interrupted, remaining)
                })
            });
            ready.wait();
            thread::sleep(Duration::from_millis(30));
            kernel.kill(pid).unwrap();
            let (interrupted, remaining) = sleeping.join().unwrap();
            assert_eq!(interrupted, Err(Errno::EINTR));
            assert!(remaining <= time && remaining >= time - Duration::from_secs(60));
        });
    }
}
