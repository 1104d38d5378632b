//! A slot of the lwp table: one lwp after another, one cache line, never moved or freed while the kernel lives.
//!
//! Its word holds a generation above a state:
//!
//! ```text
//!                  start                       yield_now, lay_aside
//!   Free (g) ────────────────> Running (g+1) ────────────> Idle (g+1)
//!      ^                         │     ^                      │
//!      └───────── free ──────────┘     └─────── claim ────────┘
//! ```
//!
//! `claim` is one compare-exchange: it checks the handle's generation and takes the lwp in one step, so of two threads
//! that switch to it one wins. Whoever holds Running alone may do anything else to the slot, `free` included; that is
//! why neither switching nor running needs a guard. A stale handle's generation never matches again.
//!
//! A multiplexer claims a lwp for as long as it runs it, now and again, among others: it is Owned then (`own`, from Idle)
//! until `disown` makes it Idle or `free` ends it. Owned is Running for everyone else, but `yield_now` leaves it alone, so
//! that to move between the lwps of one multiplexer takes plain stores.
//!
//! A host thread's implicit lwp is a slot outside the table whose word is [`Slot::IMPLICIT`] for good: nobody's, Owned.

use std::cell::UnsafeCell;
use std::ptr;

use super::SwitchError;
use crate::id::{LwpHandle, Pid};
use crate::proc::Proc;
use crate::proc::user::Identity;
use crate::sync::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering, SnapshotCache, fence};
use crate::table::Segment;

/// What an lwp is doing, in the lowest bits of a slot's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// No lwp: the slot awaits its next one.
    Free = 0,
    /// No host thread runs it; anyone may claim it.
    Idle = 1,
    /// A host thread holds it.
    Running = 2,
    /// A multiplexer holds it, for its host thread: whether it runs at the moment or not.
    Owned = 3,
}

/// A slot's word: generation and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    const STATE_BITS: u32 = 2;

    const fn new(generation: u64, state: State) -> Self {
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
            _ => State::Owned,
        }
    }
}

/// The turns that a lwp had, above a bit that says whether it is an owned one's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turns(u64);

impl Turns {
    const ON: u64 = 1;
    const ONE: u64 = 2;

    /// The turns that are over.
    pub(crate) const fn over(self) -> u64 {
        self.0 / Self::ONE
    }

    /// Whether an owned lwp has its turn.
    pub(crate) const fn on(self) -> bool {
        self.0 & Self::ON != 0
    }
}

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

// SAFETY: all is atomic but `identity`, which only the holder of Running or Owned touches: one thread at a time, handed on by
// the Release in `idle` and the Acquire in `claim`.
unsafe impl Sync for Slot {}
// SAFETY: as above; what is inside is `Send`.
unsafe impl Send for Slot {}

impl Segment for Slot {
    #[cfg(not(loom))]
    fn segment(len: usize) -> Box<[Self]> {
        // A large segment's pages are not touched before they are used.
        let zeroed = Box::<[Self]>::new_zeroed_slice(len);
        // SAFETY: zero is valid for each field: numbers, a null pointer, and `None` of a box; and it is a Free slot.
        unsafe { zeroed.assume_init() }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::with_word(Word::new(0, State::Free))
    }
}

impl Slot {
    /// The word of a host thread's implicit lwp: nobody lets go of it, and no handle's generation is 0.
    const IMPLICIT: Word = Word::new(0, State::Owned);

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

    /// A host thread's implicit lwp in `proc`, which outlives it.
    pub(crate) fn implicit(proc: *const Proc, pid: Pid) -> Self {
        let slot = Self::with_word(Self::IMPLICIT);
        slot.proc.store(proc.cast_mut(), Ordering::Relaxed);
        slot.pid.store(pid.raw(), Ordering::Relaxed);
        slot
    }

    pub(crate) fn word(&self) -> Word {
        // Acquire: pairs with the Release in `start` and `idle`, for those who go on to look at the lwp.
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
        self.take(handle, host, State::Running)
    }

    /// Takes the lwp that `handle` names, for a multiplexer on host thread `host`.
    pub(crate) fn own(&self, handle: LwpHandle, host: u32) -> Result<(), SwitchError> {
        self.take(handle, host, State::Owned)
    }

    #[inline(always)]
    fn take(&self, handle: LwpHandle, host: u32, taken: State) -> Result<(), SwitchError> {
        let idle = Word::new(handle.generation(), State::Idle).0;
        let taken = Word::new(handle.generation(), taken).0;
        // Acquire: pairs with the Release in `idle`: all that the last holder did comes before what this one does.
        match self.word.compare_exchange(idle, taken, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                self.host.store(host, Ordering::Relaxed);
                Ok(())
            }
            Err(_) => Err(self.why_unclaimed(handle)),
        }
    }

    #[cold]
    fn why_unclaimed(&self, handle: LwpHandle) -> SwitchError {
        let word = self.word();
        if word.generation() != handle.generation() || word.state() == State::Free {
            return SwitchError::Stale;
        }
        // It ran a moment ago; if it stopped since, it was still running when it was asked for. What is told of it is
        // for a person to read: it may be a moment older or younger.
        SwitchError::Running {
            pid: Pid::from_raw(self.pid.load(Ordering::Relaxed)),
            host: self.host.load(Ordering::Relaxed),
        }
    }

    /// Lets go of the lwp, which goes on as Idle; nothing for an implicit or owned one. Counted here and not where it was
    /// claimed: there the load would wait for the compare-exchange, and the next one for its store.
    ///
    /// # Safety
    /// The caller holds Running and stops using the lwp.
    #[inline]
    pub(crate) unsafe fn yield_now(&self) {
        // Relaxed: the holder alone changes it.
        let word = Word(self.word.load(Ordering::Relaxed));
        if word.state() == State::Running {
            // Relaxed: only the holder writes it, so a load and a store will do.
            self.turns.store(self.turns.load(Ordering::Relaxed) + Turns::ONE, Ordering::Relaxed);
            self.idle(word);
        }
    }

    /// Lets go of a lwp that was started or owned and does not run.
    ///
    /// # Safety
    /// The caller holds it and stops using the lwp; it is not an implicit one.
    pub(crate) unsafe fn lay_aside(&self) {
        // Relaxed: the holder alone changes it.
        self.idle(Word(self.word.load(Ordering::Relaxed)));
    }

    /// A turn of the owned lwp that `handle` names begins, or is over: its multiplexer says so at each, from its host
    /// thread. Nothing where the lwp was released.
    #[inline]
    pub(crate) fn turn(&self, handle: LwpHandle) {
        if self.is_owned(handle) {
            // Relaxed: only the holder writes it; who reads it looks on. From "on" it is one more turn, and "off".
            self.turns.store(self.turns.load(Ordering::Relaxed) + Turns::ON, Ordering::Relaxed);
        }
    }

    /// Whether a multiplexer owns the lwp that `handle` names.
    #[inline]
    pub(crate) fn is_owned(&self, handle: LwpHandle) -> bool {
        // Relaxed: of interest to the owner alone.
        self.word.load(Ordering::Relaxed) == Word::new(handle.generation(), State::Owned).0
    }

    #[inline]
    fn idle(&self, running: Word) {
        // Release: pairs with the Acquire in `claim`.
        self.word.store(Word::new(running.generation(), State::Idle).0, Ordering::Release);
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
        // Relaxed: the slot goes to its next holder through the table's indices, to onlookers through `start`'s fence.
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

    /// Whether it is a host thread's implicit lwp.
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

    /// How often a host thread ran the lwp and let go of it, and whether an owned one has its turn.
    pub(crate) fn turns(&self) -> Turns {
        Turns(self.turns.load(Ordering::Relaxed))
    }

    /// The lwp's process.
    ///
    /// # Safety
    /// The caller holds Running, and goes on holding it as long as it uses the reference.
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
        // SAFETY: the holder of Running alone touches it.
        let cache = unsafe { &mut *self.identity.get() };
        cache.get_or_insert_with(|| {
            // SAFETY: the process outlives the lwp, and `free` drops the cache before the lwp leaves its process.
            Box::new(unsafe { SnapshotCache::new(&self.proc().identity) })
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Slot, State};
    use crate::id::Pid;
    use crate::lwp::SwitchError;

    #[test]
    fn a_slot_is_one_cache_line() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
    }

    #[test]
    fn a_running_lwp_is_not_claimed_and_a_freed_one_is_stale() {
        let slot = Slot::default();
        slot.start(7, std::ptr::null(), Pid::from_raw(3), 11);
        let handle = slot.handle();
        assert_eq!((handle.index(), handle.generation()), (7, 1));
        assert_eq!(slot.claim(handle, 12), Err(SwitchError::Running { pid: Pid::from_raw(3), host: 11 }));
        // SAFETY: this test holds it.
        unsafe { slot.yield_now() };
        assert_eq!((slot.turns().over(), slot.claim(handle, 12)), (1, Ok(())));
        // SAFETY: as above.
        assert!(unsafe { slot.free() });
        assert_eq!(slot.claim(handle, 12), Err(SwitchError::Stale));
        slot.start(7, std::ptr::null(), Pid::from_raw(4), 11);
        assert_eq!(slot.claim(handle, 12), Err(SwitchError::Stale));
        assert_eq!((slot.handle().generation(), slot.word().state()), (2, State::Running));
    }

    #[test]
    fn an_owned_lwp_is_nobody_elses_and_goes_on_through_its_turns() {
        let slot = Slot::default();
        slot.start(0, std::ptr::null(), Pid::from_raw(3), 11);
        let handle = slot.handle();
        assert!(slot.own(handle, 12).is_err());
        // SAFETY: this test holds it.
        unsafe { slot.lay_aside() };
        assert_eq!(slot.own(handle, 12), Ok(()));
        for turn in 0..2 {
            slot.turn(handle);
            assert_eq!((slot.turns().on(), slot.turns().over()), (true, turn));
            // SAFETY: as above.
            unsafe { slot.yield_now() };
            slot.turn(handle);
            assert_eq!((slot.turns().on(), slot.turns().over()), (false, turn + 1));
            assert_eq!(slot.claim(handle, 13), Err(SwitchError::Running { pid: Pid::from_raw(3), host: 12 }));
        }
        // SAFETY: as above.
        unsafe { slot.lay_aside() };
        assert_eq!(slot.claim(handle, 13), Ok(()));
    }
}
