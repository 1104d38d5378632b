//! The protocol: bytes in, values out, and back. Nothing here does I/O or knows of processes.
//!
//! Source: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 7617 (Basic).

mod accept;
mod auth;
mod body;
mod conditions;
mod head;
mod method;
mod range;
mod request;
mod response;
mod status;
mod tag;
mod target;

pub(crate) use accept::Form;
pub(crate) use body::{Body, Framing};
pub(crate) use conditions::{Conditions, Verdict};
pub(crate) use head::{Scan, Scanned};
pub(crate) use method::Method;
pub(crate) use range::Extent;
pub(crate) use request::Request;
pub(crate) use response::{Content, Refusal, Response};
pub(crate) use status::Status;
pub(crate) use tag::Validators;
pub(crate) use target::{Resource, escape};

#[cfg(test)]
mod tests {
    use super::{Body, Extent, Form, Framing, Request, Scan, Scanned};

    /// What requests are made of, to be put together at random.
    const PIECES: [&str; 24] = [
        "GET ",
        "PUT ",
        "/",
        "~a",
        "..",
        "%2e",
        "%",
        "?",
        "*",
        " HTTP/1.1\r\n",
        "Host: a\r\n",
        "Content-Length: ",
        "5",
        ",",
        "Transfer-Encoding: chunked\r\n",
        "Range: bytes=",
        "-",
        "If-Match: ",
        "\"",
        "W/",
        ";",
        "\r\n",
        "\t",
        "q=",
    ];

    #[test]
    fn no_bytes_take_the_parsers_down_and_splits_change_nothing() {
        // xorshift: the same bytes each time.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let mut heads = 0;
        for _ in 0..50_000 {
            let start = ["", "GET / HTTP/1.1\r\nHost: a\r\n", "PUT /~a/"][random(3)];
            let mut bytes = start.as_bytes().to_vec();
            for _ in 0..random(16) {
                match random(12) {
                    0 => bytes.push(random(256) as u8),
                    _ => bytes.extend_from_slice(PIECES[random(PIECES.len())].as_bytes()),
                }
            }
            bytes.extend_from_slice(["", "\r\n\r\n"][random(2)].as_bytes());
            let split = random(bytes.len() + 1);
            let mut scan = Scan::default();
            let in_parts = scan.advance(&bytes[..split]).and_then(|found| match found {
                Scanned::More { .. } => scan.advance(&bytes),
                head => Ok(head),
            });
            assert_eq!(in_parts, Scan::default().advance(&bytes), "{}", bytes.escape_ascii());
            if let Ok(Scanned::Head(head)) = in_parts {
                heads += usize::from(Request::parse(&bytes[head]).is_ok());
            }
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = (Extent::of(text, 10), Form::wanted(text));
            }
            let mut body = Body::new(Framing::Chunked, 100).unwrap();
            let mut rest = &bytes[..];
            while let Ok(decoded) = body.decode(rest)
                && decoded.used > 0
            {
                assert!(decoded.content.end <= decoded.used);
                rest = &rest[decoded.used..];
            }
        }
        assert!(heads > 100, "only {heads} of them were requests");
    }
}
