//! The stage: whose turn it is, so that the steps of all host threads and tasks are one after another; and what is
//! checked after each.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::{thread, vec};

use lwproc::{Fd, JoinHandle, Kernel, Lwp, MuxHandle, sys};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::ends::Ended;
use crate::model::{ActorNo, FIRST, KERNELS, Kind, LwpNo, Model, Outcome, Seen, Woken};
use crate::program::{Op, Program, Step};

/// What somebody does in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Do(Op),
    /// Shows what a wait came to.
    Woken,
    /// Ends: a thread in the end of all, a task whose process was killed.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Of(ActorNo, Act),
    Taken(ActorNo),
    /// Of whoever comes by on the first host thread: somebody has ended, and all that belongs to that is done then.
    Anybody,
    Over,
}

/// What somebody who asks for a turn is told.
pub(crate) enum Next {
    Act(Act),
    /// Another on the same host thread has it.
    Suspend,
    Over,
}

/// Unwinds those who find that all is over.
pub(crate) struct Over;

pub(crate) struct State {
    pub(crate) model: Model,
    pub(crate) handles: Vec<(LwpNo, Lwp)>,
    pub(crate) joins: Vec<(ActorNo, JoinHandle<ActorNo>)>,
    pub(crate) threads: Vec<(ActorNo, thread::JoinHandle<()>)>,
    /// What the waits came to.
    pub(crate) got: BTreeMap<ActorNo, Woken>,
    /// What those who are about to end come to.
    pub(crate) ending: BTreeMap<ActorNo, Outcome>,
    pub(crate) mux: MuxHandle,
    pub(crate) mux_dropped: bool,
    /// Whether the first host thread runs the multiplexer.
    pub(crate) in_mux: bool,
    /// Runs of the multiplexer since a step was done.
    pub(crate) runs: u32,
    pub(crate) failure: Option<String>,
    steps: vec::IntoIter<Step>,
    dropped_inside: bool,
    last: ActorNo,
    turn: Turn,
}

pub(crate) struct Stage {
    pub(crate) kernels: [Kernel; KERNELS],
    /// Reader and writer in pid 1 of each.
    pub(crate) pipes: [(Fd, Fd); KERNELS],
    /// By the model's numbers.
    pub(crate) ends: Vec<Arc<Ended>>,
    /// What the kernels had before.
    pub(crate) base: [(u32, u32); KERNELS],
    pub(crate) state: Mutex<State>,
    changed: Condvar,
    /// Tells that the first host thread has ended, or something has failed.
    over: Mutex<Sender<()>>,
}

impl State {
    /// Whether the turns have come to their end.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.turn, Turn::Over)
    }

    fn occupant(&self) -> Option<ActorNo> {
        // A future that is nested cannot be suspended.
        self.model.actors.iter().position(|actor| {
            matches!(actor.kind, Kind::Future | Kind::Main) && actor.ended.is_none() && !actor.aside.is_empty()
        })
    }

    fn is_on_first(&self, actor: ActorNo) -> bool {
        actor == FIRST || self.model.actors[actor].is_task()
    }

    fn is_reachable(&self, actor: ActorNo) -> bool {
        if !self.is_on_first(actor) {
            return true;
        }
        match self.occupant() {
            _ if self.model.actors[FIRST].waits.is_some() => actor == FIRST,
            Some(occupant) => actor == occupant,
            None => true,
        }
    }

    /// Whether it can do a step.
    pub(crate) fn is_able(&self, actor: ActorNo) -> bool {
        let Some(found) = self.model.actors.get(actor) else { return false };
        found.ended.is_none() && found.waits.is_none() && self.is_reachable(actor)
    }

    fn is_woken(&self, actor: ActorNo) -> bool {
        self.model.actors[actor].woken.is_some() && self.is_reachable(actor)
    }

    /// The second host thread.
    pub(crate) fn second(&self) -> Option<ActorNo> {
        let is = |actor: &ActorNo| {
            let found = &self.model.actors[*actor];
            *actor != FIRST && found.kind == Kind::Thread && found.ended.is_none()
        };
        (0..self.model.actors.len()).find(is)
    }

    /// Gives the next turn.
    fn advance(&mut self) {
        let all = 0..self.model.actors.len();
        self.turn = if let Some(woken) = all.clone().find(|actor| self.is_woken(*actor)) {
            Turn::Of(woken, Act::Woken)
        } else if let Some(doomed) = all.clone().find(|actor| self.model.is_doomed(*actor) && self.is_able(*actor)) {
            Turn::Of(doomed, Act::End)
        } else if let Some(step) = self.steps.next() {
            // Tasks are what is of most interest; and a turn of the first host thread would end a future that it runs.
            let task = all.clone().any(|no| self.model.actors[no].is_task() && self.is_able(no));
            let spared = |actor: ActorNo| actor == FIRST && task && step.who % 8 != 0;
            let able: Vec<_> = all.filter(|actor| self.is_able(*actor) && !spared(*actor)).collect();
            let of_first = matches!(step.op, Op::RunUntil | Op::DropMux) && self.is_able(FIRST);
            // The same one goes on, mostly.
            let who = if of_first {
                FIRST
            } else if step.who < 128 && able.contains(&self.last) {
                self.last
            } else {
                able[usize::from(step.who) % able.len()]
            };
            self.last = who;
            Turn::Of(who, Act::Do(step.op))
        } else {
            self.wind_up()
        };
    }

    /// The next turn when the program is done: what was begun comes to its end.
    fn wind_up(&self) -> Turn {
        let second = self.second();
        let blocked = |actor: ActorNo| self.model.actors[actor].waits.is_some();
        let able = (0..self.model.actors.len()).find(|actor| self.is_able(*actor));
        if let Some(able) = able.filter(|_| blocked(FIRST)) {
            return Turn::Of(able, Act::Do(Op::Wake { pick: 0 }));
        }
        let leaves = |actor: ActorNo| {
            let nested = !self.model.actors[actor].aside.is_empty();
            Turn::Of(actor, if nested { Act::Do(Op::Leave) } else { Act::End })
        };
        if let Some(second) = second.filter(|second| !blocked(*second)) {
            return leaves(second);
        }
        if let Some(occupant) = self.occupant() {
            return leaves(occupant);
        }
        let nested = !self.model.actors[FIRST].aside.is_empty();
        if !self.mux_dropped {
            let drops = Turn::Of(FIRST, Act::Do(Op::DropMux));
            return if self.dropped_inside || !nested { drops } else { leaves(FIRST) };
        }
        if second.is_some() {
            // It reads: what it would join has ended.
            return Turn::Of(FIRST, Act::Do(Op::Wake { pick: 0 }));
        }
        leaves(FIRST)
    }
}

impl Stage {
    pub(crate) fn new(
        kernels: [Kernel; KERNELS],
        pipes: [(Fd, Fd); KERNELS],
        mux: MuxHandle,
        program: &Program,
        over: Sender<()>,
    ) -> Self {
        let mut model = Model::new();
        model.begin_thread(mux.host());
        let base = kernels.each_ref().map(|kernel| (kernel.usage().procs, kernel.usage().lwps));
        let mut state = State {
            model,
            handles: Vec::new(),
            joins: Vec::new(),
            threads: Vec::new(),
            got: BTreeMap::new(),
            ending: BTreeMap::new(),
            mux,
            mux_dropped: false,
            in_mux: false,
            runs: 0,
            failure: None,
            steps: program.steps.clone().into_iter(),
            dropped_inside: program.dropped_inside,
            last: FIRST,
            turn: Turn::Over,
        };
        state.advance();
        // A step makes one process at most, and the kernels have four.
        let ends = (0..program.steps.len() + 4).map(|_| Arc::default()).collect();
        Self { kernels, pipes, ends, base, state: Mutex::new(state), changed: Condvar::new(), over: Mutex::new(over) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits for a turn of `me`, or tells why it is to wait elsewhere.
    pub(crate) fn next(&self, me: ActorNo) -> Next {
        let mut state = self.state();
        loop {
            let on_first = state.is_on_first(me);
            match state.turn {
                Turn::Over => return Next::Over,
                Turn::Anybody if on_first => self.settle(&mut state),
                Turn::Of(who, act) if who == me => {
                    state.turn = Turn::Taken(me);
                    state.runs = 0;
                    state.model.actors[me].begun = true;
                    if !self.verify(&mut state, me, &act) {
                        return Next::Over;
                    }
                    return Next::Act(act);
                }
                Turn::Of(who, _) | Turn::Taken(who) if on_first && state.is_on_first(who) => {
                    state.in_mux |= me == FIRST;
                    return Next::Suspend;
                }
                _ => self.changed.wait(&mut state),
            }
        }
    }

    /// Ends the turn of `me`, who finds itself where the model says.
    pub(crate) fn finish(&self, me: ActorNo) {
        let mut state = self.state();
        if self.verify(&mut state, me, &"a step") && self.count(&mut state) {
            self.pass_on(&mut state);
        }
    }

    /// Ends the turn of one who is about to wait, or who cannot look: others on the first host thread may be under way.
    pub(crate) fn leave(&self, mut state: MutexGuard<'_, State>) {
        if !state.is_over() {
            self.pass_on(&mut state);
        }
    }

    /// Ends the turn, for whoever comes by on the first host thread.
    pub(crate) fn leave_to_anybody(&self, mut state: MutexGuard<'_, State>) {
        if !state.is_over() {
            state.turn = Turn::Anybody;
            self.tell(&state);
        }
    }

    fn pass_on(&self, state: &mut State) {
        state.advance();
        self.tell(state);
    }

    /// What belongs to the end of somebody is done now.
    fn settle(&self, state: &mut State) {
        let (ended, others) = std::mem::take(&mut state.threads)
            .into_iter()
            .partition(|(actor, _)| state.model.actors[*actor].ended.is_some());
        state.threads = others;
        for (_, thread) in ended {
            thread.join().expect("panics were caught");
        }
        if self.count(state) {
            self.pass_on(state);
        }
    }

    /// Lets those know whose turn it is.
    fn tell(&self, state: &State) {
        self.changed.notify_all();
        let runs =
            |actor: ActorNo| state.model.actors[actor].is_task() && (state.is_able(actor) || state.is_woken(actor));
        let stop = match state.turn {
            Turn::Of(FIRST, _) | Turn::Over => true,
            Turn::Anybody => !(0..state.model.actors.len()).any(runs),
            _ => false,
        };
        if stop && state.in_mux {
            state.mux.stop();
        }
    }

    /// Notes that something is not as the model says. All is over then.
    pub(crate) fn fail(&self, state: &mut State, what: impl Into<String>) {
        state.failure.get_or_insert(what.into());
        state.turn = Turn::Over;
        self.tell(state);
        let _ = self.over.lock().send(());
    }

    /// [`fail`](Self::fail), and unwinds.
    pub(crate) fn fails(&self, what: impl Into<String>) -> ! {
        self.fail(&mut self.state(), what);
        resume_unwind(Box::new(Over))
    }

    /// Whether `me` finds itself where the model says.
    pub(crate) fn verify(&self, state: &mut State, me: ActorNo, at: &dyn std::fmt::Debug) -> bool {
        if state.is_over() {
            return false;
        }
        let seen = Seen {
            curlwp: self.kernels.each_ref().map(Kernel::curlwp),
            pid: sys::getpid(),
            uid: sys::getuid(),
            lwpid: sys::getlwpid(),
        };
        let expected = state.model.sees(me);
        if seen != expected {
            self.fail(state, format!("{me} at {at:?} is in {seen:?}, not in {expected:?}"));
        }
        seen == expected
    }

    /// A task has come to the end of its own code, where the model says.
    pub(crate) fn end_task(&self, me: ActorNo) {
        let mut state = self.state();
        // One that was not spawned is not among them.
        if state.is_over() || me >= state.model.actors.len() {
            return;
        }
        let actor = &state.model.actors[me];
        let (main, begun) = (actor.kind == Kind::Main, actor.begun);
        // What `run_until` polls is dropped by the caller; what never began may be dropped before it was taken in.
        if !main && begun && !self.verify(&mut state, me, &"its end") {
            return;
        }
        let doomed = state.model.is_doomed(me).then_some(Outcome::Any);
        let cancelled = (state.mux_dropped || main).then_some(Outcome::Cancelled);
        let Some(outcome) = state.ending.remove(&me).or(doomed).or(cancelled) else {
            return self.fail(&mut state, format!("{me} ends by itself"));
        };
        state.model.end(me, outcome);
        if matches!(state.turn, Turn::Of(who, _) | Turn::Taken(who) if who == me) {
            self.leave_to_anybody(state);
        }
    }

    /// A plain host thread has come to the end of its own code.
    pub(crate) fn end_thread(&self, me: ActorNo) {
        let mut state = self.state();
        if state.is_over() {
            return;
        }
        state.model.end(me, Outcome::Value(me));
        if me == FIRST {
            state.turn = Turn::Over;
            let _ = self.over.lock().send(());
        } else {
            self.leave_to_anybody(state);
        }
    }

    /// Notes that nothing goes on any more.
    pub(crate) fn hang(&self) {
        let mut state = self.state();
        let turn = format!("it hangs: {:?}", state.turn);
        self.fail(&mut state, turn);
    }
}
