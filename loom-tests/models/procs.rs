//! The process table: a process is found whole or not at all, and what is looked at is not freed, though its slot goes
//! on to the next process.

use std::sync::Arc;

use loom::thread;

use super::Model;
use crate::cred::Cred;
use crate::fd::FdTable;
use crate::id::Pid;
use crate::proc::limits::Limits;
use crate::proc::user::Users;
use crate::proc::{Birth, Detach, Proc, ProcTable};
use crate::sync::UnlessFailed;
use crate::sync::fault::Fault;
use crate::table;
use crate::vfs::{Cwd, Namespace};

/// Pids of the first and the second process in the first slot.
const FIRST: Pid = Pid::pack(0, 0);
const SECOND: Pid = Pid::pack(1, 0);

fn umask_of(pid: Pid) -> u32 {
    if pid == FIRST { 1 } else { 2 }
}

fn publish(table: &ProcTable) -> &Proc {
    let reserved = table.reserve().expect("there is room for one");
    let root = Namespace::new(0).root();
    let umask = umask_of(reserved.pid);
    let proc = reserved.publish(Birth {
        born_to: Pid::INIT,
        fds: Arc::new(FdTable::new()),
        identity: Users::new().identify(Cred::root()),
        cwd: Arc::new(Cwd { root: root.clone(), dir: root }),
        name: Arc::new("model".into()),
        umask,
        limits: Limits::new(),
        locals: None,
    });
    // SAFETY: it has a lwp, this thread's.
    unsafe { &*proc }
}

fn end(table: &ProcTable, proc: &Proc) {
    let pid = proc.pid;
    assert_eq!(proc.lwps.detach(), Detach::Last);
    proc.lwps.dead();
    // SAFETY: dead, removed by this thread alone, which uses it no more.
    unsafe { table.remove(pid) };
}

fn table() -> Arc<UnlessFailed<ProcTable>> {
    Arc::new(UnlessFailed::new(ProcTable::new(1)))
}

/// One thread makes a process, ends it and makes the next in its slot, another looks for both.
pub(super) const LOOKUP: Model = Model {
    name: "publish, lookup, unpublish, reuse",
    preemptions: Some(2),
    run: || {
        let table = table();
        let onlooker = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let guard = UnlessFailed::new(table::pin());
                for pid in [FIRST, SECOND] {
                    if let Some(proc) = table.get(pid, &guard) {
                        assert_eq!((proc.pid, proc.umask()), (pid, umask_of(pid)));
                    }
                }
            }
        });
        let first = publish(&table);
        assert_eq!(first.pid, FIRST);
        end(&table, first);
        assert!(table.get(FIRST, &table::pin()).is_none());
        let second = publish(&table);
        assert_eq!(second.pid, SECOND);
        onlooker.join().unwrap();
        assert!(table.get(FIRST, &table::pin()).is_none() && !table.contains(FIRST));
        assert!(table.get(SECOND, &table::pin()).is_some() && table.contains(SECOND));
        assert_eq!(table.live(), 1);
    },
};

#[test]
fn a_process_is_found_whole_or_not_at_all_and_is_not_freed_under_a_look() {
    LOOKUP.check();
}

#[test]
fn a_process_that_is_freed_at_once_is_found() {
    LOOKUP.must_fail(Fault::FreeAtOnce);
}

#[test]
fn a_process_that_is_published_without_release_or_read_without_acquire_is_found() {
    LOOKUP.must_fail(Fault::Release("proc/table.rs"));
    LOOKUP.must_fail(Fault::Acquire("proc/table.rs"));
}

/// A walk over the table meanwhile.
pub(super) const WALK: Model = Model {
    name: "the process table is walked",
    preemptions: Some(3),
    run: || {
        let table = table();
        let first = publish(&table);
        let walker = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let guard = UnlessFailed::new(table::pin());
                for proc in table.iter(&guard) {
                    assert_eq!(proc.umask(), umask_of(proc.pid));
                }
            }
        });
        end(&table, first);
        publish(&table);
        walker.join().unwrap();
    },
};

#[test]
fn a_walk_meets_living_or_kept_processes_alone() {
    WALK.check();
}

#[test]
fn a_process_that_is_freed_under_a_walk_is_found() {
    WALK.must_fail(Fault::FreeAtOnce);
}
