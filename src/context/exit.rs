//! The end of a lwp, and of its process when it was the last.

use crate::context::curlwp::{cpu, fatal};
use crate::fd::FdTable;
use crate::kernel::{FatalKind, Inner};
use crate::lwp::Slot;
pub(crate) use crate::panics::{Panic, catch, go_on};
use crate::proc::locals::Locals;
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
    let turns = slot.turns().over();
    if turns != 0 {
        proc.add_past_switches(turns);
    }
    // SAFETY: as above. Done while the process is sure to be there.
    unsafe { slot.forget_identity() };

    let ended = match proc.lwps.detach() {
        // From here on the process is the others'.
        Detach::Remaining => None,
        Detach::Last => Some((proc, end(proc))),
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
    if let Some((proc, mut ended)) = ended {
        // What drops have left in it since. Nobody is in the process any more, so nothing comes after this: its memory
        // goes without the embedder's code.
        if ended.last_user {
            close_all(&proc.fds, &mut ended.panic);
        }
        if let Some(locals) = proc.locals_if_any() {
            drop_all(locals, &mut ended.panic);
        }
        // SAFETY: `end` made it dead; the one last lwp does this, once.
        unsafe { kernel.procs.remove(pid) };
        go_on(ended.panic);
    }
}

/// A process that has ended, but for its memory.
struct Ended {
    /// The first panic of the embedder's part of it.
    panic: Option<Panic>,
    /// Nobody else uses its descriptors.
    last_user: bool,
}

/// Runs what a process leaves to be run.
fn end(proc: &Proc) -> Ended {
    let mut panic = None;
    let last_user = proc.fds.leave();
    if last_user {
        close_all(&proc.fds, &mut panic);
    }
    if let Some(locals) = proc.locals_if_any() {
        // One at a time: a hook may set another.
        while let Some(hook) = locals.take_exit_hook() {
            catch(|| hook(proc.pid), &mut panic);
        }
        if last_user {
            // What the hooks opened.
            close_all(&proc.fds, &mut panic);
        }
        drop_all(locals, &mut panic);
    }
    proc.identity.load().user.remove_proc();
    proc.lwps.dead();
    Ended { panic, last_user }
}

/// Drops the embedder's values, and hooks that came too late to run, each in spite of the others' panics.
fn drop_all(locals: &Locals, panic: &mut Option<Panic>) {
    for value in locals.take_values() {
        catch(|| drop(value), panic);
    }
    while let Some(hook) = locals.take_exit_hook() {
        catch(|| drop(hook), panic);
    }
}

/// Closes every descriptor, each in spite of the others' panics.
pub(crate) fn close_all(fds: &FdTable, panic: &mut Option<Panic>) {
    while !catch(|| fds.close_all(), panic) {}
}
