//! Finding the end of a request head in bytes as they come in.

use super::response::Refusal;
use super::status::Status;

/// The longest request head, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// The longest request line, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// How far a request head has been looked at. Each byte is looked at once, however the head is split.
///
/// Lines end in CR LF. Bare LF, bare CR, NUL and other control characters are refused as soon as they are seen: what two
/// parsers might read differently is not read at all (RFC 9112, sections 2.2 and 11.2). So is a first byte that no method
/// starts with, which is how a TLS greeting on this port is told at once.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Bytes looked at.
    at: usize,
    /// Where the request line starts: empty lines before it are skipped.
    start: usize,
    /// Where the line at `at` starts.
    line: usize,
    /// Whether the request line's method has ended.
    past_method: bool,
    /// Whether the request line has ended.
    past_line: bool,
}

/// What a look at the bytes found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// No end yet; `begun` says whether anything of a head is there.
    More { begun: bool },
    /// A whole head, at these bytes, its last empty line included.
    Head(std::ops::Range<usize>),
}

impl Scan {
    /// Goes on looking at `bytes`, which start where they started before and may have grown.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Scanned, Refusal> {
        while let Some(&byte) = bytes.get(self.at) {
            let after_cr = self.at > 0 && bytes[self.at - 1] == b'\r';
            match byte {
                b'\n' if !after_cr => return Err(Refusal::bad("a line does not end in CR LF")),
                b'\n' => {
                    let empty = self.at - self.line == 1;
                    self.line = self.at + 1;
                    if empty && self.past_line {
                        return Ok(Scanned::Head(self.start..self.line));
                    } else if empty {
                        self.start = self.line;
                    } else {
                        self.past_line = true;
                    }
                }
                _ if after_cr => return Err(Refusal::bad("a CR without LF")),
                b'\r' => {}
                b'\t' if self.past_line => {}
                0..=31 | 127 => return Err(Refusal::bad("a control character in the head")),
                b' ' if self.at > self.start => self.past_method = true,
                _ if !self.past_method && !is_token(byte) => return Err(Refusal::bad("this is not HTTP")),
                _ => {}
            }
            self.at += 1;
            if !self.past_line && self.at - self.start > MAX_LINE {
                return Err(Refusal::new(Status::URI_TOO_LONG, "the request line is longer than 8 KiB"));
            }
            if self.at > MAX_HEAD {
                return Err(Refusal::new(Status::HEADERS_TOO_LARGE, "the request head is longer than 16 KiB"));
            }
        }
        Ok(Scanned::More { begun: self.at > self.start })
    }
}

/// Source: RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::super::status::Status;
    use super::{MAX_HEAD, Scan, Scanned};

    #[test]
    fn the_end_is_found_at_any_split() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
        for split in 0..bytes.len() {
            let mut scan = Scan::default();
            let mut found = scan.advance(&bytes[..split]).unwrap();
            if split < 29 {
                assert_eq!(found, Scanned::More { begun: split > 2 || split == 1 }, "{split}");
                found = scan.advance(bytes).unwrap();
            }
            assert_eq!(found, Scanned::Head(2..29), "{split}");
        }
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\nHost: a\n\n"[..],
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\rHost: a",
            b"GET / HTTP/1.1\r\nHost: a\0\r\n",
            b"GET\t/ HTTP/1.1\r\n",
            b"\x16\x03\x01\x02",
            b" GET / HTTP/1.1\r\n",
            b"\n",
        ] {
            let refusal = Scan::default().advance(bytes).unwrap_err();
            assert_eq!(refusal.status(), Status::BAD_REQUEST, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn lines_and_heads_are_bounded() {
        let long = [b"GET /".to_vec(), vec![b'x'; MAX_HEAD]].concat();
        assert_eq!(Scan::default().advance(&long).unwrap_err().status(), Status::URI_TOO_LONG);
        let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; MAX_HEAD]].concat();
        assert_eq!(Scan::default().advance(&long).unwrap_err().status(), Status::HEADERS_TOO_LARGE);
        let empty = b"\r\n".repeat(MAX_HEAD);
        assert_eq!(Scan::default().advance(&empty).unwrap_err().status(), Status::HEADERS_TOO_LARGE);
    }
}
