//! Fibers, futures and host threads on the same channels, at random, with kills in between.

#[path = "../common/random.rs"]
mod random;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lwproc::Errno;
use lwproc::blocking::{Mutex, Receiver, Sender, channel};
use lwproc::mux::{yield_now, yield_turn};

use super::{lwp, mux, poll_and_drop, soon};
use random::Random;

const VALUES: u64 = 2000;

/// Sends all values of a sender, some of them by a send that may be given up.
fn sends(sender: &Sender<u64>, seed: u64) {
    let mut random = Random(seed);
    for value in 1..=VALUES {
        let unsent = match random.below(3) {
            0 => sender.try_send(value),
            1 => sender.send_until(value, soon()),
            _ => sender.send(value),
        };
        if let Err(error) = unsent {
            assert!([Errno::EAGAIN, Errno::ETIMEDOUT].contains(&error.errno()));
            sender.send(error.into_inner()).unwrap();
        }
    }
}

/// Receives until the senders are gone, giving up now and then.
fn receives(receiver: &Receiver<u64>, seed: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let (mut count, mut sum) = (0, 0);
    loop {
        let received = match random.below(4) {
            0 => receiver.try_recv(),
            1 => receiver.recv_until(soon()),
            2 => match poll_and_drop(receiver.recv_async()) {
                std::task::Poll::Ready(received) => received,
                std::task::Poll::Pending => Err(Errno::EAGAIN),
            },
            _ => receiver.recv(),
        };
        match received {
            Ok(value) => {
                count += 1;
                sum += value;
            }
            Err(Errno::EPIPE) => return (count, sum),
            Err(error) => assert!([Errno::EAGAIN, Errno::ETIMEDOUT].contains(&error)),
        }
        if random.below(8) == 0 {
            yield_now();
        }
    }
}

#[test]
fn all_that_is_sent_is_received_once_whoever_sends_and_receives() {
    for bound in [0, 1, 5] {
        let (kernel, mut mux) = mux();
        let (sender, receiver) = channel(bound);
        let totals = Arc::new([const { AtomicU64::new(0) }; 2]);
        let add = &|(count, sum): (u64, u64)| {
            totals[0].fetch_add(count, Ordering::Relaxed);
            totals[1].fetch_add(sum, Ordering::Relaxed);
        };
        thread::scope(|scope| {
            for seed in [1, 2] {
                let (from, to) = (sender.clone(), receiver.clone());
                scope.spawn(move || sends(&from, seed));
                scope.spawn(move || add(receives(&to, seed + 10)));
            }
            let mut joins = Vec::new();
            for seed in [3, 4] {
                let (from, to) = (sender.clone(), receiver.clone());
                mux.spawn_fiber(lwp(&kernel), move || sends(&from, seed)).unwrap();
                joins.push(mux.spawn_fiber(lwp(&kernel), move || receives(&to, seed + 10)).unwrap());
                let (from, to) = (sender.clone(), receiver.clone());
                mux.spawn(lwp(&kernel), async move {
                    for value in 1..=VALUES {
                        from.send_async(value).await.unwrap();
                    }
                })
                .unwrap();
                let receives = async move {
                    let (mut count, mut sum) = (0, 0);
                    while let Ok(value) = to.recv_async().await {
                        count += 1;
                        sum += value;
                    }
                    (count, sum)
                };
                joins.push(mux.spawn(lwp(&kernel), receives).unwrap());
            }
            drop((sender, receiver));
            mux.run().unwrap();
            joins.iter_mut().for_each(|join| add(join.join().unwrap()));
        });
        assert_eq!(totals[0].load(Ordering::Relaxed), 6 * VALUES);
        assert_eq!(totals[1].load(Ordering::Relaxed), 6 * VALUES * (VALUES + 1) / 2);
    }
}

#[test]
fn killed_fibers_lose_no_value() {
    let (kernel, mut mux) = mux();
    let (sender, receiver) = channel(1);
    let mut interrupted = [0; 2];
    for round in 1..=48 {
        let (sends, receives) = (lwp(&kernel), lwp(&kernel));
        let victim = if round % 2 == 0 { sends.pid() } else { receives.pid() };
        // What the sender has to wait for.
        let waits = round % 3 == 0;
        if waits {
            sender.send(0).unwrap();
        }
        let (from, to) = (sender.clone(), receiver.clone());
        let send = move || from.send(round);
        let recv = move || to.recv();
        let (sent, received) = if round <= 24 {
            let sent = mux.spawn_fiber(sends, send).unwrap();
            (sent, mux.spawn_fiber(receives, recv).unwrap())
        } else {
            let received = mux.spawn_fiber(receives, recv).unwrap();
            (mux.spawn_fiber(sends, send).unwrap(), received)
        };
        // Killed before its first turn, in its wait, or when it has been served.
        for _ in 0..round / 6 % 4 {
            mux.run_until(yield_turn()).unwrap();
        }
        let _ = kernel.kill(victim);
        let mut all = Vec::new();
        // It is served in spite of the kill where it need not wait; else its value comes back.
        match mux.run_until(sent).unwrap().unwrap().unwrap() {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.errno(), Errno::EINTR);
                interrupted[0] += 1;
                all.push(error.into_inner());
            }
        }
        match mux.run_until(received).unwrap().unwrap().unwrap() {
            Ok(value) => all.push(value),
            Err(error) => {
                assert_eq!(error, Errno::EINTR);
                interrupted[1] += 1;
            }
        }
        all.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
        all.sort_unstable();
        assert_eq!(all, if waits { vec![0, round] } else { vec![round] });
    }
    assert!(interrupted.iter().all(|count| *count > 0), "{interrupted:?}");
}

#[test]
fn a_dropped_mux_ends_its_waits_and_loses_nothing_of_others() {
    let (kernel, mut mux) = mux();
    let (sender, receiver) = channel(1);
    let mutex = Arc::new(Mutex::new(()));
    let guard = mutex.lock().unwrap();
    for _ in 0..2 {
        let (to, held) = (receiver.clone(), Arc::clone(&mutex));
        mux.spawn_fiber(lwp(&kernel), move || to.recv()).unwrap();
        mux.spawn_fiber(lwp(&kernel), move || drop(held.lock())).unwrap();
        let (to, held) = (receiver.clone(), Arc::clone(&mutex));
        mux.spawn(lwp(&kernel), async move { to.recv_async().await }).unwrap();
        mux.spawn(lwp(&kernel), async move { drop(held.lock_async().await) }).unwrap();
    }
    for _ in 0..2 {
        mux.run_until(yield_turn()).unwrap();
    }
    // Meant for four of them, which do not come to see it.
    (1..=4).for_each(|value| sender.try_send(value).unwrap());
    drop(guard);
    drop(mux);
    (1..=4).for_each(|value| assert_eq!(receiver.try_recv(), Ok(value)));
    assert!(mutex.try_lock().is_ok());
}
