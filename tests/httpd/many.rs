//! Many connections on one host thread.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::client::{Client, ask};
use super::served::{Served, program};

/// Connections that wait at a time.
const MANY: usize = 2500;

/// How much memory it has touched, in bytes.
fn resident(served: &Served) -> usize {
    let status = fs::read_to_string(served.proc("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn one_host_thread_serves_others_while_thousands_of_connections_wait() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let served = Served::with(&["--threads", "1", "--idle-timeout", "3600", "--connections", "3000"]);
    assert_eq!(ask(&served, "GET /~alice/hello.txt", "").status, 200);
    let before = resident(&served);
    let mut idle: Vec<_> = (0..MANY).map(|_| Client::new(&served)).collect();
    for (number, client) in idle.iter_mut().enumerate() {
        let target = ["/~alice/hello.txt", "/~bob/hello.txt", "/"][number % 3];
        assert_eq!(client.request(&format!("GET {target}"), "", b"").status, 200, "{number}");
    }
    // Soon a page or two of a stack (four without optimization), and what the kernel and the server keep of each: not a buffer, and not a thread.
    let bound = if cfg!(debug_assertions) { 24 << 10 } else { 12 << 10 };
    let deadline = Instant::now() + Duration::from_secs(60);
    while (resident(&served) - before) / MANY > bound {
        assert!(Instant::now() < deadline, "{} bytes per connection", (resident(&served) - before) / MANY);
        std::thread::sleep(Duration::from_millis(50));
    }
    // Others are served, and so are those that waited, in any order.
    for number in 0..200 {
        assert_eq!(ask(&served, "GET /~bob/hello.txt", "").text(), "Hello from bob.\n");
        let waited = &mut idle[number * 1237 % MANY];
        assert_eq!(waited.request("GET /~alice/hello.txt", "", b"").text(), "Hello from alice.\n");
    }
    served.interrupt();
    let ended = served.end(Duration::from_secs(60));
    assert!(ended.status.success() && ended.printed.ends_with("; 0 processes left\n"), "{}", ended.printed);
    assert!(idle.iter_mut().all(Client::is_closed));
}

#[test]
fn a_limit_that_is_too_low_is_said_at_the_start() {
    let limited = |arguments: &[&str]| {
        let script = "ulimit -n 300 && exec \"$0\" --listen 127.0.0.1:0 \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program()).args(arguments);
        command
    };
    let output = limited(&["--connections", "200"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("limit is 300"), "{message}");
    // Not told how many, it takes what it gets.
    let served = Served::of(limited(&[]));
    assert_eq!(ask(&served, "GET /~alice/hello.txt", "").status, 200);
}
