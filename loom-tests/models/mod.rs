//! Models of the crate's protocols: loom runs each in every order that matters, up to a number of preemptions, and with
//! every value that the memory orderings let a load see.
//!
//! Each model is a function that runs the crate's own code. One test says that it holds; others break the code with a
//! [`Fault`] and demand that the model fails, so that it is known to see.

mod audit;
mod blocking;
mod claim;
mod ends;
mod fds;
mod guards;
mod halt;
mod herd;
mod lwps;
mod mux;
mod newlwp;
mod numbers;
mod procs;
mod segments;
mod shown;
mod switch;
mod tasks;
mod wait;
mod witness;

use std::ops::Deref;
use std::panic::AssertUnwindSafe;

use loom::thread::JoinHandle;

use crate::context::leave::end_host_thread;
use crate::fd::Console;
use crate::kernel::Kernel;
use crate::lwproc::{Lwp, ProcOptions};
use crate::sync::UnlessFailed;
use crate::sync::fault::{Fault, begin_run};

/// How a model is explored.
#[derive(Clone, Copy)]
struct Model {
    name: &'static str,
    /// How often a thread may be interrupted where it need not give way; everything, if `None`.
    preemptions: Option<usize>,
    run: fn(),
}

impl Model {
    fn check(self) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(self.preemptions);
        builder.max_branches = 100_000;
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&runs);
        let run = self.run;
        builder.check(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            begin_run();
            run();
            end_host_thread();
        });
        begin_run();
        let runs = runs.load(std::sync::atomic::Ordering::Relaxed);
        println!("{}: {runs} runs", self.name);
        assert!(runs > 1, "loom sees nothing of {}", self.name);
    }

    /// Demands that the model fails once the code is broken by `fault`.
    fn must_fail(self, fault: Fault) {
        assert!(self.fails_with(fault), "{} holds in spite of {fault:?}", self.name);
    }

    fn fails_with(self, fault: Fault) -> bool {
        let _armed = fault.arm();
        self.fails()
    }

    /// Demands that the model fails as it is: it uses the crate in a way that cannot work.
    fn must_fail_unbroken(self) {
        assert!(self.fails(), "{} holds", self.name);
    }

    fn fails(self) -> bool {
        std::panic::catch_unwind(AssertUnwindSafe(|| self.check())).is_err()
    }
}

/// A handle on a kernel, which a model that failed does not drop: there is no loom left to do it with.
struct Handle(UnlessFailed<Kernel>);

/// Boots a kernel of the model's own.
fn boot() -> Handle {
    let builder = Kernel::builder().console(Console::null()).on_fatal(|fatal| panic!("{fatal}"));
    Handle(UnlessFailed::new(builder.boot().expect("a kernel boots")))
}

impl Handle {
    fn another(&self) -> Self {
        Self(UnlessFailed::new(Kernel::clone(&self.0)))
    }

    fn spawn(&self) -> UnlessFailed<Lwp> {
        UnlessFailed::new(self.0.spawn(ProcOptions::new()).expect("there is room"))
    }
}

impl Deref for Handle {
    type Target = Kernel;

    fn deref(&self) -> &Kernel {
        &self.0
    }
}

/// A thread that may come into a kernel.
fn host_thread<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    loom::thread::spawn(|| {
        let result = f();
        end_host_thread();
        result
    })
}
