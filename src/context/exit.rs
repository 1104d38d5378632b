//! The end of a lwp, and of its process when it was the last.

use super::curlwp::{cpu, fatal};
use crate::fd::FdTable;
use crate::kernel::{FatalKind, Inner};
use crate::lwp::Slot;
use crate::panics::{Panic, catch, go_on};
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

    let mut panic = None;
    let last = match proc.lwps.detach() {
        // From here on the process is the others'.
        Detach::Remaining => None,
        Detach::Last => {
            end(proc, &mut panic);
            Some(proc)
        }
        Detach::Ending => fatal(kernel, FatalKind::AlreadyEnding),
    };
    cpu(|cpu| {
        if !std::ptr::eq(cpu.current.get(), slot) {
            fatal(kernel, FatalKind::LeftWhileEnding);
        }
        cpu.current.set(kernel.implicit());
    });
    // SAFETY: Running is still held, and nothing uses the lwp any more.
    unsafe { kernel.lwps.free(slot) };
    if let Some(proc) = last {
        // Nobody is in the process any more: what is left of it is memory after this.
        empty(kernel, proc, &mut panic);
        // SAFETY: `end` made it dead; the one last lwp does this, once.
        unsafe { kernel.procs.remove(pid) };
        go_on(panic);
    }
}

/// Runs what a process leaves to be run, while its last lwp is current.
fn end(proc: &Proc, panic: &mut Option<Panic>) {
    close_if_alone(&proc.fds, panic);
    if let Some(locals) = proc.locals_if_any() {
        // One at a time: a hook may set another.
        while let Some(hook) = locals.take_exit_hook() {
            catch(|| hook(proc.pid), panic);
        }
        // What the hooks opened.
        close_if_alone(&proc.fds, panic);
        locals.clear(panic);
    }
    leave(&proc.fds, panic);
    proc.identity.load().user.remove_proc();
    proc.lwps.dead();
}

/// Takes out of a process that has ended what is not memory alone, so that nothing of the embedder's and nothing of the
/// host's goes with that memory, whenever it goes.
fn empty(kernel: &Inner, proc: &Proc, panic: &mut Option<Panic>) {
    // What drops have left in it since.
    if let Some(locals) = proc.locals_if_any() {
        locals.clear(panic);
    }
    proc.cwd.store(kernel.namespace.nowhere());
}

/// Closes what a process that ends has open, unless other processes use the table.
fn close_if_alone(fds: &FdTable, panic: &mut Option<Panic>) {
    if fds.has_one_user() {
        fds.close_all(panic);
    }
}

/// A process leaves its table, which dies with its last user: whatever is in it is closed, and nothing comes in any more.
fn leave(fds: &FdTable, panic: &mut Option<Panic>) {
    if fds.leave() {
        fds.close_all(panic);
    }
}

/// Ends pid 1, whose kernel halts, but for its values; its implicit context is current.
pub(crate) fn end_init(kernel: &Inner, panic: &mut Option<Panic>) {
    leave(&kernel.init().fds, panic);
}

/// Takes out of a halted kernel what is the embedder's: what pid 1 has, and, once no lwp is left, the rest.
pub(crate) fn empty_kernel(kernel: &Inner, panic: &mut Option<Panic>) {
    empty(kernel, kernel.init(), panic);
    // Relaxed, as all of this count: none comes in a halted kernel, so the thread that frees the last one sees that.
    if kernel.lwps.live() == 0 {
        kernel.namespace.close(panic);
        kernel.forget_hooks(panic);
    }
}
