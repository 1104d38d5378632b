//! Responses, and the refusals that become responses.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, SystemTime};

use super::status::Status;

/// A header field: its name and value, which hold no CR or LF.
pub(crate) type Field = (&'static str, Cow<'static, str>);

/// Why a request is not served. Becomes an error page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: Status,
    reason: Cow<'static, str>,
    fields: Vec<Field>,
}

impl Refusal {
    /// A refusal and its reason, a sentence for people without its full stop.
    pub(crate) fn new(status: Status, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into(), fields: Vec::new() }
    }

    /// 400.
    pub(crate) fn bad(reason: &'static str) -> Self {
        Self::new(Status::BAD_REQUEST, reason)
    }

    /// With a header field more.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The header fields.
    pub(crate) fn into_fields(self) -> Vec<Field> {
        self.fields
    }
}

/// What follows a response's head. `F` is the source of a file's bytes.
#[derive(Debug)]
pub(crate) enum Content<F> {
    /// Nothing, and the status says that there is nothing.
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// `length` bytes of a file, from `first` on.
    File { file: F, first: u64, length: u64 },
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response<F> {
    pub(crate) status: Status,
    pub(crate) fields: Vec<Field>,
    pub(crate) content: Content<F>,
}

impl<F> Response<F> {
    /// A response without content.
    pub(crate) fn empty(status: Status) -> Self {
        let content = if status.has_content() { Content::Bytes(Vec::new()) } else { Content::Nothing };
        Self { status, fields: Vec::new(), content }
    }

    /// A response of these bytes.
    pub(crate) fn bytes(status: Status, kind: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { status, fields: vec![("Content-Type", kind.into())], content: Content::Bytes(bytes.into()) }
    }

    /// With a header field more.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// How many bytes of content there are, for `HEAD` too; `None` where a length has no place.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Nothing => None,
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::File { length, .. } => Some(*length),
        }
    }

    /// Appends the head to `out`. `connection` is the value of that field, if it needs one.
    pub(crate) fn write_head(&self, connection: Option<&str>, now: SystemTime, out: &mut Vec<u8>) {
        // Writing to a Vec does not fail.
        let _ = write!(out, "HTTP/1.1 {}\r\nDate: ", self.status);
        write_date(now, out);
        out.extend_from_slice(b"\r\nServer: lwproc-httpd\r\n");
        for (name, value) in &self.fields {
            debug_assert!(!value.contains(['\r', '\n']), "{name}: {value:?}");
            for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        if let Some(length) = self.length() {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        if let Some(connection) = connection {
            let _ = write!(out, "Connection: {connection}\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

thread_local! {
    /// The last second that was written, since 1970, and its text: most responses of a second have the same.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

fn write_date(now: SystemTime, out: &mut Vec<u8>) {
    // A clock that is before 1970 is not set.
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(last, text)| {
        if *last != second {
            (*last, *text) = (second, httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second)));
        }
        out.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::super::status::Status;
    use super::{Content, Response};
    use std::time::{Duration, SystemTime};

    fn head(response: &Response<()>, connection: Option<&str>) -> String {
        let mut out = Vec::new();
        response.write_head(connection, SystemTime::UNIX_EPOCH, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_second_has_its_date() {
        for (second, date) in
            [(0, "Thu, 01 Jan 1970 00:00:00"), (86_401, "Fri, 02 Jan 1970 00:00:01"), (0, "Thu, 01 Jan")]
        {
            let mut out = Vec::new();
            let response = Response::<()>::empty(Status::NO_CONTENT);
            response.write_head(None, SystemTime::UNIX_EPOCH + Duration::from_secs(second), &mut out);
            assert!(String::from_utf8(out).unwrap().contains(&format!("\r\nDate: {date}")), "{date}");
        }
    }

    #[test]
    fn a_head_as_on_the_wire() {
        let response = Response::bytes(Status::OK, "text/plain", "hello").with("ETag", "\"1\"");
        let expected = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: lwproc-httpd\r\n\
            Content-Type: text/plain\r\nETag: \"1\"\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
        assert_eq!(head(&response, Some("close")), expected);
    }

    #[test]
    fn the_length_is_that_of_the_content_and_absent_where_there_can_be_none() {
        assert!(head(&Response::empty(Status::CREATED), None).contains("Content-Length: 0\r\n"));
        for status in [Status::NO_CONTENT, Status::NOT_MODIFIED] {
            assert!(!head(&Response::empty(status), None).contains("Content-Length"));
        }
        let file = Response {
            status: Status::OK,
            fields: Vec::new(),
            content: Content::File { file: (), first: 0, length: u64::MAX },
        };
        assert!(head(&file, None).contains("Content-Length: 18446744073709551615\r\n"));
    }
}
