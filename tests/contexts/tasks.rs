//! Steps that begin tasks and host threads, wait for them, wake them and end them.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use lwproc::mux::{self as inside, SpawnError, SpawnErrorKind};
use lwproc::{Errno, Mux, SwitchError, sys};

use crate::levels::Unwinding;
use crate::model::{Actor, ActorNo, Context, FIRST, Kind, Wait, Woken};
use crate::program::Pick;
use crate::run::{Flow, Waits, pick};
use crate::stage::Stage;

thread_local! {
    /// That of the first host thread.
    pub(crate) static MUX: RefCell<Option<Mux>> = const { RefCell::new(None) };
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

impl Stage {
    pub(crate) fn task(self: &Arc<Self>, me: ActorNo, which: Pick, fiber: bool) {
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

    pub(crate) fn join(&self, me: ActorNo, which: Pick) -> Option<Flow> {
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

    pub(crate) fn block(&self, me: ActorNo) -> Option<Flow> {
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

    pub(crate) fn wake(&self, me: ActorNo, which: Pick) {
        let kernel = {
            let mut state = self.state();
            let reads = |actor: &Actor| match actor.waits {
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
    pub(crate) fn kill(&self, me: ActorNo, which: Pick) -> bool {
        let (kernel, pid, expected) = {
            let mut state = self.state();
            let proc = state.proc(which);
            let woken = state.model.actors.iter().any(|actor| actor.woken.is_some());
            if woken || state.model.waits_on(proc) {
                return false;
            }
            let expected = state.model.kill(proc);
            (&self.kernels[state.model.procs[proc].kernel], state.model.procs[proc].pid, expected)
        };
        self.expect(me, "kill", kernel.kill(pid), expected);
        let state = self.state();
        if state.model.actors[FIRST].waits.is_some() {
            return false;
        }
        // Its tasks may be on their way out.
        self.leave_to_anybody(state);
        true
    }

    pub(crate) fn begin_thread(self: &Arc<Self>) {
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
    pub(crate) fn run_until(self: &Arc<Self>) {
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

    /// Runs the multiplexer while it is others' turn on the first host thread.
    pub(crate) fn run_mux(&self) {
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

    pub(crate) fn with_mux<R>(&self, f: impl FnOnce(&mut Mux) -> R) -> Option<thread::Result<R>> {
        let mut mux = MUX.take()?;
        let done = catch_unwind(AssertUnwindSafe(|| f(&mut mux)));
        MUX.set(Some(mux));
        Some(done)
    }

    pub(crate) fn drop_mux(&self) {
        let Some(mux) = MUX.take() else { return };
        self.state().mux_dropped = true;
        drop(mux);
        let left = self.state().model.actors.iter().position(|actor| actor.is_task() && actor.ended.is_none());
        if let Some(left) = left {
            self.fails(format!("{left} is left by the multiplexer"));
        }
    }
}
