//! What the two sides of a channel share.
//!
//! A value goes to the receiver that waits, or else into the queue, or else waits with its sender. So receivers wait only
//! when nothing is there at all, and senders only when the queue is full:
//!
//! - a receiver waits: no value is queued or returned, and no sender waits;
//! - a sender waits: as many values are queued and returned as may be.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::latch::{Glance, Latch};
use super::receiver::Receiver;
use super::sender::Sender;
use super::waiters::{Line, Waiters};
use crate::panics;
use crate::wait::waker::ForeignWaker;

/// Makes a channel for at most `bound` values that nobody has received yet; its sides can be cloned.
///
/// With a `bound` of 0, a sender waits until a receiver takes the value from it. Nothing is allocated for the bound
/// before it is used.
///
/// Values of one sender are received in the order in which they were sent.
///
/// ```
/// use lwproc::blocking::channel;
/// use lwproc::{Errno, Kernel, Mux, ProcOptions};
///
/// let kernel = Kernel::new()?;
/// let mut mux = Mux::new(&kernel)?;
/// let (sender, receiver) = channel(2);
/// mux.spawn_fiber(kernel.spawn(ProcOptions::new())?, {
///     let sender = sender.clone();
///     move || (0..10).try_for_each(|number| sender.send(number))
/// })?;
/// mux.spawn(kernel.spawn(ProcOptions::new())?, async move { sender.send_async(10).await })?;
/// let mut sum = mux.spawn_fiber(kernel.spawn(ProcOptions::new())?, move || {
///     let mut sum = 0;
///     while let Ok(number) = receiver.recv() {
///         sum += number;
///     }
///     sum
/// })?;
/// mux.run()?;
/// assert_eq!(sum.join()?, 55);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn channel<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(State {
        queue: VecDeque::new(),
        returned: BTreeMap::new(),
        taken: 0,
        bound,
        senders: 1,
        receivers: 1,
        giving: Waiters::new(),
        taking: Waiters::new(),
    }));
    (Sender::new(Arc::clone(&channel)), Receiver::new(channel))
}

pub(super) type Channel<T> = Latch<State<T>>;

/// What a sender that waits has with it: gone when it was received.
pub(super) struct Giving<T>(pub(super) Option<T>);

/// What a receiver that waits gets: nothing when no sender is left.
pub(super) struct Taking<T>(pub(super) Option<Taken<T>>);

/// A value, and how many were taken before it.
pub(super) struct Taken<T> {
    number: u64,
    pub(super) value: T,
}

pub(super) struct State<T> {
    queue: VecDeque<T>,
    /// Those that were taken for somebody who did not wait for them any more.
    returned: BTreeMap<u64, T>,
    /// How many were taken so far.
    taken: u64,
    bound: usize,
    senders: usize,
    receivers: usize,
    giving: Waiters<Giving<T>>,
    taking: Waiters<Taking<T>>,
}

/// To be seen without the latch: who takes need not wait.
pub(super) const TAKES: u32 = 2;
/// To be seen without the latch: who gives need not wait.
pub(super) const GIVES: u32 = 4;

impl<T> Glance for State<T> {
    #[inline]
    fn glance(&self) -> u32 {
        let takes = !self.queue.is_empty() || !self.giving.is_empty() || self.senders == 0 || !self.returned.is_empty();
        let gives = !self.is_full() || !self.taking.is_empty() || self.receivers == 0;
        u32::from(takes) * TAKES + u32::from(gives) * GIVES
    }
}

impl<T> Line<Giving<T>> for State<T> {
    #[inline]
    fn line(&mut self) -> &mut Waiters<Giving<T>> {
        &mut self.giving
    }
}

impl<T> Line<Taking<T>> for State<T> {
    #[inline]
    fn line(&mut self) -> &mut Waiters<Taking<T>> {
        &mut self.taking
    }
}

/// What came of an attempt, beside somebody to be woken without the latch.
pub(super) enum Outcome<T> {
    Done(T, Option<ForeignWaker>),
    /// The other side is gone.
    Closed,
}

impl<T> State<T> {
    #[inline]
    fn is_full(&self) -> bool {
        self.queue.len() + self.returned.len() >= self.bound
    }

    #[inline]
    fn number(taken: &mut u64, value: T) -> Taken<T> {
        let number = *taken;
        *taken += 1;
        Taken { number, value }
    }

    /// Gives the value, unless it has to wait: then it stays there.
    #[inline]
    pub(super) fn give(&mut self, giving: &mut Giving<T>) -> Option<Outcome<()>> {
        if self.receivers == 0 {
            return Some(Outcome::Closed);
        }
        let taken = &mut self.taken;
        let taker =
            self.taking.settle_first(|taking| taking.0 = giving.0.take().map(|value| Self::number(taken, value)));
        if let Some(((), waker)) = taker {
            return Some(Outcome::Done((), Some(waker)));
        }
        if self.is_full() {
            return None;
        }
        self.queue.extend(giving.0.take());
        Some(Outcome::Done((), None))
    }

    /// Takes a value, unless there is none.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Outcome<Taken<T>>> {
        if !self.returned.is_empty()
            && let Some((number, value)) = self.returned.pop_first()
        {
            return Some(Outcome::Done(Taken { number, value }, self.refill()));
        }
        if let Some(value) = self.queue.pop_front() {
            let taken = Self::number(&mut self.taken, value);
            return Some(Outcome::Done(taken, self.refill()));
        }
        if let Some((value, waker)) = self.giving.settle_first(|giving| giving.0.take()) {
            return value.map(|value| Outcome::Done(Self::number(&mut self.taken, value), Some(waker)));
        }
        (self.senders == 0).then_some(Outcome::Closed)
    }

    /// Lets the sender that has waited longest leave its value, where there is room now.
    #[inline]
    fn refill(&mut self) -> Option<ForeignWaker> {
        if self.giving.is_empty() || self.is_full() {
            return None;
        }
        let (value, waker) = self.giving.settle_first(|giving| giving.0.take())?;
        self.queue.extend(value);
        Some(waker)
    }

    /// Takes back what was taken for somebody who did not wait for it any more: the next one gets it, in its old place.
    /// Answers whom to wake, and the value if nobody will ever take it.
    pub(super) fn put_back(&mut self, taken: Taken<T>) -> (Option<ForeignWaker>, Option<T>) {
        if self.receivers == 0 {
            return (None, Some(taken.value));
        }
        let mut taken = Some(taken);
        if let Some(((), waker)) = self.taking.settle_first(|taking| taking.0 = taken.take()) {
            return (Some(waker), None);
        }
        self.returned.extend(taken.map(|taken| (taken.number, taken.value)));
        (None, None)
    }
}

/// One of the two sides.
pub(super) trait Side<T> {
    /// How many handles it has.
    fn handles(state: &mut State<T>) -> &mut usize;

    /// Ends the wait of one of the other side when this one is gone.
    fn dismiss(state: &mut State<T>) -> Option<ForeignWaker>;
}

pub(super) struct Givers;
pub(super) struct Takers;

impl<T> Side<T> for Givers {
    fn handles(state: &mut State<T>) -> &mut usize {
        &mut state.senders
    }

    fn dismiss(state: &mut State<T>) -> Option<ForeignWaker> {
        Some(state.taking.settle_first(|_| ())?.1)
    }
}

impl<T> Side<T> for Takers {
    fn handles(state: &mut State<T>) -> &mut usize {
        &mut state.receivers
    }

    fn dismiss(state: &mut State<T>) -> Option<ForeignWaker> {
        Some(state.giving.settle_first(|_| ())?.1)
    }
}

/// One more handle of a side.
pub(super) fn another<T, S: Side<T>>(channel: &Arc<Channel<T>>) -> Arc<Channel<T>> {
    *S::handles(&mut channel.latch()) += 1;
    Arc::clone(channel)
}

/// One handle of a side less. With the last one, the other side need not wait any more, and what nobody will take goes.
pub(super) fn one_less<T, S: Side<T>>(channel: &Channel<T>) {
    let mut state = channel.latch();
    let left = S::handles(&mut state);
    *left -= 1;
    if *left != 0 {
        return;
    }
    let unwanted =
        (state.receivers == 0).then(|| (std::mem::take(&mut state.queue), std::mem::take(&mut state.returned)));
    drop(state);
    // Without the latch: wakers and drops of values are anybody's code, and must not panic for who has dropped a handle.
    loop {
        let waker = S::dismiss(&mut channel.latch());
        let Some(waker) = waker else { break };
        waker.wake();
    }
    if let Some((queue, returned)) = unwanted {
        queue.into_iter().chain(returned.into_values()).for_each(drop_value);
    }
}

/// Drops a value that nobody will take: its drop is the sender's affair.
pub(super) fn drop_value<T>(value: T) {
    panics::contain(|| drop(value));
}
