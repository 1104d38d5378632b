//! A connection: bytes in and out, each with a deadline.

use std::net::Shutdown;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lwproc::sys::{self, PollFd};
use lwproc::{Errno, Events, Fd, mux};

use super::descriptor::Descriptor;
use super::http::{Body, Content, Response, Scan, Scanned};
use super::input::Input;
use super::pace::Pace;
use super::piece::Piece;
use super::refusal::Trouble;

/// How long a client that is being sent away may still talk, so that it hears why (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// How long a connection may wait for its next request while there is no room for another.
const SHORT_IDLE: Duration = Duration::from_secs(1);

/// What the gate says to those who serve nobody: that the server stops, which is always said,
const LEAVE: Events = Events::empty();
/// and that there is no room for others.
const MAKE_ROOM: Events = Events::IN;

/// Why nothing more will come of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it, or it broke.
    Closed,
    /// The client took too long.
    TimedOut,
    /// The server is stopping or needs the room, or the process was killed.
    Stopped,
}

/// How long a client may take for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) head: Duration,
    pub(crate) body: Duration,
    pub(crate) idle: Duration,
}

/// A connection, as the process that is current has it open. The descriptor does not block.
#[derive(Debug)]
pub(crate) struct Connection<'b> {
    descriptor: Descriptor,
    /// The server's [`Gate`](super::gate::Gate).
    gate: Fd,
    /// Set when requests under way are to end at once.
    cut_off: &'b AtomicBool,
    input: &'b mut Input,
    timeouts: Timeouts,
}

impl<'b> Connection<'b> {
    pub(crate) fn new(
        descriptor: Descriptor,
        gate: Fd,
        cut_off: &'b AtomicBool,
        input: &'b mut Input,
        timeouts: Timeouts,
    ) -> Self {
        Self { descriptor, gate, cut_off, input, timeouts }
    }

    /// The descriptor, to move the connection to another process.
    pub(crate) fn into_descriptor(self) -> Descriptor {
        self.descriptor
    }

    /// The next request head, out of its leading empty lines, of bounded length. `patience` is how long its first byte may
    /// take to come, if there is room for others meanwhile.
    pub(crate) fn head(&mut self, patience: Duration) -> Result<&[u8], Trouble> {
        let mut scan = Scan::default();
        // When to stop waiting for the first byte, and from when on only if there is room.
        let mut idle = None;
        let mut deadline = None;
        let range = loop {
            match scan.advance(self.input.unused())? {
                Scanned::Head(range) => break range,
                Scanned::More { begun: true } => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.timeouts.head);
                    self.receive(deadline, None)?;
                }
                Scanned::More { begun: false } => {
                    let now = Instant::now();
                    let (end, short) = *idle.get_or_insert((now + patience, now + SHORT_IDLE));
                    let (until, leave) = if now < short { (end.min(short), LEAVE) } else { (end, MAKE_ROOM) };
                    match self.receive(until, Some(leave)) {
                        // It may be long now.
                        Err(End::TimedOut) if until < end => mux::trim_stack(),
                        // Nothing was asked, so nothing is answered.
                        Err(End::TimedOut) => return Err(End::Closed.into()),
                        received => drop(received?),
                    }
                }
            }
        };
        let Range { start, end } = range;
        Ok(&self.input.take(end)[start..])
    }

    /// The next piece of a body; `None` at its end.
    pub(crate) fn content(&mut self, body: &mut Body, pace: &mut Pace) -> Result<Option<&[u8]>, Trouble> {
        loop {
            let decoded = body.decode(self.input.unused())?;
            if !decoded.content.is_empty() {
                return Ok(Some(&self.input.take(decoded.used)[decoded.content]));
            }
            self.input.take(decoded.used);
            if body.is_done() {
                return Ok(None);
            }
            pace.received(self.receive(pace.deadline(), None)?);
            // A client that sends all at once is not to keep others waiting.
            mux::yield_now();
        }
    }

    /// Whether the client has sent more than was used.
    pub(crate) fn has_more(&self) -> bool {
        !self.input.unused().is_empty()
    }

    /// How fast content must come and go.
    pub(crate) fn pace(&self) -> Pace {
        Pace::new(self.timeouts.body)
    }

    /// Tells a client that waits for it to send the body. One that has sent some already does not wait.
    pub(crate) fn send_continue(&mut self) -> Result<(), End> {
        if self.has_more() {
            return Ok(());
        }
        let mut pace = self.pace();
        self.send(b"HTTP/1.1 100 Continue\r\n\r\n", &mut pace)
    }

    /// Sends a response, without its content if that is not wanted (`HEAD`).
    pub(crate) fn respond(
        &mut self,
        response: &Response<Descriptor>,
        connection: Option<&str>,
        with_content: bool,
    ) -> Result<(), End> {
        let mut output = Vec::with_capacity(512);
        response.write_head(connection, SystemTime::now(), &mut output);
        let mut pace = self.pace();
        match &response.content {
            Content::File { file, first, length } if with_content => {
                self.send_file(&output, file, *first..first + length, &mut pace)
            }
            Content::Bytes(bytes) if with_content => {
                output.extend_from_slice(bytes);
                self.send(&output, &mut pace)
            }
            _ => self.send(&output, &mut pace),
        }
    }

    /// Sends `head`, then `range` of a file. A file that has become shorter ends the connection: the length was promised.
    fn send_file(&mut self, head: &[u8], file: &Descriptor, mut range: Range<u64>, pace: &mut Pace) -> Result<(), End> {
        let mut piece = Piece::new();
        // The head goes in front of the file's first bytes, so that a small response is one write.
        let mut filled = head.len();
        piece[..filled].copy_from_slice(head);
        loop {
            let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(piece.len() - filled);
            let read = sys::pread(file.number(), &mut piece[filled..filled + wanted], range.start);
            let read = read.map_err(|_| End::Closed)?;
            range.start += read as u64;
            self.send(&piece[..filled + read], pace)?;
            match (range.is_empty(), read) {
                (true, _) => return Ok(()),
                (false, 0) => return Err(End::Closed),
                _ => filled = 0,
            }
            // A client that takes all at once is not to keep others waiting.
            mux::yield_now();
        }
    }

    /// Writes all of `bytes`.
    fn send(&mut self, mut bytes: &[u8], pace: &mut Pace) -> Result<(), End> {
        while !bytes.is_empty() {
            self.go_on()?;
            match sys::write(self.descriptor.number(), bytes) {
                Ok(written) => {
                    pace.sent(written);
                    bytes = &bytes[written..];
                }
                Err(Errno::EAGAIN) => self.wait_for_reader(pace)?,
                Err(errno) => return Err(End::of(errno)),
            }
        }
        Ok(())
    }

    /// Waits until more can be written, as long as the client takes what was: a slow one may be at that for minutes before
    /// the host has room.
    fn wait_for_reader(&self, pace: &mut Pace) -> Result<(), End> {
        loop {
            pace.untaken(self.descriptor.unacknowledged());
            if Instant::now() >= pace.deadline() {
                return Err(End::TimedOut);
            }
            match self.wait(Events::OUT, pace.next_look(), None) {
                Err(End::TimedOut) => {}
                waited => return waited,
            }
        }
    }

    /// A killed process is interrupted where it waits; a client that is always ready leaves nothing to wait for.
    fn go_on(&self) -> Result<(), End> {
        if self.cut_off.load(Ordering::Relaxed) { Err(End::Stopped) } else { Ok(()) }
    }

    /// Reads more, at least a byte, and says how much. See [`wait`](Self::wait) for the rest.
    fn receive(&mut self, deadline: Instant, leave: Option<Events>) -> Result<usize, End> {
        loop {
            // A client that has just been answered has rarely asked again yet: wait first, then read.
            self.go_on()?;
            self.input.rest();
            self.wait(Events::IN, deadline, leave)?;
            match sys::read(self.descriptor.number(), self.input.room()) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => {
                    self.input.filled(count);
                    return Ok(count);
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(End::of(errno)),
            }
        }
    }

    /// Waits until the connection is ready, at most until `deadline`, or until the gate says one of `leave`.
    fn wait(&self, events: Events, deadline: Instant, leave: Option<Events>) -> Result<(), End> {
        let gate = PollFd::new(self.gate, leave.unwrap_or_default());
        let mut polled = [PollFd::new(self.descriptor.number(), events), gate];
        let polled = &mut polled[..if leave.is_some() { 2 } else { 1 }];
        let left = deadline.saturating_duration_since(Instant::now());
        match sys::poll(polled, Some(left)) {
            // A request that has come is served, stop or not.
            Ok(_) if !polled[0].revents.is_empty() => Ok(()),
            Ok(0) => Err(End::TimedOut),
            Ok(_) => Err(End::Stopped),
            Err(errno) => Err(End::of(errno)),
        }
    }

    /// Reads the rest of a body that nobody wants, so that the next request can be read.
    pub(crate) fn discard(&mut self, body: &mut Body) -> Result<(), Trouble> {
        let mut pace = self.pace();
        while self.content(body, &mut pace)?.is_some() {}
        Ok(())
    }

    /// Ends the connection so that the client gets to read what it was sent, though it may still be sending.
    #[inline(never)]
    pub(crate) fn linger(mut self) {
        let _ = sys::shutdown(self.descriptor.number(), Shutdown::Write);
        let deadline = Instant::now() + LINGER;
        self.input.clear();
        while Instant::now() < deadline && self.receive(deadline, Some(LEAVE)).is_ok() {
            self.input.clear();
        }
    }
}

impl End {
    fn of(errno: Errno) -> Self {
        if errno == Errno::EINTR { Self::Stopped } else { Self::Closed }
    }
}
