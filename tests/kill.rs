//! `kernel.kill`: what it answers, and what is left of a process that was killed.

use std::thread;
use std::time::{Duration, Instant};

use lwproc::{Console, Errno, FdInherit, Kernel, Pid, ProcOptions, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

#[test]
fn only_a_living_process_that_is_not_the_kernels_own_can_be_killed() {
    let kernel = boot();
    assert_eq!([0, 1].map(|pid| kernel.kill(Pid::from_raw(pid))), [Err(Errno::EPERM); 2]);
    for pid in [2, -1, i32::MIN, i32::MAX, 1 << 20] {
        assert_eq!(kernel.kill(Pid::from_raw(pid)), Err(Errno::ESRCH), "{pid}");
    }
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let pid = lwp.pid();
    assert_eq!([kernel.kill(pid), kernel.kill(pid)], [Ok(()), Ok(())], "twice is once");
    drop(lwp);
    assert_eq!(kernel.kill(pid), Err(Errno::ESRCH));
}

#[test]
fn a_killed_process_takes_no_lwp_and_goes_with_its_last() {
    let kernel = boot();
    let first = kernel.spawn(ProcOptions::new()).unwrap();
    let mut second = first.newlwp().unwrap();
    let pid = first.pid();
    kernel.kill(pid).unwrap();
    assert_eq!((kernel.newlwp(pid), first.newlwp().unwrap_err()), (Err(Errno::EBUSY), Errno::EBUSY));
    drop(first);
    assert_eq!(kernel.newlwp(pid), Err(Errno::EBUSY));
    // What does not block works on: it has its resources to put in order.
    second.enter(|| {
        assert_eq!(sys::getpid(), pid);
        let (reader, writer) = sys::pipe().unwrap();
        assert_eq!(sys::write(writer, b"x"), Ok(1));
        assert_eq!(sys::read(reader, &mut [0; 4]), Ok(1));
        assert_eq!(sys::read(reader, &mut [0; 4]), Err(Errno::EINTR), "nothing there, and no waiting");
    });
    drop(second);
    assert_eq!((kernel.newlwp(pid), kernel.usage().procs), (Err(Errno::ESRCH), 0));
}

#[test]
fn a_killed_process_may_fork_and_its_children_live() {
    let kernel = boot();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    kernel.kill(lwp.pid()).unwrap();
    let child = lwp.enter(|| kernel.spawn(ProcOptions::new())).unwrap();
    drop(lwp);
    assert_eq!((child.newlwp().map(drop), kernel.usage().procs), (Ok(()), 1));
}

#[test]
fn killing_wakes_every_call_that_blocks_in_the_process_and_no_other() {
    let kernel = boot();
    let mut first = kernel.spawn(ProcOptions::new()).unwrap();
    let mut second = first.newlwp().unwrap();
    let mut other = kernel.spawn(ProcOptions::new().fds(FdInherit::Clean)).unwrap();
    let pid = first.pid();
    let (reader, _writer) = first.enter(sys::pipe).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        let read = scope.spawn(move || first.enter(|| sys::read(reader, &mut [0; 4])));
        let sleep = scope.spawn(move || second.enter(|| sys::nanosleep(Duration::from_secs(60), None)));
        let spared = scope.spawn(move || other.enter(|| sys::nanosleep(Duration::from_millis(80), None)));
        // Long enough for them to block, mostly; right in any case.
        thread::sleep(Duration::from_millis(30));
        kernel.kill(pid).unwrap();
        assert_eq!((read.join().unwrap(), sleep.join().unwrap()), (Err(Errno::EINTR), Err(Errno::EINTR)));
        assert_eq!(spared.join().unwrap(), Ok(()));
    });
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(kernel.usage().procs, 0);
}
