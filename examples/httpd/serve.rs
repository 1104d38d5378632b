//! Serving: the fibers or host threads that run visits.
//!
//! In both forms a connection is taken by an lwp of the front, and what serves it goes on in lwps of its own: code that
//! may block, because it is alone in its fiber or thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lwproc::sys::{self, PollFd};
use lwproc::{Errno, Events, Fd, Lwp, Mux, MuxHandle, OpenFlags, Runtime, SocketAddress, mux};
use parking_lot::Mutex;
use signal_hook::iterator::SignalsInfo;

use super::capacity::Capacity;
use super::descriptor::Descriptor;
use super::gate::Pass;
use super::log;
use super::options::{Form, Options};
use super::server::Server;
use super::visit::Visit;

/// The size of a fiber's stack in bytes: room to spare, since only what is touched takes memory.
const STACK: usize = 256 << 10;
/// How many connections more than the others a multiplexer takes before it hands them on.
const UNEVEN: u32 = 8;
/// How long to wait when the host is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until a signal comes, then lets requests under way end, at most for as long as `options` say or until another signal.
/// How many requests were answered.
///
/// # Errors
/// What keeps it from serving.
pub(crate) fn run(
    server: Server,
    capacity: &Capacity,
    signals: &mut SignalsInfo,
    options: &Options,
) -> Result<u64, String> {
    let server = Arc::new(server);
    match capacity.form {
        Form::Fiber => run_fibers(&server, capacity, signals, options)?,
        Form::Thread => run_threads(&server, capacity, signals, options.stop_timeout)?,
    }
    Ok(server.requests())
}

/// A multiplexer per host thread, each with a fiber that accepts connections.
fn run_fibers(
    server: &Arc<Server>,
    capacity: &Capacity,
    signals: &mut SignalsInfo,
    options: &Options,
) -> Result<(), String> {
    let cannot = |errno: Errno| format!("cannot start {} threads: {errno}", capacity.threads);
    let mux = Mux::builder(&server.kernel).name("httpd").stack_size(STACK);
    let mux = mux.watchdog(options.watchdog, |turn| log::line(&format!("httpd: {turn}")));
    let runtime = Runtime::with(&mux, capacity.threads).map_err(cannot)?;
    let muxes: Arc<[MuxHandle]> = runtime.muxes().into();
    for (number, (mux, lwp)) in muxes.iter().zip(crew(server, capacity).map_err(cannot)?).enumerate() {
        let alive = Alive::new(server);
        let all = Arc::clone(&muxes);
        mux.spawn_fiber(lwp, move || alive.server().take_all(&all, number)).map_err(|error| cannot(error.into()))?;
    }
    signals.forever().next();
    server.stop(signals, options.stop_timeout);
    Ok(())
}

/// Threads that serve one connection after the other.
fn run_threads(
    server: &Arc<Server>,
    capacity: &Capacity,
    signals: &mut SignalsInfo,
    patience: Duration,
) -> Result<(), String> {
    // Whose turn it is to wait for a connection: of all threads at once, all but one would wake in vain.
    let turn = Mutex::new(());
    let crew = crew(server, capacity).map_err(|errno| format!("cannot start {} threads: {errno}", capacity.threads))?;
    std::thread::scope(|scope| {
        let turn = &turn;
        for (number, lwp) in crew.into_iter().enumerate() {
            let alive = Alive::new(server);
            let thread = std::thread::Builder::new().name(format!("httpd {number}"));
            match thread.spawn_scoped(scope, move || alive.server().work(lwp, turn)) {
                Ok(_) => {}
                Err(error) if number == 0 => return Err(format!("cannot start a thread: {error}")),
                // Fewer threads than asked for are no reason to serve nobody.
                Err(error) => {
                    server.gate.set_limit(number);
                    log::line(&format!("httpd: only {number} threads: {error}"));
                    break;
                }
            }
        }
        signals.forever().next();
        server.stop(signals, patience);
        Ok(())
    })
}

/// The front's lwps for those who accept connections, made before the first of them begins.
fn crew(server: &Server, capacity: &Capacity) -> lwproc::Result<Vec<Lwp>> {
    (0..capacity.threads).map(|_| server.front.newlwp()).collect()
}

/// One that serves, as long as it is there.
struct Alive(Arc<Server>);

impl Alive {
    fn new(server: &Arc<Server>) -> Self {
        server.alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(server))
    }

    fn server(&self) -> &Arc<Server> {
        &self.0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Server::wait_for_all`.
        self.0.alive.fetch_sub(1, Ordering::Release);
    }
}

/// A connection that was accepted: the front has it open.
struct Accepted {
    fd: Fd,
    client: SocketAddress,
    pass: Pass,
}

impl Server {
    /// A fiber: takes connections, until the server stops, and has a fiber serve each, most of them on this multiplexer,
    /// which is `muxes[own]`.
    fn take_all(self: &Arc<Self>, muxes: &[MuxHandle], own: usize) {
        while let Some(Accepted { fd, client, pass }) = self.accept() {
            let alive = Alive::new(self);
            let visit = move || {
                let _pass = pass;
                Visit::new(alive.server(), client).run(Descriptor::new(fd));
            };
            let spawned = self.front.newlwp().and_then(|lwp| {
                // Connections stay where they begin, so they are spread now.
                match muxes.iter().min_by_key(|mux| mux.load()) {
                    Some(least) if least.load() + UNEVEN < muxes[own].load() => {
                        least.spawn_fiber(lwp, visit).map(drop).map_err(Into::into)
                    }
                    _ => mux::spawn_fiber(lwp, visit).map(drop).map_err(Into::into),
                }
            });
            if spawned.is_err() {
                // There is no lwp or stack for it. There may be some again later.
                drop(Descriptor::new(fd));
                self.pause();
            }
            // However many come, those that are there are served.
            mux::yield_now();
        }
    }

    /// A thread: one connection after the other, in an lwp of the front.
    fn work(self: &Arc<Self>, mut lwp: Lwp, turn: &Mutex<()>) {
        lwp.enter(|| {
            loop {
                let accepted = {
                    let _turn = turn.lock();
                    self.accept()
                };
                let Some(Accepted { fd, client, pass: _pass }) = accepted else { return };
                // A bug met by one client is not to take the thread from all others. Descriptors close themselves on the
                // way out, and `enter` restores the front.
                let visit = AssertUnwindSafe(|| Visit::new(self, client).run(Descriptor::new(fd)));
                let _ = catch_unwind(visit);
            }
        });
    }

    /// The next connection; `None` when the server stops.
    fn accept(&self) -> Option<Accepted> {
        loop {
            let Some(pass) = self.gate.enter() else {
                self.wait_for(&mut [PollFd::new(self.front_gate, Events::OUT)])?;
                continue;
            };
            match sys::accept4(self.listener, OpenFlags::NONBLOCK) {
                Ok((fd, client)) => {
                    self.gate.look();
                    return Some(Accepted { fd, client, pass });
                }
                Err(Errno::EAGAIN) => {
                    drop(pass);
                    let gate = PollFd::new(self.front_gate, Events::empty());
                    self.wait_for(&mut [gate, PollFd::new(self.listener, Events::IN)])?;
                }
                // It went before it was taken.
                Err(Errno::ECONNABORTED) => {}
                Err(Errno::EINTR) => return None,
                // The host is out of descriptors or memory: it may have some again later.
                Err(_) => self.pause(),
            }
        }
    }

    /// Waits for one of the descriptors, of which the first is the gate; `None` when the server stops.
    fn wait_for(&self, polled: &mut [PollFd]) -> Option<()> {
        sys::poll(polled, None).ok()?;
        (!polled[0].revents.contains(Events::HUP)).then_some(())
    }

    fn pause(&self) {
        let _ = sys::poll(&mut [PollFd::new(self.front_gate, Events::empty())], Some(PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;
    use std::time::Duration;

    use clap::Parser;
    use lwproc::Kernel;
    use signal_hook::consts::SIGUSR1;
    use signal_hook::iterator::Signals;

    use super::super::capacity::Capacity;
    use super::super::demo;
    use super::super::server::Server;
    use super::{Options, run};

    fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    #[test]
    fn a_request_that_panics_takes_its_connection_alone() {
        for form in ["fiber", "thread"] {
            let arguments = ["httpd", "--listen", "127.0.0.1:0", "--per-connection", form, "--threads", "1"];
            let options = Options::parse_from(arguments);
            let kernel = Kernel::new().unwrap();
            let tenants = demo::tenants(&kernel, &[], true).unwrap();
            kernel.add_device("/srv/alice/bug", 0o444, |_| panic!("a bug that one request meets")).unwrap();
            let capacity = Capacity::of(&options).unwrap();
            let server = Server::start(kernel.clone(), tenants, &capacity, &options).unwrap();
            let address = server.address();
            let mut signals = Signals::new([SIGUSR1]).unwrap();
            let stop = signals.handle();
            let serving = thread::spawn(move || run(server, &capacity, &mut signals, &options));
            for _ in 0..3 {
                assert_eq!(ask(address, "/~alice/bug"), "", "{form}");
                let reply = ask(address, "/~alice/hello.txt");
                assert!(reply.ends_with("Hello from alice.\n"), "{form}: {reply}");
            }
            // As if a signal had come.
            stop.close();
            assert_eq!(serving.join().unwrap(), Ok(3), "{form}");
            assert_eq!(kernel.usage().procs, 0, "{form}");
        }
    }
}
