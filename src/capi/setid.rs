//! Numbers that a process and a lwp go by, for those who stand in for others: `rump_pub_allbetsareoff_setid`.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::boundary::boundary;
use crate::context::current;
use crate::id::LwpHandle;
use crate::local::{self, Inherit};

/// *Atomic*: whether any number was ever set, so that those who do without pay for a load.
static EVER: AtomicBool = AtomicBool::new(false);

/// What a process goes by; one of its locals, which its children do not have.
#[derive(Default)]
struct Numbers(Mutex<Set>);

#[derive(Default)]
struct Set {
    pid: Option<c_int>,
    /// By lwp. An entry is as old as its lwp at least: handles are not used again.
    lids: HashMap<LwpHandle, c_int>,
}

/// The current lwp, if it is no implicit one.
fn lwp() -> Option<LwpHandle> {
    current(|current| (!current.slot().is_implicit()).then(|| current.slot().handle()))
}

/// Sets what the current process and lwp go by.
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_allbetsareoff_setid(pid: libc::pid_t, lid: c_int) {
    boundary(|| {
        if local::get::<Numbers>().is_none() {
            // Two lwps that both come first may lose one's numbers: as with any set, the last one counts.
            local::set(Numbers::default(), Inherit::drop());
        }
        let Some(numbers) = local::get::<Numbers>() else { return };
        let mut set = numbers.0.lock();
        if pid != -1 {
            set.pid = Some(pid);
        }
        if let (Some(lwp), true) = (lwp(), lid != -1) {
            set.lids.insert(lwp, lid);
        }
        // Relaxed: who set it sees it; others are told by whatever tells them.
        EVER.store(true, Ordering::Relaxed);
    });
}

/// The pid that was set for the current process.
#[inline]
pub(super) fn pid() -> Option<c_int> {
    if EVER.load(Ordering::Relaxed) { find(|set| set.pid) } else { None }
}

/// The number that was set for the current lwp.
#[inline]
pub(super) fn lid() -> Option<c_int> {
    if EVER.load(Ordering::Relaxed) { find(|set| set.lids.get(&lwp()?).copied()) } else { None }
}

#[cold]
fn find(look: impl FnOnce(&Set) -> Option<c_int>) -> Option<c_int> {
    look(&local::get::<Numbers>()?.0.lock())
}

/// A lwp's own number as NetBSD's type has room for it: the place in the table, from 1 on, and above it seven bits of the
/// place's lives. So it is unique among those who live; 0 in an implicit context.
pub(super) fn short_lid() -> c_int {
    lwp().map_or(0, shorten)
}

const fn shorten(lwp: LwpHandle) -> c_int {
    let lives = (lwp.generation() & 0x7f) as c_int;
    lives << LwpHandle::INDEX_BITS | (lwp.index() as c_int + 1)
}

// The last index and one more still fit below the lives.
const _: () = assert!(crate::lwp::LwpTable::MAX < 1 << LwpHandle::INDEX_BITS && LwpHandle::INDEX_BITS + 7 == 31);

#[cfg(test)]
mod tests {
    use super::shorten;
    use crate::id::LwpHandle;
    use crate::lwp::LwpTable;

    #[test]
    fn numbers_are_positive_and_differ_between_places_and_lives() {
        assert_eq!(shorten(LwpHandle::pack(128, 0)), 1);
        assert!(shorten(LwpHandle::pack(127, LwpTable::MAX - 1)) > 0);
        assert_ne!(shorten(LwpHandle::pack(1, 5)), shorten(LwpHandle::pack(1, 6)));
        assert_ne!(shorten(LwpHandle::pack(1, 5)), shorten(LwpHandle::pack(2, 5)));
    }
}
