//! lwproc's own: fibers and futures, each in a lwp of its own.

use std::future::{Future, pending};
use std::sync::Arc;

use lwproc::mux::{yield_now, yield_turn};
use lwproc::{Kernel, Lwp, Mux, block_on};

use crate::common::kernel;
use crate::common::yields::process;
use crate::memory::Parked;
use crate::remote::{Line, Mode};
use crate::table::Row;

/// What a lwp is run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fiber,
    Future,
}

fn mux(kernel: &Kernel) -> Mux {
    Mux::new(kernel).expect("there is room for a multiplexer")
}

fn newlwp(parent: &Lwp) -> Lwp {
    parent.newlwp().expect("the kernel has room")
}

fn fiber(mux: &Mux, lwp: Lwp, f: impl FnOnce() + 'static) {
    drop(mux.spawn_fiber(lwp, f).expect("there is a stack"));
}

fn future(mux: &Mux, lwp: Lwp, f: impl Future<Output = ()> + 'static) {
    drop(mux.spawn(lwp, f).expect("there is room"));
}

/// Who answers is a lwp of this kind.
pub fn remote(name: &'static str, kind: Kind, mode: Mode) -> Row {
    crate::remote::woken(name, mode, move |line: Arc<Line>| {
        let kernel = kernel();
        let (parent, mut mux) = (process(&kernel), mux(&kernel));
        if mode == Mode::Busy {
            let line = Arc::clone(&line);
            match kind {
                Kind::Future => future(&mux, newlwp(&parent), line.keep_busy(yield_turn)),
                Kind::Fiber => fiber(&mux, newlwp(&parent), move || {
                    loop {
                        match line.is_busy() {
                            true => yield_now(),
                            false => block_on(line.until_busy()).expect("nobody kills it"),
                        }
                    }
                }),
            }
        }
        match kind {
            Kind::Future => future(&mux, newlwp(&parent), async move { line.answer().await }),
            Kind::Fiber => fiber(&mux, newlwp(&parent), move || {
                block_on(line.answer()).expect("nobody kills it");
            }),
        }
        mux.run().expect("it runs");
    })
}

/// So many lwps of one process, parked, or as many as the host has room for. Dropped, all end.
pub fn park(kind: Kind, count: usize) -> Parked {
    let kernel = kernel();
    let (parent, mut mux) = (process(&kernel), mux(&kernel));
    let (mut number, mut refused) = (0, None);
    while number < count && refused.is_none() {
        let lwp = newlwp(&parent);
        let spawned = match kind {
            Kind::Future => mux.spawn(lwp, pending::<()>()).map(drop),
            // Ended with the multiplexer, which unwinds it.
            Kind::Fiber => mux.spawn_fiber(lwp, || _ = block_on(pending::<()>())).map(drop),
        };
        match spawned {
            Ok(()) => number += 1,
            Err(error) => refused = Some(error.to_string()),
        }
    }
    // All had their turn when who was spawned last had it.
    let last = mux.spawn(newlwp(&parent), async {}).expect("there is room");
    let ended = mux.run_until(last).expect("it runs");
    assert!(matches!(ended, Some(Ok(()))), "the last one ends");
    Parked { number, refused, _kept: Box::new((mux, parent)) }
}
