//! Switching: between lwps of one process and of many, against the bare claim and against host threads.

mod common;

use common::host::{ByFutex, ByPipe, PingPong};
use common::pin;
use common::rings::{Claims, Lwps};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const COUNTS: [usize; 4] = [2, 64, 4_096, 100_000];

fn switch(c: &mut Criterion) {
    pin(0);
    let mut group = c.benchmark_group("switch");
    for count in COUNTS {
        group.bench_with_input(BenchmarkId::new("bare_claim", count), &count, |b, count| {
            let mut claims = Claims::new(*count);
            b.iter(|| claims.next());
        });
        group.bench_with_input(BenchmarkId::new("same_proc", count), &count, |b, count| {
            Lwps::of_one_proc(*count).enter(|lwps| b.iter(|| lwps.next()));
        });
        group.bench_with_input(BenchmarkId::new("other_proc", count), &count, |b, count| {
            Lwps::of_many_procs(*count).enter(|lwps| b.iter(|| lwps.next()));
        });
    }
    group.finish();
}

/// There and back: two switches each.
fn round_trip(c: &mut Criterion) {
    pin(0);
    let mut group = c.benchmark_group("switch_round_trip");
    group.bench_function("lwps", |b| {
        Lwps::of_many_procs(COUNTS[0]).enter(|lwps| {
            b.iter(|| {
                lwps.next();
                lwps.next();
            });
        });
    });
    group.bench_function("host_threads_by_futex", |b| {
        let mut threads = ByFutex::new();
        b.iter(|| threads.round_trip());
    });
    group.bench_function("host_threads_by_pipe", |b| {
        let mut threads = ByPipe::new();
        b.iter(|| threads.round_trip());
    });
    group.finish();
}

criterion_group!(benches, switch, round_trip);
criterion_main!(benches);
