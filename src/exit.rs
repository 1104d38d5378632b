//! The end of a lwp, and of its process when it was the last.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::curlwp::{cpu, fatal};
use crate::fd::FdTable;
use crate::kernel::{FatalKind, Inner};
use crate::lwp::Slot;
use crate::proc::{Detach, Proc};

/// Releases the lwp that is current; then the implicit context is. With the last lwp of a process the process ends, in
/// this order: descriptors are closed while the lwp is still current, exit hooks run, the embedder's values are dropped,
/// the process leaves the table, its memory goes when nobody looks at it any more. A panic in the embedder's part of
/// this goes on when all is done.
///
/// # Safety
/// `slot` is a slot of `kernel`'s table, and this thread's current lwp there.
pub(crate) unsafe fn release(kernel: &Inner, slot: &Slot) {
    // SAFETY: the caller's current lwp is Running, held by it.
    let proc = unsafe { slot.proc() };
    let pid = slot.pid();
    if slot.switches() != 0 {
        proc.add_past_switches(slot.switches());
    }
    // SAFETY: as above. Done while the process is sure to be there.
    unsafe { slot.forget_identity() };

    let ended = match proc.lwps.detach() {
        // From here on the process is the others'.
        Detach::Remaining => None,
        Detach::Last => Some(end(proc)),
        Detach::Ending => fatal(kernel, FatalKind::AlreadyEnding),
    };
    cpu(|cpu| {
        if !std::ptr::eq(cpu.current.get(), slot) {
            fatal(kernel, FatalKind::LeftWhileEnding);
        }
        cpu.current.set(cpu.implicit.get());
    });
    // SAFETY: Running is still held, and nothing uses the lwp any more.
    unsafe { kernel.lwps.free(slot) };
    if let Some(panic) = ended {
        // SAFETY: `end` made it dead; the one last lwp does this, once.
        unsafe { kernel.procs.remove(pid) };
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

type Panic = Box<dyn Any + Send>;

/// Runs what a process leaves to be run, and gives the first panic of it.
fn end(proc: &Proc) -> Option<Panic> {
    let mut panic = None;
    let last_user = proc.fds.leave();
    if last_user {
        close_all(&proc.fds, &mut panic);
    }
    if let Some(locals) = proc.locals_if_any() {
        for hook in locals.take_exit_hooks() {
            catch(|| hook(proc.pid), &mut panic);
        }
        catch(|| locals.clear(), &mut panic);
        if last_user {
            // What the hooks opened.
            close_all(&proc.fds, &mut panic);
        }
    }
    proc.identity.load().user.remove_proc();
    proc.lwps.dead();
    panic
}

/// Closes every descriptor, each in spite of the others' panics.
pub(crate) fn close_all(fds: &FdTable, panic: &mut Option<Panic>) {
    while !catch(|| fds.close_all(), panic) {}
}

/// Runs `f`, and keeps its panic if it is the first. Whether there was none.
fn catch(f: impl FnOnce(), first: &mut Option<Panic>) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => true,
        Err(panic) => {
            first.get_or_insert(panic);
            false
        }
    }
}
