//! A server under test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{FORM, ONE_AT_A_TIME};

/// A running server. Killed when dropped.
pub(crate) struct Served {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: String,
}

/// How a server ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it printed that nobody had read yet.
    pub(crate) printed: String,
    /// Its standard error.
    pub(crate) logged: String,
}

impl Served {
    /// Starts a server on a port of its own.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(["--listen", "127.0.0.1:0"]).args(FORM).args(arguments);
        Self::of(command)
    }

    /// Starts the server that `command` is for.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (_, address) =
            line.trim_end().split_once("http://").unwrap_or_else(|| panic!("the first line is {line:?}"));
        Self { child, stdout, address: address.to_owned() }
    }

    /// Starts a server that serves one connection at a time.
    pub(crate) fn narrow(arguments: &[&str]) -> Self {
        Self::with(&[ONE_AT_A_TIME, arguments].concat())
    }

    /// Alice and bob, from memory.
    pub(crate) fn demo() -> Self {
        Self::with(&[])
    }

    /// One tenant, `t`, password `p`, who may write in a directory of the host.
    pub(crate) fn directory(directory: &Directory, arguments: &[&str]) -> Self {
        let tenant = format!("t={}:rw", directory.path().display());
        let mut all = vec!["--tenant", &tenant, "--auth", "t:p"];
        all.extend(arguments);
        Self::with(&all)
    }

    /// The lines that it has printed, up to the first that `last` holds for.
    pub(crate) fn lines(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        for line in (&mut self.stdout).lines().map(Result::unwrap) {
            let stop = last(&line);
            lines.push(line);
            if stop {
                break;
            }
        }
        lines
    }

    /// What the host tells of it under this name.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }

    /// Asks it to stop.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for its end, which must come within `bound`.
    pub(crate) fn end(mut self, bound: Duration) -> Ended {
        let deadline = Instant::now() + bound;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let (mut printed, mut logged) = (String::new(), String::new());
        self.stdout.read_to_string(&mut printed).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut logged).unwrap();
        Ended { status, printed, logged }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a server that is expected not to start.
pub(crate) fn refused(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

/// The server.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/httpd");
    assert!(program.exists(), "{} is missing: build it with `cargo build --example httpd`", program.display());
    program
}

/// A directory of the host, removed when dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lwproc-httpd-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The names in it, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
