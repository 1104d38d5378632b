//! Steps as they are done, by host threads, fibers and futures alike: each as the real call, with the answer that the
//! model expects.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use lwproc::mux as inside;
use lwproc::{Fatal, FatalKind, Fd, JoinError, JoinHandle, Lwp, sys};

use crate::levels::{Payload, Unwinding};
use crate::model::{ActorNo, FIRST, KERNELS, Kind, LwpNo, Outcome, ProcNo, Woken};
use crate::program::{Op, Pick, Target};
use crate::stage::{Act, Next, Over, Stage, State};

/// The panic of a kernel's hook for fatal errors.
pub(crate) struct Fatally(FatalKind);

/// A kernel's hook for fatal errors.
pub(crate) fn on_fatal(fatal: &Fatal) {
    resume_unwind(Box::new(Fatally(fatal.kind)));
}

/// What is left to be done when a step was done.
pub(crate) enum Flow {
    Next,
    Yield,
    Wait(Waits),
    /// The level is left.
    Left,
}

/// A wait to be done, as a call or as a future.
pub(crate) enum Waits {
    Pipe(Fd),
    Task(ActorNo, JoinHandle<ActorNo>),
}

/// The one that is meant, if there is any.
pub(crate) fn pick<T>(of: &[T], pick: Pick) -> Option<usize> {
    (!of.is_empty()).then(|| usize::from(pick) % of.len())
}

impl State {
    /// Takes in a `Lwp`, which owns its lwp.
    pub(crate) fn own(&mut self, lwp: LwpNo, handle: Lwp) {
        self.model.lwps[lwp].owned = true;
        self.handles.push((lwp, handle));
    }

    pub(crate) fn lwp(&self, target: Target) -> Option<LwpNo> {
        let idle: Vec<_> = (0..self.model.lwps.len()).filter(|lwp| self.model.is_idle(*lwp)).collect();
        match target {
            Target::Idle(which) if !idle.is_empty() => Some(idle[pick(&idle, which)?]),
            Target::Idle(which) | Target::Any(which) => pick(&self.model.lwps, which),
            Target::Implicit | Target::Invented => None,
        }
    }

    /// Mostly one that ends with its last lwp.
    pub(crate) fn proc(&self, which: Pick) -> ProcNo {
        let (own, all) = (2 * KERNELS, self.model.procs.len());
        if which >= 64 && all > own { own + usize::from(which) % (all - own) } else { usize::from(which) % all }
    }

    pub(crate) fn handle(&mut self, which: Pick) -> Option<(LwpNo, Lwp)> {
        let which = pick(&self.handles, which)?;
        Some(self.handles.remove(which))
    }

    /// The kernel in which `me` is, or the other one.
    pub(crate) fn kernel(&self, me: ActorNo, elsewhere: bool) -> usize {
        self.model.actors[me].current.kernel.unwrap_or(0) ^ usize::from(elsewhere)
    }

    pub(crate) fn is_nested(&self, me: ActorNo) -> bool {
        !self.model.actors[me].aside.is_empty()
    }

    /// Whether `me` may wait for what another does: somebody is left who can do it.
    pub(crate) fn may_wait(&self, me: ActorNo) -> bool {
        let actor = &self.model.actors[me];
        match actor.kind {
            Kind::Fiber => true,
            Kind::Future | Kind::Main => !self.is_nested(me),
            Kind::Thread if me == FIRST => {
                self.second().is_some_and(|second| self.model.actors[second].waits.is_none())
            }
            Kind::Thread => self.model.actors[FIRST].waits.is_none(),
        }
    }
}

impl Stage {
    /// Runs the steps of a plain host thread.
    pub(crate) fn thread(self: &Arc<Self>, me: ActorNo) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.level(me))) {
                Ok(()) => break self.end_thread(me),
                // Through all levels.
                Err(payload) if payload.is::<Unwinding>() => self.finish(me),
                Err(payload) => break self.unexpected(me, payload),
            }
        }
    }

    /// A panic that no program made.
    pub(crate) fn unexpected(&self, me: ActorNo, payload: Payload) {
        if !payload.is::<Over>() {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            let kind = payload.downcast_ref::<Fatally>().map(|fatally| fatally.0);
            self.fail(&mut self.state(), format!("{me} panics: {text:?} {kind:?}"));
        }
        std::mem::forget(payload);
    }

    /// Does steps of `me` until a level is left, as calls.
    pub(crate) fn level(self: &Arc<Self>, me: ActorNo) {
        loop {
            match self.next(me) {
                Next::Over => resume_unwind(Box::new(Over)),
                Next::Suspend if me == FIRST => self.run_mux(),
                Next::Suspend => inside::yield_now(),
                Next::Act(act) => match self.act(me, act) {
                    Flow::Next => {}
                    Flow::Left => return,
                    Flow::Yield => {
                        inside::yield_now();
                        self.finish(me);
                    }
                    Flow::Wait(Waits::Pipe(fd)) => self.note(me, Woken::Read(sys::read(fd, &mut [0]))),
                    Flow::Wait(Waits::Task(task, mut join)) => {
                        let joined = join.join();
                        self.note_joined(me, task, joined, join);
                    }
                },
            }
        }
    }

    /// Does steps of `me`, as a future.
    pub(crate) async fn steps(self: &Arc<Self>, me: ActorNo) {
        loop {
            match self.next(me) {
                Next::Over => return,
                Next::Suspend => inside::yield_turn().await,
                Next::Act(act) => match self.act(me, act) {
                    Flow::Next => {}
                    Flow::Left => return,
                    Flow::Yield => {
                        inside::yield_turn().await;
                        self.finish(me);
                    }
                    Flow::Wait(Waits::Pipe(fd)) => {
                        let read = sys::aio::read(fd, &mut [0]).await;
                        self.note(me, Woken::Read(read));
                    }
                    Flow::Wait(Waits::Task(task, mut join)) => {
                        let joined = (&mut join).await;
                        self.note_joined(me, task, joined, join);
                    }
                },
            }
        }
    }

    /// Notes what a wait came to, for the turn that shows it.
    pub(crate) fn note(&self, me: ActorNo, got: Woken) {
        self.state().got.insert(me, got);
    }

    pub(crate) fn note_joined(
        &self,
        me: ActorNo,
        task: ActorNo,
        joined: Result<ActorNo, JoinError>,
        join: JoinHandle<ActorNo>,
    ) {
        let got = match joined {
            Ok(value) => Woken::Joined(Outcome::Value(value)),
            Err(JoinError::Panicked(_)) => Woken::Joined(Outcome::Panicked),
            Err(JoinError::Cancelled) => Woken::Joined(Outcome::Cancelled),
            Err(JoinError::Interrupted) => Woken::Interrupted,
            Err(JoinError::Deadlock) => Woken::Deadlock,
            Err(error) => self.fails(format!("{me} joins: {error}")),
        };
        if matches!(got, Woken::Interrupted | Woken::Deadlock) {
            self.state().joins.push((task, join));
        }
        self.note(me, got);
    }

    /// That a call has answered what the model says.
    pub(crate) fn expect<T: PartialEq + Debug>(&self, me: ActorNo, what: impl Debug, got: T, expected: T) {
        if got != expected {
            self.fails(format!("{me}: {what:?} answers {got:?}, not {expected:?}"));
        }
    }

    /// That a call is fatal.
    pub(crate) fn expect_fatal(&self, me: ActorNo, what: impl Debug, call: impl FnOnce(), expected: FatalKind) {
        match catch_unwind(AssertUnwindSafe(call)).map_err(|payload| payload.downcast::<Fatally>()) {
            Err(Ok(fatally)) => self.expect(me, what, fatally.0, expected),
            Err(Err(payload)) => resume_unwind(payload),
            Ok(()) => self.fails(format!("{me}: {what:?} is not fatal")),
        }
    }

    /// A turn of `me`.
    pub(crate) fn act(self: &Arc<Self>, me: ActorNo, act: Act) -> Flow {
        match act {
            Act::Do(op) => self.step(me, op),
            Act::Woken => self.show(me),
            Act::End if self.state().model.actors[me].is_task() => {
                self.state().ending.insert(me, Outcome::Any);
                resume_unwind(Box::new(Unwinding(usize::MAX)))
            }
            Act::End => Flow::Left,
        }
    }

    /// Shows what a wait came to.
    pub(crate) fn show(&self, me: ActorNo) -> Flow {
        let (expected, got) = {
            let mut state = self.state();
            let got = state.got.remove(&me);
            let actor = &mut state.model.actors[me];
            actor.waits = None;
            (actor.woken.take(), got)
        };
        match (expected, got) {
            (Some(Woken::Joined(Outcome::Any)), Some(Woken::Joined(_))) => {}
            (Some(Woken::Either), Some(Woken::Interrupted | Woken::Joined(_))) => {}
            _ => self.expect(me, "a wait", got, expected),
        }
        self.finish(me);
        Flow::Next
    }

    pub(crate) fn step(self: &Arc<Self>, me: ActorNo, op: Op) -> Flow {
        match op {
            Op::Enter { elsewhere } => self.enter(me, elsewhere),
            Op::EnterLwp { handle, tried } => self.enter_lwp(me, handle, tried),
            Op::Leave => return self.leave_level(me),
            Op::Panic { levels } => self.panic(me, levels),
            Op::Switch { to, elsewhere, tried } => self.switch(me, to, elsewhere, tried),
            Op::Release { elsewhere } => self.release(me, elsewhere),
            Op::Rfork { elsewhere, fds } => self.rfork(me, elsewhere, fds),
            Op::NewLwp { proc } => self.newlwp(me, proc),
            Op::Spawn { elsewhere, fds } => self.spawn(me, elsewhere, fds),
            Op::Another { handle } => self.another(me, handle),
            Op::FromId { lwp, elsewhere } => self.adopt(me, lwp, elsewhere),
            Op::IntoId { handle } => {
                if let Some((lwp, handle)) = self.take(handle) {
                    let id = {
                        let known = &mut self.state().model.lwps[lwp];
                        known.owned = false;
                        known.id
                    };
                    self.expect(me, op, Some(handle.into_id()), id);
                }
            }
            Op::Drop { handle } => {
                if let Some((lwp, handle)) = self.take(handle) {
                    self.state().model.disown(Some(me), lwp);
                    drop(handle);
                }
            }
            Op::Task { handle, fiber } => self.task(me, handle, fiber),
            Op::Join { task } => {
                if let Some(wait) = self.join(me, task) {
                    return wait;
                }
            }
            Op::Block => {
                if let Some(wait) = self.block(me) {
                    return wait;
                }
            }
            Op::Wake { pick } => self.wake(me, pick),
            Op::Kill { proc } => {
                if self.kill(me, proc) {
                    return Flow::Next;
                }
            }
            Op::SetUid => self.set_uid(me),
            Op::Yield if self.may_yield(me) => return Flow::Yield,
            Op::Yield => {}
            Op::Thread => self.begin_thread(),
            Op::RunUntil if me == FIRST && !self.state().mux_dropped => {
                self.run_until();
                return Flow::Next;
            }
            Op::DropMux if me == FIRST => self.drop_mux(),
            Op::RunUntil | Op::DropMux => {}
        }
        self.finish(me);
        Flow::Next
    }

    pub(crate) fn take(&self, which: Pick) -> Option<(LwpNo, Lwp)> {
        self.state().handle(which)
    }

    pub(crate) fn may_yield(&self, me: ActorNo) -> bool {
        let state = self.state();
        match state.model.actors[me].kind {
            Kind::Thread | Kind::Fiber => true,
            Kind::Future | Kind::Main => !state.is_nested(me),
        }
    }
}
