//! What the design promises, measured: each operation as a ratio to the bare claim in the same run.
//!
//! Machines are noisy, so every figure is a median over many rounds, each round measures everything once, in a short
//! batch, tied to one cpu, and ratios are taken within a round. See `perf/README.md`.
//!
//! `--do COUNT ROW` does one row's operation so many times and no more, for those who count its instructions.

#[path = "../common/mod.rs"]
mod common;
mod counting;
mod memory;
mod multiplexing;
mod operations;
mod table;
mod waking;

use std::time::Duration;

use multiplexing::{FEW, MANY, VERY_MANY};
use table::{Effort, Row};

/// The groups of rows. The many lwps come last: a host process of their size is slow to fork.
const GROUPS: [fn(bool) -> Vec<Row>; 11] = [
    operations::entering,
    operations::the_rest,
    operations::on_two_threads,
    multiplexing::lives,
    multiplexing::talking,
    multiplexing::herds,
    waking::rows,
    operations::switching,
    |small| multiplexing::yields(&FEW, small),
    |small| multiplexing::yields(&MANY, small),
    |small| multiplexing::yields(&VERY_MANY, small),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--do") {
        let count = args.get(at + 1).and_then(|count| count.parse().ok());
        return do_so_often(count.expect("a count follows"), args.get(at + 2).expect("a row's name follows"));
    }
    // `cargo bench` says `--bench`; everything else only wants to see that it runs.
    let measures = args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--test");
    let effort = match measures {
        true => Effort { batch: Duration::from_micros(400), rounds: 101, warm: false },
        false => Effort::ONCE,
    };
    let small = !measures;
    common::pin(0);
    table::print_machine(effort.rounds);
    table::print_head();
    for rows in GROUPS {
        table::print(&effort.measure(rows(small)));
    }
    memory::print(small);
}

fn do_so_often(count: u64, name: &str) {
    common::pin(0);
    let row = GROUPS.iter().flat_map(|rows| rows(true)).find(|row| row.name() == name);
    row.expect("no row has that name").run(count);
}
