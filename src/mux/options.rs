//! How a multiplexer is made.

use std::time::Duration;

use super::Mux;
use super::watchdog::{LongTurn, Watch};
use crate::errno::Result;
use crate::kernel::Kernel;

/// The options of a [`Mux`]. The defaults are right for many small tasks.
///
/// ```
/// use lwproc::{Kernel, Mux};
///
/// let kernel = Kernel::new()?;
/// let mux = Mux::builder(&kernel).name("web").stack_size(256 << 10).build()?;
/// assert_eq!(mux.name(), "web");
/// # Ok::<(), lwproc::Errno>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MuxBuilder {
    pub(super) kernel: Kernel,
    pub(super) name: Box<str>,
    pub(super) stack_size: usize,
    pub(super) stacks_kept: usize,
    pub(super) budget: u32,
    pub(super) calls: u32,
    pub(super) spin: u32,
    pub(super) watch: Option<Watch>,
}

impl MuxBuilder {
    pub(super) fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            name: "mux".into(),
            stack_size: 64 << 10,
            stacks_kept: 1024,
            budget: 256,
            calls: 128,
            spin: 2000,
            watch: None,
        }
    }

    /// Its name, for reports.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The size of a fiber's stack in bytes, 64 KiB unless set; rounded up to pages. Only pages that were touched take
    /// memory. Each has a guard page below it: a fiber that needs more ends the host process with a report, and harms
    /// nobody's memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// How many stacks of ended fibers keep their memory for the next ones, 1,024 unless set. Others are kept without.
    pub fn stacks_kept(mut self, stacks: usize) -> Self {
        self.stacks_kept = stacks;
        self
    }

    /// How many turns it gives before it looks at descriptors and timers, 256 unless set. At least 1. What other threads
    /// left it takes in after 32 turns, or so many. A turn that used up its [`calls`](Self::calls) counts as 32.
    pub fn budget(mut self, turns: u32) -> Self {
        self.budget = turns.max(1);
        self
    }

    /// How many calls a task may make in a turn before others go first, 128 unless set; at least 1. See
    /// [`mux`](super#a-turn).
    pub fn calls(mut self, calls: u32) -> Self {
        self.calls = calls.max(1);
        self
    }

    /// How often at most it looks for wakes from other threads before it sleeps, 2,000 unless set; 0: not at all. It
    /// looks less often as long as that is in vain, and in the end not at all.
    pub fn spin(mut self, looks: u32) -> Self {
        self.spin = looks;
        self
    }

    /// Has `hook` told of each turn that lasts longer than `limit`, once; nobody is, unless set. At least a millisecond. What can
    /// be done then is said in [`mux`](super#long-turns).
    ///
    /// One host thread looks at all multiplexers that are watched, four times in the shortest limit, and calls the hooks, one
    /// after the other; while one runs, nobody is watched. A hook's panic ends there. One that runs when the multiplexer is
    /// dropped is not waited for.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use lwproc::{Kernel, Mux, ProcOptions};
    ///
    /// let kernel = Kernel::new()?;
    /// let (tell, told) = mpsc::channel();
    /// let tell = move |turn: &lwproc::mux::LongTurn| _ = tell.send(turn.clone());
    /// let mut mux = Mux::builder(&kernel).watchdog(Duration::from_millis(5), tell).build()?;
    /// let mut name = mux.spawn_fiber(kernel.spawn(ProcOptions::new().name("busy"))?, move || {
    ///     // Computes, and does not come to a checkpoint.
    ///     told.recv().unwrap().name
    /// })?;
    /// mux.run()?;
    /// assert_eq!(name.join().unwrap(), "busy");
    /// # Ok::<(), lwproc::Errno>(())
    /// ```
    pub fn watchdog(mut self, limit: Duration, hook: impl Fn(&LongTurn) + Send + Sync + 'static) -> Self {
        self.watch = Some(Watch::new(limit, hook));
        self
    }

    /// Makes it, for the calling host thread.
    ///
    /// # Errors
    /// `EINVAL`: a stack size that is too small, or absurd. `EMFILE`, `ENFILE`, `ENOMEM`: the host has no descriptor for
    /// the reactor, or no memory. `EAGAIN`: it has no thread for the watchdog.
    pub fn build(self) -> Result<Mux> {
        Mux::of(self)
    }
}
