//! Levels: nested stays, and the panics that leave them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use lwproc::FatalKind;

use crate::model::{ActorNo, Context, FIRST, Outcome};
use crate::program::Pick;
use crate::run::{Fatally, Flow};
use crate::stage::{Over, Stage};

pub(crate) type Payload = Box<dyn Any + Send>;

/// The panic of a program: through so many more levels.
pub(crate) struct Unwinding(pub(crate) usize);

impl Stage {
    pub(crate) fn enter(self: &Arc<Self>, me: ActorNo, elsewhere: bool) {
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
    pub(crate) fn inner(self: &Arc<Self>, me: ActorNo) {
        self.finish(me);
        self.level(me);
    }

    /// A level was left, by a return or a panic: the context is that of before.
    pub(crate) fn left(&self, me: ActorNo, by: Result<(), Payload>) {
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

    pub(crate) fn enter_lwp(self: &Arc<Self>, me: ActorNo, handle: Pick, tried: bool) {
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

    pub(crate) fn leave_level(&self, me: ActorNo) -> Flow {
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

    pub(crate) fn panic(&self, me: ActorNo, levels: Pick) {
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
}
