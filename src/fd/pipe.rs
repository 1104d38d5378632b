//! Pipes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::{File, FileKind, Stat};
use crate::errno::{Errno, Result};
use crate::sync::Mutex;
use crate::wait::events::Events;
use crate::wait::queue::WaitQueue;
use crate::wait::watch::Watch;

/// The most that one write to a pipe puts there in one piece (POSIX: `PIPE_BUF`), in bytes.
pub const PIPE_BUF: usize = 4096;
/// What a pipe holds, in bytes.
pub const PIPE_CAPACITY: usize = 65_536;
/// The least that is allocated once something is written, in bytes.
const SMALLEST: usize = 64;

/// A new pipe: what is written to the writer comes out of the reader, in order.
///
/// An empty pipe takes no buffer; one that was drained gives a large buffer back.
///
/// ```
/// use lwproc::{Errno, File, pipe};
///
/// let (reader, writer) = pipe();
/// assert_eq!(writer.write_at(b"lwproc", 0), Ok(6));
/// let mut buf = [0; 16];
/// assert_eq!(reader.read_at(&mut buf, 0), Ok(6));
/// assert_eq!(reader.read_at(&mut buf, 0), Err(Errno::EAGAIN));
/// drop(writer);
/// assert_eq!(reader.read_at(&mut buf, 0), Ok(0));
/// ```
///
/// Source: POSIX.1-2024, sections pipe, read, write; pipe(7).
pub fn pipe() -> (PipeReader, PipeWriter) {
    let pipe = Arc::new(Pipe {
        state: Mutex::new(State { data: VecDeque::new(), reader: true, writer: true }),
        readers: Arc::new(WaitQueue::new()),
        writers: Arc::new(WaitQueue::new()),
    });
    (PipeReader(Arc::clone(&pipe)), PipeWriter(pipe))
}

/// The end of a pipe that is read. Dropped, writes fail with `EPIPE`; nobody gets a signal.
pub struct PipeReader(Arc<Pipe>);

/// The end of a pipe that is written. Dropped, the reader comes to the end of file behind what is still there.
pub struct PipeWriter(Arc<Pipe>);

struct Pipe {
    state: Mutex<State>,
    /// One is woken when something to read appears, and by each read that leaves something; all when an end goes.
    readers: Arc<WaitQueue>,
    /// The same for room to write.
    writers: Arc<WaitQueue>,
}

struct State {
    data: VecDeque<u8>,
    reader: bool,
    writer: bool,
}

impl State {
    /// Room for a write, in bytes.
    fn room(&self) -> usize {
        PIPE_CAPACITY - self.data.len()
    }

    /// Whether any write of up to [`PIPE_BUF`] goes through: what `OUT` means for a pipe.
    fn has_room(&self) -> bool {
        self.room() >= PIPE_BUF
    }

    fn take(&mut self, buf: &mut [u8]) -> usize {
        let (front, back) = self.data.as_slices();
        let from_front = front.len().min(buf.len());
        buf[..from_front].copy_from_slice(&front[..from_front]);
        let from_back = back.len().min(buf.len() - from_front);
        buf[from_front..from_front + from_back].copy_from_slice(&back[..from_back]);
        let taken = from_front + from_back;
        if taken < self.data.len() {
            self.data.drain(..taken);
        } else if self.data.capacity() <= PIPE_BUF {
            self.data.clear();
        } else {
            self.data = VecDeque::new();
        }
        taken
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let len = self.data.len() + bytes.len();
        if len > self.data.capacity() {
            // Doubles like `VecDeque` itself would, but never beyond the pipe's capacity.
            let target = len.next_power_of_two().clamp(SMALLEST, PIPE_CAPACITY);
            self.data.try_reserve_exact(target - self.data.len()).map_err(|_| Errno::ENOMEM)?;
        }
        self.data.extend(bytes);
        Ok(())
    }
}

impl Pipe {
    /// Records that an end is gone, and tells all who wait at the other one.
    fn end(&self, gone: impl FnOnce(&mut State)) {
        gone(&mut self.state.lock());
        self.readers.wake_all();
        self.writers.wake_all();
    }
}

impl File for PipeReader {
    fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
        let pipe = &*self.0;
        let mut state = pipe.state.lock();
        if state.data.is_empty() {
            return if buf.is_empty() || !state.writer { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let had_room = state.has_room();
        let taken = state.take(buf);
        let writer = !had_room && state.has_room() && pipe.writers.is_watched();
        // The one that was woken takes what it likes; what it leaves is the next one's.
        let reader = !state.data.is_empty() && pipe.readers.is_watched();
        drop(state);
        if writer {
            pipe.writers.wake_one();
        }
        if reader {
            pipe.readers.wake_one();
        }
        Ok(taken)
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        if let Some(watch) = watch {
            watch.queue(&self.0.readers);
        }
        let state = self.0.state.lock();
        let mut now = Events::empty();
        now.set(Events::IN, !state.data.is_empty());
        now.set(Events::HUP, !state.writer);
        now & (events | Events::ALWAYS)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(Stat::new(FileKind::Fifo, 0o600))
    }
}

impl File for PipeWriter {
    fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
        let pipe = &*self.0;
        if buf.is_empty() {
            return Ok(0);
        }
        let mut state = pipe.state.lock();
        if !state.reader {
            return Err(Errno::EPIPE);
        }
        let room = state.room();
        if room == 0 || (buf.len() <= PIPE_BUF && buf.len() > room) {
            return Err(Errno::EAGAIN);
        }
        let was_empty = state.data.is_empty();
        let written = buf.len().min(room);
        state.put(&buf[..written])?;
        // Where something was there before, whoever was woken for that leaves the rest to the next.
        let reader = was_empty && pipe.readers.is_watched();
        let writer = state.has_room() && pipe.writers.is_watched();
        drop(state);
        if reader {
            pipe.readers.wake_one();
        }
        if writer {
            pipe.writers.wake_one();
        }
        Ok(written)
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        if let Some(watch) = watch {
            watch.queue(&self.0.writers);
        }
        let state = self.0.state.lock();
        let mut now = Events::empty();
        now.set(Events::OUT, state.has_room());
        now.set(Events::ERR, !state.reader);
        now & (events | Events::ALWAYS)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(Stat::new(FileKind::Fifo, 0o600))
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.end(|state| state.reader = false);
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.end(|state| state.writer = false);
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeReader").field("len", &self.0.state.lock().data.len()).finish()
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeWriter").field("len", &self.0.state.lock().data.len()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
