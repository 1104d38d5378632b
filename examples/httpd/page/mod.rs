//! Pages: what a person sees, as HTML for browsers and as text for terminals.

mod error;
mod listing;
mod processes;
mod tenants;

pub(crate) use error::error;
pub(crate) use listing::{Listed, listing};
pub(crate) use processes::{Process, processes};
pub(crate) use tenants::{Served, tenants};

use std::fmt;

use super::http::{Form, Response, Status};

/// Text as it may stand in HTML, in an attribute too.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let special = piece.chars().next_back().and_then(|last| {
                ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].get("&<>\"'".find(last)?).copied().map(|text| (last, text))
            });
            match special {
                Some((last, text)) => write!(f, "{}{text}", &piece[..piece.len() - last.len_utf8()])?,
                None => f.write_str(piece)?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = include_str!("style.css");

/// A page of `title` with `main` as its content, both HTML already.
fn html<F>(status: Status, title: &str, main: &str) -> Response<F> {
    let document = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{main}</main>\n<footer><a href=\"/\">tenants</a> <a href=\"/-/ps\">processes</a> \
         <span>lwproc httpd</span></footer>\n</body>\n</html>\n"
    );
    Response::bytes(status, "text/html; charset=utf-8", document)
        // Pages of names that users chose: even if one got through the escaping, it could do nothing.
        .with(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        )
        .with("X-Content-Type-Options", "nosniff")
}

fn plain<F>(status: Status, text: impl Into<Vec<u8>>) -> Response<F> {
    Response::bytes(status, "text/plain; charset=utf-8", text).with("X-Content-Type-Options", "nosniff")
}

/// The page in the form that was asked for, and a note to caches that there are two.
fn either<F>(form: Form, html: impl FnOnce() -> Response<F>, plain: impl FnOnce() -> Response<F>) -> Response<F> {
    match form {
        Form::Html => html(),
        Form::Plain => plain(),
    }
    .with("Vary", "Accept")
}

/// A length for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::{Escaped, size};

    #[test]
    fn nothing_that_html_reads_is_left() {
        let escaped = Escaped("<a href=\"x\" onclick='y'>&amp;é</a>").to_string();
        assert_eq!(escaped, "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;amp;é&lt;/a&gt;");
        assert_eq!(Escaped("").to_string(), "");
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (u64::MAX, "16.0 EiB")]
        {
            assert_eq!(size(bytes), shown);
        }
    }
}
