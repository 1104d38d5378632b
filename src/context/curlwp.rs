//! What the calling host thread runs: three pointers in thread-local storage, read by every system call.
//!
//! A thread is *in* at most one kernel at a time, and there it is bound to a lwp or in its implicit context. These cells
//! need no destructor, so they can be read at any time in a thread's life; [`implicit`](crate::context::implicit) keeps what they
//! point to, and tidies up when the thread ends.

use std::cell::Cell;
use std::ptr;

use crate::id::LwpId;
use crate::kernel::{Fatal, FatalKind, Inner};
use crate::lwp::Slot;
use crate::sync::host_local;

/// The calling host thread's context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// The lwp that runs: a dedicated one, which this thread holds, or `implicit`. Null in no kernel.
    pub(crate) current: *const Slot,
    /// This thread's implicit lwp in `kernel`. Null in no kernel.
    pub(crate) implicit: *const Slot,
    /// Null in no kernel. As long as it is not, this thread keeps the kernel's memory.
    pub(crate) kernel: *const Inner,
}

impl Context {
    /// In no kernel.
    pub(crate) const NONE: Self = Self { current: ptr::null(), implicit: ptr::null(), kernel: ptr::null() };

    /// The dedicated lwp, if that is what runs.
    pub(crate) fn dedicated(&self) -> Option<&Slot> {
        if self.current == self.implicit {
            return None;
        }
        // SAFETY: slots live as long as their kernel, whose memory this thread keeps while it has the context.
        unsafe { self.current.as_ref() }
    }
}

/// The cells of one host thread.
pub(crate) struct Cpu {
    pub(crate) current: Cell<*const Slot>,
    pub(crate) implicit: Cell<*const Slot>,
    pub(crate) kernel: Cell<*const Inner>,
    /// The host's number of this thread, 0 until it was asked.
    host: Cell<u32>,
    /// How many contexts are put aside, to be restored.
    pub(crate) nested: Cell<u32>,
}

impl Cpu {
    const fn new() -> Self {
        Self {
            current: Cell::new(ptr::null()),
            implicit: Cell::new(ptr::null()),
            kernel: Cell::new(ptr::null()),
            host: Cell::new(0),
            nested: Cell::new(0),
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

    pub(crate) fn context(&self) -> Context {
        Context { current: self.current.get(), implicit: self.implicit.get(), kernel: self.kernel.get() }
    }

    pub(crate) fn set_context(&self, context: Context) {
        self.current.set(context.current);
        self.implicit.set(context.implicit);
        self.kernel.set(context.kernel);
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

/// Reports a fatal error of the calling host thread in `kernel`, and aborts.
#[cold]
pub(crate) fn fatal(kernel: &Inner, kind: FatalKind) -> ! {
    let (host, context) = cpu(|cpu| (cpu.host(), cpu.context()));
    let current = context.dedicated().map(|slot| {
        // SAFETY: a context that is not NONE keeps its kernel.
        let kernel = unsafe { &*context.kernel };
        (slot.pid(), LwpId::new(kernel.id, slot.handle()))
    });
    kernel.fatal(&Fatal { kind, kernel: kernel.id, host, current })
}
