//! Request heads, parsed.

use super::accept::Form;
use super::auth::Credentials;
use super::body::Framing;
use super::conditions::Conditions;
use super::method::Method;
use super::response::Refusal;
use super::status::Status;
use super::target::Target;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// What a request asks for and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// The target as it came, for the log.
    pub(crate) raw_target: String,
    /// The digit after `HTTP/1.`.
    pub(crate) minor: u8,
    pub(crate) framing: Framing,
    /// Whether the client lets the connection stay open.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) conditions: Conditions,
    pub(crate) range: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) form: Form,
    /// Whether a page in a browser made it: `Origin`, or `Sec-Fetch-Site` other than `none`.
    pub(crate) from_page: bool,
    /// Whether the content is only a part of what is to be stored (`Content-Range`).
    pub(crate) is_partial: bool,
}

impl Request {
    /// Parses one whole head, as [`Scan`](super::Scan) finds it.
    ///
    /// # Errors
    /// 400, 417, 431, 501 and 505. The bytes after such a head mean nothing: the connection is to be closed.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, Refusal> {
        // A later minor version is read as the highest that is known (RFC 9110, section 2.5).
        let line = head.iter().position(|byte| *byte == b'\r').unwrap_or(0);
        if let Some(b'2'..=b'9') = head[..line].last()
            && head[..line - 1].ends_with(b" HTTP/1.")
        {
            let mut known = head.to_vec();
            known[line - 1] = b'1';
            return Self::parse(&known);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Refusal::bad("the request head is malformed")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Refusal::new(Status::HEADERS_TOO_LARGE, format!("more than {MAX_FIELDS} header fields")));
            }
            Err(httparse::Error::Version) => {
                return Err(Refusal::new(Status::VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
            }
            Err(_) => return Err(Refusal::bad("the request head is malformed")),
        }
        let (Some(method), Some(raw_target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Refusal::bad("the request head is malformed"));
        };
        let fields = Fields(parsed.headers);
        fields.check_host(minor)?;
        Ok(Self {
            method: Method::parse(method),
            target: Target::parse(raw_target)?,
            raw_target: raw_target.to_owned(),
            minor,
            framing: fields.framing(minor)?,
            keep_alive: fields.keep_alive(minor),
            expects_continue: fields.expects_continue(minor)?,
            conditions: Conditions {
                if_match: fields.list("If-Match"),
                if_none_match: fields.list("If-None-Match"),
                if_modified_since: fields
                    .text("If-Modified-Since")
                    .and_then(|date| httpdate::parse_http_date(date).ok()),
                if_unmodified_since: fields
                    .text("If-Unmodified-Since")
                    .and_then(|date| httpdate::parse_http_date(date).ok()),
                if_range: fields.text("If-Range").map(str::to_owned),
            },
            range: fields.list("Range"),
            credentials: fields.one("Authorization")?.and_then(Credentials::parse),
            form: fields.list("Accept").map_or(Form::default(), |accept| Form::wanted(&accept)),
            from_page: fields.all("Origin").next().is_some()
                || fields.text("Sec-Fetch-Site").is_some_and(|site| !site.eq_ignore_ascii_case("none")),
            is_partial: fields.all("Content-Range").next().is_some(),
        })
    }
}

/// The header fields of a request.
struct Fields<'h>(&'h [httparse::Header<'h>]);

impl<'h> Fields<'h> {
    /// The values of all fields of this name.
    fn all(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.trim_ascii())
    }

    /// The value of the only field of this name.
    fn one(&self, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (value, None) => Ok(value),
            _ => Err(Refusal::bad("a header field is there twice that may be there once")),
        }
    }

    /// The value of the first field of this name, if it is text.
    fn text(&self, name: &str) -> Option<&'h str> {
        std::str::from_utf8(self.all(name).next()?).ok()
    }

    /// The values of all fields of this name as one list; what is not text is left out.
    fn list(&self, name: &str) -> Option<String> {
        self.all(name).filter_map(|value| std::str::from_utf8(value).ok()).map(str::to_owned).reduce(
            |mut list, more| {
                list.push_str(", ");
                list.push_str(&more);
                list
            },
        )
    }

    /// Whether the list under this name has this element.
    fn has(&self, name: &str, element: &str) -> bool {
        self.all(name).any(|value| {
            value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(element.as_bytes()))
        })
    }

    /// Source: RFC 9112, section 3.2.
    fn check_host(&self, minor: u8) -> Result<(), Refusal> {
        match self.one("Host")? {
            None if minor >= 1 => Err(Refusal::bad("the Host field is missing")),
            Some(host)
                if !host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(byte)) =>
            {
                Err(Refusal::bad("the Host field names no host"))
            }
            _ => Ok(()),
        }
    }

    /// Where there are two opinions about the length, the request is refused: behind a proxy of the other opinion, the
    /// rest of the body would be a request of its own.
    ///
    /// Source: RFC 9112, section 6.3.
    fn framing(&self, minor: u8) -> Result<Framing, Refusal> {
        let mut length = None;
        for value in self.all("Content-Length").flat_map(|value| value.split(|byte| *byte == b',')) {
            let value = value.trim_ascii();
            let digits =
                std::str::from_utf8(value).ok().filter(|_| !value.is_empty() && value.iter().all(u8::is_ascii_digit));
            let number = digits.ok_or(Refusal::bad("Content-Length is not a number"))?;
            // More than 64 bits: a number all the same, and larger than any limit.
            let number = number.parse::<u64>().unwrap_or(u64::MAX);
            if length.is_some_and(|length| length != number) {
                return Err(Refusal::bad("Content-Length is there with two values"));
            }
            length = Some(number);
        }
        let mut codings = self.all("Transfer-Encoding").peekable();
        if codings.peek().is_none() {
            return Ok(length.map_or(Framing::Empty, Framing::Length));
        }
        if length.is_some() {
            return Err(Refusal::bad("Content-Length and Transfer-Encoding are there both"));
        }
        if minor == 0 {
            return Err(Refusal::bad("HTTP/1.0 knows no Transfer-Encoding"));
        }
        let codings: Vec<&[u8]> =
            codings.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).collect();
        match codings.split_last() {
            Some((last, [])) if last.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            Some((last, others)) if last.eq_ignore_ascii_case(b"chunked") && !others.contains(&&b"chunked"[..]) => {
                Err(Refusal::new(Status::NOT_IMPLEMENTED, "the only transfer coding taken here is chunked"))
            }
            _ => Err(Refusal::bad("the last transfer coding is not chunked")),
        }
    }

    /// Source: RFC 9112, section 9.3.
    fn keep_alive(&self, minor: u8) -> bool {
        !self.has("Connection", "close") && (minor >= 1 || self.has("Connection", "keep-alive"))
    }

    /// Source: RFC 9110, section 10.1.1.
    fn expects_continue(&self, minor: u8) -> Result<bool, Refusal> {
        match self.one("Expect")? {
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(minor >= 1),
            Some(_) => Err(Refusal::new(Status::EXPECTATION_FAILED, "the only expectation met here is 100-continue")),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Framing, Method, Status};
    use super::Request;

    fn parse(fields: &str) -> Result<Request, Status> {
        Request::parse(format!("PUT /~a/x HTTP/1.1\r\n{fields}\r\n").as_bytes()).map_err(|refusal| refusal.status())
    }

    #[test]
    fn a_request_with_everything() {
        let request = parse(
            "host: a:80\r\nContent-length: 5\r\nExpect: 100-Continue\r\nIf-Match: \"a\"\r\nif-match: \"b\"\r\n\
             Range: bytes=0-1\r\nAuthorization: Basic YTpi\r\n",
        )
        .unwrap();
        assert_eq!((request.method, request.framing, request.minor), (Method::Put, Framing::Length(5), 1));
        assert!(request.keep_alive && request.expects_continue && request.credentials.unwrap().are("a", "b"));
        assert_eq!(request.conditions.if_match.unwrap(), "\"a\", \"b\"");
    }

    #[test]
    fn framing_with_two_readings_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length : 5\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \r\n",
            "X: a\r\n b\r\n",
            " X: a\r\n",
            "X\r\n",
            "X:\x01\r\n",
            "Host: b\r\n",
        ] {
            assert_eq!(parse(&format!("Host: a\r\n{fields}")).unwrap_err(), Status::BAD_REQUEST, "{fields}");
        }
        assert_eq!(parse("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n").unwrap_err(), Status::NOT_IMPLEMENTED);
        assert_eq!(parse("Host: a\r\nExpect: wonders\r\n").unwrap_err(), Status::EXPECTATION_FAILED);
    }

    #[test]
    fn framing_with_one_reading_is_taken() {
        for (fields, framing) in [
            ("", Framing::Empty),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Framing::Length(5)),
            ("Content-Length: 5, 5\r\n", Framing::Length(5)),
            ("Content-Length: 99999999999999999999999\r\n", Framing::Length(u64::MAX)),
            ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
        ] {
            assert_eq!(parse(&format!("Host: a\r\n{fields}")).unwrap().framing, framing, "{fields}");
        }
    }

    #[test]
    fn host_is_required_once_and_must_be_one() {
        assert_eq!(parse(""), Err(Status::BAD_REQUEST));
        assert_eq!(parse("Host: a/b\r\n"), Err(Status::BAD_REQUEST));
        assert_eq!(parse("Host: a b\r\n"), Err(Status::BAD_REQUEST));
        assert!(parse("Host: [::1]:8080\r\n").is_ok() && parse("Host:\r\n").is_ok());
        assert!(Request::parse(b"GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn connections_stay_open_as_the_version_and_the_client_say() {
        for (version, fields, keep) in [
            ("1.1", "", true),
            ("1.1", "Connection: foo, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
            assert_eq!(Request::parse(head.as_bytes()).unwrap().keep_alive, keep, "{head}");
        }
    }

    #[test]
    fn other_versions_and_too_many_fields_have_their_own_status() {
        let status = |head: &str| Request::parse(head.as_bytes()).unwrap_err().status();
        assert_eq!(status("PRI * HTTP/2.0\r\n\r\n"), Status::VERSION_NOT_SUPPORTED);
        assert_eq!(status("GET /\r\n\r\n"), Status::BAD_REQUEST);
        let later = Request::parse(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n").unwrap();
        assert!(later.minor == 1 && later.keep_alive);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(65))), Status::HEADERS_TOO_LARGE);
    }
}
