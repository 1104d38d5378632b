//! What the host offers for the same: threads, processes.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use rustix::thread::futex;

/// Two host threads on one cpu that hand a turn to and fro; each round trip is two thread switches.
pub trait PingPong {
    /// To the other thread and back.
    fn round_trip(&mut self);
}

/// By a byte through a pipe each way.
pub struct ByPipe {
    out: Option<OwnedFd>,
    back: OwnedFd,
    partner: Option<JoinHandle<()>>,
}

impl ByPipe {
    /// Starts the other thread, on the caller's cpu if that is tied to one.
    pub fn new() -> Self {
        let (out_read, out) = rustix::pipe::pipe().expect("the host has pipes");
        let (back, back_write) = rustix::pipe::pipe().expect("the host has pipes");
        let partner = std::thread::spawn(move || {
            let mut byte = [0];
            while rustix::io::read(&out_read, &mut byte) == Ok(1) {
                rustix::io::write(&back_write, &byte).expect("the pipe is open");
            }
        });
        Self { out: Some(out), back, partner: Some(partner) }
    }
}

impl PingPong for ByPipe {
    fn round_trip(&mut self) {
        let out = self.out.as_ref().expect("open until dropped");
        rustix::io::write(out, &[0]).expect("the pipe is open");
        rustix::io::read(&self.back, &mut [0]).expect("the pipe is open");
    }
}

impl Drop for ByPipe {
    fn drop(&mut self) {
        self.out = None;
        join(&mut self.partner);
    }
}

/// By a futex.
pub struct ByFutex {
    turn: Arc<AtomicU32>,
    partner: Option<JoinHandle<()>>,
}

const MINE: u32 = 0;
const THEIRS: u32 = 1;
const OVER: u32 = 2;

impl ByFutex {
    /// Starts the other thread, on the caller's cpu if that is tied to one.
    pub fn new() -> Self {
        let turn = Arc::new(AtomicU32::new(MINE));
        let theirs = Arc::clone(&turn);
        let partner = std::thread::spawn(move || {
            while wait_while(&theirs, MINE) != OVER {
                give(&theirs, MINE);
            }
        });
        Self { turn, partner: Some(partner) }
    }
}

impl PingPong for ByFutex {
    fn round_trip(&mut self) {
        give(&self.turn, THEIRS);
        wait_while(&self.turn, THEIRS);
    }
}

impl Drop for ByFutex {
    fn drop(&mut self) {
        give(&self.turn, OVER);
        join(&mut self.partner);
    }
}

fn give(turn: &AtomicU32, to: u32) {
    // Release: pairs with the Acquire in `wait_while`.
    turn.store(to, Ordering::Release);
    futex::wake(turn, futex::Flags::PRIVATE, 1).expect("the futex is there");
}

fn wait_while(turn: &AtomicU32, held: u32) -> u32 {
    loop {
        // Acquire: pairs with the Release in `give`.
        let now = turn.load(Ordering::Acquire);
        if now != held {
            return now;
        }
        // A wait that was not needed, or was interrupted, is looked into by the load.
        let _ = futex::wait(turn, futex::Flags::PRIVATE, held, None);
    }
}

fn join(partner: &mut Option<JoinHandle<()>>) {
    if let Some(partner) = partner.take() {
        partner.join().expect("the other thread ends");
    }
}

/// A process that is forked, ends at once and is waited for.
pub fn fork_exit_wait() {
    // SAFETY: the child calls `_exit` alone, which is safe after a fork of any process.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    assert!(child > 0, "the host forks");
    let mut status = 0;
    // SAFETY: a child of this process; `status` is written.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child);
}

/// A host thread that is made, ends at once and is joined.
pub fn thread_create_join() {
    std::thread::spawn(|| {}).join().expect("an empty thread ends");
}
