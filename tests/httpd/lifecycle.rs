//! Starting, running long, and stopping.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, ask, authorization};
use super::served::{Directory, Served, refused};

/// Everything ends within this.
const BOUND: Duration = Duration::from_secs(30);

/// The table of processes without what changes by looking at it: the running and the switches.
pub(crate) fn processes(served: &Served) -> Vec<String> {
    let page = ask(served, "GET /-/ps", "");
    let mut lines = page.text().lines();
    let header: Vec<_> = lines.next().unwrap().split_whitespace().map(str::to_ascii_lowercase).collect();
    let counted = ["pid", "uid", "lwps", "fds"].map(|name| header.iter().position(|column| *column == name).unwrap());
    lines
        .map(|line| {
            let cells: Vec<_> = line.split_whitespace().collect();
            counted.map(|column| cells[column]).join(" ")
        })
        .collect()
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let served = Served::demo();
    let before = processes(&served);
    assert_eq!(before.len(), 5, "kernel, init, the front, alice and bob: {before:?}");
    for number in 0..1000 {
        let target = ["/~alice/hello.txt", "/~bob/hello.txt", "/~alice/", "/none"][number % 4];
        let mut client = Client::new(&served);
        let status = client.request(&format!("GET {target}"), "", b"").status;
        assert_eq!(status, if number % 4 == 3 { 404 } else { 200 });
        assert_eq!(client.request("GET /~bob/hello.txt", "Connection: close\r\n", b"").status, 200);
    }
    let deadline = Instant::now() + BOUND;
    // The last may not have been noticed yet to be gone.
    while processes(&served) != before {
        assert!(Instant::now() < deadline, "{before:?} became {:?}", processes(&served));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_ends_it_cleanly_with_connections_waiting() {
    let served = Served::demo();
    let mut waiting: Vec<_> = (0..3).map(|_| Client::new(&served)).collect();
    for (client, target) in waiting.iter_mut().zip(["/", "/~alice/hello.txt", "/~bob/"]) {
        assert_eq!(client.request(&format!("GET {target}"), "", b"").status, 200);
    }
    let mut silent = Client::new(&served);
    served.interrupt();
    let ended = served.end(BOUND);
    assert!(ended.status.success(), "{}", ended.status);
    assert_eq!(ended.printed.lines().last().unwrap(), "Stopped after 3 requests; 0 processes left");
    assert_eq!(ended.logged, "");
    assert!(silent.is_closed() && waiting.iter_mut().all(Client::is_closed));
}

#[test]
fn a_signal_ends_it_cleanly_under_load() {
    let directory = Directory::new();
    fs::write(directory.path().join("large"), vec![b'x'; 8 << 20]).unwrap();
    let served = Served::directory(&directory, &["--stop-timeout", "1"]);
    let (answered, address) = (&AtomicUsize::new(0), &served.address.clone());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                // Until the server is gone.
                while let Ok(mut client) = Client::connect(address) {
                    loop {
                        client.send("GET /~t/large HTTP/1.1\r\nHost: a\r\n\r\n");
                        let Ok(Some(reply)) = client.try_reply(true) else { break };
                        assert_eq!((reply.status, reply.body.len()), (200, 8 << 20));
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // One that asks and does not listen.
        let mut deaf = Client::new(&served);
        (0..4).for_each(|_| deaf.send("GET /~t/large HTTP/1.1\r\nHost: a\r\n\r\n"));
        while answered.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        served.interrupt();
        let ended = served.end(BOUND);
        assert!(ended.status.success(), "{}: {}", ended.status, ended.logged);
        assert!(ended.printed.ends_with("; 0 processes left\n"), "{}", ended.printed);
        assert_eq!(ended.logged, "");
    });
}

#[test]
fn a_signal_lets_requests_under_way_end() {
    let directory = Directory::new();
    let served = Served::directory(&directory, &[]);
    let mut client = Client::new(&served);
    client.send(format!("PUT /~t/last HTTP/1.1\r\nHost: a\r\n{}Content-Length: 4\r\n\r\nla", authorization("t:p")));
    while directory.names().is_empty() {
        std::thread::yield_now();
    }
    served.interrupt();
    std::thread::sleep(Duration::from_millis(100));
    client.send("st");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("Connection")), (201, Some("close")));
    assert!(served.end(BOUND).status.success());
    assert_eq!(directory.names(), ["last"]);
}

#[test]
fn a_signal_interrupts_what_takes_too_long() {
    let directory = Directory::new();
    for (patience, again) in [("0.2", false), ("3600", true)] {
        let served = Served::directory(&directory, &["--stop-timeout", patience]);
        let mut client = Client::new(&served);
        client
            .send(format!("PUT /~t/never HTTP/1.1\r\nHost: a\r\n{}Content-Length: 4\r\n\r\nne", authorization("t:p")));
        while directory.names().is_empty() {
            std::thread::yield_now();
        }
        served.interrupt();
        if again {
            std::thread::sleep(Duration::from_millis(200));
            served.interrupt();
        }
        let ended = served.end(BOUND);
        assert!(
            ended.status.success() && ended.printed.ends_with("0 processes left\n"),
            "{}: {}",
            ended.status,
            ended.printed
        );
        assert!(client.is_closed());
        // Nothing is left of the file that was not finished.
        assert_eq!(directory.names(), Vec::<String>::new());
    }
}

#[test]
fn the_log_has_a_line_per_request_and_no_control_characters() {
    let served = Served::with(&["--log"]);
    ask(&served, "GET /~alice/hello.txt", "");
    ask(&served, "GET /~alice/caf\u{e9}\u{85}\u{202e}", "");
    ask(&served, "DELETE /", "");
    Client::new(&served).send("rubbish\n");
    served.interrupt();
    let logged = served.end(BOUND).logged;
    for line in [" GET /~alice/hello.txt 200 18 ", " GET /~alice/caf\u{e9}\\u{85}\\u{202e} 404 ", " DELETE / 405 "] {
        assert!(logged.contains(line), "{line} in {logged}");
    }
    assert!(logged.starts_with("127.0.0.1:"), "{logged}");
}

#[test]
fn a_log_that_nobody_reads_stops_nobody_and_what_is_lost_is_counted() {
    // More than the pipe and those who wait for it hold together.
    const REQUESTS: usize = 6000;
    let served = Served::with(&["--log"]);
    let mut client = Client::new(&served);
    for _ in 0..REQUESTS {
        client.send("GET /~alice/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.reply().status, 200);
    }
    assert_eq!(ask(&served, "GET /~bob/hello.txt", "").status, 200);
    served.interrupt();
    let ended = served.end(BOUND);
    assert!(ended.status.success(), "{}", ended.status);
    let lost =
        ended.printed.lines().find_map(|line| line.strip_suffix(" lines of the log are lost: nobody has read them"));
    let (lost, logged): (usize, usize) = (lost.unwrap().parse().unwrap(), ended.logged.lines().count());
    // The last line may have come to a part.
    assert!(lost > 0 && (REQUESTS..=REQUESTS + 2).contains(&(lost + logged)), "{lost} and {logged}");
}

#[test]
fn what_it_cannot_start_with_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (arguments, said) in [
        (vec!["--listen", &address], "in use"),
        (vec!["--tenant", "a=/nowhere/at/all"], "/nowhere/at/all"),
        (vec!["--tenant", "a=/etc/passwd"], "/etc/passwd"),
        (vec!["--tenant", "a=/tmp", "--tenant", "a=/etc"], "twice"),
        (vec!["--auth", "carol:x"], "no such tenant"),
        (vec!["--listen", "nonsense"], "nonsense"),
        (vec!["--tenant", "a"], "NAME=DIR"),
    ] {
        let output = refused(&arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains(said), "{arguments:?}: {message}");
    }
}

#[test]
fn the_commands_that_it_prints_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl here");
        return;
    }
    let mut served = Served::demo();
    let commands = served.lines(|line| line.contains("-X DELETE") && line.contains("bob"));
    let commands: Vec<_> = commands.iter().filter(|line| line.contains("curl")).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let output = Command::new("sh").arg("-c").arg(command).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let expected = match command {
            command if command.contains("# 403:") => "HTTP/1.1 403 ",
            command if command.contains("# 404:") => "HTTP/1.1 404 ",
            command if command.contains("DELETE") => "HTTP/1.1 204 ",
            command if command.contains("-T -") => "HTTP/1.1 201 ",
            command if command.contains("-r 0-4") => "Hello",
            command if command.contains("hello.txt") => "Hello from alice.\n",
            command if command.contains("/-/ps") => "alice",
            _ => "/~alice/",
        };
        assert!(printed.contains(expected), "{command}: {printed}");
    }
}

#[test]
fn browsers_preconnects_and_aborts_are_harmless() {
    let served = Served::demo();
    let before = processes(&served);
    for _ in 0..50 {
        drop(Client::new(&served));
        let mut client = Client::new(&served);
        client.send("GET /~alice/hello.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /~bo");
        drop(client);
    }
    let deadline = Instant::now() + BOUND;
    while processes(&served) != before {
        assert!(Instant::now() < deadline, "{before:?} became {:?}", processes(&served));
        std::thread::sleep(Duration::from_millis(10));
    }
}
