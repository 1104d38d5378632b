//! How a context goes from one lwp to another, and what becomes of the one that it leaves.

use std::cell::Cell;
use std::sync::Arc;

use super::curlwp::{Context, cpu};
use super::{exit, halt, hook, nest};
use crate::id::LwpHandle;
use crate::kernel::{Inner, Kernel};
use crate::lwp::{LetGo, Slot, SwitchError};
use crate::panics::{self, Panic, catch, go_on};
use crate::sync::{Ordering, fence, host_local};

/// Makes sure that the calling context may go to `kernel`: that somebody will see to it when it ends there.
///
/// # Errors
/// [`SwitchError::HostEnding`]: the host thread is past the point where it could give back a lwp.
#[inline]
pub(crate) fn ready(kernel: &Kernel) -> Result<(), SwitchError> {
    let context = cpu(|cpu| cpu.context());
    if context.is_in(kernel.inner()) || !context.home.is_null() { Ok(()) } else { watch_thread_end() }
}

/// Takes the lwp that `handle` names, makes it current in `kernel`, and lets go of the one that was.
///
/// # Errors
/// See [`SwitchError`].
#[inline]
pub(crate) fn switch(kernel: &Kernel, slot: &Slot, handle: LwpHandle) -> Result<(), SwitchError> {
    cpu(|cpu| {
        let left = cpu.context();
        if !left.is_in(kernel.inner()) {
            return switch_from_elsewhere(kernel, slot, handle);
        }
        slot.claim(handle, cpu.host())?;
        cpu.current.set(slot);
        // SAFETY: it was this context's current lwp and is no more. The kernel has a handle, so it does not halt.
        unsafe { let_go(kernel.inner(), &*left.current) };
        Ok(())
    })
}

/// [`switch`] for a context that is in another kernel, or in none.
#[cold]
fn switch_from_elsewhere(kernel: &Kernel, slot: &Slot, handle: LwpHandle) -> Result<(), SwitchError> {
    // Before the claim: when this fails, nothing is claimed.
    ready(kernel)?;
    slot.claim(handle, cpu(|cpu| cpu.host()))?;
    // SAFETY: `ready` said so; claimed for this context just now.
    unsafe { bind(kernel, slot) };
    Ok(())
}

/// Makes `slot` current in `kernel`, and lets go of the lwp that was.
///
/// # Safety
/// [`ready`] said so; `slot` is the kernel's implicit lwp, or one of its lwps that the caller holds for this context.
#[inline]
pub(crate) unsafe fn bind(kernel: &Kernel, slot: *const Slot) {
    cpu(|cpu| {
        let left = cpu.context();
        if left.is_in(kernel.inner()) {
            cpu.current.set(slot);
            // SAFETY: it was this context's current lwp and is no more. The kernel has a handle, so it does not halt.
            unsafe { let_go(kernel.inner(), &*left.current) };
            return;
        }
        let arrived = Context { current: slot, kernel: Arc::as_ptr(kernel.inner()), ..left };
        cpu.set_context(arrived);
        if arrived.keeps_kernel() {
            // SAFETY: the address is an `Arc`'s, of which the caller has a reference.
            unsafe { Arc::increment_strong_count(Arc::as_ptr(kernel.inner())) };
        }
        let mut panic = None;
        // SAFETY: it was this thread's context and is no more.
        unsafe { leave(left, &mut panic) };
        go_on(panic);
    });
}

/// Lets go of a lwp of `kernel`, which has a handle. One whose owner is gone is ended.
///
/// # Safety
/// It was the calling context's current lwp, held by it, and is no more.
#[inline]
pub(crate) unsafe fn let_go(kernel: &Arc<Inner>, slot: &Slot) {
    // SAFETY: the caller's.
    if unsafe { slot.let_go() } == LetGo::Orphan {
        let mut panic = None;
        // SAFETY: the caller held it, and goes on to hold it as an orphan.
        unsafe { end_orphan(kernel, slot, &mut panic) };
        go_on(panic);
    }
}

/// Lets go of what a context that is no more had current, in whichever kernel, which may have halted, and of the reference
/// that it counts as. Keeps the first panic of what then ends.
///
/// # Safety
/// It is nobody's context any more.
#[cold]
pub(crate) unsafe fn leave(left: Context, panic: &mut Option<Panic>) {
    let Some(slot) = left.slot() else { return };
    // SAFETY: the address is an `Arc`'s; the context has its kernel kept until here. What it counts as is taken over.
    let kernel = unsafe { if left.keeps_kernel() { Arc::from_raw(left.kernel) } else { kept(left.kernel) } };
    if !slot.is_implicit() {
        // SAFETY: the context held it.
        if unsafe { slot.let_go() } == LetGo::Orphan {
            // SAFETY: as above.
            unsafe { end_orphan(&kernel, slot, panic) };
        }
        // SeqCst: pairs with the fence in `halt`. Either that sees the lwp Idle, or this sees the mark.
        fence(Ordering::SeqCst);
        if kernel.halted() {
            halt::reap(&kernel, panic);
            exit::empty_kernel(&kernel, panic);
        }
    }
    // The memory of a kernel may hold the embedder's values.
    catch(|| drop(kernel), panic);
}

/// One more reference.
///
/// # Safety
/// The address is an `Arc`'s that is there.
unsafe fn kept(kernel: *const Inner) -> Arc<Inner> {
    // SAFETY: the caller's.
    unsafe {
        Arc::increment_strong_count(kernel);
        Arc::from_raw(kernel)
    }
}

/// Releases a lwp whose owner is gone, in it.
///
/// # Safety
/// The caller holds it, as an orphan; it is current nowhere.
#[cold]
unsafe fn end_orphan(kernel: &Arc<Inner>, slot: &Slot, panic: &mut Option<Panic>) {
    let release = || {
        nest(kernel, |nested| {
            // SAFETY: the caller holds it.
            unsafe { nested.run(slot) };
            // SAFETY: it is current now.
            unsafe { exit::release(kernel, slot) };
        });
    };
    catch(release, panic);
}

/// Dropped when its host thread ends. Whether that has anything to leave.
struct ThreadEnd(Cell<bool>);

host_local! {
    static THREAD_END: ThreadEnd = const { ThreadEnd(Cell::new(false)) };
}

impl ThreadEnd {
    /// A thread that ends while it is bound gives its lwp back: anyone may switch to it. A stay that a coroutine of others is
    /// suspended in goes on with it: it ends when that is dropped, or was forgotten with what it holds.
    fn leave(&self) {
        if !self.0.replace(false) || cpu(|cpu| !cpu.context().home.is_null()) {
            return;
        }
        let left = cpu(|cpu| {
            let left = cpu.context();
            cpu.set_context(Context::NONE);
            left
        });
        let mut panic = None;
        // SAFETY: it was this thread's context and is no more.
        unsafe { leave(left, &mut panic) };
        // There is nobody left for it to go on to.
        panics::tell_any(panic);
    }
}

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The end of a model's thread, while it still has its thread-locals: loom's are gone all at once, without destructors
/// or not.
#[cfg(all(test, loom))]
pub(crate) fn end_host_thread() {
    THREAD_END.with(|end| end.leave());
}

/// Sees to it that the host thread gives back what it is bound to when it ends.
///
/// # Errors
/// [`SwitchError::HostEnding`]: it is past that point.
#[cold]
pub(super) fn watch_thread_end() -> Result<(), SwitchError> {
    panics::tell_by(hook::tell);
    THREAD_END.try_with(|end| end.0.set(true)).map_err(|_| SwitchError::HostEnding)
}
