//! What a lwp is doing, and which of a slot's lives it is: the slot's one word.

/// In the lowest bits of a slot's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// No lwp: the slot awaits its next one.
    Free = 0,
    /// Nobody has it current; anyone may claim it.
    Idle = 1,
    /// A host thread or task holds it.
    Running = 2,
    /// As `Idle`, and an [`Lwp`](crate::Lwp) owns it.
    IdleOwned = 3,
    /// As `Running`, and an [`Lwp`](crate::Lwp) owns it.
    RunningOwned = 4,
    /// As `Running`, and its owner is gone: whoever holds it ends it when he lets go of it.
    Orphaned = 5,
    /// A kernel's implicit lwp, which everybody may have current, and nobody claims or ends.
    Implicit = 6,
}

impl State {
    /// Whether somebody holds it.
    pub(crate) const fn runs(self) -> bool {
        matches!(self, Self::Running | Self::RunningOwned | Self::Orphaned)
    }
}

/// A slot's word: generation and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(super) u64);

impl Word {
    const STATE_BITS: u32 = 3;

    pub(crate) const fn new(generation: u64, state: State) -> Self {
        Self(generation << Self::STATE_BITS | state as u64)
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 >> Self::STATE_BITS
    }

    pub(crate) const fn state(self) -> State {
        match self.0 & ((1 << Self::STATE_BITS) - 1) {
            0 => State::Free,
            1 => State::Idle,
            2 => State::Running,
            3 => State::IdleOwned,
            4 => State::RunningOwned,
            5 => State::Orphaned,
            _ => State::Implicit,
        }
    }

    /// The same life in another state.
    pub(super) const fn with(self, state: State) -> Self {
        Self::new(self.generation(), state)
    }
}

/// The turns that a lwp had, above a bit that says whether its task awaits the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turns(pub(super) u64);

impl Turns {
    pub(super) const PARKED: u64 = 1;
    pub(super) const ONE: u64 = 2;

    /// The turns that are over.
    pub(crate) const fn over(self) -> u64 {
        self.0 / Self::ONE
    }

    /// Whether it is held by a task that awaits its turn.
    pub(crate) const fn parked(self) -> bool {
        self.0 & Self::PARKED != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{State, Word};

    #[test]
    fn words_pack_and_unpack() {
        let states = [
            State::Free,
            State::Idle,
            State::Running,
            State::IdleOwned,
            State::RunningOwned,
            State::Orphaned,
            State::Implicit,
        ];
        for generation in [0, 1, crate::id::LwpHandle::LAST_GENERATION] {
            for state in states {
                let word = Word::new(generation, state);
                assert_eq!((word.generation(), word.state()), (generation, state));
                assert_eq!(word.with(State::Idle), Word::new(generation, State::Idle));
            }
        }
    }
}
