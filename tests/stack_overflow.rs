//! Stack overflow in fibers: reported with the lwp that did it, and the end of the host process. Each in a host process of
//! its own. Faults of other kinds go where they went before.

use std::ffi::c_void;
use std::fs;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::ptr;
use std::thread;

use lwproc::mux::yield_now;
use lwproc::{Console, Kernel, Mux, ProcOptions, sys};

#[path = "common/apart.rs"]
mod apart;
use apart::apart;

fn kernel() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// Uses stack without end.
#[allow(unconditional_recursion)]
fn endless(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    endless(depth + 1) + frame[3]
}

/// Runs `f` as a fiber of a process named `name`, after it has said who it is.
fn fiber(name: &str, f: impl FnOnce() + 'static) {
    let kernel = kernel();
    let mut mux = Mux::builder(&kernel).stack_size(128 << 10).build().unwrap();
    let others: Vec<_> = (0..20).map(|_| kernel.spawn(ProcOptions::new()).unwrap()).collect();
    for lwp in others {
        mux.spawn_fiber(lwp, || (0..10).for_each(|_| yield_now())).unwrap();
    }
    let lwp = kernel.spawn(ProcOptions::new().name(name)).unwrap();
    let id = lwp.id();
    let tell_and_run = move || {
        yield_now();
        let host = rustix::thread::gettid().as_raw_nonzero();
        eprintln!("in lwp {id} of pid {}", sys::getpid());
        eprintln!("host thread {host}: 131072 bytes of stack");
        f();
    };
    mux.spawn_fiber(lwp, tell_and_run).unwrap();
    mux.run().unwrap();
    println!("it went on");
}

/// Looks for a report that fits what was told before it.
fn reported(child: &Output, name: &str) {
    let text = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{}: {text}", child.status);
    assert!(!String::from_utf8_lossy(&child.stdout).contains("it went on"));
    let [who, at, report] = text.lines().collect::<Vec<_>>()[..] else { panic!("not three lines: {text}") };
    assert_eq!(report, format!("lwproc: fatal: stack overflow {who} ({name}), {at}"));
}

#[test]
fn endless_recursion_is_reported_with_the_lwp_that_did_it() {
    let test = "endless_recursion_is_reported_with_the_lwp_that_did_it";
    let child = apart(test, || fiber("alice", || _ = black_box(endless(0))));
    child.iter().for_each(|child| reported(child, "alice"));
}

#[test]
fn a_frame_larger_than_the_stack_does_not_step_over_the_guard() {
    let test = "a_frame_larger_than_the_stack_does_not_step_over_the_guard";
    #[inline(never)]
    fn large() {
        black_box([7u8; 4 << 20]);
    }
    let child = apart(test, || fiber("bob", large));
    child.iter().for_each(|child| reported(child, "bob"));
}

#[test]
fn a_long_name_is_cut_and_the_line_ends() {
    let child = apart("a_long_name_is_cut_and_the_line_ends", || {
        fiber(&"n".repeat(2_000), || _ = black_box(endless(0)));
    });
    let Some(child) = child else { return };
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    let report = String::from_utf8_lossy(&child.stderr);
    let report = report.lines().last().unwrap();
    assert!(report.starts_with("lwproc: fatal: stack overflow in lwp ") && report.ends_with("nnn"), "{report}");
    assert!(child.stderr.ends_with(b"n\n"));
}

#[test]
fn a_fiber_of_any_host_thread_is_reported() {
    let test = "a_fiber_of_any_host_thread_is_reported";
    let child = apart(test, || {
        fiber("first", || ());
        thread::spawn(|| fiber("second", || ())).join().unwrap();
        eprintln!("---");
        thread::spawn(|| fiber("third", || _ = black_box(endless(0)))).join().unwrap();
    });
    let Some(mut child) = child else { return };
    let text = String::from_utf8(child.stderr).unwrap();
    child.stderr = text.split_once("---\n").unwrap().1.into();
    child.stdout.clear();
    reported(&child, "third");
}

/// Runs `f` on a host thread that Rust's standard library did not make, and so has no alternate stack.
fn bare_thread(f: extern "C" fn(*mut c_void) -> *mut c_void) {
    let mut thread = 0;
    // SAFETY: the thread gets no argument and is joined.
    let answer = unsafe {
        libc::pthread_create(&mut thread, ptr::null(), f, ptr::null_mut());
        libc::pthread_join(thread, ptr::null_mut())
    };
    assert_eq!(answer, 0);
}

extern "C" fn overflow_in_fiber(_: *mut c_void) -> *mut c_void {
    fiber("foreign", || _ = black_box(endless(0)));
    ptr::null_mut()
}

#[test]
fn a_thread_of_another_runtime_is_given_what_the_report_needs() {
    let test = "a_thread_of_another_runtime_is_given_what_the_report_needs";
    let child = apart(test, || bare_thread(overflow_in_fiber));
    child.iter().for_each(|child| reported(child, "foreign"));
}

extern "C" fn short_fiber(_: *mut c_void) -> *mut c_void {
    let kernel = kernel();
    let mut mux = Mux::new(&kernel).unwrap();
    mux.spawn_fiber(kernel.spawn(ProcOptions::new()).unwrap(), || ()).unwrap();
    mux.run().unwrap();
    ptr::null_mut()
}

#[test]
fn what_a_thread_was_given_goes_with_it() {
    let child = apart("what_a_thread_was_given_goes_with_it", || {
        let bytes = || {
            let statm = fs::read_to_string("/proc/self/statm").unwrap();
            statm.split_once(' ').unwrap().0.parse::<usize>().unwrap() * rustix::param::page_size()
        };
        // A few first: the host's own caches of threads.
        (0..10).for_each(|_| bare_thread(short_fiber));
        let before = bytes();
        (0..200).for_each(|_| bare_thread(short_fiber));
        let more = bytes().saturating_sub(before);
        assert!(more < 200 * (32 << 10), "{more} bytes more after 200 threads");
    });
    let Some(child) = child else { return };
    assert!(child.status.success(), "{child:?}");
}

/// Reads where nothing is.
fn stray() {
    // SAFETY: not sound; it ends the host process, which the test is about.
    black_box(unsafe { ptr::without_provenance::<u8>(black_box(8)).read_volatile() });
    println!("it went on");
}

fn set_handler(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: a handler that the tests below wrote, or one of the host's.
    assert_ne!(unsafe { libc::signal(signal, handler) }, libc::SIG_ERR);
}

fn died_of(child: Option<Output>, signal: libc::c_int) {
    let Some(child) = child else { return };
    let text = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.signal(), Some(signal), "{}: {text}", child.status);
    assert!(!text.contains("lwproc: fatal") && !String::from_utf8_lossy(&child.stdout).contains("it went on"));
}

#[test]
fn other_faults_end_the_process_as_they_do_without_fibers() {
    let test = "other_faults_end_the_process_as_they_do_without_fibers";
    died_of(apart(test, || fiber("stray", stray)), libc::SIGSEGV);
}

#[test]
fn the_default_action_comes_after_the_handler() {
    let test = "the_default_action_comes_after_the_handler";
    let child = apart(test, || {
        set_handler(libc::SIGSEGV, libc::SIG_DFL);
        fiber("stray", stray);
    });
    died_of(child, libc::SIGSEGV);
}

#[test]
fn a_signal_that_was_sent_ends_the_process_by_default() {
    let child = apart("a_signal_that_was_sent_ends_the_process_by_default", || {
        set_handler(libc::SIGBUS, libc::SIG_DFL);
        // SAFETY: a signal to this thread.
        fiber("sent", || _ = unsafe { libc::raise(libc::SIGBUS) });
    });
    died_of(child, libc::SIGBUS);
}

#[test]
fn where_faults_are_ignored_only_sent_signals_are() {
    let child = apart("where_faults_are_ignored_only_sent_signals_are", || {
        set_handler(libc::SIGSEGV, libc::SIG_IGN);
        // SAFETY: a signal to this thread.
        fiber("sent", || _ = unsafe { libc::raise(libc::SIGSEGV) });
        eprintln!("ignored");
        thread::spawn(stray).join().unwrap();
    });
    let Some(child) = child else { return };
    assert_eq!(child.status.signal(), Some(libc::SIGSEGV), "{child:?}");
    assert_eq!(String::from_utf8_lossy(&child.stderr).lines().last(), Some("ignored"));
}

extern "C" fn theirs(signal: libc::c_int) {
    // SAFETY: ends the process, as a handler may.
    unsafe { libc::_exit(40 + signal) }
}

#[test]
fn an_embedders_handler_gets_the_faults_that_are_not_ours() {
    let child = apart("an_embedders_handler_gets_the_faults_that_are_not_ours", || {
        set_handler(libc::SIGSEGV, theirs as extern "C" fn(libc::c_int) as libc::sighandler_t);
        fiber("stray", stray);
    });
    let Some(child) = child else { return };
    assert_eq!(child.status.code(), Some(40 + libc::SIGSEGV), "{child:?}");
}

#[test]
fn overflow_with_an_embedders_handler_is_reported() {
    let test = "overflow_with_an_embedders_handler_is_reported";
    let child = apart(test, || {
        set_handler(libc::SIGSEGV, theirs as extern "C" fn(libc::c_int) as libc::sighandler_t);
        fiber("carol", || _ = black_box(endless(0)));
    });
    child.iter().for_each(|child| reported(child, "carol"));
}

#[test]
fn overflow_of_a_host_thread_is_told_by_the_standard_library() {
    let child = apart("overflow_of_a_host_thread_is_told_by_the_standard_library", || {
        fiber("none", || ());
        thread::Builder::new().name("deep".into()).spawn(|| black_box(endless(0))).unwrap().join().unwrap();
    });
    let Some(child) = child else { return };
    let text = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("thread 'deep'") && text.contains("has overflowed its stack"), "{text}");
    assert!(!text.contains("lwproc: fatal"), "{text}");
}
