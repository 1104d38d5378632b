//! The operations that the design gives a figure for, and what they are compared with.

use std::hint::black_box;
use std::io::SeekFrom;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use lwproc::{FdInherit, Kernel, Lwp, OpenFlags, ProcOptions, sys};

use crate::common::host::{ByFutex, PingPong, fork_exit_wait, thread_create_join};
use crate::common::rings::Lwps;
use crate::common::{dedicated, empty_call, kernel, pin};
use crate::table::Target::{self, Above, None, Throughput, Times};
use crate::table::{Row, bare_claim, claims};

/// Switching among few and many. `small`: among few, to see that it runs.
pub(crate) fn switching(small: bool) -> Vec<Row> {
    let count = |count: usize| if small { count.min(64) } else { count };
    let mut rows = vec![bare_claim()];
    rows.push(claims("F over 64", 64));
    rows.push(claims("F over 4,096", count(4_096)));
    rows.push(claims("F over 100,000", count(100_000)));
    let to_f = Times("F", 1.5);
    rows.push(lwps("switch, 2 lwps of one process", Lwps::of_one_proc(count(2)), to_f));
    rows.push(lwps("switch, 2 lwps of 2 processes", Lwps::of_many_procs(count(2)), to_f));
    for (name, lwps_made, f) in [
        ("switch, 64 lwps of 64 processes", Lwps::of_many_procs(count(64)), "F over 64"),
        ("switch, 4,096 lwps of one process", Lwps::of_one_proc(count(4_096)), "F over 4,096"),
        ("switch, 4,096 lwps of 4,096 processes", Lwps::of_many_procs(count(4_096)), "F over 4,096"),
        ("switch, 100,000 lwps of one process", Lwps::of_one_proc(count(100_000)), "F over 100,000"),
        ("switch, 100,000 lwps of 100,000 processes", Lwps::of_many_procs(count(100_000)), "F over 100,000"),
    ] {
        rows.push(lwps(name, lwps_made, Times(f, 1.5)));
    }
    let mut threads = ByFutex::new();
    rows.push(Row::new("host threads by futex, there and back", None, move |iters| {
        (0..iters).for_each(|_| threads.round_trip());
    }));
    rows
}

fn lwps(name: &'static str, mut lwps: Lwps, target: Target) -> Row {
    let count = lwps.count();
    Row::new(name, target, move |iters| lwps.enter(|lwps| (0..iters).for_each(|_| lwps.next()))).in_laps(count)
}

/// System calls that do next to nothing.
pub(crate) fn entering(_small: bool) -> Vec<Row> {
    let kernel = kernel();
    let mut rows = vec![bare_claim()];
    rows.push(Row::new("empty call", None, |iters| (0..iters).for_each(|_| _ = empty_call())));
    rows.push(Row::new("getpid of the host", None, |iters| (0..iters).for_each(|_| _ = rustix::process::getpid())));
    for (name, implicit, op, target) in [
        ("getpid", "getpid, implicit", getpid as fn(u64), Above("empty call", 1.0)),
        ("fd lookup", "fd lookup, implicit", fd_lookup, None),
    ] {
        let (outer, inner) = (kernel.clone(), kernel.clone());
        rows.push(Row::new(name, target, move |iters| dedicated(&outer, || op(iters))));
        rows.push(Row::new(implicit, Times(name, 1.5), move |iters| inner.enter(|| op(iters))));
    }
    rows
}

/// The same on two cpus at once.
pub(crate) fn on_two_threads(_small: bool) -> Vec<Row> {
    let kernel = kernel();
    let mut rows = vec![bare_claim()];
    let (scales, free): (fn(_) -> _, fn(_) -> _) = (|one| Throughput(one, 1.9), |_| None);
    for (one, two, implicit, op, target) in [
        ("getpid, 1 thread", "getpid, 2 threads", false, getpid as fn(u64), scales),
        ("getpid, implicit, 1 thread", "getpid, implicit, 2 threads", true, getpid, scales),
        ("lookup of an own fd, 1 thread", "lookup of own fds, 2 threads", false, own_fd_lookup, free),
        ("lookup of a shared fd, 1 thread", "lookup of a shared fd, 2 threads", true, fd_lookup, free),
    ] {
        for (name, threads, target) in [(one, 1, None), (two, 2, target(one))] {
            let kernel = kernel.clone();
            rows.push(Row::timed(name, target, move |iters| on_threads(threads, implicit, &kernel, op, iters)));
        }
    }
    rows
}

fn getpid(iters: u64) {
    for _ in 0..iters {
        black_box(sys::getpid());
    }
}

fn fd_lookup(iters: u64) {
    for _ in 0..iters {
        black_box(sys::fcntl(0, sys::Fcntl::GetFl)).expect("descriptor 0 is open");
    }
}

/// As [`fd_lookup`], of an open file that nobody else looks up.
fn own_fd_lookup(iters: u64) {
    let (read, write) = sys::pipe().expect("numbers are free");
    for _ in 0..iters {
        black_box(sys::fcntl(read, sys::Fcntl::GetFl)).expect("the pipe is open");
    }
    sys::close(read).and(sys::close(write)).expect("both were open");
}

/// The time that `threads` host threads, each on a cpu of its own, take for `iters` together.
fn on_threads(threads: usize, implicit: bool, kernel: &Kernel, op: fn(u64), iters: u64) -> Duration {
    let start = Barrier::new(threads);
    let run = |number| {
        pin(number);
        let all = || {
            start.wait();
            let begun = Instant::now();
            op(iters);
            begun.elapsed()
        };
        if implicit { kernel.enter(all) } else { dedicated(kernel, all) }
    };
    let speed: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic").as_secs_f64().recip()).sum()
    });
    Duration::from_secs_f64(speed.recip())
}

/// Processes, lwps, descriptors, files.
pub(crate) fn the_rest(_small: bool) -> Vec<Row> {
    let mut rows = vec![bare_claim()];
    beginning_and_ending(&mut rows);
    descriptors(&mut rows);
    files(&mut rows);
    rows
}

fn beginning_and_ending(rows: &mut Vec<Row>) {
    let kernel = kernel();
    for (name, fds, target) in [
        ("rfork(Clean) + release", FdInherit::Clean, Times("F", 90.0)),
        ("rfork(Copy) + release", FdInherit::Copy, None),
        ("rfork(Share) + release", FdInherit::Share, None),
    ] {
        let kernel = kernel.clone();
        rows.push(Row::new(name, target, move |iters| {
            kernel.enter(|| {
                for _ in 0..iters {
                    kernel.rfork(fds).expect("the kernel has room");
                    kernel.releaselwp();
                }
            });
        }));
    }
    rows.push(Row::new("newlwp + release", Times("F", 35.0), move |iters| {
        kernel.enter(|| {
            let pid = sys::getpid();
            for _ in 0..iters {
                kernel.newlwp(pid).expect("the kernel has room");
                kernel.releaselwp();
            }
        });
    }));
    rows.push(Row::new("fork + exit + wait of the host", None, |iters| (0..iters).for_each(|_| fork_exit_wait())));
    rows.push(Row::new("thread create + join of the host", None, |iters| {
        (0..iters).for_each(|_| thread_create_join())
    }));
}

fn descriptors(rows: &mut Vec<Row>) {
    in_a_proc(rows, "dup + close", Times("F", 18.0), || {
        let (read, _) = sys::pipe().expect("numbers are free");
        move || {
            let fd = sys::dup(read).expect("a number is free");
            sys::close(fd).expect("it is open");
        }
    });
    in_a_proc(rows, "pipe: write 1 byte + read 1 byte", Times("F", 35.0), || {
        let (read, write) = sys::pipe().expect("numbers are free");
        move || {
            sys::write(write, &[1]).expect("the pipe has room");
            sys::read(read, &mut [0]).expect("the pipe holds a byte");
        }
    });
}

/// A file's length: reads of one byte begin anew at its end.
const LONG: usize = 1 << 20;

fn files(rows: &mut Vec<Row>) {
    in_a_proc(rows, "read 1 byte from a memory file", Times("F", 15.0), || {
        let fd = sys::open("/tmp/read", RDWR_CREAT, 0o600).expect("there is room in /tmp");
        sys::write(fd, &vec![1; LONG]).expect("there is room in memory");
        move || {
            if sys::read(fd, &mut [0]) == Ok(0) {
                sys::lseek(fd, SeekFrom::Start(0)).expect("a file has positions");
            }
        }
    });
    in_a_proc(rows, "pread 1 byte from a memory file", None, || {
        let fd = sys::open("/tmp/pread", RDWR_CREAT, 0o600).expect("there is room in /tmp");
        sys::write(fd, &[1]).expect("there is room in memory");
        move || assert_eq!(sys::pread(fd, &mut [0], 0), Ok(1))
    });
    in_a_proc(rows, "write 1 byte to a memory file", None, || {
        let fd = sys::open("/tmp/write", RDWR_CREAT, 0o600).expect("there is room in /tmp");
        let mut at = 0;
        move || {
            sys::write(fd, &[1]).expect("there is room in memory");
            at += 1;
            if at % LONG == 0 {
                sys::lseek(fd, SeekFrom::Start(0)).expect("a file has positions");
            }
        }
    });
    in_a_proc(rows, "open + close of a file in the root", Times("F", 150.0), || {
        sys::close(sys::open("/file", RDWR_CREAT, 0o600).expect("root may make files")).expect("it is open");
        || {
            let fd = sys::open("/file", OpenFlags::RDONLY, 0).expect("the file is there");
            sys::close(fd).expect("it is open");
        }
    });
}

const RDWR_CREAT: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREAT);

/// A row for what `prepare` makes, in a process of its own, whose lwp is current meanwhile.
fn in_a_proc<F: FnMut() + 'static>(
    rows: &mut Vec<Row>,
    name: &'static str,
    target: Target,
    prepare: impl FnOnce() -> F,
) {
    let mut lwp: Lwp = kernel().spawn(ProcOptions::new()).expect("the kernel has room");
    let mut op = lwp.enter(prepare);
    rows.push(Row::new(name, target, move |iters| lwp.enter(|| (0..iters).for_each(|_| op()))));
}
