//! `channel`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread;

use lwproc::blocking::{SendError, Sender, channel};
use lwproc::{Errno, Kernel};

use super::killed::killed;
use super::{poll, poll_and_drop, soon};

#[test]
fn values_come_in_the_order_they_went() {
    for bound in [1, 2, 3, 7, usize::MAX] {
        let (sender, receiver) = channel(bound);
        thread::scope(|scope| {
            scope.spawn(|| (0..1000).for_each(|value| sender.send(value).unwrap()));
            (0..1000).for_each(|value| assert_eq!(receiver.recv(), Ok(value)));
        });
        assert_eq!(receiver.try_recv(), Err(Errno::EAGAIN));
    }
}

#[test]
fn a_full_channel_gives_the_value_back() {
    let (sender, receiver) = channel(2);
    sender.try_send("a").unwrap();
    sender.send("b").unwrap();
    let error = sender.try_send("c").unwrap_err();
    assert_eq!(format!("{error} {error:?}"), format!("{} SendError {{ errno: EAGAIN, .. }}", Errno::EAGAIN));
    assert_eq!((error.errno(), error.into_inner()), (Errno::EAGAIN, "c"));
    let error = sender.send_until("d", soon()).unwrap_err();
    assert_eq!((error.errno(), error.into_inner()), (Errno::ETIMEDOUT, "d"));
    assert!(poll_and_drop(sender.send_async("e")).is_pending());
    // What was given up is not there.
    assert_eq!([receiver.recv(), receiver.recv(), receiver.try_recv()], [Ok("a"), Ok("b"), Err(Errno::EAGAIN)]);
    assert_eq!(receiver.recv_until(soon()), Err(Errno::ETIMEDOUT));
}

#[test]
fn with_no_room_values_go_from_hand_to_hand() {
    let (sender, receiver) = channel(0);
    assert_eq!(sender.try_send(1).unwrap_err().errno(), Errno::EAGAIN);
    // The receiver waits first, and then the sender.
    let mut received = Box::pin(receiver.recv_async());
    assert!(poll(received.as_mut()).is_pending());
    sender.try_send(2).unwrap();
    assert_eq!(poll(received.as_mut()), Poll::Ready(Ok(2)));
    let mut sent = pin!(sender.send_async(3));
    assert!(poll(sent.as_mut()).is_pending());
    assert_eq!(receiver.try_recv(), Ok(3));
    assert!(matches!(poll(sent.as_mut()), Poll::Ready(Ok(()))));
}

#[test]
fn senders_that_wait_are_served_in_order() {
    let (sender, receiver) = channel(1);
    let mut sends: Vec<_> = (0..4).map(|value| Box::pin(sender.send_async(value))).collect();
    for (number, send) in sends.iter_mut().enumerate() {
        assert_eq!(poll(send.as_mut()).is_ready(), number == 0);
    }
    drop(sends.remove(2));
    assert_eq!([receiver.recv(), receiver.recv(), receiver.recv()], [Ok(0), Ok(1), Ok(3)]);
    assert_eq!(receiver.try_recv(), Err(Errno::EAGAIN));
}

#[test]
fn what_came_for_those_who_gave_up_stays_in_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (sender, receiver) = channel(1);
        let mut receives: Vec<_> = (0..3).map(|_| Some(Box::pin(receiver.recv_async()))).collect();
        assert!(receives.iter_mut().flatten().all(|receive| poll(receive.as_mut()).is_pending()));
        (0..4).for_each(|value| sender.try_send(value).unwrap());
        order.into_iter().for_each(|gone| drop(receives[gone].take()));
        // More are there than may be: nobody else is let in.
        assert_eq!(sender.try_send(9).unwrap_err().errno(), Errno::EAGAIN);
        (0..4).for_each(|value| assert_eq!(receiver.try_recv(), Ok(value)));
    }
}

#[test]
fn what_came_for_one_who_gave_up_goes_to_the_next_who_waits() {
    let (sender, receiver) = channel(1);
    let mut first = Box::pin(receiver.recv_async());
    let mut second = pin!(receiver.recv_async());
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    sender.try_send(1).unwrap();
    drop(first);
    assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(1)));
}

#[test]
fn when_the_senders_are_gone_the_rest_is_received() {
    let (sender, receiver) = channel(2);
    let other = sender.clone();
    other.send(1).unwrap();
    drop(sender);
    other.send(2).unwrap();
    drop(other);
    assert_eq!([receiver.recv(), receiver.recv(), receiver.recv()], [Ok(1), Ok(2), Err(Errno::EPIPE)]);
    assert_eq!(receiver.try_recv(), Err(Errno::EPIPE));
    assert_eq!(poll_and_drop(receiver.recv_async()), Poll::Ready(Err(Errno::EPIPE)));
}

#[test]
fn when_the_receivers_are_gone_values_come_back() {
    let (sender, receiver) = channel(1);
    let other = receiver.clone();
    drop(receiver);
    sender.send(1).unwrap();
    let mut sent = pin!(sender.send_async(2));
    assert!(poll(sent.as_mut()).is_pending());
    drop(other);
    let Poll::Ready(Err(error)) = poll(sent.as_mut()) else { panic!("it was not sent") };
    assert_eq!((error.errno(), error.into_inner()), (Errno::EPIPE, 2));
    assert_eq!(sender.send(3).map_err(SendError::into_inner), Err(3));
    assert_eq!(Errno::from(sender.try_send(4).unwrap_err()), Errno::EPIPE);
}

#[test]
fn threads_that_wait_are_told_of_the_end() {
    let (sender, receiver) = channel::<u32>(0);
    thread::scope(|scope| {
        let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| receiver.recv())).collect();
        drop(sender);
        assert!(waits.into_iter().all(|wait| wait.join().unwrap() == Err(Errno::EPIPE)));
    });
    let (sender, receiver) = channel(0);
    thread::scope(|scope| {
        let waits = [1, 2, 3].map(|value| {
            scope.spawn({
                let sender = &sender;
                move || sender.send(value)
            })
        });
        drop(receiver);
        let back = waits.map(|wait| wait.join().unwrap().unwrap_err().into_inner());
        assert_eq!(back, [1, 2, 3]);
    });
}

/// Counts those that there are, and uses its channel when it goes.
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn every_value_is_dropped_once_in_whatever_order_the_parts_go() {
    let count = Arc::new(AtomicU32::new(0));
    for receiver_first in [true, false] {
        let (sender, receiver) = channel(2);
        let mut received = Box::pin(receiver.recv_async());
        assert!(poll(received.as_mut()).is_pending());
        // One for the one that waits, two queued, one waits itself.
        (0..3).for_each(|_| drop(sender.try_send(Counted::new(&count))));
        let mut sent = Box::pin(sender.send_async(Counted::new(&count)));
        assert!(poll(sent.as_mut()).is_pending());
        assert_eq!(count.load(Ordering::Relaxed), 4);
        drop(received);
        if receiver_first {
            drop(receiver);
            assert_eq!(count.load(Ordering::Relaxed), 1);
            drop(sent);
            assert_eq!(count.load(Ordering::Relaxed), 0);
        } else {
            drop(sent);
            assert_eq!(count.load(Ordering::Relaxed), 3);
            drop(sender);
            assert!(receiver.try_recv().is_ok());
            drop(receiver);
            assert_eq!(count.load(Ordering::Relaxed), 0);
        }
    }
}

/// Holds the channel through which it goes.
struct Itself {
    _sender: Sender<Itself>,
    _counted: Counted,
}

#[test]
fn a_channel_may_go_through_itself() {
    let (sender, receiver) = channel(2);
    let count = Arc::new(AtomicU32::new(0));
    for _ in 0..2 {
        let itself = Itself { _sender: sender.clone(), _counted: Counted::new(&count) };
        sender.send(itself).unwrap();
    }
    drop(sender);
    // The values hold the last senders, and go with the last receiver.
    drop(receiver);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_kill_ends_a_receive_and_a_send_and_nothing_is_lost() {
    let kernel = Kernel::new().unwrap();
    let (sender, receiver) = channel(1);
    assert_eq!(killed(&kernel, || receiver.recv()), Err(Errno::EINTR));
    sender.send(1).unwrap();
    let error = killed(&kernel, || sender.send(2)).unwrap_err();
    assert_eq!((error.errno(), error.into_inner()), (Errno::EINTR, 2));
    assert_eq!([receiver.try_recv(), receiver.try_recv()], [Ok(1), Err(Errno::EAGAIN)]);
}

struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_wait_wakes_whoever_polled_it_last() {
    let (sender, receiver) = channel(1);
    let mut received = pin!(receiver.recv_async());
    let wakes = [(); 2].map(|()| Arc::new(Wakes(AtomicU32::new(0))));
    for waker in wakes.each_ref().map(|wakes| Waker::from(Arc::clone(wakes))) {
        for _ in 0..2 {
            assert!(received.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        }
    }
    sender.send(1).unwrap();
    assert_eq!(wakes.each_ref().map(|wakes| wakes.0.load(Ordering::Relaxed)), [0, 1]);
    // No waker is kept.
    assert_eq!(wakes.each_ref().map(Arc::strong_count), [1, 1]);
    assert_eq!(poll(received.as_mut()), Poll::Ready(Ok(1)));
}
