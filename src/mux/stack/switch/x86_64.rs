//! The switch on x86-64, for the calling convention of System V.
//!
//! A [`Switch`] is two words: where the other side stands. To switch is to put one's own place there and to jump to what was
//! there, so that both directions are the same nine instructions, compiled into whoever switches. The compiler is told that
//! every register is lost, and saves what it still needs, which in a loop is next to nothing; only `rbx` and `rbp`, which it
//! does not give away, are pushed.
//!
//! ```text
//!   suspended                                             before its first turn
//!
//!   frames of the fiber ...                               what it runs (`Start::data`)
//!   rbp                                                   Start { run, data, drop }
//!   rbx                 <- sp   `at`: the label behind    ^                      <- sp   `at`: `entry`
//!                               the jump
//! ```
//!
//! It jumps, and neither calls nor returns. Processors predict a return to go where the last call came from, by a stack of
//! their own. A switch that is called and returned from takes two entries off balance, so that the returns of the function
//! that yielded, and of its callers, are predicted wrong.
//!
//! Not switched are the control words of the floating-point units (`mxcsr` and the x87's): those who change them change them
//! for the host thread. Shadow stacks (CET) are not supported: returns on a stack that was jumped to do not match the host
//! thread's. A program with code of this crate is not marked as fit for them, so that the host does not switch them on.

use std::arch::{asm, naked_asm};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::Start;

/// The place of a stack on which nothing runs; while something runs there, that of the one that resumed it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Switch {
    /// The stack pointer. Null: it has left for good.
    sp: Cell<*mut u8>,
    /// The next instruction.
    at: Cell<*const u8>,
}

impl Switch {
    /// A switch to a stack on which nothing has run. `_low` is its lowest address.
    ///
    /// # Safety
    /// What `start` says is valid when the first turn comes, and what is below it is the stack's alone.
    #[inline(always)]
    pub(crate) unsafe fn new(start: NonNull<Start>, _low: usize) -> Self {
        Self { sp: Cell::new(start.as_ptr().cast()), at: Cell::new(entry as *const u8) }
    }

    /// Has there been a turn?
    #[inline(always)]
    pub(crate) fn started(&self) -> bool {
        !ptr::eq(self.at.get(), entry as *const u8)
    }

    /// Has it left?
    #[inline(always)]
    pub(crate) fn done(&self) -> bool {
        self.sp.get().is_null()
    }

    /// Where on its stack the next turn begins.
    #[inline(always)]
    pub(crate) fn ahead(&self) -> *const u8 {
        self.sp.get()
    }

    /// Goes to the stack, until it suspends or leaves.
    ///
    /// # Safety
    /// It has not left, and nothing runs on it. From the first turn on, `this` is the same address.
    #[inline(always)]
    pub(crate) unsafe fn resume(this: *const Self) {
        // SAFETY: as the caller promises: what is there is a place where somebody waits, or `entry`.
        unsafe { swap(this) }
    }

    /// Goes back to who resumed it, until it is resumed again.
    ///
    /// # Safety
    /// The caller runs on the stack of `this`.
    #[inline(always)]
    pub(crate) unsafe fn suspend(this: *const Self) {
        // SAFETY: since the stack runs, what is there is the place of the one that resumed it, and waits.
        unsafe { swap(this) }
    }

    /// Goes back to who resumed it, for good.
    ///
    /// # Safety
    /// As for [`suspend`](Self::suspend), and no frame on the stack is needed any more.
    #[inline(always)]
    pub(crate) unsafe fn leave(this: *const Self) -> ! {
        // SAFETY: as for `suspend`. The null stack pointer says that nobody may come back.
        unsafe {
            asm!(
                "mov rcx, [rdi]",
                "mov rdx, [rdi + 8]",
                "mov qword ptr [rdi], 0",
                "mov rsp, rcx",
                "jmp rdx",
                in("rdi") this,
                options(noreturn),
            )
        }
    }
}

/// Exchanges the caller's place for the one that is there. Comes back when somebody exchanges them again.
///
/// Whoever arrives finds the switch's address in `rdi`, which `entry` alone needs.
///
/// # Safety
/// Somebody waits at the place that is there, or `entry` does.
#[inline(always)]
unsafe fn swap(this: *const Switch) {
    // SAFETY: memory may change, and so may every register that an operand can name; the other two are kept. The stack is
    // the caller's again, as it was, when this ends. It is not `nostack`: nothing is kept below the stack pointer.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "mov rcx, [rdi]",
            "mov rdx, [rdi + 8]",
            "mov [rdi], rsp",
            "mov [rdi + 8], rax",
            "mov rsp, rcx",
            "jmp rdx",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") this => _,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            clobber_abi("sysv64"),
        );
    }
}

/// Where a stack's first turn begins: `rdi` is its switch, and `rsp` its [`Start`].
///
/// The outermost frame, as it says: to debuggers and unwinders by an undefined return address, to those who follow frame
/// pointers by a null one. What it runs finds a return address as if it were called; but a call that nobody returns from
/// would take the processor's predictions off balance.
///
/// # Safety
/// Only `swap` comes here.
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "xor ebp, ebp",
        "mov rsi, rsp",
        "lea rax, [rip + 2f]",
        "push rax",
        "jmp [rsi + {run}]",
        // It does not come back.
        "2:",
        "ud2",
        ".cfi_endproc",
        run = const std::mem::offset_of!(Start, run),
    )
}
