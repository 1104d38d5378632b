//! What is left at an end: of a process, whole in the call that ends it; of a program, nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lwproc::{Lwp, Pid, SwitchError, sys};

use crate::stage::{Stage, State};

/// How often a process's exit hook ran, and its value was dropped; each at the process's own end, in its lwp.
#[derive(Default)]
pub(crate) struct Ended {
    hook: AtomicU32,
    value: AtomicU32,
}

impl Ended {
    pub(crate) fn note(&self, pid: Pid) {
        // Counted as wrong where it is another's.
        let once = if sys::getpid() == pid { 1 } else { 100 };
        self.hook.fetch_add(once, Ordering::Relaxed);
    }

    /// How often the hook ran and the value was dropped.
    fn counts(&self) -> (u32, u32) {
        (self.hook.load(Ordering::Relaxed), self.value.load(Ordering::Relaxed))
    }
}

/// A process's value.
pub(crate) struct Value(pub(crate) Arc<Ended>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.value.fetch_add(1, Ordering::Relaxed);
    }
}

impl Stage {
    /// Whether there is what the model says, and what has ended has ended whole.
    pub(crate) fn count(&self, state: &mut State) -> bool {
        if state.is_over() {
            return false;
        }
        for (kernel, (had, real)) in self.base.iter().zip(&self.kernels).enumerate() {
            let (usage, (procs, lwps)) = (real.usage(), state.model.usage(kernel));
            if (usage.procs, usage.lwps) != (had.0 + procs, had.1 + lwps) {
                self.fail(state, format!("kernel {kernel} has {usage:?}, not {procs} and {lwps} beside {had:?}"));
                return false;
            }
        }
        for proc in 0..state.model.procs.len() {
            let gone = u32::from(!state.model.procs[proc].lives());
            let counts = self.ends[proc].counts();
            if counts != (gone, gone) {
                self.fail(state, format!("process {proc} has ended {counts:?} times, not {gone}"));
                return false;
            }
        }
        true
    }

    /// What has failed, if anything has. Then those who wait are let go, to end as they can, and what is owned is left.
    pub(crate) fn abandon(&self) -> Option<String> {
        let (failure, handles, joins) = {
            let mut state = self.state();
            let failure = state.failure.clone()?;
            (failure, std::mem::take(&mut state.handles), std::mem::take(&mut state.joins))
        };
        std::mem::forget((handles, joins));
        let _ = catch_unwind(AssertUnwindSafe(|| {
            for (kernel, (_, writer)) in self.kernels.iter().zip(self.pipes) {
                kernel.enter(|| _ = sys::write(writer, &[0; 64]));
            }
        }));
        Some(failure)
    }

    /// Drops all that is left, and says what remains that should not.
    pub(crate) fn close(self, swept: bool) -> Result<(), String> {
        let State { mut model, handles, joins, .. } = self.state.into_inner();
        drop(joins);
        for (lwp, handle) in handles {
            model.disown(None, lwp);
            drop(handle);
        }
        for lwp in (0..model.lwps.len()).filter(|_| swept) {
            let kernel = &self.kernels[model.kernel_of(lwp)];
            let id = model.lwps[lwp].id.ok_or("it was never made")?;
            match Lwp::from_id(kernel, id).map(drop) {
                Ok(()) if model.lives(lwp) => model.disown(None, lwp),
                Err(SwitchError::Stale) if !model.lives(lwp) => {}
                other => return Err(format!("in the end lwp {lwp} is {other:?}")),
            }
        }
        for (number, kernel) in self.kernels.iter().enumerate() {
            let (usage, pids): (_, Vec<_>) = (kernel.usage(), kernel.ps().iter().map(|row| row.pid.raw()).collect());
            if (usage.procs, usage.lwps) != model.usage(number) || (swept && pids != [0, 1]) {
                return Err(format!("in the end kernel {number} has {usage:?} and {pids:?}"));
            }
        }
        // What is left ends with them.
        drop(self.kernels);
        for (proc, ended) in self.ends.iter().enumerate().take(model.procs.len()) {
            let once = u32::from(model.procs[proc].ends());
            if ended.counts() != (once, once) {
                return Err(format!("in the end process {proc} has ended {:?} times", ended.counts()));
            }
        }
        Ok(())
    }
}
