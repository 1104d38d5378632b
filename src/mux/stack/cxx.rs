//! What the C++ runtime keeps of exceptions for a host thread, where there is one.
//!
//! Two words: the exceptions that are caught and in hand, which `throw;` throws again, and how many are on their way, which
//! is `std::uncaught_exceptions`. Each stack has its own, as if it were a thread: whoever switches saves those of its stack
//! before, and restores them when it is back. A program without C++ pays a branch for that.
//!
//! Source: Itanium C++ ABI, Exception Handling, 2.2.2.

use std::ffi::{c_uint, c_void};
use std::mem;
use std::ptr;

use crate::sync::{AtomicPtr, Ordering};

/// `__cxa_get_globals`; null until a runtime has been seen.
static GLOBALS: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// The two words of one stack.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Exceptions {
    caught: *mut c_void,
    uncaught: c_uint,
}

impl Exceptions {
    const NONE: Self = Self { caught: ptr::null_mut(), uncaught: 0 };
}

/// Where a host thread has the two words; null where there is no C++.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cxx(*mut Exceptions);

/// Looks for a C++ runtime, unless one has been found. One that comes later, by `dlopen`, is found by the next look.
#[cold]
pub(super) fn look() {
    // Relaxed: found twice, it is the same.
    if GLOBALS.load(Ordering::Relaxed).is_null() {
        let mut found = linked();
        if found.is_null() {
            // SAFETY: a name that ends with a zero.
            found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_get_globals".as_ptr()) };
        }
        // Release: pairs with the Acquire in `of_thread`, which calls what was loaded before.
        GLOBALS.store(found, Ordering::Release);
    }
}

/// The function, where C++ is linked statically: then nobody else knows its name.
#[cfg(target_arch = "x86_64")]
fn linked() -> *mut c_void {
    let found: *mut c_void;
    // SAFETY: reads what the linker has put there, which is 0 where there is no such function.
    unsafe {
        std::arch::asm!(
            ".weak __cxa_get_globals",
            "mov {}, qword ptr [rip + __cxa_get_globals@GOTPCREL]",
            out(reg) found,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    found
}

#[cfg(not(target_arch = "x86_64"))]
fn linked() -> *mut c_void {
    ptr::null_mut()
}

impl Cxx {
    /// The calling host thread's.
    #[inline]
    pub(super) fn of_thread() -> Self {
        // Acquire: pairs with the Release in `look`.
        let globals = GLOBALS.load(Ordering::Acquire);
        if globals.is_null() {
            return Self(ptr::null_mut());
        }
        // SAFETY: the function of that name is of this type, and gives the address of the thread's words, which begin with
        // these two, and last as long as the thread does.
        Self(unsafe { mem::transmute::<*mut c_void, extern "C" fn() -> *mut Exceptions>(globals)() })
    }

    /// Those of the calling stack.
    #[inline(always)]
    pub(super) fn save(self) -> Exceptions {
        // SAFETY: the thread's words, which nobody has a reference to.
        if self.0.is_null() { Exceptions::NONE } else { unsafe { *self.0 } }
    }

    /// Makes them the thread's again.
    #[inline(always)]
    pub(super) fn restore(self, saved: Exceptions) {
        if !self.0.is_null() {
            // SAFETY: as above.
            unsafe { *self.0 = saved };
        }
    }

    /// A stack begins with none.
    #[inline(always)]
    pub(super) fn begin(self) {
        self.restore(Exceptions::NONE);
    }
}
