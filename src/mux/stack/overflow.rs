//! Stack overflow in a fiber: said in one line, and the host process aborts.
//!
//! A frame that does not fit reaches into the guard below its stack, and the host raises SIGSEGV (or SIGBUS). The handler
//! here is installed once in a host process, when its first pool of stacks is made. It runs on the thread's alternate stack,
//! and does what a signal handler may: it takes no lock and allocates nothing. A fault that is not in a guard goes on to the
//! handler that was there before, which is how Rust's own report of overflows, and an embedder's handler, go on working. A
//! handler that is installed later and does not pass on what is not its own takes this report away, not the guard.
//!
//! Rust's frames touch each of their pages in turn, so they cannot step over a guard of one page. C code does so only where
//! it is compiled with `-fstack-clash-protection` (the default of Debian, Fedora and Ubuntu's compilers), or has no frames
//! larger than a page.

use std::ffi::c_void;
use std::fmt::{self, Write};
use std::mem::{self, MaybeUninit};
use std::process;
use std::ptr;
use std::sync::Arc;

use super::altstack;
use super::guards::{GUARDS, Layout};
use crate::context::curlwp::cpu;
use crate::errno::Result;
use crate::id::LwpId;
use crate::sync::{OnceLock, Snapshot};

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What was there before, for each of `SIGNALS`. Set before the handler is installed.
static PREVIOUS: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

type Handler = extern "C" fn(libc::c_int);
type InfoHandler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);

/// Sees to it that overflows on the calling host thread are reported.
///
/// # Errors
/// `ENOMEM`: there is no room for the thread's alternate stack.
pub(super) fn watch() -> Result<()> {
    altstack::ensure()?;
    // The first look at a snapshot allocates what this thread needs for it: not in the handler.
    drop(Snapshot::new(Arc::new(())).load());
    static INSTALLED: OnceLock<Result<()>> = OnceLock::new();
    *INSTALLED.get_or_init(install)
}

fn install() -> Result<()> {
    let mut previous = [const { MaybeUninit::<libc::sigaction>::uninit() }; 2];
    for (signal, previous) in SIGNALS.into_iter().zip(&mut previous) {
        // SAFETY: asks, and changes nothing.
        done(unsafe { libc::sigaction(signal, ptr::null(), previous.as_mut_ptr()) })?;
    }
    // SAFETY: filled in by the calls.
    let previous = *PREVIOUS.get_or_init(|| previous.map(|previous| unsafe { previous.assume_init() }));
    for (signal, previous) in SIGNALS.into_iter().zip(previous) {
        // What the handler before this one had blocked, it finds blocked.
        let mut action = previous;
        action.sa_sigaction = handle as InfoHandler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | previous.sa_flags & libc::SA_NODEFER;
        // SAFETY: the handler is async-signal-safe, and what it needs is set.
        done(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) })?;
    }
    Ok(())
}

fn done(answer: libc::c_int) -> Result<()> {
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes what it says with SA_SIGINFO. The address is one where the host raised the signal.
    let fault = unsafe { if (*info).si_code > 0 { Some((*info).si_addr()) } else { None } };
    if let Some(layout) = fault.and_then(|address| GUARDS.at(address.addr())) {
        report(layout)
    }
    let previous = PREVIOUS.get().zip(SIGNALS.iter().position(|&known| known == signal));
    let Some(previous) = previous.map(|(all, place)| &all[place]) else { return };
    match previous.sa_sigaction {
        libc::SIG_IGN if fault.is_none() => (),
        // The host does not let a fault be ignored.
        libc::SIG_IGN | libc::SIG_DFL => by_default(signal, fault.is_some()),
        // SAFETY: a function of this type, as its flags say.
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => unsafe {
            mem::transmute::<libc::sighandler_t, InfoHandler>(handler)(signal, info, context);
        },
        // SAFETY: as above.
        handler => unsafe { mem::transmute::<libc::sighandler_t, Handler>(handler)(signal) },
    }
}

/// Lets the host do what it does with a signal that nobody handles.
fn by_default(signal: libc::c_int, again: bool) {
    // SAFETY: both are async-signal-safe. All zero but the handler is a sigaction without flags and mask.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, ptr::null_mut());
        if !again {
            // Somebody sent it: the instruction to be run again has no fault. It comes when the handler returns.
            libc::raise(signal);
        }
    }
}

/// Says what happened, and aborts.
fn report(stack: Layout) -> ! {
    let mut line = Line { bytes: [0; 512], len: 0 };
    // A line that is too long is cut.
    let _ = say(&mut line, stack);
    line.bytes[line.len] = b'\n';
    let _ = rustix::io::write(rustix::stdio::stderr(), &line.bytes[..=line.len]);
    process::abort()
}

fn say(line: &mut Line, stack: Layout) -> fmt::Result {
    let (host, context) = cpu(|cpu| (cpu.host(), cpu.context()));
    line.write_str("lwproc: fatal: stack overflow in ")?;
    match context.dedicated() {
        None => line.write_str("an implicit context")?,
        Some(slot) => {
            // SAFETY: a context that is not NONE keeps its kernel.
            let kernel = unsafe { &*context.kernel };
            write!(line, "lwp {} of pid {}", LwpId::new(kernel.id, slot.handle()), slot.pid())?;
            // SAFETY: this thread runs the lwp.
            let name = unsafe { slot.proc() }.name.load();
            let said = write!(line, " ({})", **name);
            // To let go of it could free memory.
            mem::forget(name);
            said?;
        }
    }
    write!(line, ", host thread {host}: {} bytes of stack", stack.usable)
}

/// Text in a place of its own, with room for the end of the line.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - 1 - self.len;
        let fits = text.len().min(room);
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
