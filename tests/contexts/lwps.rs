//! Steps that make lwps, switch to them and release them.

use std::sync::Arc;

use lwproc::local::{self, Inherit};
use lwproc::{Errno, FatalKind, FdInherit, Kernel, Lwp, LwpId, Pid, ProcOptions, SwitchError, sys};

use crate::ends::Value;
use crate::model::{ActorNo, Context, LwpNo, ProcNo};
use crate::program::{Pick, Target};
use crate::run::pick;
use crate::stage::Stage;

/// An id that names nothing.
fn invented(kernel: &Kernel) -> LwpId {
    LwpId::from_raw(kernel.id(), 0xdead_beef_dead_beef)
}

impl Stage {
    pub(crate) fn switch(&self, me: ActorNo, to: Target, elsewhere: bool, tried: bool) {
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

    pub(crate) fn release(&self, me: ActorNo, elsewhere: bool) {
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
    pub(crate) fn learn(&self, me: ActorNo, lwp: LwpNo, id: Option<LwpId>, proc: Option<(ProcNo, Pid)>) {
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

    pub(crate) fn rfork(&self, me: ActorNo, elsewhere: bool, fds: FdInherit) {
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

    pub(crate) fn newlwp(&self, me: ActorNo, proc: Pick) {
        let (kernel, pid, made) = {
            let mut state = self.state();
            let proc = state.proc(proc);
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

    pub(crate) fn spawn(&self, me: ActorNo, elsewhere: bool, fds: FdInherit) {
        let (kernel, proc, lwp, uid) = {
            let mut state = self.state();
            let kernel = state.kernel(me, elsewhere);
            let parent = state.model.proc_in(me, kernel);
            let uid = state.model.procs.len() as u32;
            let uid = (!uid.is_multiple_of(3)).then_some(1000 + uid);
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
                self.state().own(lwp, handle);
            }
            Err(error) => self.fails(format!("{me} spawns: {error}")),
        }
    }

    pub(crate) fn another(&self, me: ActorNo, which: Pick) {
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
        state.own(lwp, made);
        drop(state);
        self.expect(me, "Lwp::newlwp", Ok(()), expected);
        self.learn(me, lwp, Some(id), None);
    }

    pub(crate) fn adopt(&self, me: ActorNo, target: Target, elsewhere: bool) {
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
                self.state().own(lwp, handle);
                self.expect(me, "from_id", Ok(()), expected);
            }
            Err(error) => self.expect(me, "from_id", Err(error), expected),
        }
    }

    pub(crate) fn set_uid(&self, me: ActorNo) {
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
}
