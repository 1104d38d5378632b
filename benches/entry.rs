//! Entering the kernel: system calls that do next to nothing, from a dedicated and an implicit context, on one host
//! thread and on two.

mod common;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{dedicated, empty_call, kernel, pin};
use criterion::{Criterion, criterion_group, criterion_main};
use lwproc::{Kernel, sys};

/// A descriptor lookup and a look at what it found.
fn fd_lookup() {
    black_box(sys::fcntl(0, sys::Fcntl::GetFl)).expect("descriptor 0 is open");
}

fn getpid() {
    black_box(sys::getpid());
}

fn host_getpid() {
    black_box(rustix::process::getpid());
}

fn one_thread(c: &mut Criterion) {
    pin(0);
    let kernel = kernel();
    let mut group = c.benchmark_group("entry");
    group.bench_function("empty_call", |b| b.iter(empty_call));
    group.bench_function("getpid_dedicated", |b| dedicated(&kernel, || b.iter(getpid)));
    group.bench_function("getpid_implicit", |b| kernel.enter(|| b.iter(getpid)));
    group.bench_function("getpid_host", |b| b.iter(host_getpid));
    group.bench_function("fd_lookup_dedicated", |b| dedicated(&kernel, || b.iter(fd_lookup)));
    group.bench_function("fd_lookup_implicit", |b| kernel.enter(|| b.iter(fd_lookup)));
    group.bench_function("fd_lookup_host", |b| {
        let file = rustix::pipe::pipe().expect("the host has pipes").0;
        b.iter(|| rustix::fs::fcntl_getfl(&file));
    });
    group.bench_function("curlwp_dedicated", |b| dedicated(&kernel, || b.iter(|| kernel.curlwp())));
    group.finish();
}

/// What one operation takes where two host threads, each on a cpu of its own, do `op` at once.
fn two_threads(iters: u64, kernel: &Kernel, context: Context, op: fn()) -> Duration {
    let start = Barrier::new(2);
    let run = |number| {
        pin(number);
        let all = || {
            start.wait();
            let begun = Instant::now();
            (0..iters).for_each(|_| op());
            begun.elapsed()
        };
        match context {
            Context::Dedicated => dedicated(kernel, all),
            Context::Implicit => kernel.enter(all),
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(|| run(0)), scope.spawn(|| run(1))];
        threads.map(|thread| thread.join().expect("a bench does not panic")).into_iter().sum::<Duration>() / 2
    })
}

#[derive(Clone, Copy)]
enum Context {
    Dedicated,
    Implicit,
}

fn two(c: &mut Criterion) {
    let kernel = kernel();
    let mut group = c.benchmark_group("entry_two_threads");
    for (name, context, op) in [
        ("getpid_dedicated", Context::Dedicated, getpid as fn()),
        ("getpid_implicit", Context::Implicit, getpid),
        ("getpid_host", Context::Implicit, host_getpid),
        ("fd_lookup_dedicated", Context::Dedicated, fd_lookup),
        ("fd_lookup_implicit", Context::Implicit, fd_lookup),
    ] {
        group.bench_function(name, |b| b.iter_custom(|iters| two_threads(iters, &kernel, context, op)));
    }
    group.finish();
}

criterion_group!(benches, one_thread, two);
criterion_main!(benches);
