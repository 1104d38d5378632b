//! async-executor, on one thread.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;

use async_executor::LocalExecutor;
use futures_lite::future::block_on;

use crate::memory::Parked;
use crate::multiplexing::AT_ONCE;
use crate::remote::{Line, Mode};
use crate::table::{Row, Target};
use crate::tasks::{Laps, SelfWake, yields};

fn executor() -> &'static LocalExecutor<'static> {
    Box::leak(Box::new(LocalExecutor::new()))
}

pub fn yielding(name: &'static str, count: usize) -> Row {
    let (executor, laps) = (executor(), Arc::new(Laps::default()));
    for number in 0..count {
        executor.spawn(yields((number == 0).then(|| Arc::clone(&laps)))).detach();
    }
    Row::new(name, Target::None, move |iters| block_on(executor.run(Arc::clone(&laps).pass(iters / count as u64))))
        .in_laps(count)
}

pub fn life(name: &'static str) -> Row {
    let (executor, ran) = (executor(), Rc::new(Cell::new(0)));
    Row::new(name, Target::None, move |iters| {
        ran.set(0);
        for _ in 0..iters / AT_ONCE {
            let mut last = None;
            for _ in 0..AT_ONCE {
                let ran = Rc::clone(&ran);
                let task = executor.spawn(async move { ran.set(ran.get() + 1) });
                if let Some(before) = last.replace(task) {
                    async_executor::Task::detach(before);
                }
            }
            if let Some(last) = last {
                block_on(executor.run(last));
            }
        }
        assert_eq!(ran.get(), iters);
    })
    .in_laps(AT_ONCE as usize)
}

/// Over async-channel's channels for one value.
pub fn ping_pong(name: &'static str) -> Row {
    let executor = executor();
    Row::new(name, Target::None, move |iters| {
        let (to, from) = async_channel::bounded(1);
        let (back, answers) = async_channel::bounded(1);
        let partner = executor.spawn(async move {
            while let Ok(value) = from.recv().await {
                let _ = back.send(value).await;
            }
        });
        partner.detach();
        let all = executor.spawn(async move {
            for value in 0..iters {
                to.send(value).await.expect("open");
                assert_eq!(answers.recv().await, Ok(value));
            }
        });
        block_on(executor.run(all));
    })
}

pub fn remote(name: &'static str, mode: Mode) -> Row {
    crate::remote::woken(name, mode, move |line: Arc<Line>| {
        let executor = executor();
        if mode == Mode::Busy {
            executor.spawn(Arc::clone(&line).keep_busy(SelfWake::new)).detach();
        }
        let answer = executor.spawn(async move { line.answer().await });
        block_on(executor.run(answer));
    })
}

/// So many tasks, parked.
pub fn park(count: usize) -> Parked {
    let executor = executor();
    for _ in 0..count {
        executor.spawn(pending::<()>()).detach();
    }
    block_on(executor.run(executor.spawn(async {})));
    Parked::new(count, executor)
}
