//! lwproc's multiplexer and its peers, measured in one run: see `perf/README.md`.
//!
//! Every time is a median over many rounds; each round measures every row of its group once, in a short batch, on one cpu.
//! Ratios are taken within a round.

#[cfg(boost_fiber)]
mod apart;
#[path = "../../../benches/common/mod.rs"]
mod common;
#[path = "../../../benches/ratios/counting.rs"]
mod counting;
mod memory;
#[path = "../../../benches/ratios/multiplexing.rs"]
#[allow(dead_code, unreachable_pub, reason = "the crate's own bench takes all of it")]
mod multiplexing;
mod ours;
mod peers;
mod remote;
#[path = "../../../benches/ratios/table.rs"]
#[allow(dead_code, reason = "the crate's own bench takes all of it")]
mod table;
mod tasks;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use common::host::{ByFutex, PingPong};
use multiplexing::{MANY, VERY_MANY};
use ours::Kind::{Fiber, Future};
use peers::*;
use remote::Mode::{Asleep, Busy, Quick};
use table::Target::{self, Throughput, Times};
use table::{Effort, Row, bare_claim, ns};

const USAGE: &str = "usage: lwproc-peers [--only PART[,PART]...] [--quick]
parts: yield spawn ping-pong wake memory million
--quick: few of each and one round, to see that it runs";

/// Measures and prints; few, to see that it runs, if told so.
type Part = fn(bool);

const PARTS: [(&str, Part); 6] = [
    ("yield", yields),
    ("spawn", lives),
    ("ping-pong", ping_pongs),
    ("wake", wakes),
    ("memory", memory::parked),
    ("million", memory::million),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--child", name, count] = arguments[..] {
        memory::child(name, count.parse().expect("a number"));
        leave();
    }
    let Some((only, small)) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // Before any other thread is there, which would not be tied to it.
    common::pin(0);
    table::print_machine(if small { 1 } else { ROUNDS });
    println!("F is the bare claim. Targets in nanoseconds are for F = 2.2 ns, and so are given as ratios to F.");
    if cfg!(not(boost_fiber)) {
        println!("boost.fiber is not installed (Debian: libboost-fiber-dev): left out.");
    }
    for (name, part) in PARTS {
        if only.is_empty() || only.contains(&name) {
            part(small);
        }
    }
    leave()
}

/// Ends the program as it is: threads and fibers that wait do so for ever, and boost.fiber would wait for them.
fn leave() -> ! {
    let _ = std::io::stdout().flush();
    // SAFETY: it ends the process, whatever its state.
    unsafe { libc::_exit(0) }
}

fn parse<'a>(arguments: &[&'a str]) -> Option<(Vec<&'a str>, bool)> {
    let (mut only, mut small) = (Vec::new(), false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--quick" => small = true,
            "--only" => only.extend(arguments.next()?.split(',')),
            _ => return None,
        }
    }
    only.iter().all(|name| PARTS.iter().any(|(known, _)| known == name)).then_some((only, small))
}

const ROUNDS: usize = 61;

/// Measures a group and prints it. The first row is F.
fn show(title: &str, rows: Vec<Row>, small: bool) {
    let effort =
        if small { Effort::ONCE } else { Effort { batch: Duration::from_millis(1), rounds: ROUNDS, warm: true } };
    println!("\n### {title}\n");
    table::print_head();
    table::print(&effort.measure(rows));
}

const SELF_WAKE: &str = "tokio, self-wake";

fn yields(small: bool) {
    for (title, among) in [("One yield among 1,000", MANY), ("One yield among 100,000", VERY_MANY)] {
        let count = if small { among.count.min(64) } else { among.count };
        let mut rows = multiplexing::yields(&among, small);
        if among.count == MANY.count {
            let future = rows.last_mut().expect("a future's is the last");
            future.also(Throughput(SELF_WAKE, 2.5));
            rows.push(may::yielding("may", count));
        } else {
            rows.push(bare::coroutines("100,000 coroutines in a VecDeque, one mapping, no guards", count));
            // Each takes two mappings.
            rows.push(may::yielding("may, 20,000: mappings end before", count.min(20_000)));
        }
        rows.extend([
            bare::boxed("boxed futures polled in a row, the floor", count),
            bare::tasks("async-task and a VecDeque", count),
            embassy::yielding("embassy, raw", count),
            executor::yielding("async-executor, local", count),
            tokio::self_wakes(SELF_WAKE, count),
            tokio::yields_now("tokio, yield_now", count),
            #[cfg(boost_fiber)]
            boost::yielding("boost.fiber", count),
        ]);
        show(title, rows, small);
    }
}

fn lives(small: bool) {
    let mut rows = multiplexing::lives(small);
    rows.extend([
        bare::task_life("async-task and a VecDeque"),
        embassy::life("embassy, raw, in storage that is there"),
        executor::life("async-executor, local"),
        tokio::life("tokio, current thread"),
        bare::coroutine_life("corosensei, stacks used again"),
        may::life("may"),
        #[cfg(boost_fiber)]
        boost::life("boost.fiber, pooled stacks"),
    ]);
    show("Spawn + finish, lwproc's with a lwp", rows, small);
}

fn ping_pongs(small: bool) {
    let mut threads = ByFutex::new();
    let mut rows = multiplexing::talking(small);
    rows.extend([
        executor::ping_pong("async-executor, local; async-channel, bounded(1)"),
        tokio::ping_pong("tokio, mpsc::channel(1)"),
        tokio::ping_pong_unbounded("tokio, unbounded"),
        may::ping_pong("may, mpsc, unbounded"),
        #[cfg(boost_fiber)]
        boost::ping_pong("boost.fiber, buffered_channel"),
        Row::new("two host threads on one cpu, futex", Target::None, move |iters| {
            (0..iters).for_each(|_| threads.round_trip());
        }),
    ]);
    show("Ping-pong over a channel each way, a round trip", rows, small);
}

const EVENTFD: &str = "eventfd, a thread asleep in read";

fn wakes(small: bool) {
    if common::cpus() < 2 {
        println!("\nWakes from another host thread need two cpus: left out.");
        return;
    }
    for (mode, title) in [
        (Busy, "Wake from another host thread and the answer: busy, a task always yields"),
        (Quick, "Wake from another host thread and the answer: in quick succession, so that it spins"),
        (Asleep, "Wake from another host thread and the answer: asleep in the host"),
    ] {
        let target = if mode == Asleep { Times(EVENTFD, 1.2) } else { ns(300.0) };
        let mut rows = vec![bare_claim()];
        for (name, kind) in [("lwproc, fiber", Fiber), ("lwproc, future", Future)] {
            let mut row = ours::remote(name, kind, mode);
            row.also(target);
            rows.push(row);
        }
        if mode == Asleep {
            rows.push(remote::host(EVENTFD, false));
            rows.push(remote::host("eventfd, a thread asleep in poll, and a read", true));
        }
        rows.push(embassy::remote("embassy, raw, thread park", mode));
        rows.push(executor::remote("async-executor, local", mode));
        rows.push(tokio::remote("tokio, current thread", mode));
        if mode != Busy {
            // Beside one that yields it would never wake.
            rows.push(may::remote("may", mode));
        }
        show(title, rows, small);
    }
}
