//! Tasks: virtual host threads, whose contexts are saved between their turns, and what host threads do to their lwps meanwhile.
//! The turns are the models' own, and all that they are made of is the crate's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use loom::cell::UnsafeCell;

use super::{Handle, Model, boot, host_thread};
use crate::context::curlwp::{Home, cpu};
use crate::context::nest;
use crate::context::saved::Saved;
use crate::id::LwpId;
use crate::kernel::Kernel;
use crate::lwp::SwitchError;
use crate::lwproc::{Lwp, ProcOptions};
use crate::sync::UnlessFailed;
use crate::sync::fault::Fault;

const FILE: &str = "lwp/slot.rs";

/// What a lwp's holder alone may touch: loom finds two who do, and one who does not see what the other did.
type Held = loom::sync::Arc<UnsafeCell<u32>>;

fn touch(held: &Held) {
    // SAFETY: the holder of the lwp is alone; that this is so is the model.
    held.with_mut(|held| unsafe { *held += 1 });
}

/// A process's lwp, and how often the process has ended. Unseen by loom: it counts, and orders nothing.
fn process(kernel: &Kernel) -> (UnlessFailed<Lwp>, Arc<AtomicU32>) {
    let ended = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ended);
    let options = ProcOptions::new().on_exit(move |_| _ = counted.fetch_add(1, Ordering::Relaxed));
    (UnlessFailed::new(kernel.spawn(options).expect("there is room")), ended)
}

/// A task, as a multiplexer has it.
struct Task<'k> {
    kernel: &'k Kernel,
    lwp: &'k Lwp,
    saved: Saved,
}

impl Task<'_> {
    fn turn(&self, turn: impl FnOnce(&Kernel)) {
        let between = cpu(|cpu| cpu.context());
        cpu(|cpu| self.saved.resume(cpu));
        turn(self.kernel);
        cpu(|cpu| self.saved.suspend(cpu));
        cpu(|cpu| cpu.set_context(between));
    }
}

/// Spawns `lwp`, shows the task to `turns`, and ends it as its multiplexer does, whether it has finished or is cancelled: the
/// owner goes in its context, and then whatever is current is let go of.
fn run(kernel: &Kernel, lwp: UnlessFailed<Lwp>, turns: impl FnOnce(&Task<'_>)) {
    nest(kernel.inner(), |_| {
        let home = Home::new(kernel.inner());
        lwp.hold(1).expect("nobody else knows it yet");
        // SAFETY: `home` is there to the end, and the lwp was taken just now.
        let saved = unsafe { Saved::in_lwp(&home, lwp.slot().expect("it has one")) };
        let task = Task { kernel, lwp: &lwp, saved };
        turns(&task);
        let between = cpu(|cpu| cpu.context());
        let Task { saved, .. } = task;
        cpu(|cpu| saved.resume(cpu));
        drop(lwp);
        let mut panic = None;
        // SAFETY: the task's context is the thread's.
        cpu(|cpu| unsafe { Saved::end(cpu, &home, &mut panic) });
        assert!(panic.is_none());
        cpu(|cpu| cpu.set_context(between));
    });
}

/// A host thread that takes the lwp, if it can, and lets go of it.
fn taker(kernel: Handle, id: LwpId, held: Held) -> impl FnOnce() -> bool + 'static {
    move || match kernel.try_switch(Some(id)) {
        Ok(()) => {
            touch(&held);
            assert_eq!(kernel.curlwp(), Some(id));
            kernel.switch(None);
            true
        }
        Err(SwitchError::Running { .. } | SwitchError::Stale) => false,
        Err(error) => panic!("{error}"),
    }
}

fn nothing_left(kernel: &Kernel, ended: &AtomicU32) {
    assert_eq!(ended.load(Ordering::Relaxed), 1, "ended once");
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
}

/// A task holds its lwp from one turn to the next, and to its end: nobody takes it.
pub(super) const TURNS: Model = Model { name: "a task between its turns", preemptions: Some(3), run: || turns(|_| {}) };

/// A multiplexer that lets go of the lwp between two turns, and takes it again.
const IDLE_BETWEEN: Model = Model {
    name: "a task that is Idle between its turns",
    preemptions: Some(3),
    run: || {
        turns(|lwp| {
            lwp.let_go();
            while lwp.hold(1).is_err() {
                loom::thread::yield_now();
            }
        });
    },
};

fn turns(between: impl FnOnce(&Lwp)) {
    let kernel = boot();
    let (lwp, ended) = process(&kernel);
    let (id, held) = (lwp.id(), Held::default());
    let mut other = None;
    run(&kernel, lwp, |task| {
        other = Some(host_thread(taker(kernel.another(), id, Held::clone(&held))));
        task.turn(|kernel| {
            assert_eq!(kernel.curlwp(), Some(id));
            touch(&held);
        });
        between(task.lwp);
        task.turn(|kernel| {
            assert_eq!(kernel.curlwp(), Some(id));
            touch(&held);
        });
    });
    assert!(!other.unwrap().join().unwrap(), "taken from its task");
    nothing_left(&kernel, &ended);
}

/// A task switches away, and back where it can; a host thread takes the lwp meanwhile, and the owner goes in the end.
pub(super) const AWAY: Model = Model {
    name: "a task switches away and back",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        let (lwp, ended) = process(&kernel);
        let (id, held) = (lwp.id(), Held::default());
        let mut other = None;
        run(&kernel, lwp, |task| {
            other = Some(host_thread(taker(kernel.another(), id, Held::clone(&held))));
            task.turn(|kernel| {
                touch(&held);
                kernel.switch(None);
            });
            task.turn(|kernel| {
                if kernel.try_switch(Some(id)).is_ok() {
                    touch(&held);
                }
            });
        });
        other.unwrap().join().unwrap();
        nothing_left(&kernel, &ended);
    },
};

/// A task ends elsewhere, in another lwp; a host thread runs its own meanwhile, and ends it if the owner could not.
pub(super) const ELSEWHERE: Model = Model {
    name: "a task ends elsewhere",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        let (lwp, ended) = process(&kernel);
        let (id, held) = (lwp.id(), Held::default());
        let mut others = None;
        run(&kernel, lwp, |task| {
            task.turn(|kernel| {
                touch(&held);
                kernel.newlwp(crate::Pid::INIT).unwrap();
            });
            others = kernel.curlwp().is_none().then(|| host_thread(taker(kernel.another(), id, Held::clone(&held))));
        });
        others.unwrap().join().unwrap();
        assert_eq!(ended.load(Ordering::Relaxed), 1, "ended once");
        // What it ended in lives on, and is nobody's.
        let left: Vec<_> = kernel.inner().lwps.iter().map(|lwp| (lwp.handle, lwp.running)).collect();
        let [(handle, false)] = left[..] else { panic!("{left:?}") };
        kernel.switch(Some(LwpId::new(kernel.id(), handle)));
        kernel.releaselwp();
    },
};

/// A task releases its lwp, and makes another in the slot that came free, which it leaves to anybody; a host thread that wants
/// the first finds it gone.
pub(super) const RELEASE: Model =
    Model { name: "a task releases its lwp", preemptions: Some(3), run: || release(|_, id| id) };

/// The same, where the host thread goes by the slot and not by its generation.
const BY_ADDRESS: Model = Model {
    name: "a lwp by its address",
    preemptions: Some(3),
    run: || {
        release(|kernel, id| {
            let slot = kernel.inner().lwps.slot(id.handle()).expect("it had one");
            LwpId::new(kernel.id(), slot.handle())
        });
    },
};

fn release(wanted: fn(&Kernel, LwpId) -> LwpId) {
    let kernel = boot();
    let (lwp, ended) = process(&kernel);
    let (id, held) = (lwp.id(), Held::default());
    let mut other = None;
    run(&kernel, lwp, |task| {
        other = Some(host_thread({
            let (kernel, held) = (kernel.another(), Held::clone(&held));
            move || {
                let id = wanted(&kernel, id);
                taker(kernel, id, held)()
            }
        }));
        task.turn(|kernel| {
            touch(&held);
            kernel.releaselwp();
            assert_eq!(kernel.curlwp(), None);
            kernel.newlwp(crate::Pid::INIT).unwrap();
            kernel.switch(None);
        });
    });
    assert!(!other.unwrap().join().unwrap(), "another's was taken");
    assert_eq!((ended.load(Ordering::Relaxed), kernel.usage().lwps), (1, 1));
}

#[test]
fn a_task_holds_its_lwp_between_its_turns() {
    TURNS.check();
}

#[test]
fn a_moment_of_idle_between_two_turns_is_found() {
    IDLE_BETWEEN.must_fail_unbroken();
}

#[test]
fn a_task_that_switches_away_comes_back_where_nobody_was_faster() {
    AWAY.check();
}

#[test]
fn a_task_that_ends_elsewhere_has_its_own_lwp_ended_once() {
    ELSEWHERE.check();
}

#[test]
fn a_task_that_releases_its_lwp_leaves_nothing_to_be_taken() {
    RELEASE.check();
}

#[test]
fn a_handle_without_a_generation_is_found() {
    BY_ADDRESS.must_fail_unbroken();
}

#[test]
fn a_claim_or_an_end_in_two_steps_or_unordered_is_found() {
    AWAY.must_fail(Fault::Torn(FILE));
    AWAY.must_fail(Fault::Release(FILE));
    AWAY.must_fail(Fault::Acquire(FILE));
    ELSEWHERE.must_fail(Fault::Torn(FILE));
}
