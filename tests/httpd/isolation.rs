//! What a tenant's requests cannot reach.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::client::{Client, ask, authorization, put};
use super::served::{Directory, Served};

#[test]
fn no_path_leads_out_of_a_tenants_root() {
    let served = Served::demo();
    for path in [
        "/~alice/../~bob/hello.txt",
        "/~alice/../bob/hello.txt",
        "/~alice/../../srv/bob/hello.txt",
        "/~alice/%2e%2e/bob/hello.txt",
        "/~alice/%2E%2e/%2e%2E/srv/bob/hello.txt",
        "/~alice/..%2fbob/hello.txt",
        "/~alice/%2e%2e%2fbob%2fhello.txt",
        "/~alice/docs/../../bob/hello.txt",
        "/~alice//srv/bob/hello.txt",
        "/~alice/%252e%252e/bob/hello.txt",
        "/~alice/..;/bob/hello.txt",
        "/~alice/..\\bob\\hello.txt",
        "/~alice/~bob/hello.txt",
        "/~alice/srv/",
        "/~alice/../../../../../../etc/passwd",
        "/~alice/proc/self/environ",
    ] {
        let reply = ask(&served, &format!("GET {path}"), "");
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.text().contains("bob"), "{path}");
    }
    // `..` goes no higher than the root, which is where these end.
    assert_eq!(ask(&served, "GET /~alice/../../hello.txt", "").text(), "Hello from alice.\n");
    assert_eq!(ask(&served, "GET /~alice/docs/../hello.txt", "").text(), "Hello from alice.\n");
    let out = put(&served, "/~alice/../bob/planted", "alice:alice-demo", "", b"x");
    assert_eq!(out.status, 409);
    assert_eq!(ask(&served, "DELETE /~alice/../bob/hello.txt", &authorization("alice:alice-demo")).status, 404);
    assert_eq!(ask(&served, "GET /~bob/hello.txt", "").status, 200);
    assert_eq!(ask(&served, "GET /~bob/planted", "").status, 404);
}

#[test]
fn no_link_leads_out_of_a_tenants_directory() {
    let (directory, outside) = (Directory::new(), Directory::new());
    let path = directory.path();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(path.join("inside"), "inside").unwrap();
    symlink(outside.path().join("secret"), path.join("absolute")).unwrap();
    symlink(format!("../{}/secret", outside.path().file_name().unwrap().to_str().unwrap()), path.join("relative"))
        .unwrap();
    symlink(outside.path(), path.join("directory")).unwrap();
    symlink("/etc/passwd", path.join("passwd")).unwrap();
    symlink("loop", path.join("loop")).unwrap();
    symlink("inside", path.join("link")).unwrap();
    let served = Served::directory(&directory, &[]);
    for name in ["absolute", "relative", "directory/", "directory/secret", "passwd", "loop"] {
        let reply = ask(&served, &format!("GET /~t/{name}"), "");
        assert!([403, 404].contains(&reply.status), "{name}: {}", reply.status);
        assert!(!reply.text().contains("secret") && !reply.text().contains("root:"), "{name}");
    }
    assert_eq!(ask(&served, "GET /~t/link", "").text(), "inside");
    let written = put(&served, "/~t/directory/secret", "t:p", "", b"changed");
    assert!([403, 404, 409].contains(&written.status), "{}", written.status);
    // Deleting a link deletes the link.
    assert_eq!(ask(&served, "DELETE /~t/absolute", &authorization("t:p")).status, 204);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(outside.names(), ["secret"]);
}

#[test]
fn what_the_tenants_user_may_not_read_is_forbidden() {
    let directory = Directory::new();
    let path = directory.path();
    for (name, mode) in [("none", 0o000), ("mine", 0o600), ("all", 0o644)] {
        fs::write(path.join(name), name).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(path.join("closed")).unwrap();
    fs::write(path.join("closed/x"), "x").unwrap();
    fs::set_permissions(path.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let read_only = Served::with(&["--tenant", &format!("t={}", path.display())]);
    for (name, status) in [("none", 403), ("mine", 403), ("all", 200), ("closed/x", 403), ("", 200)] {
        assert_eq!(ask(&read_only, &format!("GET /~t/{name}"), "").status, status, "{name}");
    }
    // Who may write owns what is there, and is held to what its owner may.
    let served = Served::directory(&directory, &[]);
    assert_eq!(ask(&served, "GET /~t/mine", "").status, 200);
    assert_eq!(ask(&served, "GET /~t/none", "").status, 403);
    assert_eq!(ask(&served, "GET /~t/closed/", "").status, 403);
    assert_eq!(ask(&served, "GET /~t/closed/x", "").status, 403);
    let demo = Served::demo();
    assert_eq!(ask(&demo, "GET /~alice/private.txt", "").status, 403);
    assert_eq!(put(&demo, "/~alice/private.txt", "alice:alice-demo", "", b"x").status, 403);
    fs::set_permissions(path.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_tenant_without_descriptors_left_hurts_no_other() {
    let served = Served::with(&["--files", "8"]);
    // Each that is served holds one of alice's descriptors from then on.
    let mut clients: Vec<_> = (0..40).map(|_| Client::new(&served)).collect();
    let statuses: Vec<_> =
        clients.iter_mut().map(|client| client.request("GET /~alice/hello.txt", "", b"").status).collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&503));
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert_eq!(ask(&served, "GET /~bob/hello.txt", "").text(), "Hello from bob.\n");
    assert_eq!(ask(&served, "GET /-/ps", "").status, 200);
    drop(clients);
    // Connections end when the server notices.
    while ask(&served, "GET /~alice/hello.txt", "").status == 503 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
