//! What `PUT` and `DELETE` do, and to whom.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::client::{Client, ask, authorization, put};
use super::served::{Directory, Served};

const ALICE: &str = "alice:alice-demo";

#[test]
fn a_file_is_created_replaced_and_deleted() {
    let served = Served::demo();
    let created = put(&served, "/~alice/new.txt", ALICE, "", b"one");
    assert_eq!(created.status, 201);
    let read = ask(&served, "GET /~alice/new.txt", "");
    assert_eq!((read.text(), read.field("ETag")), ("one", created.field("ETag")));
    let replaced = put(&served, "/~alice/new.txt", ALICE, "", b"two");
    assert_eq!(replaced.status, 204);
    assert_ne!(replaced.field("ETag"), created.field("ETag"));
    assert_eq!(ask(&served, "GET /~alice/new.txt", "").text(), "two");
    assert_eq!(ask(&served, "DELETE /~alice/new.txt", &authorization(ALICE)).status, 204);
    assert_eq!(ask(&served, "DELETE /~alice/new.txt", &authorization(ALICE)).status, 404);
    assert_eq!(ask(&served, "GET /~alice/new.txt", "").status, 404);
    assert_eq!(put(&served, "/~alice/empty", ALICE, "", b"").status, 201);
    assert_eq!(ask(&served, "GET /~alice/empty", "").field("Content-Length"), Some("0"));
}

#[test]
fn only_who_knows_the_password_writes() {
    let served = Served::demo();
    for login in ["alice:wrong", "alice:", "bob:bob-demo", "alice:bob-demo", ":", "alice:alice-demo2"] {
        let reply = put(&served, "/~alice/x", login, "", b"x");
        assert_eq!(reply.status, 401, "{login}");
        assert_eq!(reply.field("WWW-Authenticate"), Some("Basic realm=\"alice\", charset=\"UTF-8\""));
    }
    assert_eq!(ask(&served, "DELETE /~alice/hello.txt", "").status, 401);
    assert_eq!(ask(&served, "DELETE /~alice/hello.txt", "Authorization: Bearer x\r\n").status, 401);
    let twice = format!("{}{}", authorization(ALICE), authorization("bob:bob-demo"));
    assert_eq!(ask(&served, "DELETE /~alice/hello.txt", &twice).status, 400);
    assert_eq!(put(&served, "/~carol/x", "carol:carol", "", b"x").status, 404);
    assert_eq!(ask(&served, "GET /~alice/hello.txt", "").status, 200);
}

#[test]
fn a_page_of_one_tenant_cannot_use_the_password_of_another() {
    let served = Served::demo();
    for field in ["Origin: http://localhost\r\n", "Sec-Fetch-Site: same-origin\r\n"] {
        assert_eq!(put(&served, "/~alice/x", ALICE, field, b"x").status, 403, "{field}");
    }
    assert_eq!(put(&served, "/~alice/x", ALICE, "Sec-Fetch-Site: none\r\n", b"x").status, 201);
}

#[test]
fn a_tenant_is_read_only_unless_said_and_without_a_password() {
    let (open, closed) = (Directory::new(), Directory::new());
    let (open_dir, closed_dir) = (open.path().display(), closed.path().display());
    let tenants = [format!("open={open_dir}:rw"), format!("closed={closed_dir}"), format!("nobody={open_dir}:rw")];
    let served = Served::with(&[
        "--tenant",
        &tenants[0],
        "--tenant",
        &tenants[1],
        "--tenant",
        &tenants[2],
        "--auth",
        "open:p",
        "--auth",
        "closed:p",
    ]);
    assert_eq!(put(&served, "/~open/x", "open:p", "", b"x").status, 201);
    assert_eq!(put(&served, "/~closed/x", "closed:p", "", b"x").status, 403);
    assert_eq!(put(&served, "/~nobody/x", "nobody:", "", b"x").status, 403);
    assert_eq!((open.names(), closed.names()), (vec!["x".to_owned()], vec![]));
    assert!(!ask(&served, "GET /", "").text().contains("closed/  read, write"));
}

#[test]
fn an_upload_comes_in_chunks_with_extensions_and_trailers() {
    let served = Served::demo();
    let mut client = Client::new(&served);
    let fields = format!("{}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", authorization(ALICE));
    let body = b"5;name=\"v\"\r\nhello\r\n1\r\n \r\n00005\r\nworld\r\n0;last\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(client.request("PUT /~alice/chunks", &fields, body).status, 201);
    // The connection goes on behind the trailers.
    assert_eq!(client.request("GET /~alice/chunks", "", b"").text(), "hello world");
    for body in ["x\r\n", "5\r\nhelloworld\r\n", "-1\r\n", "5\nhello\n", "\r\n", "FFFFFFFFFFFFFFFFF\r\n"] {
        let mut client = Client::new(&served);
        let reply = client.request("PUT /~alice/bad", &fields, body.as_bytes());
        assert!([400, 413].contains(&reply.status), "{body:?}: {}", reply.status);
        assert!(client.is_closed(), "{body:?}");
    }
    assert_eq!(ask(&served, "GET /~alice/bad", "").status, 404);
}

#[test]
fn uploads_have_a_length_and_it_is_bounded() {
    let served = Served::with(&["--max-body", "1000"]);
    assert_eq!(ask(&served, "PUT /~alice/x", &authorization(ALICE)).status, 411);
    assert_eq!(put(&served, "/~alice/x", ALICE, "", &[b'x'; 1001]).status, 413);
    let chunked = format!("{}Transfer-Encoding: chunked\r\n", authorization(ALICE));
    let mut client = Client::new(&served);
    let chunks = [b"3e8\r\n".to_vec(), vec![b'x'; 1000], b"\r\n1\r\nx\r\n0\r\n\r\n".to_vec()].concat();
    assert_eq!(client.request("PUT /~alice/x", &chunked, &chunks).status, 413);
    assert!(client.is_closed());
    assert_eq!(ask(&served, "GET /~alice/x", "").status, 404);
    assert_eq!(put(&served, "/~alice/x", ALICE, "", &[b'x'; 1000]).status, 201);
    let huge = format!("{}Content-Length: 99999999999999999999999999\r\n", authorization(ALICE));
    assert_eq!(ask(&served, "PUT /~alice/y", &huge).status, 413);
}

#[test]
fn a_client_that_waits_to_be_told_is_told_once_it_may_send() {
    let served = Served::demo();
    let fields = |login| format!("{}Content-Length: 5\r\nExpect: 100-continue\r\n", authorization(login));
    let mut client = Client::new(&served);
    assert_eq!(client.request("PUT /~alice/later", &fields(ALICE), b"").status, 100);
    client.send("hello");
    assert_eq!(client.reply().status, 201);
    assert_eq!(client.request("GET /~alice/later", "", b"").text(), "hello");
    // And not where it would send in vain; what it may send all the same is no request.
    let mut client = Client::new(&served);
    let reply = client.request("PUT /~alice/later", &fields("alice:wrong"), b"");
    assert_eq!((reply.status, reply.field("Connection")), (401, Some("close")));
    assert!(client.is_closed());
    assert_eq!(ask(&served, "GET /", "Expect: wonders\r\n").status, 417);
}

#[test]
fn conditions_protect_what_others_wrote() {
    let served = Served::demo();
    let first = put(&served, "/~alice/c", ALICE, "If-None-Match: *\r\n", b"1");
    assert_eq!(first.status, 201);
    assert_eq!(put(&served, "/~alice/c", ALICE, "If-None-Match: *\r\n", b"2").status, 412);
    let matching = format!("If-Match: {}\r\n", first.field("ETag").unwrap());
    assert_eq!(put(&served, "/~alice/c", ALICE, &matching, b"3").status, 204);
    assert_eq!(put(&served, "/~alice/c", ALICE, &matching, b"4").status, 412);
    assert_eq!(put(&served, "/~alice/d", ALICE, "If-Match: *\r\n", b"5").status, 412);
    let old = "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(put(&served, "/~alice/c", ALICE, old, b"6").status, 412);
    assert_eq!(ask(&served, "DELETE /~alice/c", &format!("{}{matching}", authorization(ALICE))).status, 412);
    assert_eq!(ask(&served, "GET /~alice/c", "").text(), "3");
}

#[test]
fn of_two_who_create_the_same_file_one_does() {
    let served = Served::demo();
    let fields = format!("{}Content-Length: 2\r\nIf-None-Match: *\r\n", authorization(ALICE));
    let mut clients: Vec<_> = (0..4).map(|_| Client::new(&served)).collect();
    for client in &mut clients {
        client.send(format!("PUT /~alice/race HTTP/1.1\r\nHost: a\r\n{fields}\r\nx"));
    }
    // All have looked and found no file; now all finish.
    std::thread::sleep(std::time::Duration::from_millis(100));
    for client in &mut clients {
        client.send("y");
    }
    let mut statuses: Vec<_> = clients.iter_mut().map(|client| client.reply().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412, 412, 412]);
}

#[test]
fn an_upload_that_is_broken_off_leaves_what_was_there() {
    let directory = Directory::new();
    fs::write(directory.path().join("kept"), "whole").unwrap();
    let served = Served::directory(&directory, &[]);
    let mut client = Client::new(&served);
    client.send(format!("PUT /~t/kept HTTP/1.1\r\nHost: a\r\n{}Content-Length: 10\r\n\r\nhal", authorization("t:p")));
    // While it lasts, the old file is served, and the new one is not to be seen.
    while directory.names().len() < 2 {
        std::thread::yield_now();
    }
    let partial = directory.names().into_iter().find(|name| name != "kept").unwrap();
    assert_eq!(ask(&served, "GET /~t/kept", "").text(), "whole");
    assert_eq!(ask(&served, &format!("GET /~t/{partial}"), "").status, 404);
    assert!(!ask(&served, "GET /~t/", "").text().contains(&partial));
    assert_eq!(put(&served, &format!("/~t/{partial}"), "t:p", "", b"x").status, 404);
    client.finish();
    assert!(client.is_closed());
    while directory.names().len() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(ask(&served, "GET /~t/kept", "").text(), "whole");
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let directory = Directory::new();
    let path = directory.path();
    fs::create_dir(path.join("dir")).unwrap();
    fs::write(path.join("file"), "x").unwrap();
    fs::write(path.join("frozen"), "x").unwrap();
    fs::set_permissions(path.join("frozen"), fs::Permissions::from_mode(0o444)).unwrap();
    let served = Served::directory(&directory, &[]);
    for (target, fields, status) in [
        ("/~t/dir", "", 409),
        ("/~t/dir/", "", 409),
        ("/~t/", "", 409),
        ("/~t/dir/..", "", 409),
        ("/~t/none/x", "", 409),
        ("/~t/file/x", "", 409),
        ("/~t/frozen", "", 403),
        ("/~t/x", "Content-Range: bytes 0-0/5\r\n", 400),
    ] {
        assert_eq!(put(&served, target, "t:p", fields, b"y").status, status, "{target}");
    }
    for target in ["/~t/dir", "/~t/dir/", "/~t/"] {
        assert_eq!(ask(&served, &format!("DELETE {target}"), &authorization("t:p")).status, 409, "{target}");
    }
    assert_eq!(directory.names(), ["dir", "file", "frozen"]);
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    let directory = Directory::new();
    let path = directory.path().join("x");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let served = Served::directory(&directory, &[]);
    assert_eq!(put(&served, "/~t/x", "t:p", "", b"longer").status, 204);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read(&path).unwrap(), b"longer");
}
