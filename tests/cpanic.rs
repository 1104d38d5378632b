//! A panic in a file of a Rust embedder's, under a call from C: the host process aborts with a report, in a process of its
//! own.

#![cfg(feature = "capi")]

use std::ffi::{c_int, c_void};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use lwproc::capi::{rump_sys_close, rump_sys_read};
use lwproc::{File, OpenFlags, Result, sys};

const SIGABRT: i32 = 6;
const CHILD: &str = "LWPROC_TEST_C_PANIC";

struct Panics;

impl File for Panics {
    fn read_at(&self, _buf: &mut [u8], _at: u64) -> Result<usize> {
        panic!("a file's own");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("a drop's own");
    }
}

fn in_child(test: &str, call: impl FnOnce(c_int), entry: &str) {
    if std::env::var_os(CHILD).is_some() {
        call(sys::install(Panics, OpenFlags::RDONLY).unwrap());
        unreachable!("the call came back");
    }
    let child = std::env::current_exe().unwrap();
    let output = Command::new(child).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
    let report = format!("lwproc: fatal: a panic in {entry}, which C called\n");
    assert!(String::from_utf8(output.stderr).unwrap().contains(&report));
}

#[test]
fn in_a_read() {
    let read = |fd| {
        let mut buf = [0_u8; 4];
        // SAFETY: a buffer of this length.
        unsafe { rump_sys_read(fd, buf.as_mut_ptr().cast::<c_void>(), buf.len()) };
    };
    in_child("in_a_read", read, "rump_sys_read");
}

#[test]
fn in_a_close() {
    let close = |fd| {
        rump_sys_close(fd);
    };
    in_child("in_a_close", close, "rump_sys_close");
}
