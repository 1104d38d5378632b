//! A wake from another host thread and the answer to it, there and back.
//!
//! The thread that measures stores a number, wakes, and looks until the number comes back. So a round trip is a wake from
//! elsewhere, and a store that is looked for.

use std::future::{Future, poll_fn};
use std::hint::spin_loop;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::thread::{Pid, gettid};

use crate::common::pin;
use crate::table::{Row, Target};

/// What the other thread is at when it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A task that always yields is there too.
    Busy,
    /// It has just answered: whoever looks before it sleeps is still looking.
    Quick,
    /// It sleeps in the host.
    Asleep,
}

/// Between the two threads. Fields that both write in turns, each on a cache line of its own.
#[derive(Default)]
pub struct Line {
    ping: Apart<AtomicU32>,
    pong: Apart<AtomicU32>,
    waker: AtomicWaker,
    busy: AtomicBool,
    busier: AtomicWaker,
    thread: AtomicI32,
}

#[derive(Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl Line {
    /// The thread that answers is this one.
    pub fn begin(&self, thread: Pid) {
        // Release: pairs with the Acquire in `until_begun`.
        self.thread.store(thread.as_raw_nonzero().get(), Ordering::Release);
    }

    /// The last number that was sent.
    #[inline]
    pub fn pinged(&self) -> u32 {
        // Acquire: pairs with the Release in `send`.
        self.ping.0.load(Ordering::Acquire)
    }

    /// Answers.
    #[inline]
    pub fn pong(&self, number: u32) {
        // Release: pairs with the Acquire in `until_back`.
        self.pong.0.store(number, Ordering::Release);
    }

    /// Answers for ever.
    pub async fn answer(&self) {
        let mut seen = 0;
        loop {
            seen = poll_fn(|context| {
                let number = self.pinged();
                if number != seen {
                    return Poll::Ready(number);
                }
                self.waker.register(context.waker());
                let number = self.pinged();
                if number == seen { Poll::Pending } else { Poll::Ready(number) }
            })
            .await;
            self.pong(seen);
        }
    }

    /// Wakes who answers.
    #[inline]
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Waits until it is to be busy.
    pub async fn until_busy(&self) {
        poll_fn(|context| {
            self.busier.register(context.waker());
            if self.is_busy() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether it is to be busy.
    #[inline]
    pub fn is_busy(&self) -> bool {
        // Acquire: pairs with the Release in `set_busy`.
        self.busy.load(Ordering::Acquire)
    }

    fn set_busy(&self, busy: bool) {
        // Release: pairs with the Acquire in `is_busy`.
        self.busy.store(busy, Ordering::Release);
        self.busier.wake();
    }

    /// Yields for ever, while it is to be busy.
    pub async fn keep_busy<Y: Future<Output = ()>>(self: Arc<Self>, yields: impl Fn() -> Y) {
        loop {
            match self.is_busy() {
                true => yields().await,
                false => self.until_busy().await,
            }
        }
    }

    #[inline]
    fn send(&self) -> u32 {
        // Relaxed: this thread's own.
        let number = self.ping.0.load(Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the Acquire in `pinged`.
        self.ping.0.store(number, Ordering::Release);
        number
    }

    #[inline]
    fn until_back(&self, number: u32) {
        let mut looks = 0_u64;
        // Acquire: pairs with the Release in `pong`.
        while self.pong.0.load(Ordering::Acquire) != number {
            spin_loop();
            looks += 1;
            assert!(looks < 1 << 32, "a wake was lost");
        }
    }

    /// The thread that answers, when it has begun.
    fn until_begun(&self) -> i32 {
        loop {
            // Acquire: pairs with the Release in `begin`.
            match self.thread.load(Ordering::Acquire) {
                0 => std::thread::yield_now(),
                thread => return thread,
            }
        }
    }

    /// Waits until the host has put the other thread to sleep.
    fn until_asleep(&self) {
        let path = format!("/proc/self/task/{}/stat", self.until_begun());
        let begun = Instant::now();
        loop {
            let stat = std::fs::read_to_string(&path).expect("the thread is there");
            if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it never sleeps");
        }
    }
}

/// A row of round trips: `wake` wakes who answers on `line`.
pub fn row(name: &'static str, mode: Mode, line: Arc<Line>, wake: impl Fn() + 'static) -> Row {
    let trip = move |line: &Line| {
        let number = line.send();
        wake();
        line.until_back(number);
    };
    Row::timed(name, Target::None, move |iters| {
        line.until_begun();
        if mode == Mode::Asleep {
            let mut all = Duration::ZERO;
            for _ in 0..iters {
                line.until_asleep();
                let begun = Instant::now();
                trip(&line);
                all += begun.elapsed();
            }
            return all;
        }
        line.set_busy(mode == Mode::Busy);
        (0..10).for_each(|_| trip(&line));
        let begun = Instant::now();
        (0..iters).for_each(|_| trip(&line));
        let taken = begun.elapsed();
        line.set_busy(false);
        // Nobody spins while others are measured.
        line.until_asleep();
        taken
    })
}

/// A row whose `run` never ends, on a thread and a cpu of its own, and has somebody answer who is woken by a `Waker`.
pub fn woken(name: &'static str, mode: Mode, run: impl FnOnce(Arc<Line>) + Send + 'static) -> Row {
    let line = Arc::new(Line::default());
    let theirs = Arc::clone(&line);
    std::thread::spawn(move || {
        pin(1);
        theirs.begin(gettid());
        run(theirs);
    });
    let ours = Arc::clone(&line);
    row(name, mode, line, move || ours.wake())
}

/// What the host takes itself: a thread that sleeps in `read`, or in `poll` first, of an eventfd.
pub fn host(name: &'static str, polls: bool) -> Row {
    let line = Arc::new(Line::default());
    let fd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).expect("the host has eventfds"));
    let (theirs, sleeps) = (Arc::clone(&line), Arc::clone(&fd));
    std::thread::spawn(move || {
        pin(1);
        theirs.begin(gettid());
        loop {
            if polls {
                let mut fds = [PollFd::from_borrowed_fd(sleeps.as_fd(), PollFlags::IN)];
                poll(&mut fds, None).expect("the host polls");
            }
            rustix::io::read(&*sleeps, &mut [0; 8]).expect("it is open");
            theirs.pong(theirs.pinged());
        }
    });
    row(name, Mode::Asleep, line, move || {
        rustix::io::write(&*fd, &1_u64.to_ne_bytes()).expect("it has room");
    })
}
