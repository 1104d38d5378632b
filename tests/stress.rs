//! Eight threads that do everything at once, at random: nothing may be lost, found twice, or left at the end.
//!
//! Longer: `cargo test --release --test stress -- --ignored`. Under ThreadSanitizer: `.ci/sanitize thread`, for which the locks are
//! parking_lot's: it cannot look into std's.

#[path = "common/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use lwproc::local::{self, Inherit};
use lwproc::sys::{self, Fcntl};
use lwproc::{Console, Errno, FdInherit, File, Kernel, Lwp, LwpId, OpenFlags, Pid, ProcOptions, Resource, Rlimit};
use random::Random;

const THREADS: u64 = 8;

/// Counts those that there are: as files, as locals, as hooks.
struct Alive(Arc<AtomicI64>);

impl Alive {
    fn new(count: &Arc<AtomicI64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Clone for Alive {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl File for Alive {}

impl Drop for Alive {
    fn drop(&mut self) {
        // A close may make any call.
        let _ = sys::dup(0).map(sys::close);
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    /// Lwps that somebody let go of.
    idle: Mutex<Vec<LwpId>>,
    owned: Mutex<Vec<Lwp>>,
    alive: Arc<AtomicI64>,
}

fn taken<T>(from: &Mutex<Vec<T>>, random: &mut Random) -> Option<T> {
    let mut from = from.lock();
    if from.is_empty() {
        None
    } else {
        let at = random.below(from.len());
        Some(from.swap_remove(at))
    }
}

/// Keeps the number of lwps about where it is interesting: many enough to share, few enough to meet.
const CROWD: u32 = 200;

fn step(kernel: &Kernel, shared: &Shared, random: &mut Random) {
    let current = kernel.curlwp();
    let crowded = kernel.usage().lwps > CROWD;
    match random.below(if crowded { 12 } else { 16 }) {
        0 | 1 => {
            if let Some(lwp) = current {
                kernel.switch(None);
                shared.idle.lock().push(lwp);
            }
        }
        2 | 3 => {
            // Its id is this thread's alone while it is off the list.
            if let Some(to) = taken(&shared.idle, random) {
                kernel.switch(Some(to));
                assert_eq!(kernel.curlwp(), Some(to));
                shared.idle.lock().extend(current);
            }
        }
        4..=6 => {
            if current.is_some() {
                kernel.releaselwp();
                assert_eq!(sys::getpid(), Pid::INIT);
            }
        }
        7 => {
            if current.is_some() {
                let _ = sys::install(Alive::new(&shared.alive), OpenFlags::RDWR);
                let fd = random.below(8) as i32;
                let _ = match random.below(5) {
                    0 => sys::dup(fd),
                    1 => sys::dup2(fd, random.below(40) as i32),
                    2 => sys::fcntl(fd, Fcntl::DupFdCloexec(random.below(30) as i32)),
                    3 => sys::pipe().map(|(reader, _)| reader),
                    _ => sys::close(fd).map(|()| 0),
                };
            }
        }
        8 => {
            if current.is_some() {
                local::set(Alive::new(&shared.alive), Inherit::clone());
                let hook = Alive::new(&shared.alive);
                local::on_exit(move |pid| assert_eq!((sys::getpid(), hook.0.load(Ordering::Relaxed) > 0), (pid, true)));
            }
        }
        9 => {
            let ps = kernel.ps();
            assert!(ps.iter().map(|row| row.pid).is_sorted_by(|one, next| one < next), "each process once");
            assert!(ps.iter().take(2).map(|row| row.pid.raw()).eq([0, 1]));
            if let Some(row) = ps.iter().nth(2 + random.below(64)) {
                let _ = random.below(4) == 0 && kernel.kill(row.pid).is_ok();
                assert!(ps.to_string().contains(&row.name));
            }
        }
        10 => {
            if let Some(mut lwp) = taken(&shared.owned, random) {
                let pid = lwp.pid();
                lwp.enter(|| {
                    assert_eq!(sys::getpid(), pid);
                    let _ = sys::setuid(random.below(4) as u32 + 1);
                    let _ = sys::dup(random.below(4) as i32);
                });
                assert_eq!(kernel.curlwp(), current);
                if random.below(2) == 0 {
                    shared.owned.lock().push(lwp);
                }
            }
        }
        11 => {
            // Ids that others may have, or have released.
            let stale = shared.idle.lock().first().copied();
            if let (Some(lwp), true) = (stale, random.below(8) == 0) {
                let raced = LwpId::from_raw(lwp.kernel(), lwp.raw() ^ (1 << (24 + random.below(2))));
                assert!(
                    raced == lwp || kernel.try_switch(Some(raced)).is_err() || {
                        // A living one after all, of a list that moves: it is nobody else's now.
                        shared.idle.lock().retain(|listed| *listed != raced);
                        shared.idle.lock().extend(current);
                        true
                    }
                );
            }
        }
        12 => {
            let options = ProcOptions::new()
                .uid(random.below(4) as u32)
                .fds(FdInherit::Share)
                .limit(Resource::NoFile, Rlimit::both(32));
            let lwp = kernel.spawn(options).unwrap();
            assert!(matches!(lwp.newlwp().map(drop), Ok(()) | Err(Errno::EBUSY)));
            shared.owned.lock().push(lwp);
        }
        13 => {
            if current.is_some() {
                match kernel.newlwp(sys::getpid()) {
                    Ok(()) => shared.idle.lock().extend(current),
                    Err(errno) => assert_eq!(errno, Errno::EBUSY),
                }
            }
        }
        _ => {
            let fds = [FdInherit::Share, FdInherit::Copy, FdInherit::Clean][random.below(3)];
            kernel.rfork(fds).unwrap();
            shared.idle.lock().extend(current);
        }
    }
}

fn churn(seed: u64, time: Duration) {
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    let shared = Shared::default();
    let end = Instant::now() + time;
    println!("seed {seed:#x}");
    let steps: u64 = thread::scope(|scope| {
        let churns: Vec<_> = (0..THREADS)
            .map(|number| {
                let (kernel, shared) = (&kernel, &shared);
                scope.spawn(move || {
                    let mut random = Random(seed ^ (number + 1) << 32);
                    let mut steps = 0;
                    while Instant::now() < end {
                        for _ in 0..64 {
                            step(kernel, shared, &mut random);
                        }
                        steps += 64;
                    }
                    // It ends bound: the lwp is anybody's when the thread has ended, and not before.
                    (steps, kernel.curlwp())
                })
            })
            .collect();
        let ended = churns.into_iter().map(|churn| {
            let (steps, bound) = churn.join().unwrap();
            shared.idle.lock().extend(bound);
            steps
        });
        ended.sum()
    });

    // What is left is listed, each lwp once and by nobody run, and goes.
    let ps = kernel.ps();
    assert_eq!(ps.iter().map(|row| row.running).sum::<u32>(), 0);
    assert_eq!(ps.iter().map(|row| row.lwps).sum::<u32>(), kernel.usage().lwps);
    let listed = shared.idle.into_inner();
    let mut times = BTreeMap::new();
    listed.iter().for_each(|lwp| *times.entry(lwp.raw()).or_insert(0) += 1);
    assert!(times.values().all(|times| *times == 1));
    let owned = shared.owned.into_inner();
    assert_eq!(kernel.usage().lwps as usize, listed.len() + owned.len());
    drop(owned);
    for lwp in listed {
        kernel.switch(Some(lwp));
        kernel.releaselwp();
    }
    println!("{steps} steps");
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
    assert_eq!(kernel.ps().iter().count(), 2);
    // Files in the table that pid 1 shared with its children.
    drop(kernel);
    assert_eq!(shared.alive.load(Ordering::Relaxed), 0, "files, locals and hooks");
}

#[test]
fn eight_threads_at_random_leave_nothing() {
    churn(0x5eed, Duration::from_secs(2));
}

/// Another seed each time, which it prints.
#[test]
#[ignore = "takes a minute"]
fn eight_threads_at_random_for_a_minute_leave_nothing() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    churn(now.as_nanos() as u64 | 1, Duration::from_secs(60));
}
