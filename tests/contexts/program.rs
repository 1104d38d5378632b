//! Programs at random: steps, each by somebody.

use lwproc::FdInherit;
use proptest::prelude::*;

/// Which of those that there are when the step is done: counted round.
pub(crate) type Pick = u8;

/// A lwp to be named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// None: the implicit context.
    Implicit,
    /// One that nobody runs, if there is one.
    Idle(Pick),
    /// Any that there is or was.
    Any(Pick),
    /// One that there never was.
    Invented,
}

/// What is asked. `elsewhere`: of the kernel in which the caller is not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// `Kernel::enter`, until the level is left.
    Enter { elsewhere: bool },
    /// `Lwp::enter` or `try_enter`, until the level is left.
    EnterLwp { handle: Pick, tried: bool },
    /// Leaves the level; without one, a task or a second host thread ends.
    Leave,
    /// Panics through so many levels. Through all of them: a task ends by it.
    Panic { levels: Pick },
    /// `try_switch`, or `switch`: fatal where that is an error.
    Switch { to: Target, elsewhere: bool, tried: bool },
    /// `releaselwp`: fatal in an implicit context, or in the other kernel.
    Release { elsewhere: bool },
    /// `rfork`.
    Rfork { elsewhere: bool, fds: FdInherit },
    /// `newlwp`, in any process that there is or was.
    NewLwp { proc: Pick },
    /// `Kernel::spawn`.
    Spawn { elsewhere: bool, fds: FdInherit },
    /// `Lwp::newlwp`.
    Another { handle: Pick },
    /// `Lwp::from_id`, of its kernel or the other.
    FromId { lwp: Target, elsewhere: bool },
    /// `Lwp::into_id`.
    IntoId { handle: Pick },
    /// Drops a `Lwp`.
    Drop { handle: Pick },
    /// Spawns a task in a `Lwp`.
    Task { handle: Pick, fiber: bool },
    /// Waits for a task.
    Join { task: Pick },
    /// Reads from the kernel's pipe, which is empty.
    Block,
    /// Writes to the pipe from which somebody reads.
    Wake { pick: Pick },
    /// `Kernel::kill`, of any process that there is or was.
    Kill { proc: Pick },
    /// `setuid`.
    SetUid,
    /// A turn for the others.
    Yield,
    /// A second host thread, if there is none.
    Thread,
    /// `Mux::run_until`, of a future that takes part.
    RunUntil,
    /// Drops the multiplexer, whatever its tasks are at.
    DropMux,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) who: Pick,
    pub(crate) op: Op,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Whether the tables of lwps are nearly full, so that slots are used again.
    pub(crate) crowded: bool,
    /// Whether what is nobody's in the end is taken over and dropped, or left to the kernel's halt.
    pub(crate) swept: bool,
    /// Whether the multiplexer is dropped before the levels are left in the end.
    pub(crate) dropped_inside: bool,
    pub(crate) steps: Vec<Step>,
}

/// How many host threads take part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Threads {
    One,
    Two,
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.25)
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        2 => Just(Target::Implicit),
        6 => any::<Pick>().prop_map(Target::Idle),
        3 => any::<Pick>().prop_map(Target::Any),
    ]
}

fn ids() -> impl Strategy<Value = Target> {
    prop_oneof![
        6 => any::<Pick>().prop_map(Target::Idle),
        2 => any::<Pick>().prop_map(Target::Any),
        1 => Just(Target::Invented),
    ]
}

fn fds() -> impl Strategy<Value = FdInherit> {
    prop::sample::select(vec![FdInherit::Share, FdInherit::Share, FdInherit::Copy, FdInherit::Clean])
}

fn ops(threads: Threads) -> impl Strategy<Value = Op> {
    let thread = if threads == Threads::Two { 5 } else { 0 };
    let of_lwps = prop_oneof![
        8 => rarely().prop_map(|elsewhere| Op::Enter { elsewhere }),
        8 => (any::<Pick>(), any::<bool>()).prop_map(|(handle, tried)| Op::EnterLwp { handle, tried }),
        10 => Just(Op::Leave),
        4 => any::<Pick>().prop_map(|levels| Op::Panic { levels }),
        20 => (prop_oneof![8 => targets(), 1 => Just(Target::Invented)], rarely(), any::<bool>())
            .prop_map(|(to, elsewhere, tried)| Op::Switch { to, elsewhere, tried }),
        8 => prop::bool::weighted(0.05).prop_map(|elsewhere| Op::Release { elsewhere }),
        8 => (rarely(), fds()).prop_map(|(elsewhere, fds)| Op::Rfork { elsewhere, fds }),
        5 => any::<Pick>().prop_map(|proc| Op::NewLwp { proc }),
    ];
    let of_handles = prop_oneof![
        10 => (rarely(), fds()).prop_map(|(elsewhere, fds)| Op::Spawn { elsewhere, fds }),
        3 => any::<Pick>().prop_map(|handle| Op::Another { handle }),
        4 => (ids(), rarely()).prop_map(|(lwp, elsewhere)| Op::FromId { lwp, elsewhere }),
        2 => any::<Pick>().prop_map(|handle| Op::IntoId { handle }),
        6 => any::<Pick>().prop_map(|handle| Op::Drop { handle }),
    ];
    let of_tasks = prop_oneof![
        14 => (any::<Pick>(), any::<bool>()).prop_map(|(handle, fiber)| Op::Task { handle, fiber }),
        4 => any::<Pick>().prop_map(|task| Op::Join { task }),
        5 => Just(Op::Block),
        4 => any::<Pick>().prop_map(|pick| Op::Wake { pick }),
        2 => any::<Pick>().prop_map(|proc| Op::Kill { proc }),
        2 => Just(Op::SetUid),
        5 => Just(Op::Yield),
        thread => Just(Op::Thread),
        2 => Just(Op::RunUntil),
        1 => Just(Op::DropMux),
    ];
    prop_oneof![10 => of_lwps, 4 => of_handles, 6 => of_tasks]
}

/// Programs of up to 26 steps, beside those that end what was begun.
pub(crate) fn programs(threads: Threads) -> impl Strategy<Value = Program> {
    let step = (any::<Pick>(), ops(threads)).prop_map(|(who, op)| Step { who, op });
    (prop::bool::weighted(0.3), any::<bool>(), any::<bool>(), prop::collection::vec(step, 1..26)).prop_map(
        |(crowded, swept, dropped_inside, mut steps)| {
            // Something to begin with.
            let first = |op| Step { who: 0, op };
            let spawn = first(Op::Spawn { elsewhere: false, fds: FdInherit::Share });
            let task = |fiber| first(Op::Task { handle: 0, fiber });
            let begins = [spawn, spawn, task(true), spawn, task(false), spawn, task(true), spawn];
            let some = steps.first().map_or(0, |step| usize::from(step.who) % (begins.len() + 1));
            steps.splice(0..0, begins[..some].iter().copied());
            Program { crowded, swept, dropped_inside, steps }
        },
    )
}
