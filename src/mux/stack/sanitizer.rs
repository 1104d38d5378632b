//! What sanitizers are told of the switches between stacks: with `--cfg lwproc_asan` AddressSanitizer, with `--cfg
//! lwproc_tsan` ThreadSanitizer, otherwise nobody, at no cost.
//!
//! Each switch is told before it is made, on the stack that is left, and AddressSanitizer is told once more on the one that
//! is arrived at.

use super::Stack;

#[cfg(lwproc_asan)]
pub(super) use asan::Sanitizer;
#[cfg(not(any(lwproc_asan, lwproc_tsan)))]
pub(super) use nobody::Sanitizer;
#[cfg(lwproc_tsan)]
pub(super) use tsan::Sanitizer;

#[cfg(not(any(lwproc_asan, lwproc_tsan)))]
mod nobody {
    use super::Stack;

    /// Nothing.
    pub(in super::super) struct Sanitizer;

    impl Sanitizer {
        #[inline(always)]
        pub(in super::super) fn new(_stack: &Stack) -> Self {
            Self
        }

        /// To the fiber.
        #[inline(always)]
        pub(in super::super) fn resume(&self) {}

        /// Back from the fiber.
        #[inline(always)]
        pub(in super::super) fn resumed(&self) {}

        /// On the fiber: it begins.
        #[inline(always)]
        pub(in super::super) fn begin(&self) {}

        /// On the fiber: back to who resumed it.
        #[inline(always)]
        pub(in super::super) fn suspend(&self) {}

        /// On the fiber: its next turn.
        #[inline(always)]
        pub(in super::super) fn suspended(&self) {}

        /// On the fiber: back for good.
        #[inline(always)]
        pub(in super::super) fn leave(&self) {}

        /// The fiber is gone, and its stack somebody else's.
        #[inline(always)]
        pub(in super::super) fn gone(&self) {}
    }
}

/// A stack has a *fake* one beside it, for frames that are not to be used again soon. Whoever leaves a stack takes its fake
/// one along.
#[cfg(lwproc_asan)]
mod asan {
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::ptr;

    use super::Stack;

    unsafe extern "C" {
        fn __sanitizer_start_switch_fiber(fake: *mut *mut c_void, low: *const c_void, size: usize);
        fn __sanitizer_finish_switch_fiber(fake: *mut c_void, low: *mut *const c_void, size: *mut usize);
    }

    /// The two stacks, from low to high, and their fake ones.
    pub(in super::super) struct Sanitizer {
        low: *const c_void,
        size: usize,
        fake: Cell<*mut c_void>,
        other_low: Cell<*const c_void>,
        other_size: Cell<usize>,
        other_fake: Cell<*mut c_void>,
    }

    impl Sanitizer {
        pub(in super::super) fn new(stack: &Stack) -> Self {
            Self {
                low: ptr::with_exposed_provenance(stack.low()),
                size: stack.top() - stack.low(),
                fake: Cell::new(ptr::null_mut()),
                other_low: Cell::new(ptr::null()),
                other_size: Cell::new(0),
                other_fake: Cell::new(ptr::null_mut()),
            }
        }

        pub(in super::super) fn resume(&self) {
            // SAFETY: the switch to that stack is next; so below.
            unsafe { __sanitizer_start_switch_fiber(self.other_fake.as_ptr(), self.low, self.size) }
        }

        pub(in super::super) fn resumed(&self) {
            // SAFETY: the switch was the last thing that happened; so below. Null: no answer is wanted.
            unsafe { __sanitizer_finish_switch_fiber(self.other_fake.get(), ptr::null_mut(), ptr::null_mut()) }
        }

        pub(in super::super) fn begin(&self) {
            self.suspended();
        }

        pub(in super::super) fn suspend(&self) {
            // SAFETY: as above.
            unsafe {
                __sanitizer_start_switch_fiber(self.fake.as_ptr(), self.other_low.get(), self.other_size.get());
            }
        }

        pub(in super::super) fn suspended(&self) {
            // SAFETY: as above. It may have been resumed from another stack than the last time.
            unsafe {
                let (low, size) = (self.other_low.as_ptr(), self.other_size.as_ptr());
                __sanitizer_finish_switch_fiber(self.fake.get(), low, size);
            }
        }

        pub(in super::super) fn leave(&self) {
            // SAFETY: as above. Null: the fake stack is not needed any more.
            unsafe {
                __sanitizer_start_switch_fiber(ptr::null_mut(), self.other_low.get(), self.other_size.get());
            }
        }

        pub(in super::super) fn gone(&self) {}
    }
}

/// To it a fiber is a thread. What happened before a switch happened before what comes after it.
#[cfg(lwproc_tsan)]
mod tsan {
    use std::cell::Cell;
    use std::ffi::{c_uint, c_void};
    use std::ptr;

    use super::Stack;

    unsafe extern "C" {
        fn __tsan_get_current_fiber() -> *mut c_void;
        fn __tsan_create_fiber(flags: c_uint) -> *mut c_void;
        fn __tsan_destroy_fiber(fiber: *mut c_void);
        fn __tsan_switch_to_fiber(fiber: *mut c_void, flags: c_uint);
    }

    /// What it calls the fiber, and who resumed it.
    pub(in super::super) struct Sanitizer {
        fiber: *mut c_void,
        other: Cell<*mut c_void>,
    }

    impl Sanitizer {
        pub(in super::super) fn new(_stack: &Stack) -> Self {
            // SAFETY: asks for a new one.
            Self { fiber: unsafe { __tsan_create_fiber(0) }, other: Cell::new(ptr::null_mut()) }
        }

        #[inline(always)]
        pub(in super::super) fn resume(&self) {
            // SAFETY: the switch is next; so below.
            unsafe {
                self.other.set(__tsan_get_current_fiber());
                __tsan_switch_to_fiber(self.fiber, 0);
            }
        }

        #[inline(always)]
        pub(in super::super) fn resumed(&self) {}

        #[inline(always)]
        pub(in super::super) fn begin(&self) {}

        #[inline(always)]
        pub(in super::super) fn suspend(&self) {
            // SAFETY: as above.
            unsafe { __tsan_switch_to_fiber(self.other.get(), 0) }
        }

        #[inline(always)]
        pub(in super::super) fn suspended(&self) {}

        #[inline(always)]
        pub(in super::super) fn leave(&self) {
            self.suspend();
        }

        pub(in super::super) fn gone(&self) {
            // SAFETY: it does not run, and is destroyed once.
            unsafe { __tsan_destroy_fiber(self.fiber) }
        }
    }
}
