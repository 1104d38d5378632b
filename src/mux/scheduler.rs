//! A multiplexer's state on its one host thread: who is ready, whose turn it is, and what is waited for.
//!
//! Nothing here is shared: other threads come to the [`Inbox`](super::inbox::Inbox). No borrow is held while embedder's code
//! runs, which may be any waker, future, fiber or drop.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
use std::time::Instant;

use corosensei::CoroutineResult;

use super::ahead;
use super::handle::Shared;
use super::reactor::{Reactor, Timers};
use super::stack::StackPool;
use super::task::{Birth, Body, Task};
use crate::context::curlwp::{Context, Cpu, cpu};
use crate::context::exit::{self, Panic};
use crate::context::implicit;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::sync::host_local;
use crate::wait::driver::{self, Armed, Driver, Place};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::queue::WaitQueue;
use crate::wait::waker::{ForeignWaker, Wakers, wakers_of};

/// How many spare tasks are kept.
const SPARE: usize = 1024;

/// See the module.
pub(super) struct Scheduler {
    pub(super) shared: Arc<Shared>,
    pub(super) kernel: Kernel,
    /// Tasks whose turn will come. Each is in `tasks`.
    ready: UnsafeCell<VecDeque<NonNull<Task>>>,
    /// Whose turn it is; null between turns.
    running: Cell<*const Task>,
    /// All tasks, but for finished ones that are not in `ready` any more.
    tasks: UnsafeCell<Vec<Arc<Task>>>,
    /// Finished tasks that nobody else has, for the next ones.
    spare: UnsafeCell<Vec<Arc<Task>>>,
    /// How many have not finished, `main` not counted.
    pub(super) unfinished: Cell<usize>,
    pub(super) stacks: RefCell<StackPool>,
    pub(super) reactor: Reactor,
    pub(super) timers: Timers,
    place: Place,
    /// The context between turns: the implicit one of `kernel`.
    pub(super) home: Cell<Context>,
}

host_local! {
    static SCHEDULER: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
}

/// Shows `f` the multiplexer that runs on the calling host thread.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(Option<&Scheduler>) -> R) -> R {
    // SAFETY: set for as long as `Entered` borrows it.
    f(unsafe { SCHEDULER.with(Cell::get).as_ref() })
}

/// The time in which a multiplexer runs on its host thread. Dropped, what was there before is restored.
pub(super) struct Entered<'l> {
    _local: &'l Scheduler,
    before: *const Scheduler,
    _driver: driver::Entered<'l>,
}

impl<'l> Entered<'l> {
    pub(super) fn new(scheduler: &'l Scheduler) -> Self {
        let before = SCHEDULER.with(|cell| cell.replace(scheduler));
        Self { _local: scheduler, before, _driver: driver::enter(scheduler) }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        SCHEDULER.with(|cell| cell.set(self.before));
    }
}

impl Scheduler {
    pub(super) fn new(shared: Arc<Shared>, kernel: Kernel, stacks: StackPool, reactor: Reactor) -> Self {
        Self {
            place: Place::new(shared.id),
            shared,
            kernel,
            ready: UnsafeCell::default(),
            running: Cell::new(ptr::null()),
            tasks: UnsafeCell::default(),
            spare: UnsafeCell::default(),
            unfinished: Cell::new(0),
            stacks: RefCell::new(stacks),
            reactor,
            timers: Timers::default(),
            home: Cell::new(Context::NONE),
        }
    }

    /// The ready queue.
    ///
    /// # Safety
    /// The reference ends before anything else of this type is called.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "one host thread, and the reference does not last")]
    unsafe fn ready(&self) -> &mut VecDeque<NonNull<Task>> {
        // SAFETY: as the caller promises.
        unsafe { &mut *self.ready.get() }
    }

    /// How many are ready.
    #[inline]
    pub(super) fn ready_len(&self) -> usize {
        // SAFETY: used for the length alone.
        unsafe { self.ready() }.len()
    }

    /// Queues a task of this multiplexer, unless it is queued or finished.
    #[inline]
    pub(super) fn make_ready(&self, task: &Task) {
        if !task.queued.replace(true) {
            // SAFETY: a push runs nobody else's code.
            unsafe { self.ready() }.push_back(NonNull::from(task));
        }
    }

    /// Makes a task, takes it in, and queues it.
    pub(super) fn admit(&self, birth: Birth) -> &Task {
        // SAFETY: nothing here runs anybody else's code.
        let task = match unsafe { &mut *self.spare.get() }.pop() {
            Some(mut spare) => {
                Arc::get_mut(&mut spare).expect("nobody else has a spare task").renew(birth);
                spare
            }
            None => Task::new(&self.shared, birth),
        };
        self.make_ready(&task);
        // SAFETY: a push runs nobody else's code.
        let tasks = unsafe { &mut *self.tasks.get() };
        task.place.set(u32::try_from(tasks.len()).expect("there are fewer lwps"));
        tasks.push(task);
        let task = &tasks[tasks.len() - 1];
        self.count(self.unfinished.get() + usize::from(task.counts()));
        // SAFETY: what an `Arc` holds does not move, and lives until it is dismissed, which its last turn does.
        unsafe { &*Arc::as_ptr(task) }
    }

    fn count(&self, unfinished: usize) {
        self.unfinished.set(unfinished);
        self.shared.load.set(unfinished);
    }

    /// Takes a task out that has finished and is not queued.
    fn dismiss(&self, task: &Task) {
        // SAFETY: nothing here runs anybody else's code.
        let (tasks, spare) = unsafe { (&mut *self.tasks.get(), &mut *self.spare.get()) };
        let place = task.place.get();
        let mut dismissed = tasks.swap_remove(place as usize);
        if let Some(moved) = tasks.get(place as usize) {
            moved.place.set(place);
        }
        for _ in 0..task.kept.close() {
            // SAFETY: the reference was kept for this, and another is in hand.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&dismissed)) };
        }
        if spare.len() < SPARE && Arc::get_mut(&mut dismissed).is_some() {
            spare.push(dismissed);
        }
    }

    /// The task whose turn it is.
    #[inline]
    pub(super) fn running(&self) -> Option<&Task> {
        // SAFETY: it is in `tasks` as long as it runs.
        unsafe { self.running.get().as_ref() }
    }

    /// Gives the next ready task its turn; `None` when nobody is ready. `main` is what the task of that name runs; the
    /// answer is `true` when that has finished.
    #[inline]
    pub(super) fn next_turn(&self, cpu: &Cpu, main: &mut dyn FnMut(&Waker) -> bool) -> Option<bool> {
        // SAFETY: the references last for a call each, which runs nobody else's code.
        let task = unsafe { self.ready() }.pop_front()?;
        // SAFETY: as above.
        ahead::fetch(unsafe { self.ready() });
        // SAFETY: what is in the queue is in `tasks`.
        Some(self.turn(cpu, unsafe { task.as_ref() }, main))
    }

    #[inline(always)]
    fn turn(&self, cpu: &Cpu, task: &Task, main: &mut dyn FnMut(&Waker) -> bool) -> bool {
        // SAFETY: the running task alone uses its body, and it does not run yet.
        let body = unsafe { &mut *task.body.get() };
        if matches!(body, Body::Finished) {
            self.dismiss(task);
            return false;
        }
        task.queued.set(false);
        self.running.set(task);
        self.resume(cpu, task);
        let finished = match body {
            Body::Fiber(fiber) | Body::Guest(fiber) => matches!(fiber.resume(()), CoroutineResult::Return(())),
            Body::Future(future) => future.as_mut().poll(&mut TaskContext::from_waker(task.waker())).is_ready(),
            Body::Main => main(task.waker()),
            Body::Finished => true,
        };
        self.suspend(cpu, task);
        self.running.set(ptr::null());
        finished && self.finish(task)
    }

    /// Makes the task's context the host thread's.
    #[inline(always)]
    fn resume(&self, cpu: &Cpu, task: &Task) {
        cpu.current.set(task.current.get());
        if task.current.get() != task.slot {
            self.resume_elsewhere(cpu, task);
        }
        if let Some(slot) = task.slot() {
            slot.turn(task.handle);
        }
    }

    /// Keeps the task's context for its next turn.
    #[inline(always)]
    fn suspend(&self, cpu: &Cpu, task: &Task) {
        task.current.set(cpu.current.get());
        if task.current.get() != task.slot {
            self.suspend_elsewhere(cpu, task);
        }
        if let Some(slot) = task.slot() {
            slot.turn(task.handle);
        }
    }

    /// `resume` for a task that has left its lwp.
    #[cold]
    fn resume_elsewhere(&self, cpu: &Cpu, task: &Task) {
        // SAFETY: the task does not run yet.
        if let Some(context) = unsafe { &mut *task.rare.get() }.elsewhere.take() {
            cpu.set_context(*context);
        }
    }

    /// `suspend` for a task that is not in its lwp.
    #[cold]
    fn suspend_elsewhere(&self, cpu: &Cpu, task: &Task) {
        let context = cpu.context();
        if !ptr::eq(context.kernel, Arc::as_ptr(self.kernel.inner())) {
            // SAFETY: the task does not run any more.
            unsafe { &mut *task.rare.get() }.elsewhere = Some(Box::new(context));
            cpu.set_context(self.home.get());
        }
    }

    /// Clears up after a task that has had its last turn. Whether it was `main`.
    fn finish(&self, task: &Task) -> bool {
        // SAFETY: the task does not run any more.
        let body = std::mem::replace(unsafe { &mut *task.body.get() }, Body::Finished);
        let main = matches!(body, Body::Main);
        self.put_away(body);
        if task.current.get() != self.home.get().current {
            let mut panic = None;
            self.leave(task, &mut panic);
            std::mem::forget(panic);
        }
        self.forget(task);
        main
    }

    /// Takes back the stack of a fiber that has finished. Of a future all parts are gone already.
    fn put_away(&self, body: Body) {
        if let Body::Fiber(fiber) | Body::Guest(fiber) = body
            && fiber.done()
        {
            self.stacks.borrow_mut().put(fiber.into_stack());
        }
    }

    /// Lets go of the lwp to which a task has switched and not come back. Keeps the first panic of what then ends.
    #[cold]
    fn leave(&self, task: &Task, panic: &mut Option<Panic>) {
        // SAFETY: the task does not run any more.
        let elsewhere = unsafe { &mut *task.rare.get() }.elsewhere.take();
        let here = || Context { current: task.current.get(), ..self.home.get() };
        let left = elsewhere.map_or_else(here, |context| *context);
        // SAFETY: the context was the task's, which has no more turns; the thread's stay keeps its kernel.
        unsafe { implicit::let_go(left, panic) };
    }

    /// Forgets a task that has finished, as soon as it is not queued.
    fn forget(&self, task: &Task) {
        // SAFETY: the task does not run any more.
        task.leave_interrupts();
        self.count(self.unfinished.get() - usize::from(task.counts()));
        if !task.queued.replace(true) {
            self.dismiss(task);
        }
    }

    /// Ends a task that has not finished: its future is dropped, its fiber unwound, in its lwp. Keeps the first panic of
    /// that.
    pub(super) fn cancel(&self, task: &Task, panic: &mut Option<Panic>) {
        // SAFETY: the task does not run.
        let mut body = std::mem::replace(unsafe { &mut *task.body.get() }, Body::Finished);
        if matches!(body, Body::Finished) {
            return;
        }
        task.cancelled.set(true);
        self.running.set(task);
        cpu(|cpu| self.resume(cpu, task));
        match &mut body {
            // It cannot be suspended any more: it comes back when it is done.
            Body::Guest(fiber) if fiber.started() => {
                while matches!(fiber.resume(()), CoroutineResult::Yield(())) {}
                self.put_away(body);
            }
            Body::Fiber(fiber) | Body::Guest(fiber) => {
                exit::catch(|| fiber.force_unwind(), panic);
                self.put_away(body);
            }
            _ => {
                exit::catch(|| drop(body), panic);
            }
        }
        cpu(|cpu| {
            self.suspend(cpu, task);
            cpu.current.set(self.home.get().current);
        });
        self.running.set(ptr::null());
        self.leave(task, panic);
        self.forget(task);
    }

    /// Ends all tasks. No more turns are given.
    pub(super) fn cancel_all(&self, panic: &mut Option<Panic>) {
        // What ends may wake others, but spawns no more: the inbox is closed.
        // SAFETY: the reference lasts for a look.
        while let Some(task) = unsafe { &*self.tasks.get() }.last().cloned() {
            self.cancel(&task, panic);
            // SAFETY: as above. Queued, it was left for its turn to be dismissed.
            if unsafe { &*self.tasks.get() }.last().is_some_and(|last| Arc::ptr_eq(last, &task)) {
                self.dismiss(&task);
            }
        }
        // SAFETY: nothing here runs anybody else's code.
        unsafe { self.ready() }.clear();
    }
}

impl Driver for Scheduler {
    fn place(&self) -> &Place {
        &self.place
    }

    fn fiber(&self) -> Option<&Waker> {
        self.running().filter(|task| !task.yielder.get().is_null()).map(Task::waker)
    }

    fn sleep(&self, host: &[(Arc<HostFd>, Events)], deadline: Option<Instant>) -> Result<()> {
        let task = self.running().ok_or(Errno::EDEADLK)?;
        if !task.may_wait() {
            return Err(Errno::EINTR);
        }
        let mut armed = Armed::default();
        let count = host.len() + usize::from(deadline.is_some());
        if count != 0 {
            let (mut wakers, mut woken) = (wakers_of(task.waker(), count), Wakers::new());
            self.arm(&mut armed, &mut wakers, &mut woken, host, deadline)?;
            woken.into_iter().for_each(ForeignWaker::wake);
        }
        task.suspend();
        // A guest that was cancelled meanwhile comes back to this.
        if task.may_wait() { Ok(()) } else { Err(Errno::EINTR) }
    }

    fn suspended(&self) -> u64 {
        self.running().map_or(0, |task| task.suspended.get())
    }

    #[inline]
    fn stay_in(&self, interrupts: &Arc<WaitQueue>) {
        if let Some(task) = self.running()
            && !ptr::eq(task.interrupts.get(), Arc::as_ptr(interrupts))
        {
            task.enter(interrupts);
        }
    }

    fn arm(
        &self,
        armed: &mut Armed,
        wakers: &mut Wakers,
        woken: &mut Wakers,
        host: &[(Arc<HostFd>, Events)],
        deadline: Option<Instant>,
    ) -> Result<()> {
        armed.driver = self.shared.id;
        for (fd, events) in host {
            armed.host.push(self.reactor.watch(fd, *events, wakers, woken)?);
        }
        armed.timer = deadline.zip(wakers.pop()).map(|(deadline, waker)| self.timers.add(deadline, waker));
        Ok(())
    }

    fn disarm(&self, armed: &Armed, wakers: &mut Wakers) {
        wakers.extend(armed.host.iter().filter_map(|&watched| self.reactor.leave(watched)));
        wakers.extend(armed.timer.and_then(|timer| self.timers.remove(timer)));
    }
}
