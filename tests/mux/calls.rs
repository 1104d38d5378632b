//! One whose every call succeeds at once lets others go first, counted in calls.

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lwproc::blocking::{Mutex, channel};
use lwproc::mux::{self, yield_now};
use lwproc::sys::{self, PollFd, aio};
use lwproc::{Errno, Events, Fd, HostFile, JoinError, Kernel, Mux, OpenFlags, ProcOptions};

use super::{lwp, mux, nothing_left, sharing};

/// How many calls there are in a turn.
const TURN: u32 = 128;
/// How often a task makes its calls.
const ROUNDS: u32 = 1000;

/// Calls in a row, between turns of a neighbour.
#[derive(Clone, Default)]
struct Stretch {
    now: Rc<Cell<u32>>,
    longest: Rc<Cell<u32>>,
    over: Rc<Cell<bool>>,
}

impl Stretch {
    fn calls(&self, calls: u32) {
        self.now.set(self.now.get() + calls);
        self.longest.set(self.longest.get().max(self.now.get()));
    }

    /// The longest one, beside a neighbour.
    fn beside_a_neighbour(self, kernel: &Kernel, mut mux: Mux) -> u32 {
        let neighbour = self.clone();
        mux.spawn_fiber(lwp(kernel), move || {
            while !neighbour.over.get() {
                neighbour.now.set(0);
                yield_now();
            }
        })
        .unwrap();
        mux.run().unwrap();
        self.longest.get()
    }
}

/// The longest stretch of a fiber that makes so many calls each round.
fn fiber(kernel: &Kernel, mux: Mux, calls: u32, mut round: impl FnMut() + 'static) -> u32 {
    let stretch = Stretch::default();
    let own = stretch.clone();
    mux.spawn_fiber(sharing(kernel), move || {
        for _ in 0..ROUNDS {
            round();
            own.calls(calls);
        }
        own.over.set(true);
    })
    .unwrap();
    stretch.beside_a_neighbour(kernel, mux)
}

/// As [`fiber`], of a future.
fn future(kernel: &Kernel, mux: Mux, calls: u32, mut round: impl AsyncFnMut() + 'static) -> u32 {
    let stretch = Stretch::default();
    let own = stretch.clone();
    mux.spawn(sharing(kernel), async move {
        for _ in 0..ROUNDS {
            round().await;
            own.calls(calls);
        }
        own.over.set(true);
    })
    .unwrap();
    stretch.beside_a_neighbour(kernel, mux)
}

/// A pipe that has something for each round.
fn full_pipe(kernel: &Kernel) -> Fd {
    kernel.enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        sys::write(writer, &[0; ROUNDS as usize]).unwrap();
        reader
    })
}

/// A socket of the host that has something for each round, and its peer.
fn full_socket(kernel: &Kernel) -> (Fd, UnixStream) {
    let (here, mut there) = UnixStream::pair().unwrap();
    there.write_all(&[0; ROUNDS as usize]).unwrap();
    let file = HostFile::new(here.into()).unwrap();
    (kernel.enter(|| sys::install(file, OpenFlags::RDWR).unwrap()), there)
}

fn new_file(kernel: &Kernel) -> Fd {
    kernel.enter(|| sys::open("/file", OpenFlags::RDWR | OpenFlags::CREAT, 0o666).unwrap())
}

#[test]
fn a_reader_of_a_full_pipe_lets_others_go_first() {
    let (kernel, mux) = mux();
    let fd = full_pipe(&kernel);
    assert_eq!(fiber(&kernel, mux, 1, move || assert_eq!(sys::read(fd, &mut [0]), Ok(1))), TURN);
    let (mux, fd) = (Mux::new(&kernel).unwrap(), full_pipe(&kernel));
    assert_eq!(future(&kernel, mux, 1, async move || assert_eq!(aio::read(fd, &mut [0]).await, Ok(1))), TURN);
    nothing_left(&kernel);
}

#[test]
fn a_reader_of_a_full_socket_of_the_host_lets_others_go_first() {
    let (kernel, mux) = mux();
    let (fd, _peer) = full_socket(&kernel);
    assert_eq!(fiber(&kernel, mux, 1, move || assert_eq!(sys::read(fd, &mut [0]), Ok(1))), TURN);
    let (mux, (fd, _peer)) = (Mux::new(&kernel).unwrap(), full_socket(&kernel));
    assert_eq!(future(&kernel, mux, 1, async move || assert_eq!(aio::read(fd, &mut [0]).await, Ok(1))), TURN);
    nothing_left(&kernel);
}

#[test]
fn one_that_writes_to_a_file_and_reads_it_lets_others_go_first() {
    let (kernel, mux) = mux();
    let fd = new_file(&kernel);
    let round = move || {
        assert_eq!(sys::pwrite(fd, &[0], 0), Ok(1));
        assert_eq!(sys::pread(fd, &mut [0], 0), Ok(1));
    };
    assert_eq!(fiber(&kernel, mux, 2, round), TURN);
    let mux = Mux::new(&kernel).unwrap();
    let round = async move || {
        assert_eq!(aio::pwrite(fd, &[0], 0).await, Ok(1));
        assert_eq!(aio::pread(fd, &mut [0], 0).await, Ok(1));
    };
    assert_eq!(future(&kernel, mux, 2, round), TURN);
    nothing_left(&kernel);
}

#[test]
fn one_that_polls_what_is_ready_lets_others_go_first() {
    let (kernel, mux) = mux();
    let fd = full_pipe(&kernel);
    let entry = PollFd::new(fd, Events::IN);
    assert_eq!(fiber(&kernel, mux, 1, move || assert_eq!(sys::poll(&mut [entry], None), Ok(1))), TURN);
    let mux = Mux::new(&kernel).unwrap();
    assert_eq!(future(&kernel, mux, 1, async move || assert_eq!(aio::poll(&mut [entry], None).await, Ok(1))), TURN);
    nothing_left(&kernel);
}

#[test]
fn one_that_locks_a_free_mutex_lets_others_go_first() {
    let (kernel, mux) = mux();
    let (mutex, again) = (Mutex::new(0), Mutex::new(0));
    assert_eq!(fiber(&kernel, mux, 1, move || *mutex.lock().unwrap() += 1), TURN);
    let mux = Mux::new(&kernel).unwrap();
    assert_eq!(future(&kernel, mux, 1, async move || *again.lock_async().await += 1), TURN);
}

#[test]
fn one_that_sends_to_itself_lets_others_go_first() {
    let (kernel, mux) = mux();
    let (sender, receiver) = channel(1);
    let round = move || {
        sender.send(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
    };
    assert_eq!(fiber(&kernel, mux, 2, round), TURN);
    let mux = Mux::new(&kernel).unwrap();
    let (sender, receiver) = channel(1);
    let round = async move || {
        sender.send_async(1).await.unwrap();
        assert_eq!(receiver.recv_async().await, Ok(1));
    };
    assert_eq!(future(&kernel, mux, 2, round), TURN);
}

#[test]
fn sleeps_of_no_time_are_calls_too() {
    let (kernel, mux) = mux();
    assert_eq!(future(&kernel, mux, 1, async || mux::sleep(Duration::ZERO).await.unwrap()), TURN);
    let mux = Mux::new(&kernel).unwrap();
    assert!(fiber(&kernel, mux, 1, || sys::nanosleep(Duration::ZERO, None).unwrap()) <= TURN);
}

#[test]
fn one_that_waits_for_no_time_lets_others_go_first() {
    let (kernel, mux) = mux();
    let fd = full_pipe(&kernel);
    // Some are refused for the others' sake, and told that it took too long.
    let round = async move || {
        let read = mux::timeout(Duration::ZERO, aio::read(fd, &mut [0])).await;
        assert!(matches!(read, Ok(Ok(1)) | Err(Errno::ETIMEDOUT)), "{read:?}");
    };
    assert!(future(&kernel, mux, 2, round) <= 2 * TURN);
}

#[test]
fn the_calls_of_a_turn_are_an_option() {
    for calls in [1, 7] {
        let kernel = Kernel::new().unwrap();
        let fd = new_file(&kernel);
        let mux = || Mux::builder(&kernel).calls(calls).build().unwrap();
        assert_eq!(fiber(&kernel, mux(), 1, move || _ = sys::pread(fd, &mut [0], 0).unwrap()), calls);
        assert_eq!(future(&kernel, mux(), 1, async move || _ = aio::pread(fd, &mut [0], 0).await.unwrap()), calls);
    }
}

#[test]
fn one_whose_every_call_succeeds_keeps_no_timer_waiting() {
    let (kernel, mut mux) = mux();
    let fd = new_file(&kernel);
    let slept = Rc::new(Cell::new(false));
    let wakes = Rc::clone(&slept);
    let mut calls = mux
        .spawn_fiber(sharing(&kernel), move || {
            (0..100_000_000_u32).take_while(|_| sys::pread(fd, &mut [0], 0) == Ok(0) && !slept.get()).count()
        })
        .unwrap();
    mux.spawn_fiber(lwp(&kernel), move || {
        sys::nanosleep(Duration::from_millis(1), None).unwrap();
        wakes.set(true);
    })
    .unwrap();
    mux.run().unwrap();
    assert!(calls.join().unwrap() < 100_000_000);
    nothing_left(&kernel);
}

#[test]
fn a_killed_one_whose_every_call_succeeds_is_ended() {
    let (kernel, mut mux) = mux();
    let mutex = Mutex::new(());
    let hog = kernel.spawn(ProcOptions::new().name("hog")).unwrap();
    let pid = hog.pid();
    let mut fiber = mux
        .spawn_fiber(hog, move || {
            for _ in 0..100_000_000 {
                drop(mutex.lock());
            }
        })
        .unwrap();
    let hog = kernel.spawn(ProcOptions::new().name("hog")).unwrap();
    let other = hog.pid();
    let mut future = mux
        .spawn(hog, async {
            let mutex = Mutex::new(());
            for _ in 0..100_000_000 {
                drop(mutex.lock_async().await);
            }
        })
        .unwrap();
    let kills = kernel.clone();
    mux.spawn_fiber(lwp(&kernel), move || {
        kills.kill(pid).unwrap();
        kills.kill(other).unwrap();
    })
    .unwrap();
    mux.run().unwrap();
    assert!(matches!(fiber.join(), Err(JoinError::Cancelled)));
    assert!(matches!(future.join(), Err(JoinError::Cancelled)));
    nothing_left(&kernel);
}

#[test]
fn one_that_let_others_go_first_is_unwound_from_there_when_its_multiplexer_goes() {
    let (kernel, mut mux) = mux();
    let mutex = Mutex::new(());
    let mut join = mux
        .spawn_fiber(lwp(&kernel), move || {
            loop {
                drop(mutex.lock());
            }
        })
        .unwrap();
    mux.run_until(mux::yield_turn()).unwrap();
    drop(mux);
    assert!(matches!(join.join(), Err(JoinError::Cancelled)));
    nothing_left(&kernel);
}

/// Writes when it is dropped, more often than a turn has calls.
struct Flush(Fd, Rc<Cell<u32>>);

impl Drop for Flush {
    fn drop(&mut self) {
        for _ in 0..ROUNDS {
            assert_eq!(sys::pwrite(self.0, &[0], 0), Ok(1));
            self.1.set(self.1.get() + 1);
        }
    }
}

#[test]
fn a_drop_while_it_unwinds_makes_as_many_calls_as_it_likes() {
    let (kernel, mut mux) = mux();
    let fd = new_file(&kernel);
    let written = Rc::new(Cell::new(0));
    let flush = || Flush(fd, Rc::clone(&written));
    let panics = flush();
    let panicked = mux
        .spawn_fiber(sharing(&kernel), move || {
            let _flush = panics;
            panic!("on purpose");
        })
        .unwrap();
    let waits = flush();
    mux.spawn_fiber(sharing(&kernel), move || {
        let _flush = waits;
        let _ = sys::nanosleep(Duration::from_secs(3600), None);
    })
    .unwrap();
    mux.run_until(async { assert!(matches!(panicked.await, Err(JoinError::Panicked(_)))) }).unwrap();
    assert_eq!(written.get(), ROUNDS);
    drop(mux);
    assert_eq!(written.get(), 2 * ROUNDS);
    nothing_left(&kernel);
}

#[test]
fn what_goes_with_the_context_of_a_fiber_that_has_ended_makes_as_many_calls_as_it_likes() {
    let (kernel, mut mux) = mux();
    let mutex = Arc::new(Mutex::new(0));
    let (locks, inside) = (Arc::clone(&mutex), kernel.clone());
    let other = lwp(&kernel);
    let id = other.id();
    mux.spawn_fiber(lwp(&kernel), move || {
        inside.switch(Some(id));
        lwproc::local::on_exit(move |_| (0..ROUNDS).for_each(|_| *locks.lock().unwrap() += 1));
        yield_now();
    })
    .unwrap();
    // Its owner goes, so that its process ends when the fiber has ended.
    mux.spawn_fiber(lwp(&kernel), move || drop(other)).unwrap();
    mux.run().unwrap();
    assert_eq!(*mutex.lock().unwrap(), ROUNDS);
    nothing_left(&kernel);
}

#[test]
fn a_future_that_is_polled_by_hand_is_refused_no_more_than_once() {
    let (kernel, mut mux) = mux();
    let fd = new_file(&kernel);
    let polls = || {
        let mut refused = 0;
        for _ in 0..ROUNDS {
            let mut buf = [0];
            let mut read = pin!(aio::pread(fd, &mut buf, 0));
            let mut cx = Context::from_waker(Waker::noop());
            if read.as_mut().poll(&mut cx).is_pending() {
                refused += 1;
                assert_eq!(read.poll(&mut cx), Poll::Ready(Ok(0)));
            }
        }
        refused
    };
    assert_eq!(kernel.enter(polls), 0);
    assert_eq!(mux.run_until(async { kernel.enter(polls) }).unwrap(), Some((ROUNDS - 1) / (TURN + 1)));
}
