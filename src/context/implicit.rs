//! Implicit contexts, and a host thread's stay in a kernel: how it comes in, is put aside and restored, and leaves.
//!
//! A host thread has one implicit lwp in each kernel that it was in. It is made (or taken from those that ended threads
//! left) at the first entry, kept for the next, and handed back when the thread ends. Nothing that one use leaves in it
//! can be noticed by the next.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use crate::context::curlwp::{Context, cpu};
use crate::context::exit::{self, Panic};
use crate::context::hook;
use crate::kernel::{Inner, Kernel};
use crate::lwp::{Slot, SwitchError};
use crate::panics;
use crate::proc::Proc;
use crate::sync::{Ordering, fence, host_local};

/// A kernel that this host thread was in: its memory, and the thread's implicit lwp there.
struct Stay {
    kernel: Arc<Inner>,
    implicit: Box<Slot>,
}

/// The stays of a host thread. Dropped when the thread ends.
struct HostThread {
    stays: RefCell<Vec<Stay>>,
}

host_local! {
    static HOST: HostThread = const { HostThread { stays: RefCell::new(Vec::new()) } };
}

impl HostThread {
    /// A thread that ends while it is bound gives its lwp back: anyone may switch to it.
    fn leave(&self) {
        let stays = self.stays.take();
        if stays.is_empty() {
            return;
        }
        let left = cpu(|cpu| {
            let left = cpu.context();
            cpu.set_context(Context::NONE);
            left
        });
        // A panic of the embedder's was reported when it began, and there is nobody left for it to go on to.
        let mut panic = None;
        // SAFETY: the context was this thread's and is no more; the stays keep its kernel until after this.
        unsafe { let_go(left, &mut panic) };
        for Stay { kernel, implicit } in stays {
            kernel.put_implicit(implicit);
            exit::catch(|| drop(kernel), &mut panic);
        }
        std::mem::forget(panic);
    }
}

impl Drop for HostThread {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The end of a model's thread, while it still has its thread-locals: loom's are gone all at once, without destructors
/// or not.
#[cfg(all(test, loom))]
pub(crate) fn end_host_thread() {
    HOST.with(|host| host.leave());
}

/// Makes sure that this thread has an implicit lwp in `kernel` and keeps the kernel's memory. The context stays.
///
/// # Errors
/// [`SwitchError::HostEnding`]: the thread's own destructors are past the point where it could be handed back.
#[cold]
fn attach(kernel: &Arc<Inner>) -> Result<*const Slot, SwitchError> {
    // No thread comes into a kernel without this.
    panics::tell_by(hook::tell);
    forget_halted(kernel);
    // From here on no code of the embedder's runs: the address is good until the caller makes use of it.
    let attached = HOST.try_with(|host| {
        let mut stays = host.stays.borrow_mut();
        if let Some(stay) = stays.iter().find(|stay| Arc::ptr_eq(&stay.kernel, kernel)) {
            return &raw const *stay.implicit;
        }
        let implicit = kernel.take_implicit();
        let address = &raw const *implicit;
        stays.push(Stay { kernel: Arc::clone(kernel), implicit });
        address
    });
    attached.map_err(|_| SwitchError::HostEnding)
}

/// Lets go of the memory of kernels that halted since this thread was in them, unless a context put aside may be in one.
///
/// That memory may hold the embedder's values: their drops run here, and may change the context.
fn forget_halted(but: &Arc<Inner>) {
    let (here, nested) = cpu(|cpu| (cpu.kernel.get(), cpu.nested.get()));
    if nested != 0 {
        return;
    }
    let gone = HOST.try_with(|host| {
        let of_no_use =
            |stay: &mut Stay| stay.kernel.halted() && !ptr::eq(&*stay.kernel, here) && !Arc::ptr_eq(&stay.kernel, but);
        host.stays.borrow_mut().extract_if(.., of_no_use).collect::<Vec<_>>()
    });
    // Off the borrow.
    drop(gone);
}

/// This thread's implicit lwp in `kernel`, which `bind` then asks for. The context stays.
///
/// # Errors
/// As [`attach`].
#[inline]
pub(crate) fn ready(kernel: &Kernel) -> Result<*const Slot, SwitchError> {
    cpu(|cpu| {
        if ptr::eq(cpu.kernel.get(), Arc::as_ptr(kernel.inner())) {
            return Ok(cpu.implicit.get());
        }
        attach(kernel.inner())
    })
}

/// Makes `slot` current in `kernel`, and lets go of the lwp that was.
///
/// # Safety
/// `implicit` came from [`ready`]; `slot` is it, or a lwp of `kernel` that this thread holds.
#[inline]
pub(crate) unsafe fn bind(kernel: &Kernel, implicit: *const Slot, slot: *const Slot) {
    cpu(|cpu| {
        let here = Arc::as_ptr(kernel.inner());
        if ptr::eq(cpu.kernel.get(), here) {
            let old = cpu.current.replace(slot);
            // SAFETY: it was this thread's current lwp and is no more. The kernel has a handle, so it does not halt.
            unsafe { (*old).yield_now() };
        } else {
            let left = cpu.context();
            cpu.set_context(Context { current: slot, implicit, kernel: here });
            let mut panic = None;
            // SAFETY: the context was this thread's and is no more; the thread's stay keeps its kernel.
            unsafe { let_go(left, &mut panic) };
            exit::go_on(panic);
        }
    });
}

/// Lets go of the lwp of a context that this thread has left, in a kernel that may have halted. Keeps the first panic of
/// what then ends.
///
/// # Safety
/// The context was this thread's, is no more, and its kernel's memory is still kept.
#[cold]
pub(crate) unsafe fn let_go(left: Context, panic: &mut Option<Panic>) {
    let Some(slot) = left.dedicated() else { return };
    // SAFETY: this thread held it, and uses it no more.
    unsafe { slot.yield_now() };
    // SeqCst: pairs with the fence in `halt`. Either that sees the lwp Idle, or this sees the mark.
    fence(Ordering::SeqCst);
    // SAFETY: the caller keeps the memory; the pointer is `Arc::as_ptr` of a kernel.
    let kernel = unsafe {
        Arc::increment_strong_count(left.kernel);
        Arc::from_raw(left.kernel)
    };
    if kernel.halted() {
        reap(&kernel, panic);
    }
    // The memory of a kernel may hold the embedder's values.
    exit::catch(|| drop(kernel), panic);
}

/// The halt of a kernel whose last handle is gone: releases what no host thread runs, and closes what pid 1 has open.
pub(crate) fn halt(kernel: &Arc<Inner>) {
    // SeqCst: pairs with the fence in `let_go`.
    fence(Ordering::SeqCst);
    let mut panic = None;
    reap(kernel, &mut panic);
    exit::catch(
        || {
            let _nested = Nested::enter(kernel);
            let mut panic = None;
            exit::close_all(&kernel.init().fds, &mut panic);
            exit::go_on(panic);
        },
        &mut panic,
    );
    exit::go_on(panic);
}

/// Releases all lwps of a halted kernel that are Idle, each in spite of the others' panics.
fn reap(kernel: &Arc<Inner>, panic: &mut Option<Panic>) {
    for lwp in kernel.lwps.iter() {
        let Some(slot) = kernel.lwps.slot(lwp.handle) else { continue };
        let release = || {
            let nested = Nested::enter(kernel);
            if slot.claim(lwp.handle, cpu(|cpu| cpu.host())).is_err() {
                return;
            }
            // SAFETY: claimed just now.
            if unsafe { slot.proc() }.lwps.ending() {
                // Left in the midst of its end, which was fatal. It stays claimed, out of everybody's reach.
                return;
            }
            // SAFETY: claimed just now.
            unsafe { nested.run(slot) };
            // SAFETY: it is the current lwp.
            unsafe { exit::release(kernel, slot) };
        };
        exit::catch(release, panic);
    }
}

/// A stay in a kernel's implicit context, or in a lwp, with the former context put aside. Dropped, it restores that one,
/// and lets go of whatever lwp is current then. The lwp put aside stays this thread's.
#[derive(Debug)]
pub(crate) struct Nested<'k> {
    kernel: &'k Arc<Inner>,
    aside: Context,
    /// The implicit lwp, on a thread that ends and can keep none.
    borrowed: Option<Box<Slot>>,
    /// Bound to the host thread.
    not_send: PhantomData<*const ()>,
}

impl<'k> Nested<'k> {
    #[inline]
    pub(crate) fn enter(kernel: &'k Arc<Inner>) -> Self {
        cpu(|cpu| {
            let here = Arc::as_ptr(kernel);
            let mut borrowed = None;
            let implicit = if ptr::eq(cpu.kernel.get(), here) {
                cpu.implicit.get()
            } else {
                attach(kernel).unwrap_or_else(|_| &raw const **borrowed.insert(kernel.take_implicit()))
            };
            // Not before: `attach` may run the embedder's code, which may change the context.
            let aside = cpu.context();
            cpu.nested.set(cpu.nested.get() + 1);
            cpu.set_context(Context { current: implicit, implicit, kernel: here });
            Self { kernel, aside, borrowed, not_send: PhantomData }
        })
    }

    /// Makes `slot` current.
    ///
    /// # Safety
    /// It is a lwp of the kernel that this thread holds, and the implicit lwp is current.
    #[inline]
    pub(crate) unsafe fn run(&self, slot: &Slot) {
        cpu(|cpu| cpu.current.set(slot));
    }
}

impl Drop for Nested<'_> {
    #[inline]
    fn drop(&mut self) {
        let left = cpu(|cpu| {
            let left = cpu.context();
            cpu.set_context(self.aside);
            cpu.nested.set(cpu.nested.get() - 1);
            left
        });
        if ptr::eq(left.kernel, Arc::as_ptr(self.kernel)) && !self.kernel.halted() {
            // SAFETY: it was this thread's current lwp and is no more. Its kernel has not halted, and whoever runs this
            // has a handle on it, so it does not meanwhile.
            unsafe { (*left.current).yield_now() };
        } else {
            self.leave_elsewhere(left);
        }
        if let Some(implicit) = self.borrowed.take() {
            self.kernel.put_implicit(implicit);
        }
    }
}

impl Nested<'_> {
    /// Lets go of the lwp of a context in another kernel, or in one that has halted.
    #[cold]
    fn leave_elsewhere(&mut self, left: Context) {
        let mut panic = None;
        // SAFETY: the context was this thread's and is no more; its stay, or `self.kernel`, keeps the kernel.
        unsafe { let_go(left, &mut panic) };
        if let Some(implicit) = self.borrowed.take() {
            self.kernel.put_implicit(implicit);
        }
        exit::go_on(panic);
    }
}

/// The context that a system call runs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current<'c> {
    slot: &'c Slot,
    kernel: &'c Inner,
}

impl<'c> Current<'c> {
    /// The process.
    #[inline]
    pub(crate) fn proc(self) -> &'c Proc {
        // SAFETY: this thread holds the lwp, and `current` lets nobody change that before the reference is gone.
        unsafe { self.slot.proc() }
    }

    /// The lwp, a dedicated or an implicit one.
    #[inline]
    pub(crate) fn slot(self) -> &'c Slot {
        self.slot
    }

    #[inline]
    pub(crate) fn kernel(self) -> &'c Inner {
        self.kernel
    }
}

/// Shows `f` the calling thread's context. In no kernel yet, the thread comes into the default kernel's implicit context.
///
/// `f` must run no code of the embedder's (a file's method or drop, a waker, a hook): that could release the lwp under
/// it. What outlives the look is taken out by count or by value.
#[inline]
pub(crate) fn current<R>(f: impl FnOnce(Current<'_>) -> R) -> R {
    cpu(|cpu| {
        let slot = cpu.current.get();
        if slot.is_null() {
            return outside(f);
        }
        // SAFETY: a thread in a kernel keeps its memory, and with it the slot; `f` does not change the context.
        f(unsafe { Current { slot: &*slot, kernel: &*cpu.kernel.get() } })
    })
}

/// [`current`] for a thread that is in no kernel.
#[cold]
fn outside<R>(f: impl FnOnce(Current<'_>) -> R) -> R {
    let kernel = Kernel::global();
    match ready(kernel) {
        Ok(implicit) => {
            // SAFETY: the implicit lwp came from `ready`.
            unsafe { bind(kernel, implicit, implicit) };
            current(f)
        }
        // The thread ends: its context lasts for this call alone.
        Err(_) => {
            let _nested = Nested::enter(kernel.inner());
            current(f)
        }
    }
}
