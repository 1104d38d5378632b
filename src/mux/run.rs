//! `Mux`, and its loop: turns, then what other threads left, then descriptors and timers, then sleep.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::handle::MuxHandle;
use super::options::MuxBuilder;
use super::reactor::Reactor;
use super::scheduler::{self, Entered, Scheduler};
use super::spawn::{JoinHandle, SpawnError};
use super::spin::Spin;
use super::stack::StackPool;
use super::task::{Birth, Body, Message, Remote, Task};
use super::watchdog::Watched;
use crate::context::curlwp::{Cpu, cpu};
use crate::context::nest;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::lwproc::Lwp;
use crate::wait::turn::{self, Length};
use crate::wait::waker::ForeignWaker;

/// Runs many lwps on the host thread that made it, each as a fiber or a future.
///
/// A *fiber* is ordinary blocking code on a stack of its own: what would block in it (a system call, a
/// [`join`](JoinHandle::join)) suspends it alone. A *future* takes no stack, and awaits. Both begin in their lwp, which runs
/// from the spawn on, and is released when they end.
///
/// Turns go round among those that are ready. Fibers and futures stay on this host thread; servers that want more cores
/// have a multiplexer for each ([`Runtime`](super::Runtime)). A panic ends its task and is in the join handle. Dropped,
/// the multiplexer [cancels](super#cancel-and-kill) the tasks that it still has: futures are dropped, fibers unwound, each in its
/// context, and the lwps released.
///
/// ```
/// use lwproc::{Kernel, Mux, ProcOptions, sys};
///
/// let kernel = Kernel::new()?;
/// let mut mux = Mux::new(&kernel)?;
/// let (reader, writer) = kernel.enter(sys::pipe)?;
/// # let options = || ProcOptions::new().fds(lwproc::FdInherit::Share);
/// let mut read = mux.spawn_fiber(kernel.spawn(options())?, move || {
///     let mut buf = [0; 5];
///     sys::read(reader, &mut buf).map(|_| buf)
/// })?;
/// mux.spawn(kernel.spawn(options())?, async move { sys::aio::write(writer, b"hello").await })?;
/// mux.run()?;
/// assert_eq!(&read.join().unwrap()?, b"hello");
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub struct Mux {
    /// The time in which a watchdog looks at it. It ends before the kernel may.
    _watched: Option<Watched>,
    scheduler: Box<Scheduler>,
    budget: u32,
    spin: Spin,
    /// Bound to its host thread.
    not_send: PhantomData<*const ()>,
}

/// How many turns are given before the inbox is looked at: that takes no system call.
const INBOX_TURNS: u32 = 32;
/// How much is taken in at a time.
const DRAINED: u32 = 256;

/// Why the loop came to its end.
enum End {
    /// What was to finish has finished.
    Done,
    /// It was stopped.
    Stopped,
}

impl Mux {
    /// A multiplexer with the default options, for the calling host thread.
    ///
    /// # Errors
    /// As for [`MuxBuilder::build`].
    pub fn new(kernel: &Kernel) -> Result<Self> {
        Self::builder(kernel).build()
    }

    /// A multiplexer to be configured before it is made.
    pub fn builder(kernel: &Kernel) -> MuxBuilder {
        MuxBuilder::new(kernel)
    }

    pub(super) fn of(options: MuxBuilder) -> Result<Self> {
        let MuxBuilder { kernel, name, stack_size, stacks_kept, budget, calls, spin, watch } = options;
        let stacks = StackPool::new(stack_size, stacks_kept)?;
        let reactor = Reactor::new()?;
        let remote = Remote::new(name, kernel.id(), reactor.notifier());
        let watched = watch.map(|watch| Watched::new(watch, &remote.name, &kernel)).transpose()?;
        let shown = watched.as_ref().map(|watched| Arc::clone(watched.shown()));
        let scheduler = Scheduler::new(remote, kernel, stacks, reactor, calls, shown);
        Ok(Self { scheduler, budget, spin: Spin::new(spin), _watched: watched, not_send: PhantomData })
    }

    /// Spawns a future in `lwp`. It has its first turn when the multiplexer runs.
    ///
    /// # Errors
    /// [`SpawnError`] gives the lwp back: it runs, was released, or is another kernel's.
    pub fn spawn<F: Future + 'static>(
        &self,
        lwp: Lwp,
        future: F,
    ) -> std::result::Result<JoinHandle<F::Output>, SpawnError> {
        self.scheduler.spawn(lwp, future)
    }

    /// Spawns a fiber in `lwp`. It has its first turn when the multiplexer runs.
    ///
    /// # Errors
    /// [`SpawnError`] gives the lwp back: it runs, was released, or is another kernel's; or there is no memory for a
    /// stack, or no room for its guard.
    pub fn spawn_fiber<T: 'static>(
        &self,
        lwp: Lwp,
        f: impl FnOnce() -> T + 'static,
    ) -> std::result::Result<JoinHandle<T>, SpawnError> {
        self.scheduler.spawn_fiber(lwp, f, Body::Fiber)
    }

    /// Spawns a fiber with frames of C: cancelled, it is not unwound but goes on to its end.
    #[cfg(feature = "capi")]
    pub(crate) fn spawn_guest(&self, lwp: Lwp, f: impl FnOnce() + 'static) -> std::result::Result<(), SpawnError> {
        self.scheduler.spawn_fiber(lwp, f, Body::Guest).map(drop)
    }

    /// Runs until all tasks have finished, or it is stopped.
    ///
    /// # Errors
    /// `EDEADLK`: a multiplexer runs on this host thread already, and calls this. `ENOMEM`: the host cannot wait.
    pub fn run(&mut self) -> Result<()> {
        self.go(None).map(|_| ())
    }

    /// Runs until `future` is ready, or it is stopped: then `None`. The future is in the implicit context of the kernel, and
    /// is polled first. The tasks that have not finished then stay as they are, for another run.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_until<F: Future>(&mut self, future: F) -> Result<Option<F::Output>> {
        let mut future = pin!(future);
        let mut ready = None;
        let mut poll = |waker: &Waker| match future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(value) => {
                ready = Some(value);
                true
            }
            Poll::Pending => false,
        };
        self.go(Some(&mut poll))?;
        Ok(ready)
    }

    /// A handle for other host threads.
    pub fn handle(&self) -> MuxHandle {
        MuxHandle::new(&self.scheduler.remote)
    }

    /// Its kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.scheduler.kernel
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.scheduler.remote.name
    }

    /// How many tasks it has that have not finished.
    pub fn load(&self) -> u32 {
        self.handle().load()
    }

    fn go(&mut self, main: Option<&mut dyn FnMut(&Waker) -> bool>) -> Result<End> {
        if scheduler::with(|scheduler| scheduler.is_some()) {
            return Err(Errno::EDEADLK);
        }
        let scheduler = &*self.scheduler;
        let (spin, budget) = (&mut self.spin, self.budget);
        nest(scheduler.kernel.inner(), |_| {
            let _entered = Entered::new(scheduler);
            match main {
                None => turns(scheduler, spin, budget, None),
                Some(main) => {
                    let task = scheduler.admit(Birth::main());
                    let _dismissed = Main { scheduler, task };
                    turns(scheduler, spin, budget, Some(main))
                }
            }
        })
    }
}

/// What `run_until` runs, as a task; dismissed when that returns or panics.
struct Main<'l> {
    scheduler: &'l Scheduler,
    task: &'l Task,
}

impl Drop for Main<'_> {
    fn drop(&mut self) {
        self.scheduler.end_main(self.task);
    }
}

/// The loop.
fn turns(
    scheduler: &Scheduler,
    spin: &mut Spin,
    budget: u32,
    main: Option<&mut dyn FnMut(&Waker) -> bool>,
) -> Result<End> {
    let until_all = main.is_none();
    let mut nobody = |_: &Waker| false;
    let main = main.unwrap_or(&mut nobody);
    let mut woken = Vec::new();
    let mut left = budget;
    loop {
        let turns = left.min(INBOX_TURNS);
        // Once a round: the address of the thread's cells does not change.
        if cpu(|cpu| round(scheduler, cpu, turns, main)) {
            return Ok(End::Done);
        }
        drain(scheduler);
        scheduler.look_for_killed();
        if scheduler.remote.take_stop() {
            return Ok(End::Stopped);
        }
        if until_all && scheduler.unfinished.get() == 0 && scheduler.remote.inbox().is_empty() {
            return Ok(End::Done);
        }
        left = if turn::length() == Length::Long { 0 } else { left - turns };
        if scheduler.queue.len() == 0 {
            idle(scheduler, spin, &mut woken)?;
            left = budget;
        } else if left == 0 {
            look(scheduler, Some(Duration::ZERO), &mut woken)?;
            left = budget;
        }
    }
}

/// So many turns, or until nobody is ready; one that was not short is as good as all of them. Whether `main` has finished.
#[inline]
fn round(scheduler: &Scheduler, cpu: &Cpu, turns: u32, main: &mut dyn FnMut(&Waker) -> bool) -> bool {
    let mut finished = false;
    for _ in 0..turns {
        match scheduler.next_turn(cpu, main) {
            Some(false) => {
                if turn::length() != Length::Short || scheduler.remote.is_to_stop() {
                    break;
                }
            }
            Some(true) => {
                finished = true;
                break;
            }
            None => break,
        }
    }
    cpu.set_context(scheduler.home.implicit());
    finished
}

/// Takes in what other threads have left: not more at a time than can keep those waiting who are ready.
fn drain(scheduler: &Scheduler) {
    for _ in 0..DRAINED {
        match scheduler.remote.inbox().pop() {
            Some(Message::Wake(task)) => {
                task.enqueued.clear();
                scheduler.queue.enqueue(&task);
            }
            Some(Message::Spawn(birth)) => {
                if let Some(birth) = birth(&scheduler.stacks) {
                    scheduler.admit(birth);
                }
                scheduler.remote.load.arrived();
            }
            None => break,
        }
    }
}

/// Looks at descriptors and timers, and waits `timeout` at most where there are any to wait for.
fn look(scheduler: &Scheduler, timeout: Option<Duration>, woken: &mut Vec<ForeignWaker>) -> Result<()> {
    if timeout != Some(Duration::ZERO) || !scheduler.reactor.is_idle() {
        scheduler.reactor.poll(timeout, woken)?;
    }
    if scheduler.timers.next().is_some() {
        scheduler.timers.expire(Instant::now(), woken);
    }
    woken.drain(..).for_each(ForeignWaker::wake);
    Ok(())
}

/// Nobody is ready: spins a while, and sleeps then.
fn idle(scheduler: &Scheduler, spin: &mut Spin, woken: &mut Vec<ForeignWaker>) -> Result<()> {
    // What is ready already costs no spin.
    look(scheduler, Some(Duration::ZERO), woken)?;
    let inbox = scheduler.remote.inbox();
    if scheduler.queue.len() != 0 || spin.spin(|| !inbox.is_empty() || scheduler.remote.is_to_stop()) {
        return Ok(());
    }
    let timeout = scheduler.timers.next().map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if !inbox.park(|| !scheduler.remote.is_to_stop()) {
        return Ok(());
    }
    let since = Instant::now();
    let looked = look(scheduler, timeout, woken);
    inbox.unpark();
    if !inbox.is_empty() {
        spin.slept(since);
    }
    looked
}

impl Drop for Mux {
    fn drop(&mut self) {
        let scheduler = &*self.scheduler;
        scheduler.remote.inbox().close();
        nest(scheduler.kernel.inner(), |_| {
            let _entered = Entered::new(scheduler);
            scheduler.remote.dispose();
            scheduler.cancel_all();
        });
    }
}

impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mux").field("name", &self.name()).field("load", &self.load()).finish_non_exhaustive()
    }
}
