//! What `GET` and `HEAD` answer.

use std::fs;

use super::client::{Client, ask};
use super::served::{Directory, Served};

#[test]
fn a_file_comes_with_its_length_type_and_version() {
    let served = Served::demo();
    let reply = ask(&served, "GET /~alice/hello.txt", "");
    assert_eq!((reply.status, reply.text()), (200, "Hello from alice.\n"));
    assert_eq!(reply.field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.field("Content-Length"), Some("18"));
    assert_eq!(reply.field("Accept-Ranges"), Some("bytes"));
    assert!(reply.field("Date").is_some() && reply.field("Last-Modified").is_some());
    assert_eq!(ask(&served, "GET http://localhost/~bob/hello.txt", "").text(), "Hello from bob.\n");
}

#[test]
fn head_is_get_without_content() {
    let served = Served::demo();
    for path in ["/", "/-/ps", "/~alice/", "/~alice/hello.txt", "/~alice/docs", "/~alice/none", "/~alice/private.txt"] {
        let mut client = Client::new(&served);
        let get = client.request(&format!("GET {path}"), "Accept: text/html\r\n", b"");
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n"));
        let head = client.reply_to_head();
        assert_eq!(head.status, get.status, "{path}");
        for field in ["Content-Type", "ETag", "Location"] {
            assert_eq!(head.field(field), get.field(field), "{path}: {field}");
        }
        // The table of processes counts switches, which change its length.
        assert!(path == "/-/ps" || head.field("Content-Length") == get.field("Content-Length"), "{path}");
        // Nothing is left of it that would be taken for the next response.
        assert_eq!(client.request("GET /~bob/hello.txt", "", b"").text(), "Hello from bob.\n");
    }
}

#[test]
fn who_has_the_version_is_not_sent_it() {
    let served = Served::demo();
    let first = ask(&served, "GET /~alice/hello.txt", "");
    let (tag, date) = (first.field("ETag").unwrap(), first.field("Last-Modified").unwrap());
    for (fields, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{tag}\r\n"), 304),
        ("If-None-Match: *\r\n".into(), 304),
        ("If-None-Match: \"x\"\r\n".into(), 200),
        (format!("If-Modified-Since: {date}\r\n"), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".into(), 200),
        ("If-Modified-Since: nonsense\r\n".into(), 200),
        (format!("If-Match: {tag}\r\n"), 200),
        ("If-Match: \"x\"\r\n".into(), 412),
        (format!("If-Unmodified-Since: {date}\r\n"), 200),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".into(), 412),
    ] {
        let reply = ask(&served, "GET /~alice/hello.txt", &fields);
        assert_eq!(reply.status, status, "{fields}");
        if status == 304 {
            assert_eq!((reply.field("ETag"), reply.field("Content-Length")), (Some(tag), None), "{fields}");
        }
    }
}

#[test]
fn ranges_are_parts_of_the_file() {
    let served = Served::demo();
    let tag = ask(&served, "GET /~alice/hello.txt", "").field("ETag").unwrap().to_owned();
    for (fields, status, body, range) in [
        ("Range: bytes=0-4\r\n".to_owned(), 206, "Hello", Some("bytes 0-4/18")),
        ("Range: bytes=11-\r\n".into(), 206, "alice.\n", Some("bytes 11-17/18")),
        ("Range: bytes=-7\r\n".into(), 206, "alice.\n", Some("bytes 11-17/18")),
        ("Range: bytes=-700\r\n".into(), 206, "Hello from alice.\n", Some("bytes 0-17/18")),
        ("Range: bytes=17-99999999999999999999\r\n".into(), 206, "\n", Some("bytes 17-17/18")),
        ("Range: bytes=0-1,4-5\r\n".into(), 200, "Hello from alice.\n", None),
        ("Range: rubbish\r\n".into(), 200, "Hello from alice.\n", None),
        (format!("Range: bytes=0-4\r\nIf-Range: {tag}\r\n"), 206, "Hello", Some("bytes 0-4/18")),
        ("Range: bytes=0-4\r\nIf-Range: \"old\"\r\n".into(), 200, "Hello from alice.\n", None),
    ] {
        let reply = ask(&served, "GET /~alice/hello.txt", &fields);
        assert_eq!((reply.status, reply.text(), reply.field("Content-Range")), (status, body, range), "{fields}");
    }
    for range in ["bytes=18-", "bytes=-0", "bytes=99-100"] {
        let reply = ask(&served, "GET /~alice/hello.txt", &format!("Range: {range}\r\n"));
        assert_eq!((reply.status, reply.field("Content-Range")), (416, Some("bytes */18")), "{range}");
    }
    let head = ask(&served, "HEAD /~alice/hello.txt", "Range: bytes=0-4\r\n");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("18")));
}

#[test]
fn a_directory_is_a_page_of_links_that_work() {
    let served = Served::demo();
    let redirect = ask(&served, "GET /~alice/docs?a=b", "");
    assert_eq!((redirect.status, redirect.field("Location")), (301, Some("/~alice/docs/?a=b")));
    assert_eq!(ask(&served, "GET /~alice", "").field("Location"), Some("/~alice/"));
    let page = ask(&served, "GET /~alice/", "");
    assert_eq!((page.status, page.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    for link in ["./docs/", "./hello.txt", "./private.txt"] {
        assert!(page.text().contains(&format!("href=\"{link}\"")), "{link} in {}", page.text());
    }
    assert!(ask(&served, "GET /~alice/docs/", "").text().contains("href=\"./about.txt\""));
    assert_eq!(ask(&served, "GET /~alice/hello.txt/", "").status, 404);
}

#[test]
fn names_that_need_escaping_are_listed_and_served() {
    let directory = Directory::new();
    for name in ["a b.txt", "100%.txt", "<i>.txt", "q?x=1", "#1", "caf\u{e9}", "a;b&c"] {
        fs::write(directory.path().join(name), name).unwrap();
    }
    let served = Served::directory(&directory, &[]);
    let page = ask(&served, "GET /~t/", "");
    assert!(!page.text().contains("<i>"));
    let links: Vec<_> = page.text().split("href=\"./").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let bodies: Vec<_> =
        links.iter().filter(|link| !link.is_empty()).map(|link| ask(&served, &format!("GET /~t/{link}"), "")).collect();
    assert_eq!(bodies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200; 7]);
    let mut texts: Vec<_> = bodies.iter().map(|reply| reply.text().to_owned()).collect();
    texts.sort();
    assert_eq!(texts, directory.names());
}

#[test]
fn a_large_file_comes_as_it_is() {
    let directory = Directory::new();
    let content: Vec<u8> = (0..3_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(directory.path().join("large.bin"), &content).unwrap();
    fs::write(directory.path().join("empty"), b"").unwrap();
    let served = Served::directory(&directory, &[]);
    let mut client = Client::new(&served);
    let reply = client.request("GET /~t/large.bin", "", b"");
    assert_eq!(reply.field("Content-Type"), Some("application/octet-stream"));
    assert!(reply.body == content);
    let reply = client.request("GET /~t/large.bin", "Range: bytes=65535-2000000\r\n", b"");
    assert!(reply.body == content[65_535..=2_000_000]);
    let reply = client.request("GET /~t/empty", "", b"");
    assert_eq!((reply.status, reply.field("Content-Length"), reply.body.len()), (200, Some("0"), 0));
    assert_eq!(client.request("GET /~t/empty", "Range: bytes=0-\r\n", b"").field("Content-Range"), Some("bytes */0"));
    let reply = client.request("GET /~t/empty", "Range: bytes=-5\r\n", b"");
    assert_eq!((reply.status, reply.field("Content-Length"), reply.field("Content-Range")), (200, Some("0"), None));
}

#[test]
fn the_first_page_names_the_tenants_and_nothing_of_theirs() {
    let served = Served::demo();
    let html = ask(&served, "GET /", "Accept: text/html,*/*;q=0.8\r\n");
    assert!(html.text().starts_with("<!DOCTYPE html>") && html.text().contains("href=\"/~alice/\""));
    let text = ask(&served, "GET /", "Accept: */*\r\n");
    assert_eq!(text.field("Content-Type"), Some("text/plain; charset=utf-8"));
    for page in [html, text] {
        assert!(page.text().contains("bob") && !page.text().contains("hello") && !page.text().contains("srv"));
        assert_eq!(page.field("Vary"), Some("Accept"));
    }
}

#[test]
fn the_process_table_is_a_page_or_text() {
    let served = Served::demo();
    let text = ask(&served, "GET /-/ps", "Accept: */*\r\n");
    assert_eq!(text.field("Content-Type"), Some("text/plain; charset=utf-8"));
    for name in ["alice", "bob", "httpd", "1001", "1002"] {
        assert!(text.text().contains(name), "{name} in {}", text.text());
    }
    let html = ask(&served, "GET /-/ps", "Accept: text/html\r\n");
    assert_eq!(html.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(html.field("Cache-Control"), Some("no-store"));
    assert!(html.text().contains("<table>") && html.text().contains("alice"));
}

#[test]
fn what_is_not_there_and_what_cannot_be_done() {
    let served = Served::demo();
    for path in
        ["/none", "/favicon.ico", "/~carol/", "/~carol/x", "/-/", "/-/ps/x", "/~alice/none", "/~alice/hello.txt/x"]
    {
        assert_eq!(ask(&served, &format!("GET {path}"), "").status, 404, "{path}");
    }
    for (line, allow) in [
        ("POST /~alice/hello.txt", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("PATCH /~alice/hello.txt", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("PUT /-/ps", "GET, HEAD, OPTIONS"),
        ("DELETE /", "GET, HEAD, OPTIONS"),
    ] {
        let reply = ask(&served, line, "");
        assert_eq!((reply.status, reply.field("Allow")), (405, Some(allow)), "{line}");
    }
    let long = "x".repeat(300);
    assert_eq!(ask(&served, &format!("GET /~alice/{long}"), "").status, 414);
    for line in ["BREW /~alice/hello.txt", "BREW /", "get /"] {
        let reply = ask(&served, line, "");
        assert_eq!((reply.status, reply.field("Allow")), (501, None), "{line}");
    }
    let options = ask(&served, "OPTIONS *", "");
    assert_eq!((options.status, options.field("Allow")), (204, Some("GET, HEAD, OPTIONS")));
}
