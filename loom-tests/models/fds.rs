//! Descriptor tables: lookups, opens, closes and replacements, all at once.

use loom::sync::Arc;
use loom::thread;

use super::Model;
use super::witness::{close_all, install, open, table, use_once, witness};
use crate::errno::Errno;
use crate::fd::{FdFlags, FdTable, OpenFile};
use crate::sync::fault::Fault;
use crate::sync::{Ordering, UnlessFailed};

const TABLE: &str = "fd/fdtable.rs";
const DESCRIPTION: &str = "fd/description.rs";

/// One thread looks a descriptor up and uses the file, another closes it.
pub(super) const CLOSE: Model = Model {
    name: "lookup against close",
    preemptions: Some(3),
    run: || {
        let table = table();
        let (file, closed) = witness();
        let fd = install(&table, file);
        let user = thread::spawn({
            let table = Arc::clone(&table);
            move || match table.get(fd) {
                Ok(file) => use_once(file),
                Err(error) => assert_eq!(error, Errno::EBADF),
            }
        });
        drop(table.close(fd).expect("it is open"));
        assert_eq!(table.get(fd).unwrap_err(), Errno::EBADF);
        user.join().unwrap();
        assert_eq!(closed.load(Ordering::Relaxed), 1);
    },
};

#[test]
fn a_file_closes_once_and_after_the_last_call_on_it() {
    CLOSE.check();
}

#[test]
fn a_close_that_does_not_wait_for_the_last_use_is_found() {
    CLOSE.must_fail(Fault::Fence(DESCRIPTION));
    CLOSE.must_fail(Fault::Release(DESCRIPTION));
}

#[test]
fn a_count_in_two_steps_is_found() {
    CLOSE.must_fail(Fault::Torn(DESCRIPTION));
}

#[test]
fn a_description_that_is_freed_at_once_is_found() {
    CLOSE.must_fail(Fault::FreeAtOnce);
}

/// Two threads close the same descriptor.
pub(super) const TWO_CLOSE: Model = Model {
    name: "close against close",
    preemptions: Some(3),
    run: || {
        let table = table();
        let (file, closed) = witness();
        let fd = install(&table, file);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.close(fd).map(drop)
        });
        let mine = table.close(fd).map(drop);
        let others = other.join().unwrap();
        assert!(mine.is_ok() != others.is_ok());
        assert_eq!(closed.load(Ordering::Relaxed), 1);
        assert_eq!(install(&table, witness().0), fd);
    },
};

#[test]
fn a_descriptor_is_closed_by_one_thread() {
    TWO_CLOSE.check();
}

/// `dup2` onto a descriptor that another thread looks up: it is never seen closed.
pub(super) const REPLACE: Model = Model {
    name: "lookup against dup2",
    preemptions: Some(3),
    run: || {
        let table = table();
        let (old, old_closed) = witness();
        let fd = install(&table, old);
        let user = thread::spawn({
            let table = Arc::clone(&table);
            move || use_once(table.get(fd).expect("one or the other is there"))
        });
        let (new, new_closed) = witness();
        drop(table.replace(fd, new, FdFlags::CLOEXEC, 64).expect("it is open").expect("it replaces"));
        user.join().unwrap();
        assert_eq!((old_closed.load(Ordering::Relaxed), new_closed.load(Ordering::Relaxed)), (1, 0));
        assert_eq!(table.fd_flags(fd), Ok(FdFlags::CLOEXEC));
        drop(table.close(fd));
        assert_eq!(new_closed.load(Ordering::Relaxed), 1);
    },
};

#[test]
fn a_descriptor_that_is_replaced_is_never_seen_closed() {
    REPLACE.check();
}

#[test]
fn a_replaced_description_that_is_freed_at_once_is_found() {
    REPLACE.must_fail(Fault::FreeAtOnce);
}

/// `dup2` onto a number that another thread closes: one file is there in the end, or none, and each closes once.
pub(super) const REPLACE_CLOSE: Model = Model {
    name: "close against dup2",
    preemptions: Some(3),
    run: || {
        let table = table();
        let ((old, old_closed), (new, new_closed)) = (witness(), witness());
        let fd = install(&table, old);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || drop(table.close(fd).expect("one or the other is there"))
        });
        let busy = match table.replace(fd, new, FdFlags::empty(), 64) {
            Ok(replaced) => {
                drop(replaced);
                false
            }
            Err(error) => {
                assert_eq!(error, Errno::EBUSY);
                true
            }
        };
        other.join().unwrap();
        assert_eq!(old_closed.load(Ordering::Relaxed), 1);
        let open = table.get(fd).map(use_once).is_ok();
        assert_eq!(new_closed.load(Ordering::Relaxed), u32::from(!open));
        assert!(!(busy && open));
        assert_eq!(table.open_count(), u32::from(open));
    },
};

#[test]
fn a_descriptor_that_is_closed_and_replaced_leaks_nothing() {
    REPLACE_CLOSE.check();
}

/// One thread opens a descriptor, another looks it up.
pub(super) const OPEN: Model = Model {
    name: "lookup against open",
    preemptions: Some(3),
    run: || {
        let table = table();
        install(&table, open());
        let user = thread::spawn({
            let table = Arc::clone(&table);
            move || match table.get(1) {
                Ok(file) => use_once(file),
                Err(error) => assert_eq!(error, Errno::EBADF),
            }
        });
        assert_eq!(install(&table, open()), 1);
        user.join().unwrap();
    },
};

/// One thread opens a descriptor, another closes it or replaces it as soon as it sees it.
fn open_against(end: fn(&FdTable) -> Result<(), Errno>) {
    let table = table();
    install(&table, open());
    let other = thread::spawn({
        let table = Arc::clone(&table);
        // Not before: loom does not know that nothing comes between a swap and what it reads, and could lose what is
        // opened in the middle of a close that finds nothing.
        move || table.fd_flags(1).is_ok() && end(&table).is_ok()
    });
    let (file, closed) = witness();
    assert_eq!(install(&table, file), 1);
    let ended = other.join().unwrap();
    assert_eq!(closed.load(Ordering::Relaxed), u32::from(ended));
}

pub(super) const OPEN_CLOSE: Model =
    Model { name: "close against open", preemptions: Some(3), run: || open_against(|table| table.close(1).map(drop)) };

pub(super) const OPEN_REPLACE: Model = Model {
    name: "dup2 against open",
    preemptions: Some(3),
    run: || {
        open_against(|table| table.replace(1, open(), FdFlags::empty(), 64).map(|old| assert!(old.is_some())));
    },
};

#[test]
fn a_descriptor_is_seen_with_its_whole_file_or_not_at_all() {
    OPEN.check();
}

#[test]
fn a_descriptor_that_is_not_acquired_is_found() {
    OPEN.must_fail(Fault::Acquire(TABLE));
}

#[test]
fn a_descriptor_that_is_closed_as_it_is_opened_closes_once() {
    OPEN_CLOSE.check();
}

#[test]
fn a_descriptor_that_is_replaced_as_it_is_opened_closes_once() {
    OPEN_REPLACE.check();
}

/// One thread sets a descriptor's flags, another closes it: it stays closed.
pub(super) const FLAGS: Model = Model {
    name: "flags against close",
    preemptions: Some(3),
    run: || {
        let table = table();
        let (file, closed) = witness();
        install(&table, file);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.set_fd_flags(0, FdFlags::CLOEXEC)
        });
        let seen = table.get(0).map(use_once);
        assert_eq!(seen.err(), None);
        drop(table.close(0).expect("it is open"));
        assert!(matches!(other.join().unwrap(), Ok(()) | Err(Errno::EBADF)));
        assert_eq!((closed.load(Ordering::Relaxed), table.fd_flags(0)), (1, Err(Errno::EBADF)));
    },
};

#[test]
fn a_closed_descriptor_does_not_come_back_with_its_flags() {
    FLAGS.check();
}

#[test]
fn flags_that_are_set_in_two_steps_are_found() {
    FLAGS.must_fail(Fault::Torn(TABLE));
}

/// One thread takes a number in a segment that is not there yet, another looks numbers up there.
pub(super) const GROWTH: Model = Model {
    name: "lookup against growth",
    preemptions: Some(3),
    run: || {
        let table = table();
        install(&table, open());
        install(&table, open());
        let user = thread::spawn({
            let table = Arc::clone(&table);
            move || match table.get(2) {
                Ok(file) => use_once(file),
                Err(error) => assert_eq!(error, Errno::EBADF),
            }
        });
        assert_eq!(install(&table, open()), 2);
        user.join().unwrap();
        table.get(2).map(use_once).unwrap();
    },
};

#[test]
fn a_table_grows_under_lookups() {
    GROWTH.check();
}

#[test]
fn a_segment_that_is_not_released_is_found() {
    GROWTH.must_fail(Fault::Release("table/segments.rs"));
}

/// A table is copied, as by `rfork`, while `dup2` replaces one of its entries: the copy has one file or the other.
pub(super) const COPY: Model = Model {
    name: "copy against dup2",
    preemptions: Some(3),
    run: || {
        let table = table();
        let ((old, old_closed), (new, new_closed)) = (witness(), witness());
        let fd = install(&table, old);
        let copier = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let copy = UnlessFailed::new(table.copy());
                use_once(copy.get(fd).expect("one or the other is there"));
                assert_eq!(install(&copy, open()), 1);
            }
        });
        drop(table.replace(fd, new, FdFlags::empty(), 64).expect("it is open"));
        copier.join().unwrap();
        assert_eq!((old_closed.load(Ordering::Relaxed), new_closed.load(Ordering::Relaxed)), (1, 0));
    },
};

#[test]
fn a_copied_table_misses_nothing_that_is_replaced_meanwhile() {
    COPY.check();
}

/// One thread puts a file into a table by `open`, another is its last user, and leaves.
fn late(open: fn(&FdTable, OpenFile)) {
    let table = table();
    let ((old, old_closed), (new, new_closed)) = (witness(), witness());
    assert_eq!(install(&table, old), 0);
    let late = thread::spawn({
        let table = Arc::clone(&table);
        move || open(&table, new)
    });
    assert!(table.leave());
    close_all(&table);
    late.join().unwrap();
    assert_eq!((old_closed.load(Ordering::Relaxed), new_closed.load(Ordering::Relaxed)), (1, 1));
    assert_eq!((table.get(0).err(), table.open_count()), (Some(Errno::EBADF), 0));
}

pub(super) const LATE: Model = Model {
    name: "open against the end of the table",
    preemptions: Some(3),
    run: || {
        late(|table, file| {
            let number = table.take_lowest(0, 64).expect("there is room");
            drop(number.install(file, FdFlags::empty()));
        });
    },
};

pub(super) const LATE_REPLACE: Model = Model {
    name: "dup2 against the end of the table",
    preemptions: Some(3),
    run: || late(|table, file| drop(table.replace(0, file, FdFlags::empty(), 64))),
};

#[test]
fn a_file_that_comes_into_a_dead_table_is_closed() {
    LATE.check();
}

#[test]
fn a_file_that_replaces_another_in_a_dead_table_is_closed() {
    LATE_REPLACE.check();
}

#[test]
fn a_file_that_comes_into_a_dead_table_without_fences_is_found() {
    LATE.must_fail(Fault::Fence(TABLE));
}

#[test]
fn a_file_that_replaces_another_in_two_steps_as_the_table_dies_is_found() {
    LATE_REPLACE.must_fail(Fault::Torn(TABLE));
}
