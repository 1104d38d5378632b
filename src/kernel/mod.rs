//! A kernel: its tables, limits and hooks, and the handle that embedders hold.

mod builder;
mod fatal;
mod mounts;

use std::any::Any;
use std::fmt;
use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

pub use builder::Builder;
pub(crate) use fatal::FatalHook;
#[cfg(all(feature = "capi", not(loom)))]
pub(crate) use fatal::report;
pub use fatal::{Fatal, FatalKind};

use crate::errno::{Errno, Result};
use crate::id::Pid;
use crate::lwp::{LwpTable, Slot};
use crate::panics::{Panic, catch};
use crate::proc::user::Users;
use crate::proc::{Proc, ProcTable};
use crate::sync::{AtomicBool, AtomicU32, AtomicUsize, Mutex, Ordering, Snapshot, add_reference, fence};
use crate::table;
use crate::vfs::Namespace;

/// A kernel: processes, lwps and a namespace of their own, inside this host process.
///
/// The value is a handle; clones are handles on the same kernel. Processes and lwps live until released, or until the
/// last handle is dropped: then the kernel *halts*, which releases every lwp that nobody runs, with its
/// process, descriptors and hooks. One that runs goes when its host thread or task lets go of it. With the last of them go
/// files, mounts, devices and hooks. Pid 1 ends in the halt: a host thread that is still in its implicit context finds no
/// file there and can open none. A [`Lwp`](crate::Lwp) counts as a handle.
///
/// ```
/// use lwproc::{FdInherit, Kernel, sys};
///
/// let kernel = Kernel::new()?;
/// assert_eq!(kernel.curlwp(), None);
/// kernel.rfork(FdInherit::Clean)?;
/// let lwp = kernel.curlwp();
/// assert_eq!(sys::getpid().raw(), 2);
///
/// kernel.switch(None);
/// kernel.switch(lwp);
/// kernel.releaselwp();
/// # Ok::<(), lwproc::Errno>(())
/// ```
///
/// Source: rump_lwproc(3).
pub struct Kernel {
    /// All handles hold one reference together, which the last of them drops: [`Inner::handles`] counts them, and one
    /// count for each is enough.
    inner: ManuallyDrop<Arc<Inner>>,
}

/// See [`Builder::on_panic`].
pub(crate) type PanicHook = Arc<dyn Fn(&(dyn Any + Send)) + Send + Sync>;

/// See [`Kernel::global`].
static GLOBAL: OnceLock<Kernel> = OnceLock::new();

/// What all handles share, and host threads that are or were in the kernel.
pub(crate) struct Inner {
    /// *Immutable.*
    pub(crate) id: NonZeroU32,
    /// *Atomic*: handles. At 0 the kernel halts.
    handles: AtomicUsize,
    /// *Atomic*: set once, when the last handle goes.
    halted: AtomicBool,
    /// *Atomic*: how many processes were killed, for multiplexers to see that there is something to look for.
    pub(crate) kills: AtomicU32,
    pub(crate) lwps: LwpTable,
    pub(crate) procs: ProcTable,
    pub(crate) users: Users,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) hostname: Snapshot<Box<str>>,
    implicit: Slot,
    /// *Immutable*: pid 1, which lives as long as the table.
    init: *const Proc,
    /// None once the kernel has halted and no lwp is left in it.
    fatal_hook: Mutex<Option<FatalHook>>,
    /// Told of panics that nobody sees. As above.
    panic_hook: Mutex<Option<PanicHook>>,
}

// SAFETY: `init` points into `procs`, which is shared by its own rules; all else is `Send + Sync`.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// How much of a kernel is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Processes, pids 0 and 1 not counted.
    pub procs: u32,
    /// Lwps, implicit ones not counted.
    pub lwps: u32,
}

impl Kernel {
    /// Boots a kernel with the builder's defaults.
    ///
    /// # Errors
    /// As [`Builder::boot`].
    pub fn new() -> Result<Self> {
        Self::builder().boot()
    }

    /// A kernel to be configured before it boots.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The default kernel, booted at first use: the one of the C interface, and of host threads that make a system call
    /// before they entered any other. It never halts.
    ///
    /// # Panics
    /// When it cannot boot: see [`Builder::boot`].
    #[inline]
    pub fn global() -> &'static Self {
        GLOBAL.get().unwrap_or_else(|| Self::boot_global().expect("the default kernel boots"))
    }

    /// As [`global`](Self::global), with an error where that panics.
    ///
    /// # Errors
    /// As [`Builder::boot`].
    #[inline]
    pub fn try_global() -> Result<&'static Self> {
        GLOBAL.get().map_or_else(Self::boot_global, Ok)
    }

    #[cold]
    fn boot_global() -> Result<&'static Self> {
        let booted = Self::new()?;
        // Of threads that boot it at the same time one wins; the others' kernels halt before anybody saw them.
        Ok(GLOBAL.get_or_init(|| booted))
    }

    /// The kernel's number in this host process, which is in every [`LwpId`](crate::LwpId) of it. Never used again.
    pub fn id(&self) -> NonZeroU32 {
        self.inner.id
    }

    /// How much is in use.
    pub fn usage(&self) -> Usage {
        Usage { procs: self.inner.procs.live() - 2, lwps: self.inner.lwps.live() }
    }

    /// The host name, which [`sys::sethostname`](crate::sys::sethostname) sets.
    pub fn hostname(&self) -> String {
        self.inner.hostname.load().to_string()
    }

    /// Ends a process from outside: its blocked calls return `EINTR`, calls that would block do so too from now on, and
    /// no lwp can be added (`EBUSY`). Its lwps are released by whoever holds them, and the process goes with the last. Fibers and
    /// futures in it are [ended](crate::mux#cancel-and-kill) after a few turns, whatever they do.
    ///
    /// # Errors
    /// `ESRCH`: no such process. `EPERM`: pid 0 or 1.
    ///
    /// ```
    /// use lwproc::{Errno, Kernel, ProcOptions};
    ///
    /// let kernel = Kernel::new()?;
    /// let lwp = kernel.spawn(ProcOptions::new())?;
    /// kernel.kill(lwp.pid())?;
    /// assert_eq!(lwp.newlwp().unwrap_err(), Errno::EBUSY);
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn kill(&self, pid: Pid) -> Result<()> {
        if [Pid::KERNEL, Pid::INIT].contains(&pid) {
            return Err(Errno::EPERM);
        }
        let interrupts = {
            let guard = table::pin();
            let proc = self.inner.procs.get(pid, &guard).ok_or(Errno::ESRCH)?;
            proc.lwps.kill()?;
            // Relaxed: those who wait are told by the queue, the others see it soon.
            self.inner.kills.fetch_add(1, Ordering::Relaxed);
            // SeqCst: pairs with the fence in `WaitQueue::enter`, after which the waiter looks at the count. Either it
            // sees the mark, or the queue is seen here with the waiter in it.
            fence(Ordering::SeqCst);
            proc.interrupts_if_any().cloned()
        };
        // Off the guard: wakers are anybody's code.
        if let Some(interrupts) = interrupts {
            interrupts.wake_all();
        }
        Ok(())
    }

    /// The first handle.
    fn first(inner: Inner) -> Self {
        Self { inner: ManuallyDrop::new(Arc::new(inner)) }
    }

    #[inline]
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Gives the handle up. To the last one, what it leaves is handed on, marked as halted: the caller halts it.
    ///
    /// # Safety
    /// The handle is not used any more.
    pub(crate) unsafe fn give_up(&mut self) -> Option<Arc<Inner>> {
        // AcqRel: pairs with itself: all that was done through other handles comes before the halt.
        if self.inner.handles.fetch_sub(1, Ordering::AcqRel) != 1 {
            return None;
        }
        self.inner.halted.store(true, Ordering::Relaxed);
        // SAFETY: this was the last handle, and is not used any more.
        Some(unsafe { ManuallyDrop::take(&mut self.inner) })
    }
}

impl Inner {
    /// Pid 1.
    pub(crate) fn init(&self) -> &Proc {
        // SAFETY: published at boot, and removed only when the table is dropped.
        unsafe { &*self.init }
    }

    /// The parent of `proc`: the one it was born to, or pid 1 once that is gone.
    pub(crate) fn parent(&self, proc: &Proc) -> Pid {
        if self.procs.contains(proc.born_to) { proc.born_to } else { Pid::INIT }
    }

    /// The implicit lwp, in pid 1: current for every context that is here without a lwp of its own.
    #[inline]
    pub(crate) fn implicit(&self) -> &Slot {
        &self.implicit
    }

    /// What is told of panics that nobody sees.
    pub(crate) fn panic_hook(&self) -> Option<PanicHook> {
        self.panic_hook.lock().clone()
    }

    /// Takes the embedder's hooks out of a kernel whose memory others still keep.
    pub(crate) fn forget_hooks(&self, panic: &mut Option<Panic>) {
        let (fatal, unseen) = (self.fatal_hook.lock().take(), self.panic_hook.lock().take());
        catch(|| drop(fatal), panic);
        catch(|| drop(unseen), panic);
    }

    /// Whether the last handle is gone.
    pub(crate) fn halted(&self) -> bool {
        // Relaxed: callers order it by a fence where it matters.
        self.halted.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Clone for Kernel {
    fn clone(&self) -> Self {
        add_reference(&self.inner.handles);
        // SAFETY: counted just now, it shares in the handles' one reference, which is there as long as any of them.
        Self { inner: ManuallyDrop::new(unsafe { Arc::from_raw(Arc::as_ptr(&self.inner)) }) }
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Kernel {}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("id", &self.id()).field("usage", &self.usage()).finish()
    }
}
