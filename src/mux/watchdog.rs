//! The watchdog: one host thread, which looks now and then whether a multiplexer is still in the turn in which it saw it
//! before, and tells who keeps that.
//!
//! It is there as long as there are multiplexers that are watched. Those do no more for it than to [show](Shown) their turns.

use std::fmt;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::shown::Shown;
use crate::errno::{Errno, Result};
use crate::id::{LwpId, Pid};
use crate::kernel::{Inner, Kernel};
use crate::panics;
use crate::table;

/// How often it looks in the time after which a turn is told of.
const LOOKS: u32 = 4;
/// The shortest time after which a turn can be told of.
const SHORTEST: Duration = Duration::from_millis(1);

/// A turn that lasts too long, as the hook of [`MuxBuilder::watchdog`](super::MuxBuilder::watchdog) is told of it.
///
/// `Display` says it in a line: `web-0: pid 7 (alice), lwp 3.1 keeps its turn, for 1.5 s now`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongTurn {
    /// The multiplexer's name.
    pub mux: String,
    /// The lwp that the task was spawned with, whatever it runs now; none for the future of
    /// [`Mux::run_until`](super::Mux::run_until).
    pub lwp: Option<LwpId>,
    /// That one's process, pid 1 where there is none; none where the lwp has ended already.
    pub pid: Option<Pid>,
    /// The process's name; empty where it has ended already.
    pub name: String,
    /// How long the turn has lasted, and maybe a fourth of the limit longer.
    pub lasted: Duration,
}

impl fmt::Display for LongTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.mux)?;
        match self.pid {
            Some(pid) => write!(f, "pid {pid} ({})", self.name)?,
            None => f.write_str("a process that has ended")?,
        }
        if let Some(lwp) = self.lwp {
            write!(f, ", lwp {lwp}")?;
        }
        write!(f, " keeps its turn, for {:.1?} now", self.lasted)
    }
}

/// When to tell of a turn, and whom.
#[derive(Clone)]
pub(super) struct Watch {
    limit: Duration,
    hook: Arc<dyn Fn(&LongTurn) + Send + Sync>,
}

impl Watch {
    pub(super) fn new(limit: Duration, hook: impl Fn(&LongTurn) + Send + Sync + 'static) -> Self {
        Self { limit: limit.max(SHORTEST), hook: Arc::new(hook) }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The time in which a multiplexer is watched. Dropped, it is not any more; a hook that runs then is not waited for.
#[derive(Debug)]
pub(super) struct Watched {
    shown: Arc<Shown>,
}

impl Watched {
    /// Has the watchdog look at a multiplexer.
    ///
    /// # Errors
    /// `EAGAIN`: the host has no thread left for it.
    pub(super) fn new(watch: Watch, mux: &str, kernel: &Kernel) -> Result<Self> {
        let shown = Arc::new(Shown::new());
        let kernel_id = kernel.id();
        let kernel = Arc::downgrade(kernel.inner());
        let (mux, seen) = (mux.into(), None);
        let entry = Entry { shown: Arc::clone(&shown), watch, mux, kernel, kernel_id, seen };
        let mut watchdog = WATCHDOG.lock();
        if !watchdog.runs {
            let thread = thread::Builder::new().name("lwproc-watchdog".into());
            thread.spawn(run).map_err(|_| Errno::EAGAIN)?;
            watchdog.runs = true;
        }
        watchdog.entries.push(entry);
        CHANGED.notify_one();
        Ok(Self { shown })
    }

    /// Where the multiplexer shows its turns.
    pub(super) fn shown(&self) -> &Arc<Shown> {
        &self.shown
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watchdog = WATCHDOG.lock();
        let place = watchdog.entries.iter().position(|entry| Arc::ptr_eq(&entry.shown, &self.shown));
        let entry = place.map(|place| watchdog.entries.swap_remove(place));
        CHANGED.notify_one();
        drop(watchdog);
        // Off the lock: the hook is anybody's.
        panics::contain(|| drop(entry));
    }
}

struct Watchdog {
    entries: Vec<Entry>,
    /// Whether its host thread is there.
    runs: bool,
}

static WATCHDOG: Mutex<Watchdog> = Mutex::new(Watchdog { entries: Vec::new(), runs: false });
/// There are more or fewer entries than before.
static CHANGED: Condvar = Condvar::new();

/// A multiplexer, as the watchdog knows it.
struct Entry {
    shown: Arc<Shown>,
    watch: Watch,
    mux: Box<str>,
    /// It must not keep the kernel's memory.
    kernel: Weak<Inner>,
    kernel_id: std::num::NonZeroU32,
    seen: Option<Seen>,
}

/// A turn that was seen.
struct Seen {
    turn: u64,
    since: Instant,
    told: bool,
}

impl Entry {
    /// Looks. Answers what is to be told, and how.
    fn look(&mut self, now: Instant) -> Option<(Watch, LongTurn)> {
        let Some((turn, lwp)) = self.shown.look() else {
            self.seen = None;
            return None;
        };
        let seen = match &mut self.seen {
            Some(seen) if seen.turn == turn => seen,
            other => other.insert(Seen { turn, since: now, told: false }),
        };
        let lasted = now.saturating_duration_since(seen.since);
        if seen.told || lasted < self.watch.limit {
            return None;
        }
        seen.told = true;
        let id = (lwp != 0).then(|| LwpId::from_raw(self.kernel_id, lwp));
        let (pid, name) = self.process(id).unzip();
        let (mux, name) = (self.mux.to_string(), name.unwrap_or_default());
        Some((self.watch.clone(), LongTurn { mux, lwp: id, pid, name, lasted }))
    }

    /// The process of a lwp that lives, or pid 1.
    fn process(&self, lwp: Option<LwpId>) -> Option<(Pid, String)> {
        let kernel = self.kernel.upgrade()?;
        let pid = match lwp {
            Some(lwp) => kernel.lwps.slot(lwp.handle())?.pid_of(lwp.handle())?,
            None => Pid::INIT,
        };
        let guard = table::pin();
        let name = kernel.procs.get(pid, &guard)?.name.load().to_string();
        Some((pid, name))
    }
}

/// What its host thread does.
fn run() {
    let mut watchdog = WATCHDOG.lock();
    while let Some(shortest) = watchdog.entries.iter().map(|entry| entry.watch.limit).min() {
        let now = Instant::now();
        let long: Vec<_> = watchdog.entries.iter_mut().filter_map(|entry| entry.look(now)).collect();
        if !long.is_empty() {
            // Off the lock: hooks are anybody's code, and their drops.
            MutexGuard::unlocked(&mut watchdog, || {
                for (watch, turn) in long {
                    panics::contain(|| (watch.hook)(&turn));
                    panics::contain(|| drop(watch));
                }
            });
            continue;
        }
        CHANGED.wait_for(&mut watchdog, shortest / LOOKS);
    }
    watchdog.runs = false;
}
