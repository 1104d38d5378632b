//! How a kernel is configured and booted.

use std::any::Any;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Fatal, Inner, Kernel};
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{Console, FdFlags, FdTable, OpenFile};
use crate::id::Pid;
use crate::lwp::{LwpTable, Slot};
use crate::proc::limits::{Limits, Resource, Rlimit};
use crate::proc::user::Users;
use crate::proc::{Birth, Proc, ProcTable};
use crate::sync::{AtomicBool, AtomicU32, AtomicUsize, Mutex, Snapshot};
use crate::vfs::{Cwd, Namespace};

#[cfg(not(loom))]
static NEXT_ID: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);

/// A kernel to be booted.
///
/// ```
/// use lwproc::{Console, Kernel};
///
/// let kernel = Kernel::builder().hostname("box").max_procs(100).console(Console::null()).boot()?;
/// assert_eq!(kernel.hostname(), "box");
/// # Ok::<(), lwproc::Errno>(())
/// ```
#[must_use]
pub struct Builder {
    hostname: String,
    console: Console,
    max_procs: u32,
    max_lwps: u32,
    memory: u64,
    limits: Vec<(Resource, Rlimit)>,
    fatal_hook: super::FatalHook,
    panic_hook: Option<super::PanicHook>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            hostname: "lwproc".into(),
            console: Console::host(),
            max_procs: ProcTable::MAX - 2,
            max_lwps: LwpTable::MAX,
            memory: 1 << 30,
            limits: Vec::new(),
            fatal_hook: super::fatal::default_hook(),
            panic_hook: None,
        }
    }

    /// The host name; `lwproc` unless set.
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = hostname.into();
        self
    }

    /// What descriptors 0, 1 and 2 of pid 1 refer to; the host's unless set.
    pub fn console(mut self, console: Console) -> Self {
        self.console = console;
        self
    }

    /// The most processes at a time, pids 0 and 1 not counted. Beyond it: `EAGAIN`. At most 1,048,510, which is what it
    /// is unless set.
    pub fn max_procs(mut self, procs: u32) -> Self {
        self.max_procs = procs.min(ProcTable::MAX - 2);
        self
    }

    /// The most lwps at a time, implicit ones not counted. Beyond it: `EAGAIN`. At most 16,777,152, which is what it is
    /// unless set.
    pub fn max_lwps(mut self, lwps: u32) -> Self {
        self.max_lwps = lwps.min(LwpTable::MAX);
        self
    }

    /// How many bytes the files of the in-memory root may take together; 1 GiB unless set. Beyond it: `ENOSPC`.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// A limit of pid 1, which all others inherit. Unless set: 1,024 descriptors (hard: [`OPEN_MAX`](crate::OPEN_MAX)),
    /// and none for the rest.
    pub fn limit(mut self, resource: Resource, limit: Rlimit) -> Self {
        self.limits.push((resource, limit));
        self
    }

    /// What is done about a fatal error, instead of a report on standard error. Where it returns, the host process
    /// aborts; a test's hook panics instead, and leaves the caller's context as it was. A fiber's stack overflow is not
    /// told to it: there is no stack to call it on. That is reported on standard error, and aborts.
    pub fn on_fatal(mut self, hook: impl Fn(&Fatal) + Send + Sync + 'static) -> Self {
        self.fatal_hook = Arc::new(hook);
        self
    }

    /// What is told of a panic that no caller and no handle sees: of a waker, of a value or a payload that somebody else
    /// drops, of an exit hook after another one's. Such a panic ends where it occurs, and whoever came by it goes on. Unless
    /// set, nothing more is done: std's own hook has reported it when it began.
    ///
    /// It is called with the panic's payload, on the host thread and in the context where that was caught, if that is this
    /// kernel's; it may be called on many threads at a time. A panic of its own ends unseen.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::task::{Wake, Waker};
    /// use lwproc::{Kernel, WaitQueue, Watch};
    ///
    /// struct Panics;
    /// impl Wake for Panics {
    ///     fn wake(self: Arc<Self>) {
    ///         panic!("a waker");
    ///     }
    /// }
    ///
    /// let told = Arc::new(AtomicU32::new(0));
    /// let kernel = Kernel::builder().on_panic({
    ///     let told = Arc::clone(&told);
    ///     move |_| _ = told.fetch_add(1, Ordering::Relaxed)
    /// });
    /// kernel.boot()?.enter(|| {
    ///     let (queue, waker) = (Arc::new(WaitQueue::new()), Waker::from(Arc::new(Panics)));
    ///     let mut watch = Watch::new(&waker);
    ///     watch.queue(&queue);
    ///     queue.wake_all(); // goes on
    /// });
    /// assert_eq!(told.load(Ordering::Relaxed), 1);
    /// # Ok::<(), lwproc::Errno>(())
    /// ```
    pub fn on_panic(mut self, hook: impl Fn(&(dyn Any + Send)) + Send + Sync + 'static) -> Self {
        self.panic_hook = Some(Arc::new(hook));
        self
    }

    /// Boots the kernel: pid 0, the kernel's own, and pid 1, that of implicit contexts, owned by root, in `/`, with the
    /// console on descriptors 0, 1 and 2.
    ///
    /// # Errors
    /// `EINVAL`: a limit whose soft part is above its hard one, or more descriptors than there can be. `EMFILE`: a limit
    /// below three descriptors. `EAGAIN`: 2³² kernels were booted before. `ENFILE`: the host is out of descriptors for the
    /// console.
    pub fn boot(self) -> Result<Kernel> {
        let id = next_id()?;
        let limits = Limits::new();
        for (resource, limit) in self.limits {
            limits.set(resource, limit, &Cred::root())?;
        }
        let fds = FdTable::new();
        for (file, flags) in self.console.into_files()? {
            let number = fds.take_lowest(0, limits.soft(Resource::NoFile))?;
            let installed = number.install(OpenFile::new(file, flags), FdFlags::empty());
            debug_assert!(installed.is_ok(), "nobody has left the table");
        }

        let namespace = Namespace::new(self.memory);
        let root = namespace.root();
        let cwd = Arc::new(Cwd { root: root.clone(), dir: root });
        let users = Users::new();
        let identity = users.identify(Cred::root());
        let procs = ProcTable::new(self.max_procs + 2);
        let birth = |fds, name: &str| -> Result<*const Proc> {
            let reserved = procs.reserve().ok_or(Errno::EAGAIN)?;
            let counted = identity.user.add_proc(u32::MAX);
            debug_assert!(counted, "there are fewer than 2^32 processes");
            Ok(reserved.publish(Birth {
                born_to: Pid::KERNEL,
                fds: Arc::new(fds),
                identity: Arc::clone(&identity),
                cwd: Arc::clone(&cwd),
                name: Arc::new(name.into()),
                umask: 0o022,
                limits: limits.copy(),
                locals: None,
            }))
        };
        birth(FdTable::new(), "kernel")?;
        let init = birth(fds, "init")?;
        let inner = Inner {
            id,
            handles: AtomicUsize::new(1),
            halted: AtomicBool::new(false),
            kills: AtomicU32::new(0),
            lwps: LwpTable::new(self.max_lwps),
            procs,
            users,
            namespace,
            hostname: Snapshot::new(Arc::new(self.hostname.into())),
            implicit: Slot::implicit(init, Pid::INIT),
            init,
            fatal_hook: Mutex::new(Some(self.fatal_hook)),
            panic_hook: Mutex::new(self.panic_hook),
        };
        Ok(Kernel::first(inner))
    }
}

#[cfg(not(loom))]
fn next_id() -> Result<NonZeroU32> {
    use std::sync::atomic::Ordering::Relaxed;
    // Relaxed: a counter. It stops at 0, which is no id, so that none is given twice.
    let id = NEXT_ID.fetch_update(Relaxed, Relaxed, |id| (id != 0).then(|| id.wrapping_add(1)));
    id.ok().and_then(NonZeroU32::new).ok_or(Errno::EAGAIN)
}

/// A model has one kernel.
#[cfg(loom)]
fn next_id() -> Result<NonZeroU32> {
    NonZeroU32::new(1).ok_or(Errno::EAGAIN)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("hostname", &self.hostname)
            .field("max_procs", &self.max_procs)
            .field("max_lwps", &self.max_lwps)
            .field("memory", &self.memory)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
