//! The server: its processes, its threads, and how they start and stop.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lwproc::sys::{self, PollFd};
use lwproc::{
    Domain, Errno, Events, Fd, FdInherit, Kernel, Lwp, OpenFlags, ProcOptions, Result, Rlimit, SocketAddress,
    SocketKind, SocketOption,
};
use parking_lot::Mutex;
use signal_hook::iterator::SignalsInfo;

use super::buffers::Buffers;
use super::connection::Timeouts;
use super::descriptor::Descriptor;
use super::http::{Form, Resource, Response};
use super::options::Options;
use super::page::{self, Process, Served};
use super::tenant::Tenant;
use super::visit::Visit;

/// The user that the front runs as, once it listens: one that owns nothing.
const NOBODY: u32 = 65_534;
/// The longest that threads are waited for after their calls were interrupted.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Where a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The process that accepts connections, and answers for no tenant.
    Front,
    /// The tenant with this number.
    Tenant(usize),
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    kernel: Kernel,
    /// The lwp that keeps the front.
    front: Lwp,
    /// The front's lwps that threads will run in.
    crew: Vec<Lwp>,
    /// The front's descriptor that takes connections. Its lock is the turn to wait for one: of all threads at once, all
    /// but one would wake in vain.
    listener: Mutex<Fd>,
    address: SocketAddr,
    /// The end of a pipe in the front that is closed to stop, and the other, which hangs up then.
    stopper: Fd,
    stop: Fd,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body: u64,
    pub(crate) log: bool,
    stopping: AtomicBool,
    /// Set when patience with requests under way has ended.
    pub(crate) cut_off: AtomicBool,
    /// Threads that serve nobody.
    spare: AtomicUsize,
    /// Threads that have not ended.
    alive: AtomicUsize,
    requests: AtomicU64,
}

/// A tenant to be: who it is and where its files are.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) uid: u32,
    /// Its root directory in the kernel's namespace.
    pub(crate) root: String,
    pub(crate) writable: bool,
    pub(crate) password: Option<String>,
}

impl Server {
    /// Makes the front process, which listens, and a process for each tenant.
    pub(crate) fn start(kernel: Kernel, candidates: Vec<Candidate>, options: &Options) -> Result<Self> {
        let threads = usize::from(options.threads);
        // A connection each, the listener, the pipe, and a moment's overlap when a connection moves.
        let front_files = threads as u64 * 2 + 8;
        let front = ProcOptions::new()
            .name("httpd")
            .fds(FdInherit::Clean)
            .limit(lwproc::Resource::NoFile, Rlimit::both(front_files));
        let mut front = kernel.spawn(front)?;
        let (listener, address, stop, stopper) = front.enter(|| -> Result<_> {
            let (listener, address) = listen(options.listen)?;
            let (stop, stopper) = sys::pipe()?;
            sys::setgid(NOBODY)?;
            sys::setuid(NOBODY)?;
            Ok((listener, address, stop, stopper))
        })?;
        let crew = (0..threads).map(|_| front.newlwp()).collect::<Result<_>>()?;
        let stop_file = front.enter(|| sys::export(stop))?;

        let files = options.files.map_or(threads as u64 * 2 + 8, u64::from);
        let mut tenants = Vec::new();
        for candidate in candidates {
            let proc = ProcOptions::new()
                .name(&candidate.name)
                .uid(candidate.uid)
                .gid(candidate.uid)
                .root(&candidate.root)
                .fds(FdInherit::Clean)
                .limit(lwproc::Resource::NoFile, Rlimit::both(files));
            let mut lwp = kernel.spawn(proc)?;
            let stop = lwp.enter(|| sys::import(&stop_file, OpenFlags::empty()))?;
            let Candidate { name, writable, password, .. } = candidate;
            tenants.push(Tenant { name, lwp, stop, writable, password, commit: Mutex::new(()) });
        }
        let timeouts = Timeouts { head: options.head_timeout, body: options.body_timeout, idle: options.idle_timeout };
        Ok(Self {
            kernel,
            front,
            crew,
            listener: Mutex::new(listener),
            address,
            stopper,
            stop,
            tenants,
            timeouts,
            max_body: options.max_body,
            log: options.log,
            stopping: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            spare: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a signal comes, then lets requests under way end, at most for `patience` or until another signal.
    /// How many requests were answered.
    pub(crate) fn run(mut self, signals: &mut SignalsInfo, patience: Duration) -> u64 {
        let crew = std::mem::take(&mut self.crew);
        let server = &self;
        std::thread::scope(|scope| {
            for (number, lwp) in crew.into_iter().enumerate() {
                server.alive.fetch_add(1, Ordering::Relaxed);
                let thread = std::thread::Builder::new().name(format!("httpd {number}"));
                if let Err(error) = thread.spawn_scoped(scope, || server.work(lwp)) {
                    // Fewer threads than asked for are no reason to serve nobody.
                    server.alive.fetch_sub(1, Ordering::Relaxed);
                    eprintln!("httpd: only {number} threads: {error}");
                    break;
                }
            }
            signals.forever().next();
            server.stop(signals, patience);
        });
        self.requests.load(Ordering::Relaxed)
    }

    /// A thread: one connection after the other, in an lwp of the front.
    fn work(&self, mut lwp: Lwp) {
        lwp.enter(|| {
            let mut buffers = Buffers::new();
            while let Some((descriptor, client)) = self.accept() {
                // A bug met by one client is not to take the thread from all others. Descriptors close themselves on
                // the way out, and `enter` restores the front; the buffers may be anyhow.
                let visit = AssertUnwindSafe(|| Visit::new(self, client).run(descriptor, &mut buffers));
                if std::panic::catch_unwind(visit).is_err() {
                    buffers = Buffers::new();
                }
            }
        });
        drop(lwp);
        // Release: pairs with the Acquire in `wait_for_threads`.
        self.alive.fetch_sub(1, Ordering::Release);
    }

    /// The next connection; `None` when the server stops.
    fn accept(&self) -> Option<(Descriptor, SocketAddress)> {
        self.spare.fetch_add(1, Ordering::Relaxed);
        let accepted = self.accept_in_turn();
        self.spare.fetch_sub(1, Ordering::Relaxed);
        accepted
    }

    fn accept_in_turn(&self) -> Option<(Descriptor, SocketAddress)> {
        let listener = self.listener.lock();
        loop {
            let mut polled = [PollFd::new(*listener, Events::IN), PollFd::new(self.stop, Events::IN)];
            sys::poll(&mut polled, None).ok()?;
            if !polled[1].revents.is_empty() {
                return None;
            }
            match sys::accept4(*listener, OpenFlags::NONBLOCK) {
                Ok((fd, client)) => {
                    // Small responses are to go out at once; if that cannot be had, they go out all the same.
                    let _ = sys::setsockopt(fd, SocketOption::NoDelay, 1);
                    return Some((Descriptor::new(fd), client));
                }
                // It went before it was taken.
                Err(Errno::EAGAIN | Errno::ECONNABORTED) => {}
                Err(Errno::EINTR) => return None,
                // The host is out of descriptors or memory: it may have some again later.
                Err(_) => {
                    let _ = sys::poll(&mut polled[1..], Some(Duration::from_millis(100)));
                }
            }
        }
    }

    /// Takes no more connections, ends those that wait for a request, and interrupts those that take too long.
    fn stop(&self, signals: &mut SignalsInfo, patience: Duration) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Ok(mut lwp) = self.front.newlwp() {
            // The pipe hangs up, which wakes those who wait for a connection or a request.
            let _ = lwp.enter(|| sys::close(self.stopper));
        }
        if self.wait_for_threads(patience, || signals.pending().next().is_some()) {
            return;
        }
        self.cut_off.store(true, Ordering::Relaxed);
        for lwp in self.tenants.iter().map(|tenant| &tenant.lwp).chain([&self.front]) {
            let _ = self.kernel.kill(lwp.pid());
        }
        if !self.wait_for_threads(LAST_WAIT, || false) {
            // A thread is in a call of the host that does not return.
            eprintln!("httpd: {} threads do not end", self.alive.load(Ordering::Relaxed));
            std::process::exit(1);
        }
    }

    /// Whether all threads end in time.
    fn wait_for_threads(&self, patience: Duration, mut is_urgent: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        // Acquire: pairs with the Release at the end of `work`.
        while self.alive.load(Ordering::Acquire) > 0 {
            if Instant::now() >= deadline || is_urgent() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Whether a further connection would be served at once.
    pub(crate) fn has_spare_thread(&self) -> bool {
        self.spare.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The descriptor that hangs up when the server stops, as the process at `place` has it.
    pub(crate) fn stop_in(&self, place: Place) -> Fd {
        match place {
            Place::Front => self.stop,
            Place::Tenant(at) => self.tenants[at].stop,
        }
    }

    /// Who answers for a resource.
    pub(crate) fn place_of(&self, resource: &Resource) -> Place {
        match resource {
            Resource::Tenant { name, .. } => {
                self.tenants.iter().position(|tenant| tenant.name == *name).map_or(Place::Front, Place::Tenant)
            }
            _ => Place::Front,
        }
    }

    pub(crate) fn tenants_page(&self, form: Form) -> Response<Descriptor> {
        let served = self.tenants.iter().map(|tenant| Served { name: &tenant.name, writable: tenant.takes_writes() });
        page::tenants(served, form)
    }

    pub(crate) fn processes_page(&self, form: Form) -> Response<Descriptor> {
        let table = self.kernel.ps();
        let rows: Vec<Process> = table
            .iter()
            .map(|row| Process {
                pid: row.pid.raw(),
                ppid: row.ppid.raw(),
                uid: row.uid,
                lwps: row.lwps,
                running: row.running,
                fds: row.fds,
                switches: row.switches,
                cwd: row.cwd.display().to_string(),
                name: row.name.to_string(),
            })
            .collect();
        page::processes(&table.to_string(), &rows, form)
    }
}

/// A socket that takes connections, and its address.
fn listen(address: SocketAddr) -> Result<(Fd, SocketAddr)> {
    let domain = if address.is_ipv4() { Domain::Inet } else { Domain::Inet6 };
    let listener = sys::socket(domain, SocketKind::Stream, OpenFlags::NONBLOCK)?;
    sys::setsockopt(listener, SocketOption::ReuseAddress, 1)?;
    sys::bind(listener, &SocketAddress::Inet(address))?;
    sys::listen(listener, 1024)?;
    match sys::getsockname(listener)? {
        SocketAddress::Inet(address) => Ok((listener, address)),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}
