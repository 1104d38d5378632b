//! What the tasks of a multiplexer cost, in bytes that the allocator was asked for.

#[path = "common/counting.rs"]
mod counting;

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use lwproc::blocking::channel;
use lwproc::{Console, Kernel, Lwp, Mux, ProcOptions};

use counting::{each, out};

/// More than a multiplexer keeps for the next ones.
const RUN: usize = 3_000;
/// As many as fill a table of lwps to the end of a segment, with what is there already: tables are 64 · (2ⁿ - 1) long.
const TASKS: usize = 64 * 255 - 2;

#[test]
fn a_parked_future_takes_at_most_512_bytes_with_its_lwp() {
    let _alone = alone();
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    let mut mux = Mux::new(&kernel).unwrap();
    let parent = kernel.spawn(ProcOptions::new()).unwrap();
    // What the first one makes is not the others'.
    drop(mux.spawn(parent.newlwp().unwrap(), async {}).unwrap());
    mux.run().unwrap();
    let (spawned, handles) = each(TASKS, || mux.spawn(parent.newlwp().unwrap(), pending::<()>()).unwrap());
    let before = out();
    assert_eq!(mux.run_until(async {}).unwrap(), Some(()));
    let parked = spawned + out().saturating_sub(before) as f64 / TASKS as f64;
    println!("parked future with its lwp: {parked:.1} bytes");
    assert!(parked <= 512.0, "{parked} bytes each");
    drop(handles);
}

/// One test at a time: what another allocates beside it would be counted too.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs more tasks than are kept for the next ones, and says how many bytes more are out when the multiplexer is gone.
fn run<F: Future<Output = ()> + 'static>(parent: &Lwp, task: impl Fn() -> F) -> usize {
    let before = out();
    let mut mux = Mux::new(parent.kernel()).unwrap();
    for _ in 0..RUN {
        drop(mux.spawn(parent.newlwp().unwrap(), task()).unwrap());
    }
    mux.run().unwrap();
    drop(mux);
    out().saturating_sub(before)
}

/// Shows `f` the waker of the task.
async fn with_waker<T>(f: impl FnOnce(&Waker) -> T) -> T {
    let mut f = Some(f);
    poll_fn(|cx| Poll::Ready(f.take().expect("it is polled once")(cx.waker()))).await
}

#[test]
fn a_task_goes_with_its_last_waker_wherever_that_is_used_or_dropped() {
    let _alone = alone();
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    let parent = kernel.spawn(ProcOptions::new()).unwrap();
    let woken = || async {
        let mut woken = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            let another = cx.waker().clone();
            another.wake();
            Poll::Pending
        })
        .await;
    };
    // What is made once, and the tables, which are used again.
    run(&parent, woken);
    let empty = run(&parent, || async {});
    let near = |out: usize| assert!(out < empty + RUN * 50, "{out} bytes are out; after nothing, {empty}");
    near(run(&parent, woken));
    near(run(&parent, || with_waker(|waker| drop(waker.clone()))));
    near(run(&parent, || with_waker(|waker| drop([waker.clone(), waker.clone(), waker.clone()]))));
    near(run(&parent, || async {
        let (sender, receiver) = channel::<Waker>(1);
        let waker = with_waker(Waker::clone).await;
        sender.send_async(waker).await.unwrap();
        receiver.recv_async().await.unwrap().wake_by_ref();
    }));
    // Woken by the next task, when its own has finished.
    let last: Rc<RefCell<Option<Waker>>> = Rc::default();
    near(run(&parent, move || {
        let last = Rc::clone(&last);
        with_waker(move |waker| {
            let former = last.replace(Some(waker.clone()));
            former.into_iter().for_each(Waker::wake);
        })
    }));
    // On another host thread, while it runs.
    near(run(&parent, || {
        with_waker(|waker| {
            let waker = waker.clone();
            drop(std::thread::spawn(move || drop([waker.clone(), waker])).join());
        })
    }));
    // When the multiplexer is gone.
    let (keep, kept) = std::sync::mpsc::channel();
    run(&parent, move || {
        let keep = keep.clone();
        with_waker(move |waker| keep.send([waker.clone(), waker.clone()]).unwrap())
    });
    let before = out();
    kept.into_iter().flatten().for_each(|waker| waker.wake());
    let gone = (before - out()) / RUN;
    assert!(gone >= 200, "{gone} bytes went with each task's last waker");
}
