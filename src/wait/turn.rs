//! A task's turn, as far as its calls have to know of it: how many more it may make.
//!
//! What never waits would keep its turn for good: a reader whose peer is quicker, a lock that is always free. So a turn has a
//! number of calls, which each call counts down before it tries anything. When they are used up, a fiber lets others go
//! first, and a future answers `Pending` once, and is woken: nothing is in hand yet that could be lost.
//!
//! Where no multiplexer gives turns, as on a plain host thread, there is nobody to let go first: that costs the count.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::sync::host_local;
#[cfg(not(loom))]
use crate::wait::driver;

/// What a turn has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Nothing is known against it.
    Short,
    /// Its calls were used up.
    UsedUp,
    /// It has lasted long.
    #[cfg_attr(loom, expect(dead_code, reason = "no checkpoint is modelled"))]
    Long,
}

/// The turn that there is on a host thread.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// How many calls are left.
    left: Cell<u32>,
    /// *Of the multiplexer*: how many there are in a turn; `u32::MAX` where none runs.
    calls: Cell<u32>,
    length: Cell<Length>,
}

host_local! {
    static TURN: Turn = const { Turn::of(u32::MAX) };
}

impl Turn {
    const fn of(calls: u32) -> Self {
        Self { left: Cell::new(calls), calls: Cell::new(calls), length: Cell::new(Length::Short) }
    }

    /// Counts a call, unless none is left.
    #[inline(always)]
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left != 0
    }

    /// Its calls are used up. There are as many again, for whoever goes on in it. Whether it is a task's.
    fn use_up(&self) -> bool {
        self.left.set(self.calls.get());
        self.length.set(Length::UsedUp);
        self.calls.get() != u32::MAX
    }

    #[cfg(not(loom))]
    fn set(&self, turn: &Self) {
        self.left.set(turn.left.get());
        self.calls.set(turn.calls.get());
        self.length.set(turn.length.get());
    }
}

/// Counts a call, which is about to be made by a host thread or fiber; where none is left, others go first.
#[inline]
pub(crate) fn spend() {
    if !TURN.with(Turn::take) {
        give_up();
    }
}

#[cold]
fn give_up() {
    TURN.with(Turn::use_up);
    #[cfg(not(loom))]
    driver::fiber(|driver, _| driver.give_up());
    // The call's own, of its new turn.
    TURN.with(Turn::take);
}

/// [`spend`] in a future: others go first where it is `Pending`, once.
#[inline]
pub(crate) fn poll_spend(cx: &Context<'_>) -> Poll<()> {
    if TURN.with(Turn::take) { Poll::Ready(()) } else { refuse(cx) }
}

#[cold]
fn refuse(cx: &Context<'_>) -> Poll<()> {
    if !TURN.with(Turn::use_up) {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// [`poll_spend`], awaited.
#[inline]
pub(crate) async fn spend_async() {
    poll_fn(|cx| poll_spend(cx)).await;
}

/// [`spend_async`] for one who may not heed what else is `Pending`, such as one with a deadline: where this turn's calls were
/// used up, it ends.
#[cfg(not(loom))]
pub(crate) async fn heed() {
    let mut ended = length() == Length::Short;
    poll_fn(|cx| {
        if std::mem::replace(&mut ended, true) {
            return poll_spend(cx);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A turn begins.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn begin() {
    TURN.with(|turn| {
        turn.left.set(turn.calls.get());
        turn.length.set(Length::Short);
    });
}

/// What this turn, or the last one, has come to.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn length() -> Length {
    TURN.with(|turn| turn.length.get())
}

/// This turn has lasted long.
#[cfg(not(loom))]
pub(crate) fn is_long() {
    TURN.with(|turn| turn.length.set(Length::Long));
}

/// A multiplexer whose turns have so many calls begins to give them. Answers what was there before, to be [`restore`]d.
#[cfg(not(loom))]
pub(crate) fn enter(calls: u32) -> Turn {
    TURN.with(|turn| {
        let before = turn.clone();
        turn.set(&Turn::of(calls));
        before
    })
}

#[cfg(not(loom))]
pub(crate) fn restore(before: &Turn) {
    TURN.with(|turn| turn.set(before));
}
