//! Request bodies: where they end, and what of the bytes on the wire is theirs.

use std::ops::Range;

use super::response::Refusal;
use super::status::Status;

/// How the end of a request's body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    Empty,
    /// So many bytes (`Content-Length`).
    Length(u64),
    /// By the chunk of length 0 (`Transfer-Encoding: chunked`).
    Chunked,
}

/// The longest chunk header line and the longest trailer section, in bytes.
const MAX_LINE: u32 = 4096;

/// A body that is being received. [`decode`](Body::decode) takes bytes as they come, however they are split.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    /// Bytes of content that may still come.
    room: u64,
    /// Bytes of the present chunk header or trailer section.
    line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of the only piece are to come.
    Length(u64),
    /// In a chunk's length; how many digits it has had.
    Size {
        value: u64,
        digits: u8,
    },
    Extension {
        value: u64,
    },
    /// After the CR of a chunk header.
    SizeEnd {
        value: u64,
    },
    /// So many bytes of the chunk are to come.
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    /// At the start of a trailer line.
    Trailer,
    InTrailer,
    TrailerLf,
    /// After the CR of the last, empty line.
    LastLf,
    Done,
}

/// What [`Body::decode`] made of its input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Bytes of the input that are used up.
    pub(crate) used: usize,
    /// Where in the input content was found: at most one piece, maybe empty.
    pub(crate) content: Range<usize>,
}

impl Body {
    /// A body of at most `max` bytes.
    ///
    /// # Errors
    /// 413 where the length is known to be above.
    pub(crate) fn new(framing: Framing, max: u64) -> Result<Self, Refusal> {
        let state = match framing {
            Framing::Length(length) if length > max => return Err(too_large(max)),
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
        };
        Ok(Self { state, room: max, line: 0 })
    }

    /// Whether all of it has been decoded.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes are to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Takes bytes up to the end of the first piece of content in `input`, of the input, or of the body.
    ///
    /// # Errors
    /// 400 for what is not a chunked body, 413 for too much content.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<Decoded, Refusal> {
        let mut used = 0;
        while used < input.len() && self.state != State::Done {
            if let State::Length(left) | State::Chunk(left) = self.state {
                let piece = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - used);
                let left = left - piece as u64;
                self.state = match self.state {
                    State::Length(_) if left > 0 => State::Length(left),
                    State::Length(_) => State::Done,
                    _ if left > 0 => State::Chunk(left),
                    _ => State::ChunkCr,
                };
                return Ok(Decoded { used: used + piece, content: used..used + piece });
            }
            self.state = self.step(input[used])?;
            used += 1;
        }
        Ok(Decoded { used, content: used..used })
    }

    /// One byte of what is around the chunks.
    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        let malformed = || Refusal::bad("the chunked body is malformed");
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(Refusal::bad("a chunk header or the trailer section is longer than 4 KiB"));
        }
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, byte) if byte.is_ascii_hexdigit() => {
                // 15 digits keep the sum of a chunk and what came before it far from overflowing.
                if digits == 15 {
                    return Err(Refusal::new(Status::CONTENT_TOO_LARGE, "a chunk's length has more than 15 digits"));
                }
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                State::Size { value: value << 4 | digit, digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(malformed()),
            (State::Size { value, .. } | State::Extension { value }, b'\r') => State::SizeEnd { value },
            (State::Size { value, .. }, b';') => State::Extension { value },
            (State::Extension { value }, b'\t' | b' '..=b'~' | 0x80..) => State::Extension { value },
            (State::SizeEnd { value: 0 }, b'\n') => {
                self.line = 0;
                State::Trailer
            }
            (State::SizeEnd { value }, b'\n') => {
                self.line = 0;
                if value > self.room {
                    return Err(Refusal::new(
                        Status::CONTENT_TOO_LARGE,
                        "the content is larger than this server takes",
                    ));
                }
                self.room -= value;
                State::Chunk(value)
            }
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkLf, b'\n') => {
                self.line = 0;
                State::Size { value: 0, digits: 0 }
            }
            (State::Trailer, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => State::Done,
            (State::InTrailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::Trailer,
            // Trailer fields are read over: none of them means anything to a file server.
            (State::Trailer | State::InTrailer, b'\t' | b' '..=b'~' | 0x80..) => State::InTrailer,
            _ => return Err(malformed()),
        })
    }
}

fn too_large(max: u64) -> Refusal {
    Refusal::new(
        Status::CONTENT_TOO_LARGE,
        format!("the content is larger than {max} bytes, which is the most this server takes"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::status::Status;
    use super::{Body, Framing};

    /// Feeds `wire` in two parts and returns the content and the bytes left over.
    fn decode(framing: Framing, max: u64, wire: &[u8], split: usize) -> Result<(Vec<u8>, usize), Status> {
        let mut body = Body::new(framing, max).map_err(|refusal| refusal.status())?;
        let mut content = Vec::new();
        let mut at = 0;
        for end in [split, wire.len()] {
            while at < end && !body.is_done() {
                let decoded = body.decode(&wire[at..end]).map_err(|refusal| refusal.status())?;
                content.extend_from_slice(&wire[at..end][decoded.content]);
                at += decoded.used;
            }
        }
        if body.is_done() { Ok((content, wire.len() - at)) } else { Err(Status::REQUEST_TIMEOUT) }
    }

    #[test]
    fn a_chunked_body_is_the_same_at_any_split() {
        let wire = b"5;name=\"value\"\r\nhello\r\nA\r\n, \r\nworld!\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\nGET";
        for split in 0..=wire.len() {
            let (content, left) = decode(Framing::Chunked, 15, wire, split).unwrap();
            assert_eq!(content, b"hello, \r\nworld!", "{split}");
            assert_eq!(left, 3, "{split}");
        }
    }

    #[test]
    fn a_counted_body_ends_at_its_length() {
        for split in 0..=7 {
            assert_eq!(decode(Framing::Length(5), 5, b"helloGE", split), Ok((b"hello".to_vec(), 2)));
        }
        assert_eq!(decode(Framing::Length(6), 5, b"", 0), Err(Status::CONTENT_TOO_LARGE));
        assert_eq!(Body::new(Framing::Length(5), 5).unwrap().left(), Some(5));
        assert_eq!(Body::new(Framing::Chunked, 5).unwrap().left(), None);
        assert_eq!(decode(Framing::Length(u64::MAX), u64::MAX, b"x", 0), Err(Status::REQUEST_TIMEOUT));
        assert_eq!(decode(Framing::Empty, 0, b"GET", 0), Ok((Vec::new(), 3)));
    }

    #[test]
    fn bad_chunks_are_refused() {
        for wire in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x5\r\n",
            b"5\nhello",
            b"5 \r\nhello",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"5;\x01\r\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\n\r\r",
            b";x\r\n",
        ] {
            assert_eq!(decode(Framing::Chunked, 99, wire, 0), Err(Status::BAD_REQUEST), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn chunks_are_bounded_one_by_one_and_together() {
        let large = Err(Status::CONTENT_TOO_LARGE);
        assert_eq!(decode(Framing::Chunked, 9, b"a\r\n", 0), large);
        assert_eq!(decode(Framing::Chunked, 9, b"5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 0), large);
        assert_eq!(decode(Framing::Chunked, 10, b"5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 0).unwrap().0.len(), 10);
        assert_eq!(decode(Framing::Chunked, u64::MAX, b"fffffffffffffffff\r\n", 0), large);
        let extension = [b"5;".to_vec(), vec![b'x'; 5000]].concat();
        assert_eq!(decode(Framing::Chunked, 9, &extension, 0), Err(Status::BAD_REQUEST));
        let trailers = [b"0\r\n".to_vec(), b"A: b\r\n".repeat(1000)].concat();
        assert_eq!(decode(Framing::Chunked, 9, &trailers, 0), Err(Status::BAD_REQUEST));
    }
}
