//! `block_on` on plain host threads.

#[path = "../common/killed.rs"]
mod killed;

use std::future::{Future, pending, poll_fn};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use lwproc::sys::{self, aio};
use lwproc::{Domain, Errno, FdInherit, HostFile, Kernel, OpenFlags, ProcOptions, SocketKind, block_on};

use self::killed::killed;
use super::{counter, poll, race};

const LONG: Duration = Duration::from_secs(600);

/// Polls each of `futures` only when it was woken itself, until all are ready; the order in which they were.
async fn all<F: Future>(futures: Vec<F>) -> Vec<(usize, F::Output)> {
    struct Own {
        woken: AtomicBool,
        parent: Waker,
    }
    impl Wake for Own {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::SeqCst);
            self.parent.wake_by_ref();
        }
    }
    let mut ready = Vec::new();
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some((Box::pin(future), None::<Arc<Own>>))).collect();
    poll_fn(|cx| {
        for (number, place) in futures.iter_mut().enumerate() {
            let Some((future, own)) = place else { continue };
            let new = || Arc::new(Own { woken: AtomicBool::new(true), parent: cx.waker().clone() });
            let own = own.get_or_insert_with(new);
            if own.woken.swap(false, Ordering::SeqCst)
                && let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&Waker::from(own.clone())))
            {
                ready.push((number, value));
                *place = None;
            }
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ready
}

#[test]
fn a_host_thread_parks_until_another_one_wakes_its_future() {
    let kernel = Kernel::new().unwrap();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            kernel.enter(|| {
                for byte in 0..100 {
                    sys::write(writer, &[byte]).unwrap();
                    thread::yield_now();
                }
                sys::close(writer).unwrap();
            });
        });
        let all = kernel.enter(|| {
            block_on(async {
                let (mut all, mut buf) = (Vec::new(), [0; 8]);
                loop {
                    match aio::read(reader, &mut buf).await? {
                        0 => return Ok::<_, Errno>(all),
                        read => all.extend_from_slice(&buf[..read]),
                    }
                }
            })
        });
        assert_eq!(all, Ok(Ok((0..100).collect())));
    });
}

#[test]
fn descriptors_of_the_host_and_times_are_waited_for() {
    Kernel::new().unwrap().enter(|| {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let fd = sys::install(HostFile::new(read).unwrap(), OpenFlags::RDONLY).unwrap();
        let start = Instant::now();
        let soon = Duration::from_millis(20);
        assert_eq!(block_on(aio::nanosleep(soon, None)), Ok(Ok(())));
        assert!(start.elapsed() >= soon);
        assert_eq!(block_on(aio::poll(&mut [], Some(soon))), Ok(Ok(0)));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(soon);
                rustix::io::write(&write, b"lwproc").unwrap();
            });
            let mut buf = [0; 8];
            assert_eq!(block_on(race(aio::nanosleep(LONG, None), aio::read(fd, &mut buf))), Ok(Err(Ok(6))));
            assert_eq!(&buf[..6], b"lwproc");
        });
        assert!(start.elapsed() < LONG / 2);
    });
}

#[test]
fn each_of_many_is_woken_by_what_it_waits_for() {
    Kernel::new().unwrap().enter(|| {
        let start = Instant::now();
        let sleeps = [120, 40, 80].map(|ms| aio::nanosleep(Duration::from_millis(ms), None)).into();
        let order: Vec<usize> = block_on(all(sleeps)).unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(order, [1, 2, 0]);
        let pairs = [(); 3].map(|()| sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap());
        let readers = pairs.map(|(one, other)| async move {
            let mut buf = [0];
            aio::read(one, &mut buf).await.unwrap();
            // Answered, the next one may go on.
            aio::write(one, &[buf[0] + 1]).await.unwrap();
            (buf[0], other)
        });
        let chain = async {
            let mut buf = [7];
            for (_, other) in [2, 0, 1].map(|number: usize| pairs[number]) {
                aio::write(other, &buf).await.unwrap();
                aio::read(other, &mut buf).await.unwrap();
            }
            buf[0]
        };
        let (answers, last) = block_on(both(all(readers.into()), chain)).unwrap();
        let answers: Vec<(usize, u8)> = answers.into_iter().map(|(number, (byte, _))| (number, byte)).collect();
        assert_eq!((answers, last), (vec![(2, 7), (0, 8), (1, 9)], 10));
        assert!(start.elapsed() < LONG / 2);
    });
}

/// Runs two at once.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            second = Some(value);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

#[test]
fn a_kill_ends_it_whatever_it_waits_for() {
    let kernel = Kernel::new().unwrap();
    let (read, _write) = rustix::pipe::pipe().unwrap();
    assert_eq!(killed(&kernel, || block_on(pending::<()>())), Err(Errno::EINTR));
    // The calls within answer first.
    assert_eq!(killed(&kernel, || block_on(aio::nanosleep(LONG, None))), Ok(Err(Errno::EINTR)));
    let answer = killed(&kernel, move || {
        let fd = sys::install(HostFile::new(read).unwrap(), OpenFlags::RDONLY).unwrap();
        block_on(aio::read(fd, &mut [0; 4]))
    });
    assert_eq!(answer, Ok(Err(Errno::EINTR)));
    assert_eq!(kernel.usage().procs, 0);
}

#[test]
fn a_killed_process_gets_what_is_ready() {
    let kernel = Kernel::new().unwrap();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    kernel.kill(lwp.pid()).unwrap();
    lwp.enter(|| {
        assert_eq!(block_on(async { sys::getpid().raw() }), Ok(2));
        let (reader, writer) = sys::pipe().unwrap();
        assert_eq!(block_on(aio::write(writer, b"x")), Ok(Ok(1)));
        assert_eq!(block_on(aio::read(reader, &mut [0; 4])), Ok(Ok(1)));
        assert_eq!(block_on(aio::read(reader, &mut [0; 4])), Ok(Err(Errno::EINTR)));
        assert_eq!(block_on(pending::<()>()), Err(Errno::EINTR));
    });
}

#[test]
fn one_may_block_within_another() {
    Kernel::new().unwrap().enter(|| {
        let sleep = |ms| aio::nanosleep(Duration::from_millis(ms), None);
        let nested = async {
            let inner = block_on(sleep(5));
            sleep(5).await?;
            inner?
        };
        assert_eq!(block_on(nested), Ok(Ok(())));
    });
}

#[test]
fn after_a_panic_the_thread_is_as_it_was() {
    Kernel::new().unwrap().enter(|| {
        let panics = async {
            aio::nanosleep(Duration::from_millis(1), None).await.unwrap();
            panic!("in the future");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| block_on(panics))).is_err());
        let (_, waker) = counter();
        let mut sleep = Box::pin(aio::nanosleep(LONG, None));
        assert_eq!(poll(&mut sleep, &waker), Poll::Ready(Err(Errno::EOPNOTSUPP)), "nobody watches the time");
        assert_eq!(block_on(aio::nanosleep(Duration::from_millis(1), None)), Ok(Ok(())));
    });
}

#[test]
fn a_future_may_go_on_where_another_one_blocked_on_it() {
    let kernel = Kernel::new().unwrap();
    let mut lwp = kernel.spawn(ProcOptions::new().fds(FdInherit::Clean)).unwrap();
    let (read, write) = rustix::pipe::pipe().unwrap();
    let fd = lwp.enter(|| sys::install(HostFile::new(read).unwrap(), OpenFlags::RDONLY)).unwrap();
    let mut reading = Box::pin(async move { aio::read(fd, &mut [0; 8]).await });
    // Left in the midst of it.
    let left = lwp.enter(|| block_on(race(&mut reading, aio::nanosleep(Duration::from_millis(5), None))));
    assert_eq!(left, Ok(Err(Ok(()))));
    rustix::io::write(&write, b"lwproc").unwrap();
    let answer = thread::spawn(move || lwp.enter(|| block_on(reading)));
    assert_eq!(answer.join().unwrap(), Ok(Ok(6)));
}

#[test]
fn connections_are_made_and_taken() {
    Kernel::new().unwrap().enter(|| {
        let new = || sys::socket(Domain::Inet, SocketKind::Stream, OpenFlags::empty()).unwrap();
        let (listener, client) = (new(), new());
        sys::bind(listener, &lwproc::SocketAddress::Inet("127.0.0.1:0".parse().unwrap())).unwrap();
        sys::listen(listener, 4).unwrap();
        let address = sys::getsockname(listener).unwrap();
        let (accepted, connected) = block_on(both(aio::accept(listener), aio::connect(client, &address))).unwrap();
        let (served, from) = accepted.unwrap();
        assert_eq!((connected, from), (Ok(()), sys::getsockname(client).unwrap()));
        let mut buf = [0; 8];
        let (read, written) = block_on(both(aio::read(served, &mut buf), aio::write(client, b"lwproc"))).unwrap();
        assert_eq!((read, written), (Ok(6), Ok(6)));
        // Nobody listens there any more.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = lwproc::SocketAddress::Inet(free);
        assert_eq!(block_on(aio::connect(new(), &refused)), Ok(Err(Errno::ECONNREFUSED)));
    });
}
