//! Descriptors: duplicating, pipes, files, against the host's.

mod common;

use std::io::SeekFrom;

use common::{dedicated, kernel, pin};
use criterion::{Criterion, criterion_group, criterion_main};
use lwproc::{FdInherit, OpenFlags, sys};
use rustix::fs::{MemfdFlags, Mode, OFlags};

const SIZES: [usize; 2] = [1, 4096];
const LONG: usize = 1 << 20;
const RDWR_CREAT: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREAT);

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

fn opens(c: &mut Criterion) {
    pin(0);
    let kernel = kernel();
    let mut group = c.benchmark_group("open_close");
    group.bench_function("lwproc", |b| {
        kernel.enter(|| {
            sys::close(sys::open("/file", RDWR_CREAT, 0o600).expect("root may make files")).expect("it is open");
            b.iter(|| sys::close(sys::open("/file", OpenFlags::RDONLY, 0).expect("the file is there")));
        });
    });
    let path = std::env::current_exe().expect("a bench is a file");
    group.bench_function("host", |b| {
        b.iter(|| drop(rustix::fs::open(&path, OFlags::RDONLY, Mode::empty()).expect("the file is there")));
    });
    group.finish();
}

/// Reads and writes at the offset, which goes back to 0 after [`LONG`].
fn files(c: &mut Criterion) {
    pin(0);
    let kernel = kernel();
    let host = rustix::fs::memfd_create("bench", MemfdFlags::CLOEXEC).expect("the host has memory files");
    rustix::io::write(&host, &[1; LONG]).expect("there is room");
    let mut group = c.benchmark_group("file");
    for size in SIZES {
        let (bytes, mut buf) = (vec![1; size], vec![0; size]);
        kernel.enter(|| {
            let fd = sys::open("/tmp/file", RDWR_CREAT, 0o600).expect("there is room in /tmp");
            sys::write(fd, &[1; LONG]).expect("there is room in memory");
            let lap = LONG / size;
            let mut at = 0;
            let mut rewind = || {
                at = (at + 1) % lap;
                at == 0
            };
            sys::lseek(fd, SeekFrom::Start(0)).expect("a file has positions");
            group.bench_function(format!("lwproc_read/{size}"), |b| {
                b.iter(|| {
                    assert_eq!(sys::read(fd, &mut buf), Ok(size));
                    if rewind() {
                        sys::lseek(fd, SeekFrom::Start(0)).expect("a file has positions");
                    }
                });
            });
            group.bench_function(format!("lwproc_write/{size}"), |b| {
                b.iter(|| {
                    assert_eq!(sys::write(fd, &bytes), Ok(size));
                    if rewind() {
                        sys::lseek(fd, SeekFrom::Start(0)).expect("a file has positions");
                    }
                });
            });
            sys::close(fd).expect("it is open");
        });
        let mut at = 0;
        let mut next = || {
            at = (at + size as u64) % LONG as u64;
            at
        };
        group.bench_function(format!("host_pread/{size}"), |b| {
            b.iter(|| assert_eq!(rustix::io::pread(&host, &mut *buf, next()), Ok(size)));
        });
        group.bench_function(format!("host_pwrite/{size}"), |b| {
            b.iter(|| assert_eq!(rustix::io::pwrite(&host, &bytes, next()), Ok(size)));
        });
    }
    group.finish();
}

criterion_group!(benches, duplicates, pipes, opens, files);
criterion_main!(benches);
