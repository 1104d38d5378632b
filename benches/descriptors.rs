//! Descriptors: duplicating, pipes, files, against the host's.

mod common;

use common::{dedicated, kernel, pin};
use criterion::{Criterion, criterion_group, criterion_main};
use lwproc::{FdInherit, sys};

const SIZES: [usize; 2] = [1, 4096];

fn duplicates(c: &mut Criterion) {
    pin(0);
    let kernel = kernel();
    let mut group = c.benchmark_group("dup_close");
    group.bench_function("lwproc", |b| {
        dedicated(&kernel, || b.iter(|| sys::close(sys::dup(0).expect("a number is free"))));
    });
    group.bench_function("host", |b| {
        let file = rustix::pipe::pipe().expect("the host has pipes").0;
        b.iter(|| drop(rustix::io::dup(&file).expect("a number is free")));
    });
    group.finish();
}

/// A write and the read that takes it out again.
fn pipes(c: &mut Criterion) {
    pin(0);
    let kernel = kernel();
    let mut group = c.benchmark_group("pipe_write_read");
    for size in SIZES {
        let (bytes, mut buf) = (vec![1; size], vec![0; size]);
        group.bench_function(format!("lwproc/{size}"), |b| {
            kernel.enter(|| {
                kernel.rfork(FdInherit::Clean).expect("the kernel has room");
                let (read, write) = sys::pipe().expect("numbers are free");
                b.iter(|| {
                    sys::write(write, &bytes).expect("the pipe has room");
                    sys::read(read, &mut buf).expect("the pipe holds as much");
                });
                kernel.releaselwp();
            });
        });
        group.bench_function(format!("host/{size}"), |b| {
            let (read, write) = rustix::pipe::pipe().expect("the host has pipes");
            b.iter(|| {
                rustix::io::write(&write, &bytes).expect("the pipe has room");
                rustix::io::read(&read, &mut *buf).expect("the pipe holds as much");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, duplicates, pipes);
criterion_main!(benches);
