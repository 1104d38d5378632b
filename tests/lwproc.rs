//! rump_lwproc(3): what the calls do, and who is current after each. The rows are what a real rump kernel was seen to do.

use std::collections::HashSet;
use std::thread;

use lwproc::{Console, Errno, FdInherit, Kernel, LwpId, Pid, ProcOptions, SwitchError, sys};

const KINDS: [FdInherit; 3] = [FdInherit::Share, FdInherit::Copy, FdInherit::Clean];

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

#[test]
fn an_implicit_context_is_pid_1_and_has_no_lwp() {
    let kernel = boot();
    kernel.enter(|| {
        assert_eq!((sys::getpid(), sys::getppid()), (Pid::INIT, Pid::KERNEL));
        assert_eq!((sys::getuid(), sys::getgid(), sys::getlwpid()), (0, 0, 0));
        assert_eq!(kernel.curlwp(), None);
    });
}

#[test]
fn rfork_numbers_processes_in_turn_and_its_child_is_current() {
    let kernel = boot();
    for (pid, fds) in (2..).zip(KINDS) {
        kernel.rfork(fds).unwrap();
        assert_eq!((sys::getpid().raw(), sys::getppid()), (pid, Pid::INIT));
        assert_eq!(sys::getlwpid(), kernel.curlwp().unwrap().raw());
        kernel.releaselwp();
        assert_eq!((kernel.curlwp(), sys::getpid()), (None, Pid::INIT));
    }
    assert_eq!(kernel.newlwp(Pid::from_raw(2)), Err(Errno::ESRCH));
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
}

#[test]
fn the_flags_of_rfork_are_those_of_the_manual_page() {
    let (copy, clean) = (FdInherit::RFFDG, FdInherit::RFCFDG);
    assert_eq!([0, copy, clean].map(FdInherit::from_flags), KINDS.map(Ok));
    for flags in [copy | clean, 4, -1, i32::MIN, i32::MAX, 1 << 8, copy | 1 << 31] {
        assert_eq!(FdInherit::from_flags(flags), Err(Errno::EINVAL), "{flags:#x}");
    }
}

#[test]
fn newlwp_of_no_process_is_esrch_and_changes_nothing() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let lwp = kernel.curlwp();
    for pid in [3, 37, -1, -5, i32::MAX, i32::MIN, 1 << 20, 2 | 1 << 20] {
        assert_eq!(kernel.newlwp(Pid::from_raw(pid)), Err(Errno::ESRCH), "{pid}");
        assert_eq!((kernel.curlwp(), kernel.usage().lwps), (lwp, 1));
    }
    kernel.releaselwp();
    assert_eq!(kernel.newlwp(Pid::from_raw(2)), Err(Errno::ESRCH), "just released");
}

#[test]
fn newlwp_joins_any_process_and_pids_0_and_1_survive_their_lwps() {
    let kernel = boot();
    kernel.enter(|| sys::setuid(9)).unwrap();
    for pid in [Pid::KERNEL, Pid::INIT, Pid::KERNEL, Pid::INIT] {
        kernel.newlwp(pid).unwrap();
        assert_eq!((sys::getpid(), kernel.curlwp().is_some()), (pid, true));
        // Whatever pid 1 has become, the kernel's own process is root's.
        assert_eq!(sys::getuid(), if pid == Pid::KERNEL { 0 } else { 9 });
        assert_eq!(sys::dup(0).is_ok(), pid == Pid::INIT);
        kernel.releaselwp();
        assert_eq!(kernel.curlwp(), None);
    }
    kernel.rfork(FdInherit::Clean).unwrap();
    let (pid, first) = (sys::getpid(), kernel.curlwp());
    kernel.newlwp(pid).unwrap();
    assert_eq!(sys::getpid(), pid);
    assert_ne!(kernel.curlwp(), first);
    kernel.releaselwp();
    kernel.switch(first);
    kernel.releaselwp();
    assert_eq!(kernel.newlwp(pid), Err(Errno::ESRCH));
}

#[test]
fn the_callers_process_is_the_parent_until_it_is_gone() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let parent = kernel.curlwp();
    for fds in KINDS {
        kernel.rfork(fds).unwrap();
        assert_eq!(sys::getppid().raw(), 2);
        kernel.releaselwp();
        // The old lwp stays alive, and is not what release falls back to.
        assert_eq!(kernel.curlwp(), None);
        kernel.switch(parent);
    }
    kernel.rfork(FdInherit::Clean).unwrap();
    let child = kernel.curlwp();
    kernel.switch(parent);
    kernel.releaselwp();
    kernel.switch(child);
    assert_eq!(sys::getppid(), Pid::INIT);
    // One that has the parent's slot now is not the parent.
    for _ in 0..200 {
        kernel.spawn(ProcOptions::new()).unwrap();
    }
    assert_eq!(sys::getppid(), Pid::INIT);
    kernel.releaselwp();
}

#[test]
fn credentials_are_inherited_as_a_copy_and_siblings_see_a_change_at_once() {
    let kernel = boot();
    for fds in KINDS {
        kernel.rfork(FdInherit::Clean).unwrap();
        let parent = kernel.curlwp();
        sys::setgroups(&[3, 4]).unwrap();
        sys::setgid(8).unwrap();
        sys::setuid(7).unwrap();
        assert_eq!(sys::setuid(0), Err(Errno::EPERM));
        kernel.rfork(fds).unwrap();
        assert_eq!((sys::getuid(), sys::geteuid(), sys::getgid(), sys::getegid()), (7, 7, 8, 8));
        assert_eq!(sys::getgroups(), [3, 4]);
        kernel.releaselwp();
        kernel.switch(parent);
        kernel.releaselwp();
    }

    kernel.rfork(FdInherit::Clean).unwrap();
    let parent = kernel.curlwp();
    kernel.rfork(FdInherit::Clean).unwrap();
    let child = kernel.curlwp();
    kernel.newlwp(sys::getpid()).unwrap();
    let sibling = kernel.curlwp();
    // Each has looked before.
    for lwp in [parent, child, sibling] {
        kernel.switch(None);
        kernel.switch(lwp);
        assert_eq!(sys::getuid(), 0);
    }
    sys::setuid(7).unwrap();
    kernel.switch(child);
    assert_eq!(sys::getuid(), 7);
    kernel.switch(parent);
    assert_eq!(sys::getuid(), 0);
    kernel.switch(None);
    for lwp in [parent, child, sibling] {
        kernel.switch(lwp);
        kernel.releaselwp();
    }
}

#[test]
fn setuid_in_an_implicit_context_changes_pid_1_for_good() {
    let kernel = boot();
    kernel.enter(|| sys::setuid(7)).unwrap();
    thread::scope(|scope| scope.spawn(|| kernel.enter(|| assert_eq!(sys::getuid(), 7))).join().unwrap());
    kernel.rfork(FdInherit::Clean).unwrap();
    assert_eq!(sys::getuid(), 7);
    kernel.releaselwp();
}

#[test]
fn switching_moves_between_lwps() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let first = kernel.curlwp().unwrap();
    kernel.switch(None);
    kernel.rfork(FdInherit::Clean).unwrap();
    let second = kernel.curlwp().unwrap();
    kernel.switch(Some(first));
    assert_eq!(sys::getpid().raw(), 2);
    assert!(matches!(kernel.try_switch(Some(first)), Err(SwitchError::Running { .. })));
    kernel.switch(Some(second));
    assert_eq!(sys::getpid().raw(), 3);
    kernel.releaselwp();
    assert_eq!(kernel.try_switch(Some(second)), Err(SwitchError::Stale));
    kernel.switch(Some(first));
    kernel.releaselwp();
}

#[test]
fn switching_to_none_when_implicit_already_does_nothing() {
    let kernel = boot();
    kernel.switch(None);
    kernel.switch(None);
    assert_eq!((kernel.curlwp(), sys::getpid()), (None, Pid::INIT));
}

#[test]
fn fifty_thousand_forks_and_releases_use_no_pid_again_at_once() {
    let kernel = boot();
    let mut recent = std::collections::VecDeque::new();
    for _ in 0..50_000 {
        kernel.rfork(FdInherit::Clean).unwrap();
        let pid = sys::getpid();
        kernel.releaselwp();
        assert!(pid.raw() > 1 && !recent.contains(&pid), "{pid} was used a moment ago");
        recent.push_back(pid);
        if recent.len() > 60 {
            recent.pop_front();
        }
    }
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
}

#[test]
fn forty_thousand_processes_live_at_a_time() {
    let kernel = boot();
    let lwps: Vec<LwpId> = (0..40_000)
        .map(|_| {
            kernel.rfork(FdInherit::Clean).unwrap();
            kernel.curlwp().unwrap()
        })
        .collect();
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (40_000, 40_000));
    // The last made is the child of the one before, and so on.
    assert_eq!((sys::getpid().raw(), sys::getppid().raw()), (40_001, 40_000));
    let ps = kernel.ps();
    assert_eq!(ps.iter().map(|row| row.pid).collect::<HashSet<_>>().len(), 40_002);
    for lwp in lwps.iter().rev().skip(1) {
        kernel.switch(Some(*lwp));
        kernel.releaselwp();
    }
    kernel.switch(lwps.last().copied());
    assert_eq!(sys::getppid(), Pid::INIT);
    kernel.releaselwp();
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
}

#[test]
fn an_entered_lwp_is_left_whatever_happens() {
    let kernel = boot();
    let mut outer = kernel.spawn(ProcOptions::new()).unwrap();
    let mut inner = kernel.spawn(ProcOptions::new()).unwrap();
    outer.enter(|| {
        let pid = sys::getpid();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            inner.enter(|| {
                assert_eq!(sys::getpid().raw(), 3);
                panic!("in user code")
            })
        }));
        assert!(panic.is_err());
        assert_eq!(sys::getpid(), pid);
        // It switches away, forks, goes to another kernel, or releases itself.
        let other = boot();
        inner.enter(|| kernel.switch(None));
        inner.enter(|| kernel.rfork(FdInherit::Clean).unwrap());
        inner.enter(|| other.rfork(FdInherit::Clean).unwrap());
        assert_eq!((sys::getpid(), kernel.usage().procs, other.usage().procs), (pid, 3, 1));
        inner.enter(|| kernel.releaselwp());
        assert_eq!((sys::getpid(), inner.try_enter(|| ())), (pid, Err(SwitchError::Stale)));
    });
    assert_eq!(kernel.curlwp(), None);
    drop((inner, outer));
    assert_eq!(kernel.usage().procs, 1, "the one that was forked and left lives on");
}

#[test]
fn entering_nests_and_what_is_put_aside_stays_this_threads() {
    let kernel = boot();
    let mut lwps: Vec<_> = (0..3).map(|_| kernel.spawn(ProcOptions::new()).unwrap()).collect();
    let ids: Vec<_> = lwps.iter().map(|lwp| lwp.id()).collect();
    let [first, second, third] = lwps.as_mut_slice() else { unreachable!() };
    first.enter(|| {
        second.enter(|| {
            kernel.enter(|| third.enter(|| assert_eq!(kernel.curlwp(), Some(ids[2]))));
            assert_eq!(kernel.curlwp(), Some(ids[1]));
            thread::scope(|scope| {
                let elsewhere = scope.spawn(|| [0, 1, 2].map(|at| kernel.try_switch(Some(ids[at])).is_ok()));
                assert_eq!(elsewhere.join().unwrap(), [false, false, true]);
            });
        });
        assert_eq!(kernel.curlwp(), Some(ids[0]));
    });
    assert_eq!(kernel.curlwp(), None);
}

#[test]
fn an_owned_lwp_that_is_current_is_released_by_its_drop() {
    let kernel = boot();
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    kernel.switch(Some(lwp.id()));
    drop(lwp);
    assert_eq!((kernel.curlwp(), kernel.usage().procs), (None, 0));
}

#[test]
fn a_spawned_process_is_as_it_was_told_and_else_like_its_parent() {
    let kernel = boot();
    let mut parent = kernel.spawn(ProcOptions::new().uid(7).gid(8).groups([9]).name("parent")).unwrap();
    let mut child = parent.enter(|| kernel.spawn(ProcOptions::new().gid(5))).unwrap();
    child.enter(|| {
        assert_eq!((sys::getuid(), sys::getgid(), sys::getgroups()), (7, 5, vec![9]));
        assert_eq!((sys::procname().as_str(), sys::getppid()), ("parent", parent.pid()));
        sys::setprocname("child");
    });
    assert_eq!(parent.enter(sys::procname), "parent");
    let many = vec![1; lwproc::NGROUPS_MAX + 1];
    assert_eq!(kernel.spawn(ProcOptions::new().groups(many)).unwrap_err(), Errno::EINVAL);
    assert_eq!(kernel.usage().procs, 2);
}
