//! Contexts at random: programs of enter, switch, fork, release, spawn, wait, kill, drop and panic, on host threads,
//! fibers and futures, in two kernels, against a model.
//!
//! # The model
//!
//! A host thread, a fiber and a future each have a context of their own: a lwp that is current in a kernel, or that
//! kernel's implicit context; and the contexts that nested stays have put aside. None of them is special.
//!
//! A lwp is *held* by whoever has it current or put aside, in his turn or not; otherwise it is Idle. Who is to come into
//! it takes it: that is `Stale` where it has ended, `Foreign` in another kernel, `Running` where it is held, by the one
//! who asks too. It is let go of when its holder switches away, leaves the level in which he came into it, or ends.
//!
//! A lwp ends when it is released; and when its owner goes (an `Lwp` that is dropped, a task that ends): at once where it
//! is Idle or that one's current lwp, otherwise when its holder lets go of it. A process ends with its last lwp, whole,
//! before the call returns. In a process that was killed no lwp is made, waits are interrupted, and tasks end soon: here
//! they do nothing else any more.
//!
//! # How it is run
//!
//! Steps are one after another, on whatever host threads: who has the turn does one, and finds itself where the model says
//! before and after. Then all that there is is counted. A fiber or future whose turn it is not is suspended. In the end
//! all is left and dropped, and nothing may remain.
//!
//! `PROPTEST_CASES` says how many programs each test runs.

mod ends;
mod levels;
mod lwps;
mod model;
mod program;
mod run;
mod stage;
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, channel};
use std::thread;
use std::time::Duration;

use lwproc::{Console, Fd, Kernel, Lwp, Mux, ProcOptions, sys};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRunner};

use model::{FIRST, KERNELS};
use program::{Program, Threads, programs};
use stage::Stage;

/// As long as this a program takes only where it hangs.
const HANGS: Duration = Duration::from_secs(10);

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).on_fatal(run::on_fatal).boot().expect("a kernel boots")
}

/// Fills the kernel's tables but for two slots, so that what is released is used again.
fn crowd(kernel: &Kernel) -> Vec<Lwp> {
    let first = kernel.spawn(ProcOptions::new()).expect("it is empty");
    let mut all: Vec<_> = (0..61).map(|_| first.newlwp().expect("it is empty")).collect();
    all.push(first);
    all
}

/// The first host thread: has the multiplexer, and takes part.
fn first(program: &Program, tell: mpsc::Sender<Arc<Stage>>, ends: mpsc::Sender<()>) {
    let kernels: [Kernel; KERNELS] = [boot(), boot()];
    let crowds = program.crowded.then(|| kernels.each_ref().map(crowd));
    let pipes: [(Fd, Fd); KERNELS] = kernels.each_ref().map(|kernel| kernel.enter(sys::pipe).expect("a pipe"));
    let mux = Mux::new(&kernels[0]).expect("a multiplexer");
    let stage = Arc::new(Stage::new(kernels, pipes, mux.handle(), program, ends));
    tasks::MUX.set(Some(mux));
    tell.send(Arc::clone(&stage)).expect("it is waited for");
    stage.thread(FIRST);
    // What a failure has left.
    let _ = catch_unwind(AssertUnwindSafe(|| tasks::MUX.take()));
    drop(crowds);
}

/// Runs a program, and says what was not as it should be.
fn run(program: &Program) -> Result<(), String> {
    let (tell, told) = channel();
    let (ends, ended) = channel();
    let its = program.clone();
    let thread = thread::spawn(move || first(&its, tell, ends));
    let stage = told.recv().map_err(|_| "it does not begin")?;
    if ended.recv_timeout(HANGS).is_err() {
        stage.hang();
    }
    if let Some(failure) = stage.abandon() {
        return Err(failure);
    }
    thread.join().map_err(|_| "the first host thread panics")?;
    let stage = Arc::into_inner(stage).ok_or("somebody keeps the stage")?;
    catch_unwind(AssertUnwindSafe(|| stage.close(program.swept))).unwrap_or_else(|_| Err("the end panics".into()))
}

fn check(threads: Threads, cases: u32) {
    let default = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 4000,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    // Most of the time would go into numbers that need not be that good.
    let config = ProptestConfig { cases, rng_algorithm: RngAlgorithm::XorShift, ..default };
    let checked = TestRunner::new(config).run(&programs(threads), |program| run(&program).map_err(TestCaseError::fail));
    match checked {
        Ok(()) => {}
        Err(TestError::Fail(reason, program)) => {
            let steps: Vec<_> = program.steps.iter().map(|step| format!("  {step:?}\n")).collect();
            panic!("{reason}, with {:?}\n{}", Program { steps: Vec::new(), ..program }, steps.concat());
        }
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn whoever_asks_is_where_the_model_says_on_one_host_thread() {
    check(Threads::One, 12_000);
}

#[test]
fn whoever_asks_is_where_the_model_says_on_two_host_threads() {
    check(Threads::Two, 12_000);
}
