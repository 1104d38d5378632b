//! Pipes, with those of the host as oracle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::pipe::{PipeFlags, pipe_with};

use super::*;
use crate::fd::HostFile;

/// A pipe of ours and one of the host, driven alike.
struct Both {
    reader: Option<PipeReader>,
    writer: Option<PipeWriter>,
    host_reader: Option<OwnedFd>,
    host_writer: Option<OwnedFd>,
    next: u8,
}

impl Both {
    fn new() -> Self {
        let (reader, writer) = pipe();
        let (host_reader, host_writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        Self {
            reader: Some(reader),
            writer: Some(writer),
            host_reader: Some(host_reader),
            host_writer: Some(host_writer),
            next: 0,
        }
    }

    fn write(&mut self, len: usize) {
        let bytes: Vec<u8> = (0..len).map(|i| self.next.wrapping_add(i as u8)).collect();
        self.next = self.next.wrapping_add(len as u8);
        let ours = self.writer.as_ref().unwrap().write_at(&bytes, 0);
        let hosts = rustix::io::write(self.host_writer.as_ref().unwrap(), &bytes).map_err(Errno::from);
        assert_eq!(ours, hosts, "write of {len}");
        self.compare_poll();
    }

    fn read(&mut self, len: usize) {
        let (mut ours, mut hosts) = (vec![0; len], vec![0; len]);
        let our_result = self.reader.as_ref().unwrap().read_at(&mut ours, 0);
        let host_result = rustix::io::read(self.host_reader.as_ref().unwrap(), &mut hosts).map_err(Errno::from);
        assert_eq!(our_result, host_result, "read of {len}");
        assert_eq!(ours, hosts, "bytes of a read of {len}");
        self.compare_poll();
    }

    fn close_reader(&mut self) {
        self.reader = None;
        self.host_reader = None;
        self.compare_poll();
    }

    fn close_writer(&mut self) {
        self.writer = None;
        self.host_writer = None;
        self.compare_poll();
    }

    fn compare_poll(&self) {
        for events in [Events::empty(), Events::IN, Events::OUT, Events::IN | Events::OUT] {
            if let (Some(ours), Some(hosts)) = (&self.reader, &self.host_reader) {
                assert_eq!(ours.poll(events, None), host_poll(hosts, events), "reader asked for {events:?}");
            }
            if let (Some(ours), Some(hosts)) = (&self.writer, &self.host_writer) {
                assert_eq!(ours.poll(events, None), host_poll(hosts, events), "writer asked for {events:?}");
            }
        }
    }
}

fn host_poll(fd: &OwnedFd, events: Events) -> Events {
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::from_bits_retain(events.bits() as u16))];
    rustix::event::poll(&mut fds, Some(&rustix::time::Timespec::default())).unwrap();
    Events::from_bits_retain(fds[0].revents().bits() as i16)
}

/// Marsaglia's xorshift: the same row of numbers in each run.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[test]
fn answers_as_a_host_pipe_through_random_reads_and_writes() {
    // The host counts room in pages, so both are driven in pages where the pipe fills up.
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..40 {
        let mut both = Both::new();
        for _ in 0..60 {
            let pages = random(&mut seed) % 20;
            if random(&mut seed).is_multiple_of(2) {
                both.write(pages * PIPE_BUF);
            } else {
                both.read(pages * PIPE_BUF);
            }
        }
    }
    for _ in 0..40 {
        let mut both = Both::new();
        for _ in 0..60 {
            for _ in 0..random(&mut seed) % 8 {
                both.write(random(&mut seed) % 3000);
            }
            for _ in 0..random(&mut seed) % 4 {
                both.read(random(&mut seed) % 5000);
            }
            both.read(PIPE_CAPACITY);
        }
    }
}

#[test]
fn ends_as_a_host_pipe_when_the_writer_goes() {
    let mut both = Both::new();
    both.write(3);
    both.close_writer();
    both.read(2);
    both.read(2);
    both.read(2);
    both.read(0);
}

#[test]
fn breaks_as_a_host_pipe_when_the_reader_goes() {
    let mut both = Both::new();
    both.write(3);
    both.close_reader();
    both.write(3);
    both.write(0);
    let mut full = Both::new();
    full.write(PIPE_CAPACITY);
    full.close_reader();
    full.write(1);
}

#[test]
fn a_write_of_up_to_pipe_buf_is_all_or_nothing_and_a_longer_one_may_be_short() {
    let (reader, writer) = pipe();
    assert_eq!(writer.write_at(&[1; PIPE_CAPACITY - 10], 0), Ok(PIPE_CAPACITY - 10));
    assert_eq!(writer.write_at(&[2; PIPE_BUF], 0), Err(Errno::EAGAIN));
    assert_eq!(writer.write_at(&[2; 11], 0), Err(Errno::EAGAIN));
    assert_eq!(writer.write_at(&[3; PIPE_BUF + 1], 0), Ok(10));
    assert_eq!(writer.write_at(&[4], 0), Err(Errno::EAGAIN));
    assert_eq!(writer.poll(Events::OUT, None), Events::empty());
    let mut buf = vec![0; PIPE_CAPACITY];
    assert_eq!(reader.read_at(&mut buf, 0), Ok(PIPE_CAPACITY));
    assert!(buf[..PIPE_CAPACITY - 10].iter().all(|byte| *byte == 1));
    assert_eq!(buf[PIPE_CAPACITY - 10..], [3; 10]);
    assert_eq!(writer.poll(Events::OUT, None), Events::OUT);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn wakes_a_waiting_reader_at_the_first_byte_and_at_the_end() {
    let (reader, writer) = pipe();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut watch = Watch::new(&waker);
    assert_eq!(reader.poll(Events::IN, Some(&mut watch)), Events::empty());
    writer.write_at(b"a", 0).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let mut watch = Watch::new(&waker);
    reader.read_at(&mut [0], 0).unwrap();
    assert_eq!(reader.poll(Events::IN, Some(&mut watch)), Events::empty());
    drop(writer);
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
}

#[test]
fn wakes_a_waiting_writer_when_pipe_buf_fits_again_and_when_the_reader_goes() {
    let (reader, writer) = pipe();
    writer.write_at(&[0; PIPE_CAPACITY], 0).unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut watch = Watch::new(&waker);
    assert_eq!(writer.poll(Events::OUT, Some(&mut watch)), Events::empty());
    reader.read_at(&mut [0; PIPE_BUF - 1], 0).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    reader.read_at(&mut [0], 0).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let mut watch = Watch::new(&waker);
    writer.poll(Events::OUT, Some(&mut watch));
    drop(reader);
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
}

#[test]
fn two_threads_pass_everything_in_order() {
    let (reader, writer) = pipe();
    let sender = std::thread::spawn(move || {
        let mut sent = 0_u32;
        while sent < 200_000 {
            let bytes: Vec<u8> = (sent..sent + 500).map(|n| n as u8).collect();
            match writer.write_at(&bytes, 0) {
                Ok(len) => sent += len as u32,
                Err(Errno::EAGAIN) => std::thread::yield_now(),
                Err(other) => panic!("{other}"),
            }
        }
    });
    let mut expected = 0_u32;
    let mut buf = [0; 777];
    loop {
        match reader.read_at(&mut buf, 0) {
            Ok(0) => break,
            Ok(len) => {
                for byte in &buf[..len] {
                    assert_eq!(*byte, expected as u8);
                    expected += 1;
                }
            }
            Err(Errno::EAGAIN) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    }
    sender.join().unwrap();
    assert_eq!(expected, 200_000);
}

#[test]
fn a_drained_pipe_keeps_no_large_buffer() {
    let (reader, writer) = pipe();
    assert_eq!(reader.0.state.lock().data.capacity(), 0);
    writer.write_at(&[0; PIPE_CAPACITY], 0).unwrap();
    assert_eq!(reader.0.state.lock().data.capacity(), PIPE_CAPACITY);
    reader.read_at(&mut vec![0; PIPE_CAPACITY], 0).unwrap();
    assert_eq!(reader.0.state.lock().data.capacity(), 0);
}

#[test]
fn is_a_fifo_without_positions_as_a_host_pipe_is() {
    let (host, _writer) = rustix::pipe::pipe().unwrap();
    let host = HostFile::new(host).unwrap();
    let (reader, writer) = pipe();
    assert_eq!(reader.stat().unwrap().mode, host.stat().unwrap().mode);
    assert_eq!((reader.seekable(), writer.seekable(), host.seekable()), (false, false, false));
    assert_eq!(reader.set_len(0), Err(Errno::EINVAL));
    assert_eq!(reader.sync(), Err(Errno::EINVAL));
}
