//! An HTTP/1.1 file server in which each tenant is a process and each connection is an lwp in it.
//!
//! ```text
//! cargo run --release --example httpd
//! ```
//!
//! serves alice and bob from memory on 127.0.0.1:8080 and prints commands to try; `--help` says the rest. URLs are
//! `/~NAME/path`; `/-/ps` shows the process table.
//!
//! The handlers are plain blocking code, and files and sockets are used through [`lwproc::sys`] alone. Each connection is
//! served by a fiber, thousands of them on a host thread per core; with `--per-connection thread` by a host thread, which
//! runs the same code. A front process accepts connections and reads the first request; then the fiber goes on as an lwp of
//! the tenant, and from there the kernel sees to it that a request reaches no other tenant's files: the process has the
//! tenant's user, root directory, and descriptor table.
//!
//! What is where, from the bottom up:
//! - `http`: the protocol, without I/O; `page`: what people see;
//! - `piece`, `input`, `pace`, `descriptor`, `connection`: bytes in and out, with deadlines;
//! - `refusal`, `file`, `upload`, `tenant`: requests about a tenant's files;
//! - `log`: what is said on standard error;
//! - `gate`: how many connections there may be; `server`: processes; `visit`: a connection from its first request to its
//!   last; `serve`: the fibers or threads that run them;
//! - `options`, `capacity`, `demo`, and `main`.

mod capacity;
mod connection;
mod demo;
mod descriptor;
mod file;
mod gate;
mod http;
mod input;
mod log;
mod options;
mod pace;
mod page;
mod piece;
mod refusal;
mod serve;
mod server;
mod tenant;
mod upload;
mod visit;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use clap::Parser;
use lwproc::{Errno, Kernel, MountOptions, sys};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use capacity::Capacity;
use options::{Options, TenantDir};
use server::{Candidate, Server};

/// How long the end waits for what is still to be said.
const LAST_LINES: Duration = Duration::from_secs(1);
/// The first tenant's user.
const FIRST_UID: u32 = 1001;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("httpd: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    // Before any thread is there, so that none is ended by a signal.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("cannot wait for signals: {error}"))?;
    let is_demo = options.tenants.is_empty();
    check(options)?;
    let capacity = Capacity::of(options)?;
    let kernel = Kernel::new().map_err(|errno| format!("cannot boot the kernel: {errno}"))?;
    let candidates = if is_demo {
        demo::tenants(&kernel, &options.passwords, options.listen.ip().is_loopback())
            .map_err(|errno| format!("cannot make the tenants' files: {errno}"))?
    } else {
        let numbered = options.tenants.iter().zip(FIRST_UID..);
        numbered.map(|(tenant, uid)| mount(&kernel, options, tenant, uid)).collect::<Result<_, _>>()?
    };
    let known = candidates.iter().map(|tenant| (tenant.name.clone(), tenant.password.clone())).collect::<Vec<_>>();
    let server = Server::start(kernel.clone(), candidates, &capacity, options).map_err(|errno| match errno {
        Errno::EADDRINUSE => format!("{} is in use; --listen takes another address, or port 0", options.listen),
        errno => format!("cannot listen on {}: {errno}", options.listen),
    })?;
    let origin = format!("http://{}", server.address());
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    say(&format!("Serving {} on {origin}\n", names.join(", ")));
    if capacity.files < capacity.connections {
        let Capacity { connections, files, .. } = capacity;
        say(&format!(
            "Of {connections} connections {files} can be sent a file at a time: the host lets it open no more\n"
        ));
    }
    if is_demo {
        say(&demo::commands(&origin, &known));
    }

    let requests = serve::run(server, &capacity, &mut signals, options)?;
    let left = kernel.usage().procs;
    match log::finish(LAST_LINES) {
        0 => {}
        lost => say(&format!("{lost} lines of the log are lost: nobody has read them\n")),
    }
    say(&format!("Stopped after {requests} requests; {left} processes left\n"));
    if left == 0 { Ok(()) } else { Err("a process did not end".to_owned()) }
}

/// Prints to standard output. That nobody reads it is no reason to stop.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Mounts a tenant's directory.
fn mount(kernel: &Kernel, options: &Options, tenant: &TenantDir, uid: u32) -> Result<Candidate, String> {
    let shown = tenant.directory.display();
    let directory =
        Dir::open_ambient_dir(&tenant.directory, ambient_authority()).map_err(|error| format!("{shown}: {error}"))?;
    let root = format!("/srv/{}", tenant.name);
    kernel
        .enter(|| {
            for directory in ["/srv", &root] {
                match sys::mkdir(directory, 0o755) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno),
                }
            }
            let mounted = MountOptions::new().read_only(!tenant.writable);
            // Who may write there is at home there. Others are strangers, who see what everybody may.
            kernel.mount(&root, directory, if tenant.writable { mounted.owner(uid, uid) } else { mounted })
        })
        .map_err(|errno| format!("cannot mount {shown}: {errno}"))?;
    let login = options.passwords.iter().find(|login| login.name == tenant.name);
    if tenant.writable && login.is_none() {
        eprintln!("httpd: {} is writable, but nobody may write without --auth {}:PASSWORD", tenant.name, tenant.name);
    }
    Ok(Candidate {
        name: tenant.name.clone(),
        uid,
        root,
        writable: tenant.writable,
        password: login.map(|login| login.password.clone()),
    })
}

/// A name must be one tenant's, and a password some tenant's.
fn check(options: &Options) -> Result<(), String> {
    let mut names: Vec<&str> = options.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    if names.is_empty() {
        names.extend(demo::NAMES);
    }
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("--tenant {} is there twice", pair[0]));
    }
    match options.passwords.iter().find(|login| !names.contains(&login.name.as_str())) {
        Some(login) => Err(format!("--auth {}: there is no such tenant", login.name)),
        None => Ok(()),
    }
}
