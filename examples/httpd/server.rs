//! The server: its processes, and how it starts and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lwproc::{
    Domain, Errno, Fd, FdInherit, JoinError, Kernel, Lwp, Mux, OpenFlags, ProcOptions, Result, Rlimit, Runtime,
    SocketAddress, SocketKind, SocketOption, sys,
};
use parking_lot::Mutex;
use signal_hook::iterator::SignalsInfo;

use super::capacity::Capacity;
use super::connection::Timeouts;
use super::descriptor::Descriptor;
use super::gate::Gate;
use super::http::{self, Resource, Response};
use super::log;
use super::options::{Form, Options};
use super::page::{self, Process, Served};
use super::tenant::Tenant;

/// The user that the front runs as, once it listens: one that owns nothing.
const NOBODY: u32 = 65_534;
/// Threads to wait for disks on.
const DISK_THREADS: usize = 2;
/// The longest that requests are waited for after their calls were interrupted.
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
    pub(super) kernel: Kernel,
    /// The lwp that keeps the front; whoever serves gets its own.
    pub(super) front: Lwp,
    /// The front's descriptor that takes connections.
    pub(super) listener: Fd,
    address: SocketAddr,
    pub(super) gate: Arc<Gate>,
    /// The front's descriptor of the gate.
    pub(super) front_gate: Fd,
    pub(crate) tenants: Vec<Tenant>,
    /// Threads to wait for disks on, where a fiber that did so would keep others waiting.
    disk: Option<Runtime>,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body: u64,
    pub(crate) log: bool,
    /// Set when patience with requests under way has ended.
    pub(crate) cut_off: AtomicBool,
    /// Threads or fibers that have not ended.
    pub(super) alive: AtomicUsize,
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
    pub(crate) fn start(
        kernel: Kernel,
        candidates: Vec<Candidate>,
        capacity: &Capacity,
        options: &Options,
    ) -> Result<Self> {
        let gate = Gate::new(capacity.connections);
        // A connection each, the listener, the gate, and a moment's overlap when a connection moves.
        let files = capacity.connections as u64 * 2 + 8;
        let front =
            ProcOptions::new().name("httpd").fds(FdInherit::Clean).limit(lwproc::Resource::NoFile, Rlimit::both(files));
        let mut front = kernel.spawn(front)?;
        let (listener, address, front_gate) = front.enter(|| -> Result<_> {
            let (listener, address) = listen(options.listen)?;
            let gate = sys::import(&gate.file(), OpenFlags::empty())?;
            sys::setgid(NOBODY)?;
            sys::setuid(NOBODY)?;
            Ok((listener, address, gate))
        })?;
        let mut tenants = Vec::new();
        for candidate in candidates {
            let proc = ProcOptions::new()
                .name(&candidate.name)
                .uid(candidate.uid)
                .gid(candidate.uid)
                .root(&candidate.root)
                .fds(FdInherit::Clean)
                .limit(lwproc::Resource::NoFile, Rlimit::both(options.files.map_or(files, u64::from)));
            let mut lwp = kernel.spawn(proc)?;
            let gate = lwp.enter(|| sys::import(&gate.file(), OpenFlags::empty()))?;
            let Candidate { name, writable, password, .. } = candidate;
            tenants.push(Tenant { name, lwp, gate, writable, password, commit: Mutex::new(()) });
        }
        let disk = match capacity.form {
            Form::Fiber => Some(Runtime::with(&Mux::builder(&kernel).name("httpd-disk"), DISK_THREADS)?),
            Form::Thread => None,
        };
        let timeouts = Timeouts { head: options.head_timeout, body: options.body_timeout, idle: options.idle_timeout };
        Ok(Self {
            kernel,
            front,
            listener,
            address,
            gate,
            front_gate,
            tenants,
            disk,
            timeouts,
            max_body: options.max_body,
            log: options.log,
            cut_off: AtomicBool::new(false),
            alive: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests were answered.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Takes no more connections, ends those that wait for a request, and interrupts those that take too long.
    pub(super) fn stop(&self, signals: &mut SignalsInfo, patience: Duration) {
        self.gate.close();
        if self.wait_for_all(patience, || signals.pending().next().is_some()) {
            return;
        }
        self.cut_off.store(true, Ordering::Relaxed);
        for lwp in self.tenants.iter().map(|tenant| &tenant.lwp).chain([&self.front]) {
            let _ = self.kernel.kill(lwp.pid());
        }
        if !self.wait_for_all(LAST_WAIT, || false) {
            // One is in a call of the host that does not return.
            log::line(&format!("httpd: {} connections do not end", self.alive.load(Ordering::Relaxed)));
            log::finish(LAST_WAIT);
            std::process::exit(1);
        }
    }

    /// Whether all threads or fibers end in time.
    fn wait_for_all(&self, patience: Duration, mut is_urgent: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        // Acquire: pairs with the Release in the drop of `Alive`.
        while self.alive.load(Ordering::Acquire) > 0 {
            if Instant::now() >= deadline || is_urgent() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.gate.is_closed()
    }

    /// Makes what was written to a tenant's file lasting, with the tenant current.
    pub(crate) fn sync(&self, tenant: &Tenant, file: &Descriptor) -> Result<()> {
        let fd = file.number();
        let Some(disk) = &self.disk else { return sys::fsync(fd) };
        let mut synced = disk.spawn_fiber(tenant.lwp.newlwp()?, move || sys::fsync(fd))?;
        match synced.join() {
            Ok(synced) => synced,
            Err(JoinError::NoStack(errno)) => Err(errno),
            // The process was killed.
            Err(_) => Err(Errno::EINTR),
        }
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The descriptor of the gate that the process at `place` has.
    pub(crate) fn gate_in(&self, place: Place) -> Fd {
        match place {
            Place::Front => self.front_gate,
            Place::Tenant(at) => self.tenants[at].gate,
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

    pub(crate) fn tenants_page(&self, form: http::Form) -> Response<Descriptor> {
        let served = self.tenants.iter().map(|tenant| Served { name: &tenant.name, writable: tenant.takes_writes() });
        page::tenants(served, form)
    }

    pub(crate) fn processes_page(&self, form: http::Form) -> Response<Descriptor> {
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
    // Small responses are to go out at once. Connections inherit it.
    sys::setsockopt(listener, SocketOption::NoDelay, 1)?;
    sys::bind(listener, &SocketAddress::Inet(address))?;
    sys::listen(listener, 1024)?;
    match sys::getsockname(listener)? {
        SocketAddress::Inet(address) => Ok((listener, address)),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}
