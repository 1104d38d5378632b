//! Connections that break.

use std::fs;
use std::time::{Duration, Instant};

use super::client::{Client, ask, authorization};
use super::lifecycle::processes;
use super::served::{Directory, Served};

/// Everything ends within this.
const BOUND: Duration = Duration::from_secs(60);

/// How many sockets and files of the host it has open. What its threads wait with is not counted: each has its own from
/// its first wait on.
fn descriptors(served: &Served) -> usize {
    let open = fs::read_dir(served.proc("fd")).unwrap();
    let links = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| !link.to_string_lossy().starts_with("anon_inode:")).count()
}

#[test]
fn a_thousand_connections_reset_in_the_midst_of_requests_leave_nothing_behind() {
    let directory = Directory::new();
    fs::write(directory.path().join("large"), vec![b'x'; 4 << 20]).unwrap();
    let served = Served::directory(&directory, &[]);
    let before = (processes(&served), descriptors(&served));
    let upload = format!("PUT /~t/new HTTP/1.1\r\nHost: a\r\n{}Content-Length: 9999999\r\n\r\n", authorization("t:p"));
    let midst = [
        // Nothing, a part of a head, a part of the next head, a part of a body, and a response that nobody reads.
        String::new(),
        "GET /~t/large HTTP/1.1\r\nHo".to_owned(),
        "GET /-/ps HTTP/1.1\r\nHost: a\r\n\r\nGET /~t".to_owned(),
        upload + &"y".repeat(70_000),
        "GET /~t/large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3),
    ];
    let mut open = Vec::new();
    for number in 0..1000 {
        let mut client = Client::new(&served);
        client.send(&midst[number % midst.len()]);
        open.push(client);
        // Some are reset at once, others when the server is at work on them.
        if open.len() > 20 {
            open.drain(..).for_each(Client::reset);
        }
    }
    open.drain(..).for_each(Client::reset);
    assert_eq!(ask(&served, "GET /~t/large", "").body.len(), 4 << 20);
    let deadline = Instant::now() + BOUND;
    // They may not have been noticed yet to be gone.
    while (processes(&served), descriptors(&served)) != before {
        let now = (processes(&served), descriptors(&served));
        assert!(Instant::now() < deadline, "{before:?} became {now:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(directory.names(), ["large"]);
    served.interrupt();
    let ended = served.end(BOUND);
    assert!(ended.status.success() && ended.printed.ends_with("; 0 processes left\n"), "{}", ended.printed);
}
