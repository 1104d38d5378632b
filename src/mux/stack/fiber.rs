//! A fiber: a function that runs on a stack of its own, in turns.
//!
//! ```text
//!   low                                                                     top
//!   ├ guard ┼ ...  frames  <───┼ Start ┼ what it runs ┼ up to its colour ... ┤
//! ```
//!
//! What it runs lies at the top of its own stack, so that none but large ones are allocated.
//!
//! A fiber stays on its host thread. A panic does not leave it: the host process aborts, with a report, so whoever makes
//! one catches what may come. Nothing here unwinds it, either: who wants a fiber to end before its time resumes it, and lets
//! its [`suspend`](Fiber::suspend) raise a panic that the fiber's own function catches.
//!
//! One that is dropped between two turns is *abandoned*: its values are never dropped, and its stack is never used again or
//! unmapped, since other things may point into it. That is as sound as [`mem::forget`], and leaks as much.

use std::mem::{self, offset_of};
use std::ptr::{self, NonNull};

use super::Stack;
use super::cxx::Cxx;
use super::sanitizer::Sanitizer;
use super::switch::{Start, Switch};

/// A closure that takes more than this part of its stack is put elsewhere. It is moved, once at least, when it is called.
const PART: usize = 8;

/// See the module.
#[repr(C)]
pub(in crate::mux) struct Fiber {
    /// First, so that its address is the fiber's.
    switch: Switch,
    /// Where the host thread's exceptions are.
    cxx: Cxx,
    sanitizer: Sanitizer,
    /// `None`: it was taken out.
    stack: Option<Stack>,
}

const _: () = assert!(offset_of!(Fiber, switch) == 0);

impl Fiber {
    /// A fiber of the calling host thread that will run `f` on `stack`.
    #[inline]
    pub(in crate::mux) fn new<F: FnOnce() + 'static>(stack: Stack, f: F) -> Self {
        let room = stack.size() / PART;
        match place::<F>(&stack) {
            Some(places) if stack.top() - places.start.addr().get() <= room => {
                // SAFETY: the places are those for `F` on this stack, on which nothing is.
                unsafe { Self::at(stack, places, f) }
            }
            _ => Self::boxed(stack, Box::new(f)),
        }
    }

    #[cold]
    fn boxed(stack: Stack, f: Box<dyn FnOnce()>) -> Self {
        let places = place::<Box<dyn FnOnce()>>(&stack).expect("a pointer fits");
        // SAFETY: as above.
        unsafe { Self::at(stack, places, f) }
    }

    /// # Safety
    /// `places` are those for `F` on `stack`.
    #[inline(always)]
    unsafe fn at<F: FnOnce() + 'static>(stack: Stack, places: Places<F>, f: F) -> Self {
        let Places { start, data } = places;
        // SAFETY: both places are the stack's, aligned, and apart from each other; nobody else uses the stack.
        unsafe {
            data.write(f);
            start.write(Start { run: run::<F>, data: data.as_ptr().cast(), drop: drop_in_place::<F> });
        }
        Self {
            // SAFETY: `start` is valid until the first turn, and what is below it is free.
            switch: unsafe { Switch::new(start, stack.low()) },
            cxx: Cxx::of_thread(),
            sanitizer: Sanitizer::new(&stack),
            stack: Some(stack),
        }
    }

    /// Gives it a turn: runs it until it suspends or has finished. Whether it has finished.
    ///
    /// # Safety
    /// It is not done and does not run, and since its first turn it has not been moved.
    #[inline(always)]
    pub(in crate::mux) unsafe fn resume(&self) -> bool {
        let mine = self.cxx.save();
        self.sanitizer.resume();
        // SAFETY: as the caller promises. The pointer is to all of the fiber, which is what `run` makes of it.
        unsafe { Switch::resume(ptr::from_ref(self).cast()) };
        self.sanitizer.resumed();
        self.cxx.restore(mine);
        self.done()
    }

    /// Ends the running fiber's turn: comes back when it has its next one.
    ///
    /// # Safety
    /// The caller runs on this fiber. No value that belongs to the one that resumes it is in the caller's hands: a borrow
    /// of a thread-local, a lock, a count of unwindings ([`std::thread::panicking`]).
    #[inline(always)]
    pub(in crate::mux) unsafe fn suspend(&self) {
        let mine = self.cxx.save();
        self.sanitizer.suspend();
        // SAFETY: as the caller promises.
        unsafe { Switch::suspend(ptr::from_ref(self).cast()) };
        self.sanitizer.suspended();
        self.cxx.restore(mine);
    }

    /// Whether it has had a turn.
    #[inline]
    pub(in crate::mux) fn started(&self) -> bool {
        self.switch.started()
    }

    /// Whether it has finished.
    #[inline(always)]
    pub(in crate::mux) fn done(&self) -> bool {
        self.switch.done()
    }

    /// Where in memory its next turn begins: to be fetched ahead.
    #[inline(always)]
    pub(in crate::mux) fn ahead(&self) -> *const u8 {
        self.switch.ahead()
    }

    /// Its stack, when it has finished, or before its first turn; then what it would have run is dropped.
    ///
    /// # Panics
    /// If it is in the midst of it; then it is abandoned.
    #[inline]
    pub(in crate::mux) fn into_stack(mut self) -> Stack {
        self.free().expect("a fiber that is suspended needs its stack")
    }

    /// Takes the stack, if nothing is on it any more; what would have run there is dropped.
    #[inline]
    pub(in crate::mux) fn free(&mut self) -> Option<Stack> {
        if self.started() && !self.done() {
            return None;
        }
        let stack = self.stack.take()?;
        self.sanitizer.gone();
        if !self.started() {
            // SAFETY: before its first turn that is where its `Start` is.
            let start = unsafe { &*self.ahead().cast::<Start>() };
            // SAFETY: it never runs, since the stack is taken. Where this panics, the stack is dropped after it.
            unsafe { (start.drop)(start.data) };
        }
        Some(stack)
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        drop(self.free());
        // Abandoned, if it is still there.
        mem::forget(self.stack.take());
    }
}

/// Where on a stack a fiber begins.
struct Places<F> {
    start: NonNull<Start>,
    data: NonNull<F>,
}

/// `None`: it does not fit by far.
#[inline(always)]
fn place<F>(stack: &Stack) -> Option<Places<F>> {
    let below = |address: usize, size: usize, align: usize| Some(address.checked_sub(size)? & !(align - 1));
    let data = below(stack.top(), size_of::<F>(), align_of::<F>())?;
    let start = below(data, size_of::<Start>(), align_of::<Start>())?;
    let top = ptr::with_exposed_provenance_mut::<u8>(stack.top());
    let at = |address: usize| NonNull::new(top.wrapping_sub(stack.top() - address));
    Some(Places { start: at(start)?.cast(), data: at(data)?.cast() })
}

/// # Safety
/// `data` is a value of that type, and never used again.
unsafe fn drop_in_place<F>(data: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { ptr::drop_in_place(data.cast::<F>()) }
}

/// All that a fiber does, from its first turn to its last. A panic does not leave it: it aborts.
///
/// # Safety
/// The first function on a fiber's stack, with the fiber's switch and start, for a closure of that type.
unsafe extern "C" fn run<F: FnOnce()>(switch: *const Switch, start: *const Start) {
    // SAFETY: the switch is the first field of its fiber, and the pointer was made from one to all of it. The fiber stays
    // where it is until it has finished. Its closure is read once, and is not dropped by anybody else from now on.
    unsafe {
        let fiber = switch.cast::<Fiber>();
        (*fiber).sanitizer.begin();
        (*fiber).cxx.begin();
        call((*start).data.cast::<F>());
        leave(fiber);
    }
}

/// In a frame of its own, which is gone when the fiber leaves.
///
/// # Safety
/// `data` is a value, and never used again.
#[cfg_attr(any(lwproc_asan, lwproc_tsan), inline(never))]
unsafe fn call<F: FnOnce()>(data: *mut F) {
    // SAFETY: as the caller promises.
    unsafe { data.read()() }
}

/// The fiber's last switch.
///
/// # Safety
/// On the stack of that fiber, where nothing is needed any more.
#[inline(always)]
unsafe fn leave(fiber: *const Fiber) {
    // SAFETY: as the caller promises.
    unsafe {
        (*fiber).sanitizer.leave();
        Switch::leave(fiber.cast());
    }
}

#[cfg(test)]
mod tests;
