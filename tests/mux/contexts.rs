//! Who is current, in a turn and after it.

use std::cell::RefCell;
use std::rc::Rc;

use lwproc::mux::{yield_now, yield_turn};
use lwproc::{FdInherit, Kernel, Pid, ProcOptions, SwitchError, sys};

use super::{lwp, mux, nothing_left, sharing};

#[test]
fn each_fiber_and_future_is_in_its_own_lwp_whatever_runs_between_its_turns() {
    let (kernel, mut mux) = mux();
    for uid in 1..=20 {
        let lwp = kernel.spawn(ProcOptions::new().uid(uid)).unwrap();
        let (pid, id) = (lwp.pid(), lwp.id().raw());
        let check = move || assert_eq!((sys::getuid(), sys::getpid(), sys::getlwpid()), (uid, pid, id));
        if uid % 2 == 0 {
            mux.spawn_fiber(lwp, move || {
                for _ in 0..10 {
                    check();
                    yield_now();
                }
            })
            .unwrap();
        } else {
            mux.spawn(lwp, async move {
                for _ in 0..10 {
                    check();
                    yield_turn().await;
                }
            })
            .unwrap();
        }
    }
    mux.run().unwrap();
    nothing_left(&kernel);
}

#[test]
fn the_host_thread_is_back_in_its_context_after_a_run() {
    let (kernel, mut mux) = mux();
    kernel.rfork(FdInherit::Clean).unwrap();
    let mine = kernel.curlwp();
    mux.spawn_fiber(lwp(&kernel), || ()).unwrap();
    mux.run().unwrap();
    assert_eq!((kernel.curlwp(), sys::getpid().raw()), (mine, 2));
    assert_eq!(mux.run_until(async { sys::getpid() }), Ok(Some(Pid::INIT)));
    assert_eq!(kernel.curlwp(), mine);
    kernel.releaselwp();
}

#[test]
fn a_spawned_lwp_runs_for_everyone_else_until_its_task_ends() {
    let (kernel, mut mux) = mux();
    let lwp = lwp(&kernel);
    let (id, pid) = (lwp.id(), lwp.pid());
    mux.spawn_fiber(lwp, yield_now).unwrap();
    let running = Err(SwitchError::Running { pid, host: mux.handle().host() });
    assert_eq!(kernel.try_switch(Some(id)), running);
    let elsewhere = std::thread::scope(|scope| scope.spawn(|| kernel.try_switch(Some(id))).join().unwrap());
    assert_eq!(elsewhere, running);
    let others = kernel.spawn(ProcOptions::new()).unwrap();
    let theirs = kernel.clone();
    mux.spawn_fiber(others, move || assert_eq!(theirs.try_switch(Some(id)), running)).unwrap();
    mux.run().unwrap();
    assert_eq!(kernel.try_switch(Some(id)), Err(SwitchError::Stale));
    nothing_left(&kernel);
}

#[test]
fn a_fiber_may_go_to_other_lwps_and_kernels_and_finds_itself_there_after_each_turn() {
    let (kernel, mut mux) = mux();
    let other = Kernel::new().unwrap();
    let pids = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        let (kernel, other, pids) = (kernel.clone(), other.clone(), Rc::clone(&pids));
        mux.spawn_fiber(lwp(&kernel), move || {
            let own = kernel.curlwp();
            let mut seen = vec![sys::getpid().raw()];
            let mut see = || {
                yield_now();
                seen.push(sys::getpid().raw());
            };
            kernel.switch(None);
            see();
            kernel.switch(own);
            see();
            kernel.rfork(FdInherit::Clean).unwrap();
            see();
            kernel.releaselwp();
            see();
            other.rfork(FdInherit::Clean).unwrap();
            see();
            other.releaselwp();
            kernel.switch(own);
            see();
            other.enter(&mut see);
            see();
            pids.borrow_mut().push(seen);
        })
        .unwrap();
    }
    mux.run().unwrap();
    // Pids of the kernel go round: each fiber's own, then that of its child.
    assert_eq!(*pids.borrow(), [[2, 1, 2, 4, 1, 2, 2, 1, 2], [3, 1, 3, 5, 1, 3, 3, 1, 3]]);
    nothing_left(&kernel);
    nothing_left(&other);
}

#[test]
fn a_task_that_ends_elsewhere_leaves_nothing_behind() {
    let (kernel, mut mux) = mux();
    let other = Kernel::new().unwrap();
    let ends: [fn(&Kernel, &Kernel); 5] = [
        |kernel, _| kernel.switch(None),
        |kernel, _| kernel.rfork(FdInherit::Clean).unwrap(),
        |kernel, _| kernel.releaselwp(),
        |_, other| other.switch(None),
        |_, other| other.rfork(FdInherit::Clean).unwrap(),
    ];
    for end in ends {
        for fiber in [true, false] {
            let (kernel, other) = (kernel.clone(), other.clone());
            let lwp = lwp(&kernel);
            if fiber {
                mux.spawn_fiber(lwp, move || end(&kernel, &other)).unwrap();
            } else {
                mux.spawn(lwp, async move { end(&kernel, &other) }).unwrap();
            }
        }
        mux.run().unwrap();
        assert_eq!(sys::getpid(), Pid::INIT);
    }
    // What was forked lives on, and is nobody's.
    assert_eq!((kernel.usage().lwps, other.usage().lwps), (2, 2));
    let idle: Vec<_> = kernel.ps().iter().filter(|row| row.running == 0 && row.lwps == 1).map(|row| row.pid).collect();
    assert_eq!(idle.len(), 2);
}

#[test]
fn ps_tells_the_one_that_runs_from_those_that_wait() {
    let (kernel, mut mux) = mux();
    let seen = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b"] {
        let lwp = kernel.spawn(ProcOptions::new().name(name)).unwrap();
        let (kernel, seen) = (kernel.clone(), Rc::clone(&seen));
        mux.spawn_fiber(lwp, move || {
            yield_now();
            let ps = kernel.ps();
            let row = |name| ps.iter().find(|row| row.name == name).map(|row| (row.running, row.switches)).unwrap();
            seen.borrow_mut().push((row("a"), row("b")));
        })
        .unwrap();
    }
    mux.run().unwrap();
    assert_eq!(seen.borrow()[0], ((1, 1), (0, 1)));
}

#[test]
fn a_call_that_blocks_suspends_its_fiber_alone() {
    let (kernel, mut mux) = mux();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let mut read = mux
        .spawn_fiber(sharing(&kernel), move || {
            let mut buf = [0; 8];
            let read = sys::read(reader, &mut buf).unwrap();
            buf[..read].to_vec()
        })
        .unwrap();
    mux.spawn_fiber(sharing(&kernel), move || sys::write(writer, b"word").unwrap()).unwrap();
    mux.run().unwrap();
    assert_eq!(read.join().unwrap(), b"word");
    nothing_left(&kernel);
}
