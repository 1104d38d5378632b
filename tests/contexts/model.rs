//! The model: plain values, one rule.

use lwproc::{Errno, FdInherit, LwpId, Pid, SwitchError, Uid};

/// Numbers of the model's own, in the order of making.
pub(crate) type ActorNo = usize;
pub(crate) type LwpNo = usize;
pub(crate) type ProcNo = usize;
pub(crate) type KernelNo = usize;

/// The two kernels of a program.
pub(crate) const KERNELS: usize = 2;

/// The plain host thread that has the multiplexer.
pub(crate) const FIRST: ActorNo = 0;

#[derive(Debug)]
pub(crate) struct Proc {
    pub(crate) kernel: KernelNo,
    pub(crate) pid: Pid,
    pub(crate) uid: Uid,
    /// How many lwps it has. It ends with the last, unless it is the kernel's own.
    pub(crate) lwps: u32,
    pub(crate) killed: bool,
    /// Whether it has descriptors for the kernel's pipe.
    pub(crate) pipe: bool,
    ends: bool,
}

impl Proc {
    /// Whether it ends with its last lwp: it is not one of the kernel's own.
    pub(crate) fn ends(&self) -> bool {
        self.ends
    }

    pub(crate) fn lives(&self) -> bool {
        !self.ends || self.lwps > 0
    }
}

#[derive(Debug)]
pub(crate) struct Lwp {
    pub(crate) proc: ProcNo,
    /// Known as soon as it was made.
    pub(crate) id: Option<LwpId>,
    lives: bool,
    /// A `Lwp` has it, or a task that was spawned with one.
    pub(crate) owned: bool,
    /// Its owner has gone while somebody else held it: that one ends it when he lets go of it.
    orphan: bool,
}

/// What is current: in a kernel, or in none, which is as the default kernel's implicit context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Context {
    pub(crate) kernel: Option<KernelNo>,
    /// `None`: implicit.
    pub(crate) lwp: Option<LwpNo>,
}

impl Context {
    const NONE: Self = Self { kernel: None, lwp: None };

    pub(crate) fn implicit(kernel: KernelNo) -> Self {
        Self { kernel: Some(kernel), lwp: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A plain host thread.
    Thread,
    Fiber,
    Future,
    /// The future of `run_until`.
    Main,
}

/// What a task came to, as its handle says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It gave its number.
    Value(ActorNo),
    Panicked,
    Cancelled,
    /// Its process was killed: any of these.
    Any,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wait {
    Pipe(KernelNo),
    Task(ActorNo),
}

/// What a wait comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Woken {
    Read(Result<usize, Errno>),
    Joined(Outcome),
    /// A join that was interrupted.
    Interrupted,
    /// A join that was interrupted, of a task that has ended before the joiner had a turn: either may be what it sees.
    Either,
    /// A join of oneself.
    Deadlock,
}

/// A host thread, fiber or future: all of them have a context of their own, and none is special.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) kind: Kind,
    /// Its host thread, as the host numbers it.
    pub(crate) host: u32,
    pub(crate) current: Context,
    /// What nested stays have put aside.
    pub(crate) aside: Vec<Context>,
    /// The lwp with which a task was spawned.
    own: Option<LwpNo>,
    /// Whether it had a turn.
    pub(crate) begun: bool,
    pub(crate) waits: Option<Wait>,
    pub(crate) woken: Option<Woken>,
    pub(crate) ended: Option<Outcome>,
}

impl Actor {
    fn holds(&self, lwp: LwpNo) -> bool {
        self.aside.iter().chain([&self.current]).any(|context| context.lwp == Some(lwp))
    }

    pub(crate) fn is_task(&self) -> bool {
        self.kind != Kind::Thread
    }
}

/// Who is where, and what there is.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) procs: Vec<Proc>,
    pub(crate) lwps: Vec<Lwp>,
    pub(crate) actors: Vec<Actor>,
}

/// What an actor finds when it asks.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) curlwp: [Option<LwpId>; KERNELS],
    pub(crate) pid: Pid,
    pub(crate) uid: Uid,
    pub(crate) lwpid: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        let own =
            |kernel, pid| Proc { kernel, pid, uid: 0, lwps: 0, killed: false, pipe: pid == Pid::INIT, ends: false };
        let procs = (0..KERNELS).flat_map(|kernel| [own(kernel, Pid::KERNEL), own(kernel, Pid::INIT)]).collect();
        Self { procs, lwps: Vec::new(), actors: Vec::new() }
    }

    pub(crate) fn init(kernel: KernelNo) -> ProcNo {
        2 * kernel + 1
    }

    /// Adds an actor, in a context of its own.
    pub(crate) fn begin(&mut self, kind: Kind, host: u32, current: Context, own: Option<LwpNo>) -> ActorNo {
        let (aside, begun) = (Vec::new(), false);
        self.actors.push(Actor { kind, host, current, aside, own, begun, waits: None, woken: None, ended: None });
        self.actors.len() - 1
    }

    /// Adds a host thread, which is in no kernel.
    pub(crate) fn begin_thread(&mut self, host: u32) -> ActorNo {
        self.begin(Kind::Thread, host, Context::NONE, None)
    }

    /// Adds a task, which holds its lwp.
    pub(crate) fn begin_task(&mut self, kind: Kind, host: u32, lwp: LwpNo) -> ActorNo {
        let kernel = Some(self.kernel_of(lwp));
        self.begin(kind, host, Context { kernel, lwp: Some(lwp) }, Some(lwp))
    }

    pub(crate) fn kernel_of(&self, lwp: LwpNo) -> KernelNo {
        self.procs[self.lwps[lwp].proc].kernel
    }

    fn holder(&self, lwp: LwpNo) -> Option<&Actor> {
        self.actors.iter().find(|actor| actor.holds(lwp))
    }

    pub(crate) fn is_idle(&self, lwp: LwpNo) -> bool {
        self.lwps[lwp].lives && self.holder(lwp).is_none()
    }

    pub(crate) fn lives(&self, lwp: LwpNo) -> bool {
        self.lwps[lwp].lives
    }

    /// Whether `kernel` lets anybody take the lwp.
    pub(crate) fn claim(&self, kernel: KernelNo, lwp: LwpNo) -> Result<(), SwitchError> {
        if self.kernel_of(lwp) != kernel {
            return Err(SwitchError::Foreign);
        }
        match self.holder(lwp) {
            _ if !self.lwps[lwp].lives => Err(SwitchError::Stale),
            Some(Actor { host, .. }) => {
                Err(SwitchError::Running { pid: self.procs[self.lwps[lwp].proc].pid, host: *host })
            }
            None => Ok(()),
        }
    }

    /// As [`claim`](Self::claim), for one who is to own it.
    pub(crate) fn adopt(&self, kernel: KernelNo, lwp: LwpNo) -> Result<(), SwitchError> {
        self.claim(kernel, lwp)?;
        if self.lwps[lwp].owned { Err(SwitchError::Owned) } else { Ok(()) }
    }

    /// The process in which `actor` is for calls of `kernel`.
    pub(crate) fn proc_in(&self, actor: ActorNo, kernel: KernelNo) -> ProcNo {
        match self.actors[actor].current {
            Context { kernel: Some(here), lwp: Some(lwp) } if here == kernel => self.lwps[lwp].proc,
            _ => Self::init(kernel),
        }
    }

    /// The process in which `actor` is, if that is in one of the two kernels.
    pub(crate) fn proc(&self, actor: ActorNo) -> Option<ProcNo> {
        self.actors[actor].current.kernel.map(|kernel| self.proc_in(actor, kernel))
    }

    /// What `actor` finds.
    pub(crate) fn sees(&self, actor: ActorNo) -> Seen {
        let Context { kernel, lwp } = self.actors[actor].current;
        let id = lwp.and_then(|lwp| self.lwps[lwp].id);
        let (pid, uid) = self.proc(actor).map_or((Pid::INIT, 0), |proc| (self.procs[proc].pid, self.procs[proc].uid));
        let curlwp = std::array::from_fn(|of| id.filter(|_| kernel == Some(of)));
        Seen { curlwp, pid, uid, lwpid: id.map_or(0, LwpId::raw) }
    }

    /// Processes and lwps of a kernel, its own processes not counted.
    pub(crate) fn usage(&self, kernel: KernelNo) -> (u32, u32) {
        let of_it = self.procs.iter().filter(|proc| proc.kernel == kernel && proc.lives());
        let lwps = of_it.clone().map(|proc| proc.lwps).sum();
        (of_it.filter(|proc| proc.ends).count() as u32, lwps)
    }

    /// `actor` comes into another context, and lets go of the one that it was in.
    pub(crate) fn switch(&mut self, actor: ActorNo, to: Context) {
        let left = std::mem::replace(&mut self.actors[actor].current, to);
        self.let_go(left);
    }

    /// `actor` comes into another context, and puts the one that it was in aside.
    pub(crate) fn nest(&mut self, actor: ActorNo, to: Context) {
        let actor = &mut self.actors[actor];
        actor.aside.push(std::mem::replace(&mut actor.current, to));
    }

    /// `actor` comes back to the context that it put aside last.
    pub(crate) fn restore(&mut self, actor: ActorNo) {
        let aside = self.actors[actor].aside.pop().expect("it is nested");
        self.switch(actor, aside);
    }

    /// Who held the lwp of that context does no more: it is Idle, or ends where its owner has gone.
    fn let_go(&mut self, left: Context) {
        if let Some(lwp) = left.lwp
            && self.lwps[lwp].orphan
        {
            self.end_lwp(lwp);
        }
    }

    fn end_lwp(&mut self, lwp: LwpNo) {
        self.lwps[lwp].lives = false;
        self.procs[self.lwps[lwp].proc].lwps -= 1;
    }

    /// `actor`'s current lwp ends; the implicit context of its kernel is current then.
    pub(crate) fn release(&mut self, actor: ActorNo) {
        if let Some(lwp) = self.actors[actor].current.lwp.take() {
            self.end_lwp(lwp);
        }
    }

    /// The owner of `lwp` goes, in `actor` or nowhere.
    pub(crate) fn disown(&mut self, actor: Option<ActorNo>, lwp: LwpNo) {
        if !self.lwps[lwp].lives {
            return;
        }
        match actor {
            Some(actor) if self.actors[actor].current.lwp == Some(lwp) => self.release(actor),
            _ if self.holder(lwp).is_some() => self.lwps[lwp].orphan = true,
            _ => self.end_lwp(lwp),
        }
    }

    /// A process with one lwp, which nobody holds yet. Its pid is not known yet.
    pub(crate) fn make_proc(&mut self, parent: ProcNo, fds: FdInherit, uid: Option<Uid>) -> (ProcNo, LwpNo) {
        let Proc { kernel, uid: parents, pipe, .. } = self.procs[parent];
        self.procs.push(Proc {
            kernel,
            pid: Pid::KERNEL,
            uid: uid.unwrap_or(parents),
            lwps: 0,
            killed: false,
            pipe: pipe && fds != FdInherit::Clean,
            ends: true,
        });
        let proc = self.procs.len() - 1;
        (proc, self.make_lwp(proc))
    }

    /// A lwp, which nobody holds yet. Its id is not known yet.
    pub(crate) fn make_lwp(&mut self, proc: ProcNo) -> LwpNo {
        self.procs[proc].lwps += 1;
        self.lwps.push(Lwp { proc, id: None, lives: true, owned: false, orphan: false });
        self.lwps.len() - 1
    }

    /// What `newlwp` answers.
    pub(crate) fn may_attach(&self, proc: ProcNo) -> Result<(), Errno> {
        match &self.procs[proc] {
            proc if !proc.lives() => Err(Errno::ESRCH),
            proc if proc.killed => Err(Errno::EBUSY),
            _ => Ok(()),
        }
    }

    /// What `kill` answers, and does: whoever waits in the process is interrupted.
    pub(crate) fn kill(&mut self, victim: ProcNo) -> Result<(), Errno> {
        let proc = &mut self.procs[victim];
        if !proc.ends {
            return Err(Errno::EPERM);
        }
        if !proc.lives() {
            return Err(Errno::ESRCH);
        }
        proc.killed = true;
        for actor in 0..self.actors.len() {
            if self.proc(actor) == Some(victim) {
                let woken = match self.actors[actor].waits {
                    Some(Wait::Pipe(_)) => Woken::Read(Err(Errno::EINTR)),
                    Some(Wait::Task(_)) => Woken::Interrupted,
                    None => continue,
                };
                self.actors[actor].woken = Some(woken);
            }
        }
        Ok(())
    }

    /// Whether a task has to do with a process that was killed: it ends soon, whatever it does.
    pub(crate) fn is_doomed(&self, actor: ActorNo) -> bool {
        let killed = |lwp: LwpNo| self.lwps[lwp].lives && self.procs[self.lwps[lwp].proc].killed;
        let actor = &self.actors[actor];
        let held = actor.aside.iter().chain([&actor.current]).filter_map(|context| context.lwp);
        actor.is_task() && actor.ended.is_none() && held.chain(actor.own).any(killed)
    }

    /// Whether somebody waits whom the end of the process does not interrupt, though he has to do with it: in another
    /// process, or as a future for a task.
    pub(crate) fn waits_on(&self, victim: ProcNo) -> bool {
        let of_it = |lwp: LwpNo| self.lwps[lwp].lives && self.lwps[lwp].proc == victim;
        (0..self.actors.len()).any(|no| {
            let actor = &self.actors[no];
            let awaits = actor.is_task() && actor.kind != Kind::Fiber && matches!(actor.waits, Some(Wait::Task(_)));
            let here = self.proc(no) == Some(victim);
            let held = actor.aside.iter().chain([&actor.current]).filter_map(|context| context.lwp);
            actor.waits.is_some() && if here { awaits } else { held.chain(actor.own).any(of_it) }
        })
    }

    /// A host thread or task ends: levels that it has not left are, its own lwp is released, what is current let go of.
    pub(crate) fn end(&mut self, actor: ActorNo, outcome: Outcome) {
        while !self.actors[actor].aside.is_empty() {
            self.restore(actor);
        }
        if let Some(own) = self.actors[actor].own.take() {
            self.disown(Some(actor), own);
        }
        self.switch(actor, Context::NONE);
        self.actors[actor].waits = None;
        self.actors[actor].woken = None;
        self.actors[actor].ended = Some(outcome);
        for joiner in &mut self.actors {
            if joiner.waits == Some(Wait::Task(actor)) {
                joiner.woken = Some(joiner.woken.map_or(Woken::Joined(outcome), |_| Woken::Either));
            }
        }
    }
}
