//! The reference to itself that a task keeps for its next waker.

use std::cell::Cell;

/// A waker counts as a reference to its task. Most are made, used and dropped on the task's own host thread, one at a time:
/// what that would count, and count off again, the task keeps here instead, and hands it to the next.
///
/// ```text
///          put            close
///   NONE <─────> ONE  ──────────> CLOSED
///     │    take                      ^
///     └────────────── close ─────────┘
/// ```
///
/// For the task's host thread alone. It is closed when the task goes, so that this keeps no task.
#[derive(Debug)]
pub(in crate::mux) struct Kept(Cell<State>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    None,
    One,
    Closed,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self(Cell::new(State::None))
    }

    /// Keeps a reference, where none is kept. Answers whether it does.
    #[inline]
    pub(super) fn put(&self) -> bool {
        let keeps = self.0.get() == State::None;
        if keeps {
            self.0.set(State::One);
        }
        keeps
    }

    /// Gives the reference that is kept, if one is.
    #[inline]
    pub(super) fn take(&self) -> bool {
        let kept = self.0.get() == State::One;
        if kept {
            self.0.set(State::None);
        }
        kept
    }

    /// Keeps none from now on. Answers whether one was kept, which is the caller's now.
    #[inline]
    pub(in crate::mux) fn close(&self) -> bool {
        self.0.replace(State::Closed) == State::One
    }
}
