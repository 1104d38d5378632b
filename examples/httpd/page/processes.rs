//! The process table.

use std::fmt::Write;

use super::super::http::{Form, Response, Status};
use super::{Escaped, either, html, plain};

/// A row of the process table.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) ppid: i32,
    pub(crate) uid: u32,
    pub(crate) lwps: u32,
    pub(crate) running: u32,
    pub(crate) fds: u32,
    pub(crate) switches: u64,
    pub(crate) cwd: String,
    pub(crate) name: String,
}

/// The process table: `table` is how the kernel prints it for a terminal, `rows` is the same for a browser.
pub(crate) fn processes<F>(table: &str, rows: &[Process], form: Form) -> Response<F> {
    either(form, || html(Status::OK, "Processes", &page(rows)), || plain(Status::OK, table))
        .with("Cache-Control", "no-store")
}

fn page(rows: &[Process]) -> String {
    let mut body = String::new();
    for row in rows {
        let busy = if row.running > 0 { "num busy" } else { "num dim" };
        let _ = writeln!(
            body,
            "<tr><td class=\"num\">{}</td><td class=\"num dim\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"{busy}\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <th scope=\"row\">{}</th><td class=\"name mono dim\">{}</td></tr>",
            row.pid,
            row.ppid,
            row.uid,
            row.lwps,
            row.running,
            row.fds,
            grouped(row.switches),
            Escaped(&row.name),
            Escaped(&row.cwd),
        );
    }
    let lwps: u32 = rows.iter().map(|row| row.lwps).sum();
    let running: u32 = rows.iter().map(|row| row.running).sum();
    format!(
        "<h1>Processes</h1>\n<p>{} processes, {lwps} lwps, {running} running. A tenant is a process; each connection it serves \
         is an lwp in it.</p>\n<div class=\"card\"><table>\n<caption>Process table</caption>\n<thead><tr>\
         <th scope=\"col\" class=\"num\">PID</th><th scope=\"col\" class=\"num\">Parent</th><th scope=\"col\" class=\"num\">User</th>\
         <th scope=\"col\" class=\"num\">Lwps</th><th scope=\"col\" class=\"num\">Running</th><th scope=\"col\" class=\"num\">Fds</th>\
         <th scope=\"col\" class=\"num\">Switches</th><th scope=\"col\">Name</th><th scope=\"col\">Directory</th></tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table></div>\n",
        rows.len(),
    )
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::super::super::http::{Content, Form, Response};
    use super::{Process, grouped, processes};

    #[test]
    fn the_page_shows_each_process_and_the_terminal_the_kernels_own_table() {
        let row = Process {
            pid: 3,
            ppid: 1,
            uid: 1001,
            lwps: 2,
            running: 1,
            fds: 5,
            switches: 1_234_567,
            cwd: "/<b>".into(),
            name: "alice & co".into(),
        };
        let text = |form| match processes("  PID PPID\n", std::slice::from_ref(&row), form) {
            Response::<()> { content: Content::Bytes(bytes), .. } => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        };
        let html = text(Form::Html);
        assert!(
            html.contains("alice &amp; co") && html.contains("/&lt;b&gt;") && html.contains("1\u{202f}234\u{202f}567")
        );
        assert_eq!(text(Form::Plain), "  PID PPID\n");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!((grouped(0), grouped(999), grouped(1000)), ("0".into(), "999".into(), "1\u{202f}000".into()));
    }
}
