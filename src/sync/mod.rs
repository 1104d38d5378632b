//! The concurrent parts that everything else is made of: `std` and the crossbeam family, or loom's models of them.
//!
//! Code with a protocol worth model checking names these and never `std::sync::atomic`. Under `--cfg loom` atomics,
//! locks, threads and thread-locals are loom's; a queue and a snapshot, which loom cannot look into, become a locked
//! deque and a locked `Arc`: both are linearizable, and nothing here relies on more.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod native;

#[cfg(loom)]
pub(crate) use model::*;
#[cfg(not(loom))]
pub(crate) use native::*;

/// Stands between a SeqCst read-modify-write and a SeqCst load of another place, which are in order by themselves: nothing. To
/// loom they are AcqRel and Acquire, so that to it this is a fence, which a model's faults take away as any other. That fence
/// releases and acquires besides: what relies on the operations' own halves is for a model without one to show.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn sequenced() {}

/// Counts one more reference, made from one that lives. Beyond `isize::MAX` of them the host process aborts, as with `Arc`:
/// clones that were forgotten must not make the count begin again at 0.
#[inline]
#[track_caller]
pub(crate) fn add_reference(count: &AtomicUsize) {
    // Relaxed: whoever has a reference sees what it refers to already.
    check_references(count.fetch_add(1, Ordering::Relaxed));
}

/// Aborts the host process if there are as many references as there may be.
#[inline]
pub(crate) fn check_references(count: usize) {
    if count > isize::MAX as usize {
        std::process::abort();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::{AtomicUsize, Ordering, add_reference};

    const CHILD: &str = "LWPROC_REFERENCES";

    #[test]
    fn a_reference_too_many_aborts_the_host_process() {
        if std::env::var_os(CHILD).is_some() {
            let count = AtomicUsize::new(isize::MAX as usize);
            add_reference(&count);
            assert_eq!(count.load(Ordering::Relaxed), isize::MAX as usize + 1);
            println!("one more");
            add_reference(&count);
            println!("too many");
            return;
        }
        let test = "sync::tests::a_reference_too_many_aborts_the_host_process";
        let this = std::env::current_exe().unwrap();
        let child = Command::new(this).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("one more") && !said.contains("too many"), "{said}");
        assert_eq!(child.status.signal(), Some(6), "SIGABRT");
    }
}
