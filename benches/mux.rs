//! The multiplexer: yields, and the life of a task, against bare coroutines.

mod common;

use common::yields::{Coroutines, Pair, Yields, process};
use common::{kernel, pin};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lwproc::Mux;

const COUNTS: [usize; 3] = [2, 1_000, 100_000];

fn yields(c: &mut Criterion) {
    pin(0);
    let small = std::env::args().any(|arg| arg == "--test");
    let mut group = c.benchmark_group("yield");
    group.throughput(Throughput::Elements(1));
    group.bench_function("coroutine/pair", |b| {
        let mut pair = Pair::new();
        b.iter(|| pair.next());
    });
    group.bench_function("coroutine/1000", |b| {
        let mut all = Coroutines::new(1_000);
        b.iter(|| all.next());
    });
    for (name, make) in [("fiber", Yields::fibers as fn(usize) -> Yields), ("future", Yields::futures)] {
        for count in COUNTS {
            group.bench_function(format!("{name}/{count}"), |b| {
                let mut yields = make(if small { count.min(10) } else { count });
                b.iter_custom(|iters| {
                    // Whole rounds, and as much of their time as was asked for.
                    let rounds = iters.div_ceil(yields.count() as u64);
                    let all = rounds * yields.count() as u64;
                    let begun = std::time::Instant::now();
                    yields.run(all);
                    begun.elapsed().mul_f64(iters as f64 / all as f64)
                });
            });
        }
    }
    group.finish();
}

fn lives(c: &mut Criterion) {
    pin(0);
    let kernel = kernel();
    let parent = process(&kernel);
    let mut mux = Mux::new(&kernel).expect("there is room for a multiplexer");
    let mut group = c.benchmark_group("spawn_finish");
    group.bench_function("fiber", |b| {
        b.iter(|| {
            let lwp = parent.newlwp().expect("the kernel has room");
            drop(mux.spawn_fiber(lwp, || ()).expect("there is a stack"));
            mux.run().expect("it runs");
        });
    });
    group.bench_function("future", |b| {
        b.iter(|| {
            let lwp = parent.newlwp().expect("the kernel has room");
            drop(mux.spawn(lwp, async {}).expect("there is room"));
            mux.run().expect("it runs");
        });
    });
    group.bench_function("fiber_joined", |b| {
        b.iter_batched(
            || parent.newlwp().expect("the kernel has room"),
            |lwp| {
                let mut join = mux.spawn_fiber(lwp, || 7).expect("there is a stack");
                mux.run().expect("it runs");
                join.join().expect("it ends")
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, yields, lives);
criterion_main!(benches);
