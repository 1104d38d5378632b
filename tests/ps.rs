//! `kernel.ps`: what it says of each process, as a list and as a table, and while everything moves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lwproc::{Console, FdInherit, Kernel, Pid, ProcOptions, PsRow, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

fn row(kernel: &Kernel, pid: Pid) -> PsRow {
    kernel.ps().iter().find(|row| row.pid == pid).unwrap().clone()
}

#[test]
fn a_row_says_what_the_process_is_and_has() {
    let kernel = boot();
    let mut lwp = kernel.spawn(ProcOptions::new().name("bob").uid(7).gid(8)).unwrap();
    let pid = lwp.pid();
    let fresh = row(&kernel, pid);
    assert_eq!((fresh.ppid, fresh.uid, fresh.name.as_str()), (Pid::INIT, 7, "bob"));
    assert_eq!((fresh.lwps, fresh.running, fresh.fds, fresh.switches), (1, 0, 0, 0));
    let second = lwp.newlwp().unwrap();
    lwp.enter(|| {
        sys::pipe().unwrap();
        sys::setprocname("robert");
        kernel.switch(Some(second.id()));
        let now = row(&kernel, pid);
        assert_eq!((now.lwps, now.running, now.fds, now.switches), (2, 1, 2, 1));
        assert_eq!(now.name, "robert");
    });
    drop(second);
    let now = row(&kernel, pid);
    assert_eq!((now.lwps, now.running), (1, 0));
    assert_eq!(now.switches, 2, "those of lwps that are gone count too");
    drop(lwp);
    assert_eq!(kernel.ps().iter().map(|row| row.pid.raw()).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_shared_table_shows_its_descriptors_in_each_process_and_an_orphan_its_new_parent() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let parent = kernel.curlwp();
    sys::pipe().unwrap();
    kernel.rfork(FdInherit::Share).unwrap();
    let child = sys::getpid();
    assert_eq!((row(&kernel, child).fds, row(&kernel, child).ppid.raw()), (2, 2));
    kernel.switch(parent);
    kernel.releaselwp();
    assert_eq!((row(&kernel, child).fds, row(&kernel, child).ppid), (2, Pid::INIT));
}

#[test]
fn it_prints_a_table_with_aligned_columns() {
    let kernel = boot();
    let _alice = kernel.spawn(ProcOptions::new().name("alice").uid(1001)).unwrap();
    let table = kernel.ps().to_string();
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["PID", "PPID", "UID", "LWPS", "RUN", "FDS", "SWITCHES", "CWD", "NAME"]);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1][..3], ["1", "0", "0"]);
    assert_eq!(rows[1][5], "3", "the console");
    assert_eq!(rows[2], ["2", "1", "1001", "1", "0", "0", "0", "/", "alice"]);
    let name = table.lines().next().unwrap().find("NAME").unwrap();
    for (line, name_of_row) in table.lines().skip(1).zip(["kernel", "init", "alice"]) {
        assert_eq!(&line[name..], name_of_row);
    }
}

#[test]
fn it_stops_nobody_and_never_shows_a_process_twice_or_one_that_stays_not_at_all() {
    let kernel = boot();
    let stays: Vec<_> = (0..20).map(|_| kernel.spawn(ProcOptions::new().name("stays")).unwrap()).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    kernel.rfork(FdInherit::Clean).unwrap();
                    kernel.newlwp(sys::getpid()).unwrap();
                    let second = kernel.curlwp();
                    kernel.switch(None);
                    kernel.switch(second);
                    kernel.releaselwp();
                    // The first is idle now, and nobody's: the process lives on until the kernel ends, or a few do.
                    if let Ok(lwp) = kernel.spawn(ProcOptions::new().name("comes and goes")) {
                        drop(lwp);
                    }
                    let left = kernel.ps().iter().count();
                    if left > 400 {
                        break;
                    }
                }
            });
        }
        for _ in 0..300 {
            let ps = kernel.ps();
            assert!(ps.iter().map(|row| row.pid).is_sorted_by(|one, next| one < next));
            assert_eq!(ps.iter().filter(|row| row.name == "stays").count(), stays.len());
            assert!(ps.iter().filter(|row| row.name == "stays").all(|row| (row.lwps, row.running) == (1, 0)));
            assert!(ps.iter().all(|row| row.running <= row.lwps && row.lwps <= 2), "{ps}");
        }
        done.store(true, Ordering::Relaxed);
    });
}
