//! boost.fiber, by `cpp/boost.cc`.

use std::ffi::c_void;
use std::time::{Duration, Instant};

use crate::apart::apart;
use crate::memory::Parked;
use crate::multiplexing::AT_ONCE;
use crate::table::Row;

unsafe extern "C" {
    fn peers_boost_yielding(count: u64);
    fn peers_boost_yield(times: u64);
    fn peers_boost_live(times: u64, at_once: u64) -> u64;
    fn peers_boost_ping_pong_new() -> *mut c_void;
    fn peers_boost_ping_pong(pair: *mut c_void, times: u64);
    fn peers_boost_park(count: u64);
}

fn timed(f: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    f();
    begun.elapsed()
}

/// The thread's own fiber is one of them.
pub fn yielding(name: &'static str, count: usize) -> Row {
    let row = apart(name, move || {
        // SAFETY: the scheduler is this thread's, which never ends before the program does.
        unsafe { peers_boost_yielding(count as u64 - 1) };
        // SAFETY: as above.
        move |iters| timed(|| unsafe { peers_boost_yield(iters / count as u64) })
    });
    row.in_laps(count)
}

pub fn life(name: &'static str) -> Row {
    apart(name, || {
        |iters| {
            timed(|| {
                // SAFETY: it takes so many at once.
                let ran = unsafe { peers_boost_live(iters, AT_ONCE) };
                assert_eq!(ran, iters);
            })
        }
    })
    .in_laps(AT_ONCE as usize)
}

/// Over its buffered channels, for one value.
pub fn ping_pong(name: &'static str) -> Row {
    apart(name, || {
        // SAFETY: it stays on this thread, and is never freed.
        let pair = unsafe { peers_boost_ping_pong_new() };
        // SAFETY: as above.
        move |iters| timed(|| unsafe { peers_boost_ping_pong(pair, iters) })
    })
}

/// So many fibers, parked.
pub fn park(count: usize) -> Parked {
    // SAFETY: this thread does nothing else with them.
    unsafe { peers_boost_park(count as u64) };
    Parked::new(count, ())
}
