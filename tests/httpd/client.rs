//! A client that says just what it is told to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::served::Served;

/// No response takes this long.
const BOUND: Duration = Duration::from_secs(30);

/// A connection to a server.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(served: &Served) -> Self {
        Self::connect(&served.address).unwrap()
    }

    /// As `new`, for servers that may be gone.
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        Self::of(TcpStream::connect(address)?)
    }

    /// A client of this connection.
    pub(crate) fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(BOUND))?;
        stream.set_write_timeout(Some(BOUND))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes. The server may have hung up already: what it had to say can be read all the same.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    /// The connection, for what comes that is to be read byte by byte.
    pub(crate) fn stream(&mut self) -> &mut impl Read {
        &mut self.stream
    }

    /// Says that no more will be sent.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    /// Breaks the connection off: the server is not told that no more comes, but that all is lost.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(self.stream.get_ref(), Some(Duration::ZERO)).unwrap();
    }

    /// A response to `GET`, `PUT`, or `DELETE`.
    pub(crate) fn reply(&mut self) -> Reply {
        self.read_reply(true).expect("a response")
    }

    /// A response to `HEAD`.
    pub(crate) fn reply_to_head(&mut self) -> Reply {
        self.read_reply(false).expect("a response")
    }

    /// A response, or the end of the connection.
    pub(crate) fn read_reply(&mut self, with_body: bool) -> Option<Reply> {
        match self.try_reply(with_body) {
            Ok(reply) => reply,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no response: {error}"),
        }
    }

    /// As `read_reply`, for servers that may be gone.
    pub(crate) fn try_reply(&mut self, with_body: bool) -> io::Result<Option<Reply>> {
        let mut head = String::new();
        loop {
            let start = head.len();
            if self.stream.read_line(&mut head)? == 0 {
                return Ok(None);
            }
            if &head[start..] == "\r\n" {
                break;
            }
        }
        let status =
            head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect("a status line").parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new() };
        if with_body && let Some(length) = reply.field("Content-Length") {
            reply.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut reply.body)?;
        }
        Ok(Some(reply))
    }

    /// Whether the server has closed the connection, and sent nothing more.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// A request with these fields, and its response.
    pub(crate) fn request(&mut self, line: &str, fields: &str, body: &[u8]) -> Reply {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        self.send([head.as_bytes(), body].concat());
        self.read_reply(!line.starts_with("HEAD ")).unwrap_or_else(|| panic!("no response to {line}"))
    }
}

impl Reply {
    /// The value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One request over a connection of its own.
pub(crate) fn ask(served: &Served, line: &str, fields: &str) -> Reply {
    Client::new(served).request(line, fields, b"")
}

/// One upload over a connection of its own; `login` is `NAME:PASSWORD`.
pub(crate) fn put(served: &Served, path: &str, login: &str, fields: &str, body: &[u8]) -> Reply {
    let fields = format!("{}Content-Length: {}\r\n{fields}", authorization(login), body.len());
    Client::new(served).request(&format!("PUT {path}"), &fields, body)
}

/// The header field that gives a name and password.
pub(crate) fn authorization(login: &str) -> String {
    use base64::Engine;
    format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(login))
}
