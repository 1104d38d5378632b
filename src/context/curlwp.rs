//! The calling host thread's context: three pointers in thread-local storage, of which every system call reads one.
//!
//! These cells need no destructor, so they can be read at any time in a thread's life; [`leave`](super::leave) tidies up
//! when the thread ends.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use crate::id::LwpId;
use crate::kernel::{Fatal, FatalKind, Inner};
use crate::lwp::Slot;
use crate::panics;
use crate::sync::host_local;

/// What a host thread or task runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// The lwp that is current: a dedicated one, which this context holds, or its kernel's implicit one. Null in no kernel.
    pub(crate) current: *const Slot,
    /// The kernel of that lwp. Null in none.
    pub(crate) kernel: *const Inner,
    /// Who made this context, and waits for its end. Null for that which a host thread begins with.
    pub(crate) home: *const Home,
}

/// The place where a context was made: a stay in a kernel, or a multiplexer. It keeps its kernel for the contexts made here, as
/// long as they are in it. One that has gone on to another kernel counts a reference of its own.
#[derive(Debug)]
pub(crate) struct Home {
    kernel: *const Inner,
    /// What was current before, to be restored.
    pub(crate) aside: Cell<Context>,
}

impl Home {
    /// Of contexts that end before `kernel` does.
    pub(crate) fn new(kernel: &Arc<Inner>) -> Self {
        Self { kernel: Arc::as_ptr(kernel), aside: Cell::new(Context::NONE) }
    }

    /// A context here, in the kernel's implicit lwp.
    pub(crate) fn implicit(&self) -> Context {
        // SAFETY: the kernel is kept as long as there are contexts here.
        self.in_lwp(unsafe { (*self.kernel).implicit() })
    }

    /// A context here, in a lwp of the kernel.
    #[inline]
    pub(super) fn in_lwp(&self, current: *const Slot) -> Context {
        Context { current, kernel: self.kernel, home: self }
    }
}

impl Context {
    /// In no kernel.
    pub(crate) const NONE: Self = Self { current: ptr::null(), kernel: ptr::null(), home: ptr::null() };

    /// The current lwp.
    #[inline]
    pub(crate) fn slot(&self) -> Option<&Slot> {
        // SAFETY: slots live as long as their kernel, whose memory the context or its home keeps.
        unsafe { self.current.as_ref() }
    }

    /// The dedicated lwp, if that is what is current.
    #[inline]
    pub(crate) fn dedicated(&self) -> Option<&Slot> {
        self.slot().filter(|slot| !slot.is_implicit())
    }

    /// Whether it is in that kernel.
    #[inline]
    pub(crate) fn is_in(&self, kernel: &Arc<Inner>) -> bool {
        ptr::eq(self.kernel, Arc::as_ptr(kernel))
    }

    /// The kernel that its home keeps; null for none.
    pub(crate) fn home_kernel(&self) -> *const Inner {
        // SAFETY: a home outlives the contexts that were made there.
        unsafe { self.home.as_ref() }.map_or(ptr::null(), |home| home.kernel)
    }

    /// Whether it counts as a reference to the kernel that it is in.
    pub(crate) fn keeps_kernel(&self) -> bool {
        !self.kernel.is_null() && !ptr::eq(self.kernel, self.home_kernel())
    }
}

/// The cells of one host thread.
pub(crate) struct Cpu {
    pub(super) current: Cell<*const Slot>,
    kernel: Cell<*const Inner>,
    home: Cell<*const Home>,
    /// The host's number of this thread, 0 until it was asked.
    host: Cell<u32>,
}

impl Cpu {
    const fn new() -> Self {
        Self {
            current: Cell::new(ptr::null()),
            kernel: Cell::new(ptr::null()),
            home: Cell::new(ptr::null()),
            host: Cell::new(0),
        }
    }

    /// The host's number of this thread.
    #[inline]
    pub(crate) fn host(&self) -> u32 {
        match self.host.get() {
            0 => self.ask_host(),
            host => host,
        }
    }

    #[cold]
    fn ask_host(&self) -> u32 {
        let host = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        self.host.set(host);
        host
    }

    #[inline(always)]
    pub(crate) fn context(&self) -> Context {
        Context { current: self.current.get(), kernel: self.kernel.get(), home: self.home.get() }
    }

    #[inline(always)]
    pub(crate) fn set_context(&self, context: Context) {
        self.current.set(context.current);
        self.kernel.set(context.kernel);
        self.home.set(context.home);
    }
}

host_local! {
    static CPU: Cpu = const { Cpu::new() };
}

/// The calling host thread's cells.
#[inline(always)]
pub(crate) fn cpu<R>(f: impl FnOnce(&Cpu) -> R) -> R {
    CPU.with(f)
}

/// Reports that a stay in `kernel` ends in another context than its own, and aborts: others may point to the place where the
/// stay is, which goes when it ends, so that no hook's panic may go on.
#[cold]
pub(crate) fn out_of_order(kernel: &Inner) -> ! {
    panics::contain(|| fatal(kernel, FatalKind::OutOfOrder));
    std::process::abort()
}

/// Reports a fatal error of the calling thread in `kernel`, and aborts.
#[cold]
pub(crate) fn fatal(kernel: &Inner, kind: FatalKind) -> ! {
    let (host, context) = cpu(|cpu| (cpu.host(), cpu.context()));
    let current = context.dedicated().map(|slot| {
        // SAFETY: a context that is not NONE has its kernel kept.
        let kernel = unsafe { &*context.kernel };
        (slot.pid(), LwpId::new(kernel.id, slot.handle()))
    });
    kernel.fatal(&Fatal { kind, kernel: kernel.id, host, current })
}
