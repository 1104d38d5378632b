//! Join handles, and spawns that cannot be.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwproc::mux::{self, SpawnErrorKind};
use lwproc::{Errno, JoinError, JoinHandle, Kernel, SwitchError, sys};

use super::{lwp, mux, nothing_left};

#[test]
fn joined_from_fibers_futures_and_host_threads() {
    let (kernel, mut mux) = mux();
    let mut first = mux.spawn_fiber(lwp(&kernel), || 1).unwrap();
    let mut second = mux.spawn_fiber(lwp(&kernel), move || first.join().unwrap() + 1).unwrap();
    let third = mux.spawn(lwp(&kernel), async move { (&mut second).await.unwrap() + 1 }).unwrap();
    let fourth = std::thread::spawn(move || {
        let mut third: JoinHandle<i32> = third;
        third.join().unwrap() + 1
    });
    mux.run().unwrap();
    assert_eq!(fourth.join().unwrap(), 4);
    nothing_left(&kernel);
}

#[test]
fn joined_before_and_after_the_end_and_once() {
    let (kernel, mut mux) = mux();
    let mut join = mux.spawn_fiber(lwp(&kernel), || "done").unwrap();
    assert!(!join.is_finished());
    let soon = Instant::now() + Duration::from_millis(1);
    assert!(matches!(join.join_until(soon), Err(JoinError::TimedOut)));
    mux.run().unwrap();
    assert!(join.is_finished());
    assert_eq!(join.join().unwrap(), "done");
    assert!(matches!(join.join(), Err(JoinError::Taken)));
}

#[test]
fn who_joins_itself_is_told_so() {
    let (kernel, mut mux) = mux();
    let handle: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let own = Rc::clone(&handle);
    let join = mux
        .spawn_fiber(lwp(&kernel), move || {
            let mut join = own.take().unwrap();
            assert!(matches!(join.join(), Err(JoinError::Deadlock)));
        })
        .unwrap();
    *handle.borrow_mut() = Some(join);
    let ended = mux.run();
    assert_eq!(ended, Ok(()));
    nothing_left(&kernel);
}

#[test]
fn a_kill_ends_a_join_and_the_handle_stays_good() {
    let (kernel, mut mux) = mux();
    let (reader, writer) = kernel.enter(sys::pipe).unwrap();
    let mut slow = mux.spawn_fiber(super::sharing(&kernel), move || sys::read(reader, &mut [0]).unwrap()).unwrap();
    let waits = lwp(&kernel);
    let pid = waits.pid();
    let mut interrupted = mux
        .spawn_fiber(waits, move || {
            assert!(matches!(slow.join(), Err(JoinError::Interrupted)));
            slow
        })
        .unwrap();
    let killer = kernel.clone();
    mux.spawn_fiber(super::sharing(&kernel), move || {
        mux::yield_now();
        killer.kill(pid).unwrap();
        mux::yield_now();
        sys::write(writer, b"x").unwrap();
    })
    .unwrap();
    mux.run().unwrap();
    assert_eq!(interrupted.join().unwrap().join().unwrap(), 1);
}

#[test]
fn a_spawn_that_cannot_be_gives_the_lwp_back() {
    let (kernel, mux) = mux();
    let lwp = lwp(&kernel);
    let (id, pid) = (lwp.id(), lwp.pid());

    kernel.switch(Some(id));
    let error = mux.spawn_fiber(lwp, || ()).unwrap_err();
    assert!(matches!(error.kind(), SpawnErrorKind::Lwp(SwitchError::Running { pid: of, .. }) if of == pid));
    kernel.switch(None);
    let lwp = error.into_lwp();

    let foreign = super::lwp(&Kernel::new().unwrap());
    let error = mux.spawn(foreign, async {}).unwrap_err();
    assert_eq!(error.kind(), SpawnErrorKind::Lwp(SwitchError::Foreign));
    assert_eq!(Errno::from(error), Errno::ESRCH);

    let stale = super::lwp(&kernel);
    kernel.switch(Some(stale.id()));
    kernel.releaselwp();
    assert_eq!(mux.spawn(stale, async {}).unwrap_err().kind(), SpawnErrorKind::Lwp(SwitchError::Stale));

    let error = mux::spawn(lwp, async {}).unwrap_err();
    assert_eq!(error.kind(), SpawnErrorKind::NoMux);

    let handle = mux.handle();
    drop(mux);
    let error = handle.spawn(error.into_lwp(), async {}).unwrap_err();
    assert_eq!(error.kind(), SpawnErrorKind::Closed);
    drop(error);
    nothing_left(&kernel);
}
