//! A multiplexer's state on its one host thread: its tasks, their turns, and what is waited for.
//!
//! Nothing here is shared: other threads send messages to the [`Inbox`](super::inbox::Inbox). No borrow is held while
//! embedder's code runs, which may be any waker, future, fiber or drop.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
use std::time::Instant;

use super::reactor::{Reactor, Timers};
use super::shown::Shown;
use super::spawn::{self, Charge, JoinHandle, SpawnError, SpawnErrorKind};
use super::stack::StackPool;
use super::task::ending::Ending;
use super::task::queue::RunQueue;
use super::task::{Birth, Body, FiberKind, Message, Remote, Task};
use crate::context::curlwp::{Context, Cpu, Home, cpu, out_of_order};
use crate::context::saved::Saved;
use crate::kernel::Kernel;
use crate::lwp::SwitchError;
use crate::lwproc::Lwp;
use crate::panics;
use crate::sync::host_local;
use crate::wait::driver::{self, Place};
use crate::wait::turn::{self, Turn};

/// How many spare tasks are kept.
const SPARE: usize = 1024;

/// See the module. It stays where it is, since the contexts of its tasks point to it.
pub(super) struct Scheduler {
    pub(super) remote: Arc<Remote<Message>>,
    pub(super) kernel: Kernel,
    /// Where the contexts of the tasks are made.
    pub(super) home: Home,
    pub(super) queue: RunQueue,
    /// All tasks, but for finished ones that are not in `queue` any more.
    pub(super) tasks: UnsafeCell<Vec<Arc<Task>>>,
    /// Finished tasks that nobody else has, for the next ones.
    spare: UnsafeCell<Vec<Arc<Task>>>,
    /// How many have not finished, `main` not counted.
    pub(super) unfinished: Cell<usize>,
    /// How many unwind that are not the one whose turn it is: those who are suspended in it, and the host thread itself when
    /// it runs this in the midst of that.
    pub(super) unwinding: Cell<u32>,
    /// How many processes had been killed when the tasks were last looked through for theirs, and how many are left to look at.
    pub(super) kills: Cell<(u32, usize)>,
    pub(super) stacks: RefCell<StackPool>,
    pub(super) reactor: Reactor,
    pub(super) timers: Timers,
    pub(super) place: Place,
    /// How many calls there are in a turn.
    calls: u32,
    /// The turn that has come to a checkpoint, and when.
    pub(super) checked: Cell<Option<(u64, Instant)>>,
}

host_local! {
    static SCHEDULER: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
}

/// Shows `f` the scheduler that runs on the calling host thread.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(Option<&Scheduler>) -> R) -> R {
    // SAFETY: set for as long as `Entered` borrows it.
    f(unsafe { SCHEDULER.with(Cell::get).as_ref() })
}

/// The time in which a multiplexer runs on its host thread. Dropped, what was there before is restored.
pub(super) struct Entered<'s> {
    scheduler: &'s Scheduler,
    unwinding: u32,
    queue: *const RunQueue,
    before: *const Scheduler,
    context: Context,
    turn: Turn,
    _driver: driver::Entered<'s>,
    /// Bound to its host thread.
    not_send: PhantomData<*const ()>,
}

impl<'s> Entered<'s> {
    pub(super) fn new(scheduler: &'s Scheduler) -> Self {
        let unwinding = u32::from(std::thread::panicking());
        scheduler.unwinding.set(scheduler.unwinding.get() + unwinding);
        let context = cpu(|cpu| cpu.context());
        let before = SCHEDULER.with(|cell| cell.replace(scheduler));
        // SAFETY: the pointer is taken away again by this one's drop, before `scheduler` can go.
        let queue = unsafe { scheduler.queue.enter() };
        let turn = turn::enter(scheduler.calls);
        let _driver = driver::enter(scheduler);
        Self { scheduler, unwinding, queue, before, context, turn, _driver, not_send: PhantomData }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // A coroutine of others may have gone on with this while another is entered over it.
        if !ptr::eq(SCHEDULER.with(Cell::get), self.scheduler) {
            out_of_order(self.scheduler.kernel.inner());
        }
        self.scheduler.unwinding.set(self.scheduler.unwinding.get() - self.unwinding);
        SCHEDULER.with(|cell| cell.set(self.before));
        cpu(|cpu| cpu.set_context(self.context));
        turn::restore(&self.turn);
        // SAFETY: it was there before, and is still.
        unsafe { RunQueue::restore(self.queue) };
    }
}

impl Scheduler {
    pub(super) fn new(
        remote: Arc<Remote<Message>>,
        kernel: Kernel,
        stacks: StackPool,
        reactor: Reactor,
        calls: u32,
        shown: Option<Arc<Shown>>,
    ) -> Box<Self> {
        let place = Place::new(remote.id);
        Box::new(Self {
            queue: RunQueue::new(remote.id, shown),
            remote,
            home: Home::new(kernel.inner()),
            kernel,
            tasks: UnsafeCell::default(),
            spare: UnsafeCell::default(),
            unfinished: Cell::new(0),
            unwinding: Cell::new(0),
            kills: Cell::new((0, 0)),
            stacks: RefCell::new(stacks),
            reactor,
            timers: Timers::default(),
            place,
            calls,
            checked: Cell::new(None),
        })
    }

    /// Takes the lwp for a task, and makes the handle for what comes of it.
    pub(super) fn charge<T>(remote: &Remote<Message>, lwp: Lwp) -> Result<(Charge<T>, JoinHandle<T>), SpawnError> {
        if lwp.kernel().id() != remote.kernel {
            return Err(SpawnError { lwp, kind: SpawnErrorKind::Lwp(SwitchError::Foreign) });
        }
        if remote.inbox().is_closed() {
            return Err(SpawnError { lwp, kind: SpawnErrorKind::Closed });
        }
        match Charge::new(lwp, remote.host) {
            Ok(charge) => {
                let join = JoinHandle::new(charge.packet());
                Ok((charge, join))
            }
            Err((lwp, error)) => Err(SpawnError { lwp, kind: SpawnErrorKind::Lwp(error) }),
        }
    }

    /// Spawns a future.
    pub(super) fn spawn<F: Future + 'static>(&self, lwp: Lwp, future: F) -> Result<JoinHandle<F::Output>, SpawnError> {
        let (charge, join) = Self::charge(&self.remote, lwp)?;
        self.admit(spawn::future(charge, future));
        Ok(join)
    }

    /// Spawns a fiber, of that kind.
    pub(super) fn spawn_fiber<T: 'static>(
        &self,
        lwp: Lwp,
        f: impl FnOnce() -> T + 'static,
        kind: FiberKind,
    ) -> Result<JoinHandle<T>, SpawnError> {
        let (charge, join) = Self::charge(&self.remote, lwp)?;
        let taken = self.stacks.borrow_mut().take();
        match taken {
            Ok(stack) => {
                self.admit(spawn::fiber(stack, charge, f, kind));
                Ok(join)
            }
            Err(error) => Err(SpawnError { lwp: charge.give_back(), kind: SpawnErrorKind::NoStack(error) }),
        }
    }

    /// Makes a task, takes it in, and queues it.
    pub(super) fn admit(&self, birth: Birth) -> &Task {
        // SAFETY: this stays where it is, and outlives its tasks. The lwp is held for the task, and the kernel's, as
        // `charge` has seen.
        let saved = unsafe {
            match birth.slot.as_ref() {
                Some(slot) => Saved::in_lwp(&self.home, slot),
                None => Saved::implicit(&self.home),
            }
        };
        // SAFETY: nothing here runs anybody else's code.
        let task = match unsafe { &mut *self.spare.get() }.pop() {
            Some(mut spare) => {
                Arc::get_mut(&mut spare).expect("nobody else has a spare task").renew(birth, saved);
                spare
            }
            None => Task::new(&self.remote, birth, saved),
        };
        self.queue.enqueue(&task);
        // SAFETY: a push runs nobody else's code.
        let tasks = unsafe { &mut *self.tasks.get() };
        task.place.set(u32::try_from(tasks.len()).expect("there are fewer lwps"));
        tasks.push(task);
        let task = &tasks[tasks.len() - 1];
        // SAFETY: the lwp is held for the task.
        if unsafe { task.slot.as_ref().is_some_and(|slot| slot.proc().lwps.exiting()) } {
            self.kill(task);
        }
        self.count(self.unfinished.get() + usize::from(task.counts()));
        // SAFETY: what an `Arc` holds does not move, and lives until it is dismissed, which its last turn does.
        unsafe { &*Arc::as_ptr(task) }
    }

    fn count(&self, unfinished: usize) {
        self.unfinished.set(unfinished);
        self.remote.load.set(unfinished);
    }

    /// Takes a task out that has finished and is not queued.
    pub(super) fn dismiss(&self, task: &Task) {
        // SAFETY: nothing here runs anybody else's code.
        let (tasks, spare) = unsafe { (&mut *self.tasks.get(), &mut *self.spare.get()) };
        let place = task.place.get();
        let mut dismissed = tasks.swap_remove(place as usize);
        if let Some(moved) = tasks.get(place as usize) {
            moved.place.set(place);
        }
        for _ in 0..task.close_kept() {
            // SAFETY: the reference was kept for this, and another is in hand.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&dismissed)) };
        }
        if spare.len() < SPARE && Arc::get_mut(&mut dismissed).is_some() {
            spare.push(dismissed);
        }
    }

    /// Gives the next ready task its turn; `None` when nobody is ready. `main` is what the task of that name runs; the
    /// answer is `true` when that has finished.
    #[inline]
    pub(super) fn next_turn(&self, cpu: &Cpu, main: &mut dyn FnMut(&Waker) -> bool) -> Option<bool> {
        let task = self.queue.pop()?;
        // SAFETY: what is in the queue is in `tasks`.
        Some(self.turn(cpu, unsafe { task.as_ref() }, main))
    }

    #[inline(always)]
    fn turn(&self, cpu: &Cpu, task: &Task, main: &mut dyn FnMut(&Waker) -> bool) -> bool {
        // SAFETY: the body is shared, but for a future, which this alone uses, and which does not run yet.
        let body = task.body.get();
        // SAFETY: as above.
        if matches!(unsafe { &*body }, Body::Finished) {
            self.dismiss(task);
            return false;
        }
        if task.ending.get() != Ending::No && !self.may_have_turn(task) {
            return false;
        }
        task.queued.set(false);
        self.queue.begin(task);
        task.saved.resume(cpu);
        // SAFETY: a body is taken out by its last turn alone. A fiber is there, neither done nor running, and stays in its place.
        let finished = unsafe {
            match &mut *body {
                Body::Fiber(_) | Body::Guest(_) => self.resume(task),
                Body::Future(future) => future.as_mut().poll(&mut TaskContext::from_waker(task.waker())).is_ready(),
                Body::Main => main(task.waker()),
                Body::Finished => true,
            }
        };
        if finished {
            return self.finish(cpu, task);
        }
        task.saved.suspend(cpu);
        self.queue.end();
        if task.ending.get() != Ending::No {
            self.after_turn(task);
        }
        false
    }

    /// Runs a fiber until it suspends or has finished. Whether it has finished.
    ///
    /// # Safety
    /// The task's body is a fiber, which is neither done nor runs.
    #[inline(always)]
    pub(super) unsafe fn resume(&self, task: &Task) -> bool {
        // SAFETY: the body stays; as the caller promises. It does not move, since the task does not.
        unsafe {
            let Some((fiber, _)) = task.fiber() else { return true };
            let finished = fiber.resume();
            task.ahead.set(fiber.ahead());
            finished
        }
    }

    /// Clears up after a task that has had its last turn, which is this one. Whether it was `main`.
    pub(super) fn finish(&self, cpu: &Cpu, task: &Task) -> bool {
        let mut panic = None;
        // What goes with the context is no fiber's: it must not be suspended.
        task.on_fiber.set(false);
        // SAFETY: its context is still the host thread's.
        unsafe { Saved::end(cpu, &self.home, &mut panic) };
        panics::tell_any(panic);
        self.queue.end();
        // SAFETY: the task does not run any more.
        let body = unsafe { &mut *task.body.get() };
        let main = matches!(body, Body::Main);
        // Of a future all parts are gone already.
        if let Body::Fiber(fiber) | Body::Guest(fiber) = body
            && let Some(stack) = fiber.free()
        {
            self.stacks.borrow_mut().put(stack);
        }
        *body = Body::Finished;
        self.forget(task);
        main
    }

    /// Forgets a task that has finished, as soon as it is not queued.
    pub(super) fn forget(&self, task: &Task) {
        task.leave_interrupts();
        self.count(self.unfinished.get() - usize::from(task.counts()));
        if !task.queued.replace(true) {
            self.dismiss(task);
        }
    }
}
