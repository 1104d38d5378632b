//! Many wait for the same: as many are woken as there is something for, and what one was woken for is not lost with it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use lwproc::sys::{self, PollFd, aio};
use lwproc::{
    Errno, Events, Fd, FdInherit, File, Kernel, Mux, OpenFlags, PIPE_BUF, PIPE_CAPACITY, ProcOptions, Result, Watch,
    mux,
};

/// How many wait.
const MANY: usize = 100;

/// Counts the wakes.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call as a future, polled by hand.
struct ByHand<'f, T> {
    future: Pin<Box<dyn Future<Output = T> + 'f>>,
    count: Arc<Count>,
}

impl<'f, T> ByHand<'f, T> {
    /// One that waits.
    fn waiting(future: impl Future<Output = T> + 'f) -> Self {
        let mut this = Self { future: Box::pin(future), count: Arc::default() };
        assert!(this.poll().is_pending());
        this
    }

    fn poll(&mut self) -> Poll<T> {
        self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.count))))
    }

    fn wakes(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }
}

fn reading<'f>(fd: Fd) -> ByHand<'f, Result<usize>> {
    ByHand::waiting(async move { aio::read(fd, &mut [0]).await })
}

fn wakes<T>(calls: &[ByHand<'_, T>]) -> Vec<usize> {
    calls.iter().map(ByHand::wakes).collect()
}

/// A file that counts the attempts on it.
struct Counted<F>(F, Arc<AtomicUsize>);

impl<F: File> File for Counted<F> {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.write_at(buf, at)
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        self.0.poll(events, watch)
    }
}

/// A pipe of pid 1's, and the attempts at both ends.
fn counted(kernel: &Kernel) -> (Fd, Fd, [Arc<AtomicUsize>; 2]) {
    let (reader, writer) = lwproc::pipe();
    let attempts = [Arc::default(), Arc::default()];
    let (reader, writer) = (Counted(reader, Arc::clone(&attempts[0])), Counted(writer, Arc::clone(&attempts[1])));
    let ends = kernel
        .enter(|| Ok::<_, Errno>((sys::install(reader, OpenFlags::RDONLY)?, sys::install(writer, OpenFlags::WRONLY)?)));
    let (reader, writer) = ends.unwrap();
    (reader, writer, attempts)
}

/// Spawns `f` as a fiber with the descriptors of pid 1.
fn fiber(kernel: &Kernel, mux: &Mux, f: impl FnOnce() + 'static) {
    let lwp = kernel.spawn(ProcOptions::new().fds(FdInherit::Share)).unwrap();
    drop(mux.spawn_fiber(lwp, f).unwrap());
}

#[test]
fn each_byte_wakes_one_of_many_fibers_that_read() {
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    let (reader, writer, [reads, _]) = counted(&kernel);
    for _ in 0..MANY {
        fiber(&kernel, &mux, move || assert_eq!(sys::read(reader, &mut [0]), Ok(1)));
    }
    let seen = Arc::clone(&reads);
    fiber(&kernel, &mux, move || {
        mux::yield_now();
        for written in 0..MANY {
            assert_eq!(seen.load(Ordering::Relaxed), MANY + written, "one for each who began, one for each byte");
            sys::write(writer, b"x").unwrap();
            mux::yield_now();
        }
    });
    mux.run().unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 2 * MANY);
}

#[test]
fn bytes_that_are_written_at_once_wake_one_reader_each() {
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    let (reader, writer, [reads, _]) = counted(&kernel);
    for _ in 0..MANY {
        fiber(&kernel, &mux, move || assert_eq!(sys::read(reader, &mut [0]), Ok(1)));
    }
    fiber(&kernel, &mux, move || {
        mux::yield_now();
        assert_eq!(sys::write(writer, &[0; MANY]), Ok(MANY));
    });
    mux.run().unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 2 * MANY);
}

#[test]
fn each_free_place_wakes_one_of_many_fibers_that_write() {
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    let (reader, writer, [_, writes]) = counted(&kernel);
    kernel.enter(|| sys::write(writer, &[0; PIPE_CAPACITY])).unwrap();
    let before = writes.load(Ordering::Relaxed);
    for _ in 0..MANY {
        fiber(&kernel, &mux, move || assert_eq!(sys::write(writer, &[0; PIPE_BUF]), Ok(PIPE_BUF)));
    }
    fiber(&kernel, &mux, move || {
        mux::yield_now();
        for _ in 0..MANY {
            assert_eq!(sys::read(reader, &mut [0; PIPE_BUF]), Ok(PIPE_BUF));
            mux::yield_now();
        }
    });
    mux.run().unwrap();
    assert_eq!(writes.load(Ordering::Relaxed) - before, 2 * MANY);
}

#[test]
fn a_byte_wakes_all_who_look_and_one_who_reads() {
    Kernel::new().unwrap().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let look = || async move { aio::poll(&mut [PollFd::new(reader, Events::IN)], None).await };
        let mut looks = [(); 2].map(|()| ByHand::waiting(look()));
        let mut reads = [(); 3].map(|()| reading(reader));
        sys::write(writer, b"x").unwrap();
        assert_eq!((wakes(&looks), wakes(&reads)), (vec![1, 1], vec![1, 0, 0]));
        assert!(looks.iter_mut().all(|look| look.poll() == Poll::Ready(Ok(1))));
        assert_eq!(reads[0].poll(), Poll::Ready(Ok(1)));
        assert_eq!(wakes(&reads), [1, 0, 0], "nothing is left for them");
    });
}

#[test]
fn a_read_that_leaves_something_wakes_the_next() {
    Kernel::new().unwrap().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let mut reads = [(); 3].map(|()| reading(reader));
        sys::write(writer, b"xy").unwrap();
        assert_eq!(wakes(&reads), [1, 0, 0]);
        assert_eq!(reads[0].poll(), Poll::Ready(Ok(1)));
        assert_eq!(wakes(&reads), [1, 1, 0]);
        assert_eq!(reads[1].poll(), Poll::Ready(Ok(1)));
        assert_eq!(wakes(&reads), [1, 1, 0]);
    });
}

#[test]
fn an_end_that_goes_wakes_all() {
    Kernel::new().unwrap().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let mut reads = [(); 3].map(|()| reading(reader));
        sys::close(writer).unwrap();
        assert_eq!(wakes(&reads), [1; 3]);
        assert!(reads.iter_mut().all(|read| read.poll() == Poll::Ready(Ok(0))));

        let (reader, writer) = sys::pipe().unwrap();
        sys::write(writer, &[0; PIPE_CAPACITY]).unwrap();
        let mut writes = [(); 3].map(|()| ByHand::waiting(aio::write(writer, b"x")));
        sys::close(reader).unwrap();
        assert_eq!(wakes(&writes), [1; 3]);
        assert!(writes.iter_mut().all(|write| write.poll() == Poll::Ready(Err(Errno::EPIPE))));
    });
}

#[test]
fn a_woken_future_that_is_dropped_hands_its_wake_on() {
    Kernel::new().unwrap().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let [first, second, mut third] = [(); 3].map(|()| reading(reader));
        sys::write(writer, b"x").unwrap();
        drop(first);
        assert_eq!((second.wakes(), third.wakes()), (1, 0));
        drop(second);
        assert_eq!(third.wakes(), 1);
        assert_eq!(third.poll(), Poll::Ready(Ok(1)));
    });
}

#[test]
fn a_future_that_is_dropped_and_was_not_woken_wakes_nobody() {
    Kernel::new().unwrap().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let [first, second, third] = [(); 3].map(|()| reading(reader));
        drop(first);
        sys::write(writer, b"x").unwrap();
        drop(third);
        assert_eq!(second.wakes(), 1);
    });
}

#[test]
fn a_woken_future_that_finds_nothing_wakes_nobody_and_waits_on() {
    Kernel::new().unwrap().enter(|| {
        let (reader, writer) = sys::pipe().unwrap();
        let [mut first, mut second] = [(); 2].map(|()| reading(reader));
        sys::write(writer, b"x").unwrap();
        assert_eq!(sys::read(reader, &mut [0]), Ok(1), "somebody else was faster");
        assert_eq!(first.poll(), Poll::Pending);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        sys::write(writer, b"x").unwrap();
        assert_eq!((first.wakes(), second.wakes()), (1, 1), "it has gone behind the other");
        assert_eq!(second.poll(), Poll::Ready(Ok(1)));
        sys::write(writer, b"x").unwrap();
        assert_eq!(first.wakes(), 2);
        assert_eq!(first.poll(), Poll::Ready(Ok(1)));
    });
}

#[test]
fn a_woken_fiber_whose_multiplexer_is_dropped_hands_its_wake_on() {
    let kernel = Kernel::new().unwrap();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    fiber(&kernel, &mux, move || {
        let _ = sys::read(reader, &mut [0]);
    });
    mux.run_until(mux::yield_turn()).unwrap();
    kernel.enter(|| {
        let mut other = reading(reader);
        sys::write(writer, b"x").unwrap();
        assert_eq!(other.wakes(), 0);
        drop(mux);
        assert_eq!(other.wakes(), 1);
        assert_eq!(other.poll(), Poll::Ready(Ok(1)));
    });
}

#[test]
fn a_fiber_that_is_suspended_for_good_is_not_woken_in_the_place_of_another() {
    let kernel = Kernel::new().unwrap();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    fiber(&kernel, &mux, move || {
        loop {
            let _ = catch_unwind(AssertUnwindSafe(|| sys::read(reader, &mut [0])));
        }
    });
    mux.run_until(mux::yield_turn()).unwrap();
    drop(mux);
    kernel.enter(|| {
        let mut other = reading(reader);
        sys::write(writer, b"x").unwrap();
        assert_eq!(other.wakes(), 1);
        assert_eq!(other.poll(), Poll::Ready(Ok(1)));
    });
}

/// Reads from whichever of two pipes has something.
struct Either([lwproc::PipeReader; 2]);

impl File for Either {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        self.0[0].read_at(buf, at).or_else(|_| self.0[1].read_at(buf, at))
    }

    fn poll(&self, events: Events, mut watch: Option<&mut Watch<'_>>) -> Events {
        self.0.iter().map(|pipe| pipe.poll(events, watch.as_deref_mut())).fold(Events::empty(), Events::union)
    }
}

#[test]
fn one_that_waits_for_two_things_and_takes_one_leaves_the_other_to_the_next() {
    Kernel::new().unwrap().enter(|| {
        let ((one, to_one), (other, to_other)) = (lwproc::pipe(), lwproc::pipe());
        let either = sys::install(Either([one, other]), OpenFlags::RDONLY).unwrap();
        let mut reads = [(); 2].map(|()| reading(either));
        to_one.write_at(b"x", 0).unwrap();
        to_other.write_at(b"x", 0).unwrap();
        assert_eq!(reads[0].poll(), Poll::Ready(Ok(1)));
        assert_eq!(reads[1].wakes(), 2, "of each of the two");
        assert_eq!(reads[1].poll(), Poll::Ready(Ok(1)));
    });
}

#[test]
fn a_woken_fiber_whose_process_is_killed_takes_what_it_was_woken_for() {
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let lwp = kernel.spawn(ProcOptions::new().fds(FdInherit::Share)).unwrap();
    let pid = lwp.pid();
    let mut first = mux.spawn_fiber(lwp, move || sys::read(reader, &mut [0])).unwrap();
    let kills = kernel.clone();
    fiber(&kernel, &mux, move || {
        let mut other = reading(reader);
        sys::write(writer, b"x").unwrap();
        kills.kill(pid).unwrap();
        mux::yield_now();
        assert_eq!(other.wakes(), 0);
        sys::write(writer, b"x").unwrap();
        assert_eq!(other.wakes(), 1);
        assert_eq!(other.poll(), Poll::Ready(Ok(1)));
    });
    mux.run().unwrap();
    assert_eq!(first.join().unwrap(), Ok(1));
}

#[test]
fn fibers_futures_and_host_threads_that_wait_for_the_same_get_all_there_is() {
    const EACH: usize = 500;
    let kernel = Kernel::new().unwrap();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let share = |kernel: &Kernel| kernel.spawn(ProcOptions::new().fds(FdInherit::Share)).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut lwp = share(&kernel);
            scope.spawn(move || lwp.enter(|| (0..EACH).for_each(|_| assert_eq!(sys::read(reader, &mut [0]), Ok(1)))));
        }
        for _ in 0..2 {
            let kernel = kernel.clone();
            scope.spawn(move || {
                let mut mux = Mux::new(&kernel).unwrap();
                for _ in 0..2 {
                    fiber(&kernel, &mux, move || {
                        (0..EACH).for_each(|_| assert_eq!(sys::read(reader, &mut [0]), Ok(1)));
                    });
                    let future = async move {
                        for _ in 0..EACH {
                            assert_eq!(aio::read(reader, &mut [0]).await, Ok(1));
                        }
                    };
                    drop(mux.spawn(share(&kernel), future).unwrap());
                }
                mux.run().unwrap();
            });
        }
        // As many as are read by two threads and eight tasks: one that is lost keeps somebody asleep for ever.
        kernel.enter(|| {
            for written in 0..10 * EACH {
                assert_eq!(sys::write(writer, b"x"), Ok(1));
                if written % 7 == 0 {
                    thread::yield_now();
                }
            }
        });
    });
    assert_eq!(kernel.usage().lwps, 0);
}
