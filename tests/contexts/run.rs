//! Steps as they are done, by host threads, fibers and futures alike: each as the real call, with the answer that the
//! model expects.

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use lwproc::local::{self, Inherit};
use lwproc::mux::{self as inside, SpawnError, SpawnErrorKind};
use lwproc::{
    Errno, Fatal, FatalKind, Fd, FdInherit, JoinError, JoinHandle, Kernel, Lwp, LwpId, Mux, Pid, ProcOptions,
    SwitchError, sys,
};

use crate::model::{ActorNo, Context, FIRST, Kind, LwpNo, Outcome, ProcNo, Wait, Woken};
use crate::program::{Op, Pick, Target};
use crate::stage::{Act, Next, Over, Stage, State, Value};

type Payload = Box<dyn Any + Send>;

/// The panic of a program: through so many more levels.
struct Unwinding(usize);

/// The panic of a kernel's hook for fatal errors.
struct Fatally(FatalKind);

/// A kernel's hook for fatal errors.
pub(crate) fn on_fatal(fatal: &Fatal) {
    resume_unwind(Box::new(Fatally(fatal.kind)));
}

thread_local! {
    /// That of the first host thread.
    pub(crate) static MUX: RefCell<Option<Mux>> = const { RefCell::new(None) };
}

/// What is left to be done when a step was done.
enum Flow {
    Next,
    Yield,
    Wait(Waits),
    /// The level is left.
    Left,
}

/// A wait to be done, as a call or as a future.
enum Waits {
    Pipe(Fd),
    Task(ActorNo, JoinHandle<ActorNo>),
}

/// Of a task: tells that its own code has come to its end.
struct Task {
    stage: Arc<Stage>,
    me: ActorNo,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stage.end_task(self.me);
    }
}

/// The one that is meant, if there is any.
fn pick<T>(of: &[T], pick: Pick) -> Option<usize> {
    (!of.is_empty()).then(|| usize::from(pick) % of.len())
}

impl State {
    fn lwp(&self, target: Target) -> Option<LwpNo> {
        let idle: Vec<_> = (0..self.model.lwps.len()).filter(|lwp| self.model.is_idle(*lwp)).collect();
        match target {
            Target::Idle(which) if !idle.is_empty() => Some(idle[pick(&idle, which)?]),
            Target::Idle(which) | Target::Any(which) => pick(&self.model.lwps, which),
            Target::Implicit | Target::Invented => None,
        }
    }

    fn handle(&mut self, which: Pick) -> Option<(LwpNo, Lwp)> {
        let which = pick(&self.handles, which)?;
        Some(self.handles.remove(which))
    }

    /// The kernel in which `me` is, or the other one.
    fn kernel(&self, me: ActorNo, elsewhere: bool) -> usize {
        self.model.actors[me].current.kernel.unwrap_or(0) ^ usize::from(elsewhere)
    }

    fn is_nested(&self, me: ActorNo) -> bool {
        !self.model.actors[me].aside.is_empty()
    }

    /// Whether `me` may wait for what another does: somebody is left who can do it.
    fn may_wait(&self, me: ActorNo) -> bool {
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
    fn unexpected(&self, me: ActorNo, payload: Payload) {
        if !payload.is::<Over>() {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            let kind = payload.downcast_ref::<Fatally>().map(|fatally| fatally.0);
            self.fail(&mut self.state(), format!("{me} panics: {text:?} {kind:?}"));
        }
        std::mem::forget(payload);
    }

    /// Does steps of `me` until a level is left, as calls.
    fn level(self: &Arc<Self>, me: ActorNo) {
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
    async fn steps(self: &Arc<Self>, me: ActorNo) {
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

    /// Runs the multiplexer while it is others' turn on the first host thread.
    fn run_mux(&self) {
        let ran = self.with_mux(|mux| mux.run());
        let mut state = self.state();
        state.in_mux = false;
        state.runs += 1;
        if !matches!(ran, Some(Ok(Ok(())))) {
            return self.fail(&mut state, format!("the multiplexer runs: {ran:?}"));
        }
        // It is stopped once too often, now and then.
        if state.runs > 100 {
            self.fail(&mut state, "the multiplexer has not the task whose turn it is");
        }
    }

    fn with_mux<R>(&self, f: impl FnOnce(&mut Mux) -> R) -> Option<thread::Result<R>> {
        let mut mux = MUX.take()?;
        let done = catch_unwind(AssertUnwindSafe(|| f(&mut mux)));
        MUX.set(Some(mux));
        Some(done)
    }

    /// Notes what a wait came to, for the turn that shows it.
    fn note(&self, me: ActorNo, got: Woken) {
        self.state().got.insert(me, got);
    }

    fn note_joined(&self, me: ActorNo, task: ActorNo, joined: Result<ActorNo, JoinError>, join: JoinHandle<ActorNo>) {
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
    fn expect<T: PartialEq + Debug>(&self, me: ActorNo, what: impl Debug, got: T, expected: T) {
        if got != expected {
            self.fails(format!("{me}: {what:?} answers {got:?}, not {expected:?}"));
        }
    }

    /// That a call is fatal.
    fn expect_fatal(&self, me: ActorNo, what: impl Debug, call: impl FnOnce(), expected: FatalKind) {
        match catch_unwind(AssertUnwindSafe(call)).map_err(|payload| payload.downcast::<Fatally>()) {
            Err(Ok(fatally)) => self.expect(me, what, fatally.0, expected),
            Err(Err(payload)) => resume_unwind(payload),
            Ok(()) => self.fails(format!("{me}: {what:?} is not fatal")),
        }
    }

    /// A turn of `me`.
    fn act(self: &Arc<Self>, me: ActorNo, act: Act) -> Flow {
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
    fn show(&self, me: ActorNo) -> Flow {
        let (expected, got) = {
            let mut state = self.state();
            let got = state.got.remove(&me);
            let actor = &mut state.model.actors[me];
            actor.waits = None;
            (actor.woken.take(), got)
        };
        match (expected, got) {
            (Some(Woken::Joined(Outcome::Any)), Some(Woken::Joined(_))) => {}
            _ => self.expect(me, "a wait", got, expected),
        }
        self.finish(me);
        Flow::Next
    }

    fn step(self: &Arc<Self>, me: ActorNo, op: Op) -> Flow {
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
            Op::FromId { lwp, elsewhere } => self.from_id(me, lwp, elsewhere),
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

    fn take(&self, which: Pick) -> Option<(LwpNo, Lwp)> {
        self.state().handle(which)
    }

    fn may_yield(&self, me: ActorNo) -> bool {
        let state = self.state();
        match state.model.actors[me].kind {
            Kind::Thread | Kind::Fiber => true,
            Kind::Future | Kind::Main => !state.is_nested(me),
        }
    }

    fn enter(self: &Arc<Self>, me: ActorNo, elsewhere: bool) {
        let kernel = {
            let mut state = self.state();
            let kernel = state.kernel(me, elsewhere);
            state.model.nest(me, Context::implicit(kernel));
            kernel
        };
        let entered = catch_unwind(AssertUnwindSafe(|| self.kernels[kernel].enter(|| self.inner(me))));
        self.left(me, entered);
    }

    /// A level within another.
    fn inner(self: &Arc<Self>, me: ActorNo) {
        self.finish(me);
        self.level(me);
    }

    /// A level was left, by a return or a panic: the context is that of before.
    fn left(&self, me: ActorNo, by: Result<(), Payload>) {
        {
            let mut state = self.state();
            if !matches!(&by, Err(payload) if payload.is::<Over>() || payload.is::<Fatally>()) {
                state.model.restore(me);
                self.verify(&mut state, me, &"a level that was left");
            }
        }
        match by.map_err(|payload| payload.downcast::<Unwinding>()) {
            Ok(()) => {}
            Err(Ok(unwinding)) if unwinding.0 == 0 => {}
            Err(Ok(unwinding)) => resume_unwind(Box::new(Unwinding(unwinding.0 - 1))),
            // Of a fiber that is cancelled, or of the test.
            Err(Err(payload)) => resume_unwind(payload),
        }
    }

    fn enter_lwp(self: &Arc<Self>, me: ActorNo, handle: Pick, tried: bool) {
        let Some((lwp, mut handle)) = self.take(handle) else { return };
        let (id, claimed) = {
            let mut state = self.state();
            let kernel = state.model.kernel_of(lwp);
            let claimed = state.model.claim(kernel, lwp);
            if claimed.is_ok() {
                state.model.nest(me, Context { kernel: Some(kernel), lwp: Some(lwp) });
            }
            (handle.id(), claimed)
        };
        let entered = match claimed {
            Err(error) if !tried => {
                let enter = || handle.enter(|| self.fails(format!("{me} enters one that is {error}")));
                self.expect_fatal(me, "enter", enter, FatalKind::Switch { to: id, error });
                None
            }
            Err(error) => {
                self.expect(me, "try_enter", handle.try_enter(|| ()), Err(error));
                None
            }
            Ok(()) => Some(catch_unwind(AssertUnwindSafe(|| {
                if tried {
                    if let Err(error) = handle.try_enter(|| self.inner(me)) {
                        self.fails(format!("{me} cannot enter: {error}"));
                    }
                } else {
                    handle.enter(|| self.inner(me));
                }
            }))),
        };
        self.state().handles.push((lwp, handle));
        if let Some(entered) = entered {
            self.left(me, entered);
        }
    }

    fn leave_level(&self, me: ActorNo) -> Flow {
        let may_leave = {
            let mut state = self.state();
            let actor = &state.model.actors[me];
            match (state.is_nested(me), actor.is_task()) {
                (true, _) => true,
                (false, true) => {
                    state.ending.insert(me, Outcome::Value(me));
                    true
                }
                // The other may wait for it.
                (false, false) => me != FIRST && state.model.actors[FIRST].waits.is_none(),
            }
        };
        if may_leave {
            return Flow::Left;
        }
        self.finish(me);
        Flow::Next
    }

    fn panic(&self, me: ActorNo, levels: Pick) {
        let levels = {
            let mut state = self.state();
            let actor = &state.model.actors[me];
            let levels = usize::from(levels) % (actor.aside.len() + 1);
            if levels == actor.aside.len() && actor.is_task() {
                state.ending.insert(me, Outcome::Panicked);
            }
            levels
        };
        resume_unwind(Box::new(Unwinding(levels)));
    }

    fn switch(&self, me: ActorNo, to: Target, elsewhere: bool, tried: bool) {
        let (kernel, id, expected) = {
            let mut state = self.state();
            let lwp = state.lwp(to);
            let kernel = match lwp {
                Some(lwp) => state.model.kernel_of(lwp) ^ usize::from(elsewhere),
                None => state.kernel(me, elsewhere),
            };
            let id = match to {
                Target::Invented => Some(invented(&self.kernels[kernel])),
                _ => lwp.and_then(|lwp| state.model.lwps[lwp].id),
            };
            let expected = match lwp {
                Some(lwp) => state.model.claim(kernel, lwp),
                None if id.is_some() => Err(SwitchError::Stale),
                None => Ok(()),
            };
            if expected.is_ok() {
                state.model.switch(me, Context { kernel: Some(kernel), lwp });
            }
            (kernel, id, expected)
        };
        let kernel = &self.kernels[kernel];
        match (expected, id) {
            (Err(error), Some(to)) if !tried => {
                self.expect_fatal(me, "switch", || kernel.switch(id), FatalKind::Switch { to, error });
            }
            (Ok(()), _) if !tried => kernel.switch(id),
            _ => self.expect(me, ("try_switch", id), kernel.try_switch(id), expected),
        }
    }

    fn release(&self, me: ActorNo, elsewhere: bool) {
        let (kernel, releases) = {
            let mut state = self.state();
            let kernel = state.kernel(me, elsewhere);
            let releases = state.model.actors[me].current.lwp.is_some() && !elsewhere;
            if releases {
                state.model.release(me);
            }
            (&self.kernels[kernel], releases)
        };
        if releases {
            kernel.releaselwp();
        } else {
            self.expect_fatal(me, "releaselwp", || kernel.releaselwp(), FatalKind::NothingToRelease);
        }
    }

    /// Learns what a new lwp is called, and its process if that is new.
    fn learn(&self, me: ActorNo, lwp: LwpNo, id: Option<LwpId>, proc: Option<(ProcNo, Pid)>) {
        let mut state = self.state();
        let model = &mut state.model;
        let known = id.is_none() || model.lwps.iter().any(|lwp| lwp.id == id);
        let used = |(no, pid): (ProcNo, Pid)| {
            model.procs.iter().any(|proc| proc.kernel == model.procs[no].kernel && proc.pid == pid)
        };
        if known || proc.is_some_and(used) {
            drop(state);
            self.fails(format!("{me} makes {id:?} of {proc:?}, which was there before"));
        }
        model.lwps[lwp].id = id;
        if let Some((proc, pid)) = proc {
            model.procs[proc].pid = pid;
        }
    }

    fn rfork(&self, me: ActorNo, elsewhere: bool, fds: FdInherit) {
        let (kernel, proc, lwp) = {
            let mut state = self.state();
            let kernel = state.kernel(me, elsewhere);
            let parent = state.model.proc_in(me, kernel);
            let (proc, lwp) = state.model.make_proc(parent, fds, None);
            state.model.switch(me, Context { kernel: Some(kernel), lwp: Some(lwp) });
            (&self.kernels[kernel], proc, lwp)
        };
        self.expect(me, "rfork", kernel.rfork(fds), Ok(()));
        self.learn(me, lwp, kernel.curlwp(), Some((proc, sys::getpid())));
        let (hooked, valued) = (Arc::clone(&self.ends[proc]), Arc::clone(&self.ends[proc]));
        local::on_exit(move |pid| hooked.note(pid));
        local::set(Value(valued), Inherit::drop());
    }

    fn newlwp(&self, me: ActorNo, proc: Pick) {
        let (kernel, pid, made) = {
            let mut state = self.state();
            let Some(proc) = pick(&state.model.procs, proc) else { return };
            let made = state.model.may_attach(proc).map(|()| {
                let (kernel, lwp) = (state.model.procs[proc].kernel, state.model.make_lwp(proc));
                state.model.switch(me, Context { kernel: Some(kernel), lwp: Some(lwp) });
                lwp
            });
            (&self.kernels[state.model.procs[proc].kernel], state.model.procs[proc].pid, made)
        };
        self.expect(me, ("newlwp", pid), kernel.newlwp(pid), made.map(|_| ()));
        if let Ok(lwp) = made {
            self.learn(me, lwp, kernel.curlwp(), None);
        }
    }

    fn spawn(&self, me: ActorNo, elsewhere: bool, fds: FdInherit) {
        let (kernel, proc, lwp, uid) = {
            let mut state = self.state();
            let kernel = state.kernel(me, elsewhere);
            let parent = state.model.proc_in(me, kernel);
            let uid = state.model.procs.len() as u32;
            let uid = (uid % 3 != 0).then_some(1000 + uid);
            let (proc, lwp) = state.model.make_proc(parent, fds, uid);
            (&self.kernels[kernel], proc, lwp, uid)
        };
        let (hooked, valued) = (Arc::clone(&self.ends[proc]), Arc::clone(&self.ends[proc]));
        let options = ProcOptions::new().fds(fds).on_exit(move |pid| hooked.note(pid));
        let options = options.local(Value(valued), Inherit::drop());
        let options = if let Some(uid) = uid { options.uid(uid) } else { options };
        match kernel.spawn(options) {
            Ok(handle) => {
                self.learn(me, lwp, Some(handle.id()), Some((proc, handle.pid())));
                let mut state = self.state();
                state.model.lwps[lwp].owned = true;
                state.handles.push((lwp, handle));
            }
            Err(error) => self.fails(format!("{me} spawns: {error}")),
        }
    }

    fn another(&self, me: ActorNo, which: Pick) {
        let mut state = self.state();
        let Some(which) = pick(&state.handles, which) else { return };
        let (lwp, handle) = &state.handles[which];
        let proc = state.model.lwps[*lwp].proc;
        let (made, expected) = (handle.newlwp(), state.model.may_attach(proc));
        let Ok(made) = made else {
            drop(state);
            return self.expect(me, "Lwp::newlwp", made.map(drop), expected);
        };
        let lwp = state.model.make_lwp(proc);
        let id = made.id();
        state.model.lwps[lwp].owned = true;
        state.handles.push((lwp, made));
        drop(state);
        self.expect(me, "Lwp::newlwp", Ok(()), expected);
        self.learn(me, lwp, Some(id), None);
    }

    fn from_id(&self, me: ActorNo, target: Target, elsewhere: bool) {
        let (kernel, id, lwp, expected) = {
            let state = self.state();
            match state.lwp(target) {
                Some(lwp) => {
                    let kernel = state.model.kernel_of(lwp) ^ usize::from(elsewhere);
                    (kernel, state.model.lwps[lwp].id, lwp, state.model.adopt(kernel, lwp))
                }
                None => {
                    let kernel = state.kernel(me, elsewhere);
                    (kernel, Some(invented(&self.kernels[kernel])), 0, Err(SwitchError::Stale))
                }
            }
        };
        let Some(id) = id else { return };
        match Lwp::from_id(&self.kernels[kernel], id) {
            Ok(handle) => {
                {
                    let mut state = self.state();
                    state.model.lwps[lwp].owned = true;
                    state.handles.push((lwp, handle));
                }
                self.expect(me, "from_id", Ok(()), expected);
            }
            Err(error) => self.expect(me, "from_id", Err(error), expected),
        }
    }

    fn task(self: &Arc<Self>, me: ActorNo, which: Pick, fiber: bool) {
        let (lwp, handle, number, mux, in_mux, expected) = {
            let mut state = self.state();
            let Some((lwp, handle)) = state.handle(which) else { return };
            let kernel = state.model.kernel_of(lwp);
            let expected = match state.model.claim(0, lwp) {
                _ if kernel != 0 => Err(SpawnErrorKind::Lwp(SwitchError::Foreign)),
                _ if state.mux_dropped => Err(SpawnErrorKind::Closed),
                claimed => claimed.map_err(SpawnErrorKind::Lwp),
            };
            let number = state.model.actors.len();
            let (kind, host) = (if fiber { Kind::Fiber } else { Kind::Future }, state.mux.host());
            if expected.is_ok() {
                state.model.begin_task(kind, host, lwp);
            }
            let in_mux = state.model.actors[me].is_task();
            (lwp, handle, number, state.mux.clone(), in_mux, expected)
        };
        let task = Task { stage: Arc::clone(self), me: number };
        let by_fiber = |task: Task| {
            move || {
                // All of it, not the parts that are used.
                let task = task;
                task.stage.level(number);
                number
            }
        };
        let by_future = |task: Task| async move {
            let task = task;
            task.stage.steps(number).await;
            number
        };
        let here = me == FIRST && MUX.with(|mux| mux.borrow().is_some());
        let spawned = match (in_mux, here, fiber) {
            (true, _, true) => inside::spawn_fiber(handle, by_fiber(task)),
            (true, _, false) => inside::spawn(handle, by_future(task)),
            (_, true, true) => MUX.with_borrow(|mux| mux.as_ref().unwrap().spawn_fiber(handle, by_fiber(task))),
            (_, true, false) => MUX.with_borrow(|mux| mux.as_ref().unwrap().spawn(handle, by_future(task))),
            (_, _, true) => mux.spawn_fiber(handle, by_fiber(task)),
            (_, _, false) => mux.spawn(handle, by_future(task)),
        };
        let got = spawned.as_ref().map(|_| ()).map_err(SpawnError::kind);
        match spawned {
            Ok(join) => self.state().joins.push((number, join)),
            Err(error) => self.state().handles.push((lwp, error.into_lwp())),
        }
        self.expect(me, "a spawn", got, expected);
    }

    fn join(&self, me: ActorNo, which: Pick) -> Option<Flow> {
        let mut state = self.state();
        let which = pick(&state.joins, which)?;
        let task = state.joins[which].0;
        let ended = state.model.actors[task].ended;
        let waits = ended.is_none() && task != me;
        let killed = state.model.proc(me).is_some_and(|proc| state.model.procs[proc].killed);
        let fits = !waits || (state.may_wait(me) && me != FIRST);
        let nested =
            state.model.actors[me].kind != Kind::Fiber && state.model.actors[me].is_task() && state.is_nested(me);
        if killed || !fits || nested {
            return None;
        }
        let (_, join) = state.joins.remove(which);
        let actor = &mut state.model.actors[me];
        actor.waits = Some(Wait::Task(task));
        actor.woken = if task == me { Some(Woken::Deadlock) } else { ended.map(Woken::Joined) };
        self.leave(state);
        Some(Flow::Wait(Waits::Task(task, join)))
    }

    fn block(&self, me: ActorNo) -> Option<Flow> {
        let mut state = self.state();
        let kernel = state.model.actors[me].current.kernel?;
        let proc = &state.model.procs[state.model.proc_in(me, kernel)];
        let woken = match proc {
            proc if !proc.pipe => Some(Err(Errno::EBADF)),
            proc if proc.killed => Some(Err(Errno::EINTR)),
            _ => None,
        };
        let reads = state.model.actors.iter().any(|actor| actor.waits == Some(Wait::Pipe(kernel)));
        let nested = state.is_nested(me) && matches!(state.model.actors[me].kind, Kind::Future | Kind::Main);
        if nested || (woken.is_none() && (reads || !state.may_wait(me))) {
            return None;
        }
        let actor = &mut state.model.actors[me];
        actor.waits = Some(Wait::Pipe(kernel));
        actor.woken = woken.map(Woken::Read);
        self.leave(state);
        Some(Flow::Wait(Waits::Pipe(self.pipes[kernel].0)))
    }

    fn wake(&self, me: ActorNo, which: Pick) {
        let kernel = {
            let mut state = self.state();
            let reads = |actor: &crate::model::Actor| match actor.waits {
                Some(Wait::Pipe(kernel)) if actor.woken.is_none() => Some(kernel),
                _ => None,
            };
            let kernels: Vec<_> = state.model.actors.iter().filter_map(reads).collect();
            let Some(which) = pick(&kernels, which) else { return };
            let reader = state.model.actors.iter_mut().find(|actor| reads(actor) == Some(kernels[which]));
            reader.expect("it reads").woken = Some(Woken::Read(Ok(1)));
            kernels[which]
        };
        let wrote = self.kernels[kernel].enter(|| sys::write(self.pipes[kernel].1, b"x"));
        self.expect(me, "a write", wrote, Ok(1));
    }

    /// Whether the turn has ended with it.
    fn kill(&self, me: ActorNo, which: Pick) -> bool {
        let (kernel, pid, expected) = {
            let mut state = self.state();
            let Some(proc) = pick(&state.model.procs, which) else { return false };
            let woken = state.model.actors.iter().any(|actor| actor.woken.is_some());
            if woken || state.model.waits_beside(proc) {
                return false;
            }
            let expected = state.model.kill(proc);
            (&self.kernels[state.model.procs[proc].kernel], state.model.procs[proc].pid, expected)
        };
        self.expect(me, "kill", kernel.kill(pid), expected);
        // Its tasks may be on their way out.
        self.leave_to_anybody(self.state());
        true
    }

    fn set_uid(&self, me: ActorNo) {
        let (uid, expected) = {
            let mut state = self.state();
            let uid = 2000 + state.model.lwps.len() as u32;
            let Some(proc) = state.model.proc(me).map(|proc| &mut state.model.procs[proc]) else { return };
            // What is pid 1's would be everybody's.
            if !proc.ends() {
                return;
            }
            let may = proc.uid == 0;
            if may {
                proc.uid = uid;
            }
            (uid, if may || proc.uid == uid { Ok(()) } else { Err(Errno::EPERM) })
        };
        self.expect(me, "setuid", sys::setuid(uid), expected);
    }

    fn begin_thread(self: &Arc<Self>) {
        let mut state = self.state();
        if state.second().is_some() {
            return;
        }
        let me = state.model.begin_thread(0);
        let stage = Arc::clone(self);
        let thread = thread::spawn(move || {
            let host = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
            stage.state().model.actors[me].host = host;
            stage.thread(me);
        });
        state.threads.push((me, thread));
    }

    /// Runs the multiplexer until a future has ended that takes part, or it is this thread's turn.
    fn run_until(self: &Arc<Self>) {
        let main = {
            let mut state = self.state();
            state.in_mux = true;
            let host = state.mux.host();
            state.model.begin(Kind::Main, host, Context::implicit(0), None)
        };
        let task = Task { stage: Arc::clone(self), me: main };
        self.finish(FIRST);
        let ran = self.with_mux(|mux| {
            mux.run_until(async move {
                let task = task;
                task.stage.steps(main).await;
            })
        });
        self.state().in_mux = false;
        match ran {
            Some(Ok(Ok(_))) => {}
            Some(Err(payload)) if payload.is::<Unwinding>() => {}
            Some(Err(payload)) => self.unexpected(FIRST, payload),
            ran => self.fails(format!("the multiplexer runs: {ran:?}")),
        }
    }

    fn drop_mux(&self) {
        let Some(mux) = MUX.take() else { return };
        self.state().mux_dropped = true;
        drop(mux);
        let left = self.state().model.actors.iter().position(|actor| actor.is_task() && actor.ended.is_none());
        if let Some(left) = left {
            self.fails(format!("{left} is left by the multiplexer"));
        }
    }
}

/// An id that names nothing.
fn invented(kernel: &Kernel) -> LwpId {
    LwpId::from_raw(kernel.id(), 0xdead_beef_dead_beef)
}
