//! Making and ending processes and lwps, against the host's processes and threads.

mod common;

use common::host::{fork_exit_wait, thread_create_join};
use common::{kernel, pin};
use criterion::{Criterion, criterion_group, criterion_main};
use lwproc::{FdInherit, ProcOptions, sys};

fn lifecycle(c: &mut Criterion) {
    pin(0);
    let kernel = kernel();
    let mut group = c.benchmark_group("lifecycle");
    for (name, fds) in [
        ("rfork_share_release", FdInherit::Share),
        ("rfork_copy_release", FdInherit::Copy),
        ("rfork_clean_release", FdInherit::Clean),
    ] {
        group.bench_function(name, |b| {
            kernel.enter(|| {
                b.iter(|| {
                    kernel.rfork(fds).expect("the kernel has room");
                    kernel.releaselwp();
                });
            });
        });
    }
    group.bench_function("newlwp_release", |b| {
        kernel.enter(|| {
            let pid = sys::getpid();
            b.iter(|| {
                kernel.newlwp(pid).expect("the kernel has room");
                kernel.releaselwp();
            });
        });
    });
    group.bench_function("spawn_drop", |b| {
        b.iter(|| drop(kernel.spawn(ProcOptions::new()).expect("the kernel has room")));
    });
    group.bench_function("enter_owned", |b| {
        let mut lwp = kernel.spawn(ProcOptions::new()).expect("the kernel has room");
        b.iter(|| lwp.enter(|| {}));
    });
    group.bench_function("host_fork_exit_wait", |b| b.iter(fork_exit_wait));
    group.bench_function("host_thread_create_join", |b| b.iter(thread_create_join));
    group.finish();
}

criterion_group!(benches, lifecycle);
criterion_main!(benches);
