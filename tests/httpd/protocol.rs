//! Requests in all shapes, good and bad.

use std::time::{Duration, Instant};

use super::client::{Client, ask, authorization};
use super::served::Served;

#[test]
fn a_request_may_be_split_at_any_byte() {
    let served = Served::demo();
    let request = format!(
        "PUT /~alice/split HTTP/1.1\r\nHost: a\r\n{}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n\
         GET /~alice/split HTTP/1.1\r\nHost: a\r\n\r\n",
        authorization("alice:alice-demo")
    );
    for at in 1..request.len() {
        let mut client = Client::new(&served);
        client.send(&request[..at]);
        // Long enough for the server to have seen the first part, mostly.
        std::thread::sleep(Duration::from_micros(500));
        client.send(&request[at..]);
        assert!([201, 204].contains(&client.reply().status), "{at}");
        assert_eq!(client.reply().text(), "abc", "{at}");
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let served = Served::demo();
    let mut client = Client::new(&served);
    for byte in b"\r\nGET /~alice/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.reply().text(), "Hello from alice.\n");
}

#[test]
fn pipelined_requests_are_answered_in_order_whoever_they_are_for() {
    let served = Served::demo();
    let mut client = Client::new(&served);
    let targets = ["/~alice/hello.txt", "/~bob/hello.txt", "/~alice/docs/about.txt", "/none", "/~bob/hello.txt", "/"];
    let mut requests = String::new();
    for _ in 0..50 {
        for target in targets {
            requests += &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        }
    }
    client.send(requests);
    for _ in 0..50 {
        for (target, start) in
            targets.iter().zip(["Hello from alice", "Hello from bob", "alice is", "404", "Hello from bob", "/~alice/"])
        {
            let reply = client.reply();
            assert!(reply.text().starts_with(start), "{target}: {reply:?}");
        }
    }
    client.finish();
    assert!(client.is_closed());
}

#[test]
fn a_body_that_nobody_wants_is_not_the_next_request() {
    let served = Served::demo();
    let mut client = Client::new(&served);
    let body = b"GET /~bob/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", body.len());
    for line in ["GET /~alice/hello.txt", "POST /~alice/x", "PUT /~alice/x", "GET /none"] {
        assert_ne!(client.request(line, &length, body).text(), "Hello from bob.\n", "{line}");
    }
    assert_eq!(client.request("GET /~alice/hello.txt", "", b"").text(), "Hello from alice.\n");
}

#[test]
fn what_two_servers_could_read_differently_is_refused_and_ends_the_connection() {
    let served = Served::demo();
    let smuggled = "GET /~bob/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /~alice/%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET nonsense HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = Client::new(&served);
        client.send(format!("{head}{smuggled}"));
        let reply = client.reply();
        assert_eq!((reply.status, reply.field("Connection")), (400, Some("close")), "{head:?}");
        assert!(client.is_closed(), "{head:?}");
    }
}

#[test]
fn heads_are_bounded_and_other_versions_are_named() {
    let served = Served::demo();
    let long = "x".repeat(20_000);
    for (head, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)), 431),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".into(), 501),
    ] {
        let mut client = Client::new(&served);
        client.send(&head);
        assert_eq!(client.reply().status, status, "{:.40}", head);
        assert!(client.is_closed(), "{:.40}", head);
    }
}

#[test]
fn connections_stay_open_as_both_sides_want() {
    let served = Served::demo();
    for (version, field, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
    ] {
        let mut client = Client::new(&served);
        for _ in 0..2 {
            client.send(format!("GET /~alice/hello.txt HTTP/{version}\r\nHost: a\r\n{field}\r\n"));
            let reply = client.reply();
            assert_eq!(reply.status, 200);
            if !stays {
                assert_eq!(reply.field("Connection"), Some("close"), "{version} {field}");
                assert!(client.is_closed(), "{version} {field}");
                break;
            }
        }
    }
}

#[test]
fn garbage_is_answered_or_hung_up_on_and_hurts_nobody() {
    let served = Served::with(&["--head-timeout", "0.2", "--body-timeout", "0.2"]);
    let pieces: [&[u8]; 16] = [
        b"GET ",
        b"PUT ",
        b"/~alice/hello.txt",
        b" HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"Host: a\r\n",
        b"\n",
        b"\0",
        b"%",
        b"..",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"5\r\n",
        b"\xff\xfe",
        b"~",
    ];
    // xorshift: the same garbage each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..random(30) {
            match random(4) {
                0 => bytes.extend((0..random(20)).map(|_| random(256) as u8)),
                _ => bytes.extend_from_slice(pieces[random(pieces.len())]),
            }
        }
        let mut client = Client::new(&served);
        client.send(&bytes);
        client.finish();
        while let Some(reply) = client.read_reply(true) {
            assert!(reply.status < 500 || [501, 505].contains(&reply.status), "{round}: {}", bytes.escape_ascii());
        }
    }
    assert_eq!(ask(&served, "GET /~alice/hello.txt", "").text(), "Hello from alice.\n");
}

#[test]
fn slow_clients_are_told_and_idle_ones_are_not() {
    let served = Served::with(&["--head-timeout", "0.3", "--body-timeout", "0.3", "--idle-timeout", "0.3"]);
    let login = authorization("alice:alice-demo");
    for (bytes, status) in [
        ("GET / HT".to_owned(), Some(408)),
        (format!("PUT /~alice/slow HTTP/1.1\r\nHost: a\r\n{login}Content-Length: 5\r\n\r\nhe"), Some(408)),
        (
            format!("PUT /~alice/slow HTTP/1.1\r\nHost: a\r\n{login}Transfer-Encoding: chunked\r\n\r\n5\r\nhe"),
            Some(408),
        ),
        (String::new(), None),
        ("\r\n".to_owned(), None),
    ] {
        let mut client = Client::new(&served);
        let start = Instant::now();
        client.send(&bytes);
        let reply = client.read_reply(true);
        assert_eq!(reply.map(|reply| reply.status), status, "{bytes}");
        assert!(client.is_closed(), "{bytes}");
        assert!(start.elapsed() >= Duration::from_millis(250), "{bytes}");
    }
    let mut client = Client::new(&served);
    assert_eq!(client.request("GET /", "", b"").status, 200);
    assert!(client.is_closed());
    assert_eq!(ask(&served, "GET /~alice/slow", "").status, 404);
}

#[test]
fn a_drip_of_bytes_does_not_hold_a_place() {
    let served = Served::narrow(&["--head-timeout", "0.3", "--body-timeout", "0.3"]);
    let login = authorization("alice:alice-demo");
    for start in
        ["GET /".to_owned(), format!("PUT /~alice/d HTTP/1.1\r\nHost: a\r\n{login}Content-Length: 9999\r\n\r\n")]
    {
        let mut slow = Client::new(&served);
        slow.send(start);
        let drip = std::thread::spawn(move || {
            for _ in 0..20 {
                slow.send("x");
                std::thread::sleep(Duration::from_millis(50));
            }
            slow.reply().status
        });
        assert_eq!(drip.join().unwrap(), 408);
    }
    assert_eq!(ask(&served, "GET /", "").status, 200);
}

#[test]
fn an_idle_connection_makes_room_when_there_is_none() {
    let served = Served::narrow(&[]);
    let mut idle = Client::new(&served);
    assert_eq!(idle.request("GET /", "", b"").status, 200);
    // Its half minute would be the other's wait.
    let start = Instant::now();
    assert_eq!(ask(&served, "GET /~alice/hello.txt", "").status, 200);
    assert!(start.elapsed() < Duration::from_secs(15));
    assert!(idle.is_closed());
}

#[test]
fn a_client_that_says_with_its_request_that_no_more_comes_is_answered_and_left() {
    let served = Served::with(&["--idle-timeout", "3600"]);
    for _ in 0..20 {
        let mut client = Client::new(&served);
        client.send("GET /~alice/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        client.finish();
        assert_eq!(client.reply().status, 200);
        assert!(client.is_closed());
    }
}
