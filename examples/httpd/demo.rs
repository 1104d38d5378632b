//! What is served where no tenant is named: alice and bob, from memory.

use lwproc::{Fd, Kernel, Mode, OpenFlags, Result, sys};

use super::options::Login;
use super::server::Candidate;

/// A file of the demonstration: its path below the tenant's directory, permissions and content. Directories end in a
/// slash. Who owns it is part of the permissions: `secret` files are root's.
struct Sample {
    path: &'static str,
    mode: Mode,
    secret: bool,
    content: &'static str,
}

const fn sample(path: &'static str, content: &'static str) -> Sample {
    Sample { path, mode: 0o644, secret: false, content }
}

const ALICE: &[Sample] = &[
    sample("hello.txt", "Hello from alice.\n"),
    Sample { path: "docs/", mode: 0o755, secret: false, content: "" },
    sample("docs/about.txt", "alice is a process: uid 1001, a root directory and a descriptor table of her own.\n"),
    sample("docs/page.html", "<!DOCTYPE html>\n<title>alice</title>\n<p>A page of alice&rsquo;s.\n"),
    Sample { path: "private.txt", mode: 0o600, secret: true, content: "Root's alone.\n" },
];

const BOB: &[Sample] = &[sample("hello.txt", "Hello from bob.\n"), sample("numbers.csv", "n,square\n1,1\n2,4\n3,9\n")];

/// The tenants' names.
pub(crate) const NAMES: [&str; 2] = ["alice", "bob"];

/// Fills the root with the tenants' directories. `logins` are the passwords that were given; with `is_local` a tenant
/// without one gets one that is printed.
pub(crate) fn tenants(kernel: &Kernel, logins: &[Login], is_local: bool) -> Result<Vec<Candidate>> {
    kernel.enter(|| {
        sys::mkdir("/srv", 0o755)?;
        NAMES
            .into_iter()
            .zip([(1001, ALICE), (1002, BOB)])
            .map(|(name, (uid, samples))| {
                let root = format!("/srv/{name}");
                fill(&root, uid, samples)?;
                let given = logins.iter().find(|login| login.name == name).map(|login| login.password.clone());
                let password = given.or_else(|| is_local.then(|| format!("{name}-demo")));
                Ok(Candidate { name: name.to_owned(), uid, root, writable: true, password })
            })
            .collect()
    })
}

fn fill(root: &str, uid: u32, samples: &[Sample]) -> Result<()> {
    sys::mkdir(root, 0o755)?;
    for sample in samples {
        let path = format!("{root}/{}", sample.path);
        if let Some(directory) = path.strip_suffix('/') {
            sys::mkdir(directory, sample.mode)?;
            sys::chown(directory, Some(uid), Some(uid))?;
            continue;
        }
        let fd = sys::open(&path, OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::EXCL, sample.mode)?;
        let written = write_all(fd, sample.content.as_bytes());
        sys::close(fd)?;
        written?;
        if !sample.secret {
            sys::chown(&path, Some(uid), Some(uid))?;
        }
    }
    sys::chown(root, Some(uid), Some(uid))
}

fn write_all(fd: Fd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let written = sys::write(fd, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// What to try, as commands that work as they are printed. `logins` are the tenants' names and passwords.
pub(crate) fn commands(origin: &str, logins: &[(String, Option<String>)]) -> String {
    let mut commands = vec![
        (format!("curl {origin}/"), "who is served"),
        (format!("curl {origin}/-/ps"), "the processes; a page in a browser"),
        (format!("curl {origin}/~alice/hello.txt"), "a file"),
        (format!("curl -r 0-4 {origin}/~alice/hello.txt"), "a part of it"),
        (format!("curl -i {origin}/~alice/private.txt"), "403: it is root's, and alice is uid 1001"),
        (format!("curl -i --path-as-is {origin}/~alice/../../srv/bob/hello.txt"), "404: alice's root is hers alone"),
    ];
    for (name, password) in logins {
        if let Some(password) = password {
            let (login, file) = (format!("-u {name}:{password}"), format!("{origin}/~{name}/new.txt"));
            commands.push((format!("echo new | curl -i {login} -T - {file}"), "an upload"));
            commands.push((format!("curl -i {login} -X DELETE {file}"), "and its end"));
        }
    }
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    commands.iter().map(|(command, what)| format!("  {command:width$}  # {what}\n")).collect()
}
