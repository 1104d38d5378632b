//! A slot of the lwp table: one lwp after another, one cache line, never moved or freed while the kernel lives.
//!
//! Its word holds a generation above a state. `start` makes a Free slot's next generation Running, and whoever holds it makes it
//! Free again by `free`. In between:
//!
//! ```text
//!                  Idle ────────── claim ─────────> Running
//!                   ^ ^ <───────── let_go ──────────  │  ^
//!            disown │      ┌─────── own ──────────────┘  │ disown
//!                   │      v                             │
//!             IdleOwned ────────── claim ─────────> RunningOwned
//!                     <─────────── let_go ──────────     │ orphan
//!                                                        v
//!                  (its holder ends it) <── let_go ── Orphaned
//! ```
//!
//! `claim` is one compare-exchange: it checks the handle's generation and takes the lwp in one step, so of two threads
//! that switch to it one wins. Whoever holds Running (in any of its three kinds) alone may do anything else to the slot, `free`
//! included; that is why neither switching nor running needs a guard. A stale handle's generation never matches again.
//!
//! A holder is a host thread or a task, in whose context the lwp is current or put aside. A task holds its lwp from one turn to
//! the next; that a turn begins or ends changes nothing here, and is plain stores.
//!
//! An owner ([`Lwp`](crate::Lwp)) may go while somebody else holds the lwp: then it leaves the end to that one. So that its mark
//! is never lost, who lets go of an owned lwp does so by a compare-exchange, and a plain store is for lwps that nobody owns,
//! and for the owner himself.

use std::cell::UnsafeCell;
use std::ptr;

use super::SwitchError;
use super::state::{State, Turns, Word};
use crate::id::{LwpHandle, Pid};
use crate::proc::Proc;
use crate::proc::user::Identity;
use crate::sync::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering, SnapshotCache, fence};
use crate::table::Segment;

/// See the module.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    /// *Atomic*: a [`Word`].
    word: AtomicU64,
    /// *Holder only*: the process. Good as long as the lwp lives, which is counted there.
    proc: AtomicPtr<Proc>,
    /// *Holder writes, all may read*: [`Turns`].
    turns: AtomicU64,
    /// *Holder writes, all may read*: the process's pid.
    pid: AtomicI32,
    /// *Holder writes, all may read*: the host thread that runs it, or ran it last.
    host: AtomicU32,
    /// *Holder writes, all may read*: the slot's place in the table, the same for each of its lwps.
    index: AtomicU32,
    /// *Holder only*: the credentials as last seen, once they were asked for.
    identity: UnsafeCell<Option<Box<SnapshotCache<Identity>>>>,
}

// SAFETY: all is atomic but `identity`, which only the holder touches: one thread at a time, handed on by the Release in
// `let_go` and the Acquire in `claim`. An implicit lwp's, which many have current, is never touched.
unsafe impl Sync for Slot {}
// SAFETY: as above; what is inside is `Send`.
unsafe impl Send for Slot {}

impl Segment for Slot {
    #[cfg(not(loom))]
    fn segment(len: usize) -> Box<[Self]> {
        // A large segment's pages are not touched before they are used.
        let zeroed = Box::<[Self]>::new_zeroed_slice(len);
        // SAFETY: zero is valid for each field: numbers, null pointers, and `None` of a box; and it is a Free slot.
        unsafe { zeroed.assume_init() }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::with_word(Word::new(0, State::Free))
    }
}

/// What became of a lwp that was let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an orphan is to be ended"]
pub(crate) enum LetGo {
    /// It goes on as Idle, or it is an implicit one.
    Done,
    /// Its owner is gone. The caller holds it still, and ends it.
    Orphan,
}

/// What became of a lwp whose owner goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Orphaning {
    /// Whoever holds it ends it.
    Left,
    /// Nobody holds it: the owner may claim it.
    Idle,
    /// It was released by its id.
    Gone,
}

impl Slot {
    /// No handle's generation is 0.
    const IMPLICIT: Word = Word::new(0, State::Implicit);

    fn with_word(word: Word) -> Self {
        Self {
            word: AtomicU64::new(word.0),
            proc: AtomicPtr::new(ptr::null_mut()),
            turns: AtomicU64::new(0),
            pid: AtomicI32::new(0),
            host: AtomicU32::new(0),
            index: AtomicU32::new(0),
            identity: UnsafeCell::new(None),
        }
    }

    /// A kernel's implicit lwp in `proc`, which outlives it.
    pub(crate) fn implicit(proc: *const Proc, pid: Pid) -> Self {
        let slot = Self::with_word(Self::IMPLICIT);
        slot.proc.store(proc.cast_mut(), Ordering::Relaxed);
        slot.pid.store(pid.raw(), Ordering::Relaxed);
        slot
    }

    pub(crate) fn word(&self) -> Word {
        // Acquire: pairs with the Release in `start`, `let_go`, `own`, for those who go on to look at the lwp.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Whether the lwp seen with `word` still lives, so that what was read since belongs to it.
    pub(crate) fn still_lives(&self, word: Word) -> bool {
        // Acquire: pairs with the Release fence in `start`: whoever has read a later life's field sees that this one
        // was freed.
        fence(Ordering::Acquire);
        let now = Word(self.word.load(Ordering::Relaxed));
        now.generation() == word.generation() && now.state() != State::Free
    }

    /// The process of the lwp that `handle` names, if that lives.
    #[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
    pub(crate) fn pid_of(&self, handle: LwpHandle) -> Option<Pid> {
        let (word, pid) = (self.word(), self.pid());
        (word.generation() == handle.generation() && self.still_lives(word)).then_some(pid)
    }

    /// Starts the slot's next lwp, running on host thread `host`. The caller holds the slot's index.
    pub(crate) fn start(&self, index: u32, proc: *const Proc, pid: Pid, host: u32) {
        // Relaxed: the index's last holder freed the slot before giving the index back.
        let last = Word(self.word.load(Ordering::Relaxed));
        debug_assert_eq!(last.state(), State::Free);
        // Release: pairs with the Acquire fence in `still_lives`.
        fence(Ordering::Release);
        self.proc.store(proc.cast_mut(), Ordering::Relaxed);
        self.pid.store(pid.raw(), Ordering::Relaxed);
        self.turns.store(0, Ordering::Relaxed);
        self.index.store(index, Ordering::Relaxed);
        self.host.store(host, Ordering::Relaxed);
        // Release: pairs with the Acquire in `word`.
        self.word.store(Word::new(last.generation() + 1, State::Running).0, Ordering::Release);
    }

    /// Takes the lwp that `handle` names, for host thread `host`.
    #[inline]
    pub(crate) fn claim(&self, handle: LwpHandle, host: u32) -> Result<(), SwitchError> {
        match self.take(Word::new(handle.generation(), State::Idle), State::Running, host) {
            Ok(()) => Ok(()),
            Err(_) => self.claim_owned(handle, host),
        }
    }

    /// As [`claim`](Self::claim), for one that is owned, as its owner expects it to be.
    pub(crate) fn claim_owned(&self, handle: LwpHandle, host: u32) -> Result<(), SwitchError> {
        let mut seen = Word::new(handle.generation(), State::IdleOwned);
        loop {
            let running = match seen.state() {
                State::IdleOwned => State::RunningOwned,
                State::Idle => State::Running,
                _ => return Err(self.why_unclaimed(handle, seen)),
            };
            match self.take(seen, running, host) {
                Ok(()) => return Ok(()),
                Err(now) if now.generation() == handle.generation() => seen = now,
                Err(_) => return Err(SwitchError::Stale),
            }
        }
    }

    /// As [`claim`](Self::claim), for somebody who is to own it: not one that is owned.
    pub(crate) fn claim_unowned(&self, handle: LwpHandle, host: u32) -> Result<(), SwitchError> {
        match self.take(Word::new(handle.generation(), State::Idle), State::Running, host) {
            Ok(()) => Ok(()),
            Err(now) if now == Word::new(handle.generation(), State::IdleOwned) => Err(SwitchError::Owned),
            Err(now) => Err(self.why_unclaimed(handle, now)),
        }
    }

    /// Takes the lwp from what it is seen as, for host thread `host`. Answers what it is where that is something else.
    #[inline(always)]
    fn take(&self, idle: Word, running: State, host: u32) -> Result<(), Word> {
        // Acquire: pairs with the Release in `let_go` and `own`: all that the last holder did comes before what this one does.
        match self.word.compare_exchange(idle.0, idle.with(running).0, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                self.host.store(host, Ordering::Relaxed);
                Ok(())
            }
            Err(now) => Err(Word(now)),
        }
    }

    #[cold]
    fn why_unclaimed(&self, handle: LwpHandle, seen: Word) -> SwitchError {
        if seen.generation() != handle.generation() || matches!(seen.state(), State::Free | State::Implicit) {
            return SwitchError::Stale;
        }
        // Acquire, by `word`: what is told of it was written before it was seen to run.
        self.word();
        // It ran a moment ago; if it stopped since, it was still running when it was asked for. What is told of it is
        // for a person to read: it may be a moment older or younger.
        SwitchError::Running {
            pid: Pid::from_raw(self.pid.load(Ordering::Relaxed)),
            host: self.host.load(Ordering::Relaxed),
        }
    }

    /// Lets go of the lwp, which goes on as Idle; nothing for an implicit one. Counted here and not where it was
    /// claimed: there the load would wait for the compare-exchange, and the next one for its store.
    ///
    /// # Safety
    /// The caller holds Running, and stops using the lwp, unless it is told that this is an orphan.
    #[inline]
    pub(crate) unsafe fn let_go(&self) -> LetGo {
        // Relaxed: the holder alone changes one that nobody owns.
        let word = Word(self.word.load(Ordering::Relaxed));
        if word.state() == State::Running {
            self.count_turn();
            // Release: pairs with the Acquire in `take`.
            self.word.store(word.with(State::Idle).0, Ordering::Release);
            return LetGo::Done;
        }
        self.let_go_owned(word)
    }

    #[cold]
    fn let_go_owned(&self, mut word: Word) -> LetGo {
        if word.state() == State::Implicit {
            return LetGo::Done;
        }
        self.count_turn();
        loop {
            let idle = match word.state() {
                State::Orphaned => {
                    // Acquire, by `word`: pairs with the Release in `orphan`, for what the owner did before he went.
                    self.word();
                    return LetGo::Orphan;
                }
                State::RunningOwned => State::IdleOwned,
                // Disowned meanwhile.
                _ => State::Idle,
            };
            // Release: pairs with the Acquire in `take`.
            match self.word.compare_exchange(word.0, word.with(idle).0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return LetGo::Done,
                Err(now) => word = Word(now),
            }
        }
    }

    /// As [`let_go`](Self::let_go), for the owner of `handle`, where it is the lwp that he holds. Answers whether it is.
    ///
    /// # Safety
    /// As there; and the owner is here, so that he does not go meanwhile.
    #[inline]
    pub(crate) unsafe fn let_go_own(&self, handle: LwpHandle) -> bool {
        // Relaxed: the holder and the owner alone change it, and both are the caller.
        let is_own = self.word.load(Ordering::Relaxed) == Word::new(handle.generation(), State::RunningOwned).0;
        if is_own {
            self.count_turn();
            // Release: pairs with the Acquire in `take`.
            self.word.store(Word::new(handle.generation(), State::IdleOwned).0, Ordering::Release);
        }
        is_own
    }

    #[inline(always)]
    fn count_turn(&self) {
        // Relaxed: only the holder writes it, so a load and a store will do.
        self.turns.store(self.turns.load(Ordering::Relaxed) + Turns::ONE, Ordering::Relaxed);
    }

    /// Makes a lwp that was started or claimed, and that nobody owns, an owned one, Idle.
    ///
    /// # Safety
    /// The caller holds Running and stops using the lwp; it is not an implicit one, and not owned.
    pub(crate) unsafe fn own(&self) {
        // Relaxed: the holder alone changes it.
        let word = Word(self.word.load(Ordering::Relaxed));
        debug_assert_eq!(word.state(), State::Running);
        // Release: pairs with the Acquire in `take`.
        self.word.store(word.with(State::IdleOwned).0, Ordering::Release);
    }

    /// The owner of `handle` gives it up, and it lives on.
    pub(crate) fn disown(&self, handle: LwpHandle) {
        let mut word = Word::new(handle.generation(), State::IdleOwned);
        loop {
            let disowned = match word.state() {
                State::IdleOwned => State::Idle,
                State::RunningOwned => State::Running,
                // Released by its id.
                _ => return,
            };
            // Relaxed: the exchange continues the release sequence of whoever let go of it.
            match self.word.compare_exchange(word.0, word.with(disowned).0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) if Word(now).generation() == handle.generation() => word = Word(now),
                Err(_) => return,
            }
        }
    }

    /// The owner of `handle` goes: whoever holds the lwp ends it.
    pub(crate) fn orphan(&self, handle: LwpHandle) -> Orphaning {
        let running = Word::new(handle.generation(), State::RunningOwned);
        // Release: pairs with the Acquire in `let_go_owned`.
        match self.word.compare_exchange(
            running.0,
            running.with(State::Orphaned).0,
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => Orphaning::Left,
            Err(now) if now == running.with(State::IdleOwned).0 => Orphaning::Idle,
            Err(_) => Orphaning::Gone,
        }
    }

    /// The task that holds the lwp awaits its next turn: said by its multiplexer when a turn is over, if this is current
    /// then. Nothing for an implicit one.
    #[inline]
    pub(crate) fn park(&self) {
        if !self.is_implicit() {
            // Relaxed: only the holder writes it; who reads it looks on.
            self.turns.store(self.turns.load(Ordering::Relaxed) + Turns::ONE + Turns::PARKED, Ordering::Relaxed);
        }
    }

    /// The task that holds the lwp has its turn. Nothing for an implicit one.
    #[inline]
    pub(crate) fn unpark(&self) {
        if !self.is_implicit() {
            // Relaxed: as above.
            self.turns.store(self.turns.load(Ordering::Relaxed) - Turns::PARKED, Ordering::Relaxed);
        }
    }

    /// A task has taken the lwp, and awaits its first turn.
    pub(crate) fn park_first(&self) {
        // Relaxed: as above.
        self.turns.store(self.turns.load(Ordering::Relaxed) + Turns::PARKED, Ordering::Relaxed);
    }

    /// Ends the lwp. Its index may be given back then, unless the slot's generations have run out: then `false`.
    ///
    /// # Safety
    /// The caller holds Running and stops using the lwp.
    pub(crate) unsafe fn free(&self) -> bool {
        debug_assert!(!self.is_implicit());
        // SAFETY: the caller holds Running.
        unsafe { self.forget_identity() };
        self.proc.store(ptr::null_mut(), Ordering::Relaxed);
        let generation = self.word().generation();
        // Relaxed: the slot goes to its next holder through the table's indices, to onlookers through `start`'s fence. A mark
        // of an owner who goes at this moment is lost, and what it asks for has been done.
        self.word.store(Word::new(generation, State::Free).0, Ordering::Relaxed);
        generation < LwpHandle::LAST_GENERATION
    }

    /// Drops what was remembered of the process's credentials.
    ///
    /// # Safety
    /// The caller holds Running.
    pub(crate) unsafe fn forget_identity(&self) {
        // SAFETY: the holder of Running alone touches it.
        drop(unsafe { &mut *self.identity.get() }.take());
    }

    /// Whether it is a kernel's implicit lwp.
    #[inline]
    pub(crate) fn is_implicit(&self) -> bool {
        self.word.load(Ordering::Relaxed) == Self::IMPLICIT.0
    }

    /// The handle of the lwp that lives here.
    #[inline]
    pub(crate) fn handle(&self) -> LwpHandle {
        let word = Word(self.word.load(Ordering::Relaxed));
        LwpHandle::pack(word.generation(), self.index.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.pid.load(Ordering::Relaxed))
    }

    /// How often a host thread ran the lwp and let go of it, and whether its task awaits a turn.
    pub(crate) fn turns(&self) -> Turns {
        Turns(self.turns.load(Ordering::Relaxed))
    }

    /// The lwp's process.
    ///
    /// # Safety
    /// The caller holds Running, and goes on holding it as long as it uses the reference; or it is the implicit lwp of a kernel
    /// that is there as long.
    #[inline]
    pub(crate) unsafe fn proc(&self) -> &Proc {
        // SAFETY: the lwp is counted in its process, which lives as long as it has lwps.
        unsafe { &*self.proc.load(Ordering::Relaxed) }
    }

    /// The process's credentials, through the lwp's own copy: it is renewed here when they have changed.
    ///
    /// # Safety
    /// The caller holds Running, and neither lets go of it nor calls this again as long as it uses the reference.
    #[expect(clippy::mut_from_ref, reason = "the holder of Running is alone")]
    pub(crate) unsafe fn identity(&self) -> &mut SnapshotCache<Identity> {
        debug_assert!(!self.is_implicit());
        // SAFETY: the holder of Running alone touches it.
        let cache = unsafe { &mut *self.identity.get() };
        cache.get_or_insert_with(|| {
            // SAFETY: the process outlives the lwp, and `free` drops the cache before the lwp leaves its process.
            Box::new(unsafe { SnapshotCache::new(&self.proc().identity) })
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
