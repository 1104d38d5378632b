//! Who may come in: how many connections are served at a time, and whether the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lwproc::{Events, File, OpenFile, OpenFlags, WaitQueue, Watch};

/// What connections and those who accept them wait for beside their sockets. It is a file of the server's own, which every
/// process has open, so that one `poll` waits for both:
/// - `HUP`: the server stops;
/// - `OUT`: a further connection may be accepted;
/// - `IN`: none may, and whoever serves nobody should make room.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: AtomicUsize,
    inside: AtomicUsize,
    closed: AtomicBool,
    /// Those who wait for room.
    outside: Arc<WaitQueue>,
    /// Those who wait for requests.
    idle: Arc<WaitQueue>,
}

impl Gate {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            inside: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            outside: Arc::default(),
            idle: Arc::default(),
        })
    }

    /// The gate as a file to be imported.
    pub(crate) fn file(self: &Arc<Self>) -> OpenFile {
        OpenFile::new(Box::new(View(Arc::clone(self))), OpenFlags::RDONLY)
    }

    /// Changes how many may be inside.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Lets one in, if there is room.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let more = |inside| (inside < self.limit.load(Ordering::Relaxed)).then_some(inside + 1);
        // Relaxed, here and below: numbers that order nothing. `wake_all` orders the change before its look at who waits.
        self.inside.try_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Pass(Arc::clone(self)))
    }

    /// Tells those who serve nobody if there is no room for another.
    pub(crate) fn look(&self) {
        if self.is_full() {
            self.idle.wake_all();
        }
    }

    fn is_full(&self) -> bool {
        self.inside.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }

    /// Tells everybody that the server stops.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.outside.wake_all();
        self.idle.wake_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// Leave to be inside. Dropped, it makes room for another.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
        self.0.outside.wake_all();
    }
}

/// The gate as processes have it open.
struct View(Arc<Gate>);

impl File for View {
    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        if let Some(watch) = watch {
            watch.queue(if events.contains(Events::OUT) { &self.0.outside } else { &self.0.idle });
        }
        let mut now = Events::empty();
        now.set(Events::HUP, self.0.is_closed());
        let room = if self.0.is_full() { Events::IN } else { Events::OUT };
        now | (room & events)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lwproc::sys::{self, PollFd};
    use lwproc::{Events, Kernel, OpenFlags, Result};

    use super::Gate;

    #[test]
    fn it_lets_in_as_many_as_it_may_and_says_when_it_is_full_and_when_closed() -> Result<()> {
        Kernel::new()?.enter(|| {
            let gate = Gate::new(2);
            let fd = sys::import(&gate.file(), OpenFlags::empty())?;
            let found = |events| {
                let mut polled = [PollFd::new(fd, events)];
                sys::poll(&mut polled, Some(Duration::ZERO)).map(|_| polled[0].revents)
            };
            let first = gate.enter();
            assert_eq!((found(Events::OUT)?, found(Events::IN)?), (Events::OUT, Events::empty()));
            let second = gate.enter();
            assert!(first.is_some() && second.is_some() && gate.enter().is_none());
            assert_eq!((found(Events::OUT)?, found(Events::IN)?), (Events::empty(), Events::IN));
            drop(first);
            assert!(gate.enter().is_some());
            gate.set_limit(1);
            assert!(gate.enter().is_none());
            gate.close();
            assert_eq!(found(Events::empty())?, Events::HUP);
            Ok(())
        })
    }

    #[test]
    fn who_waits_outside_comes_in_when_another_leaves() -> Result<()> {
        let kernel = Kernel::new()?;
        let gate = Gate::new(1);
        let pass = gate.enter();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                kernel.enter(|| -> Result<bool> {
                    let fd = sys::import(&gate.file(), OpenFlags::empty())?;
                    sys::poll(&mut [PollFd::new(fd, Events::OUT)], None)?;
                    Ok(gate.enter().is_some())
                })
            });
            drop(pass);
            assert!(waits.join().unwrap()?);
            Ok(())
        })
    }
}
