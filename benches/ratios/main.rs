//! What the design promises, measured: each operation as a ratio to the bare claim in the same run.
//!
//! Machines are noisy, so every figure is a median over many rounds, each round measures everything once, in a short
//! batch, tied to one cpu, and ratios are taken within a round. See `perf/README.md`.

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
use table::Effort;

fn main() {
    // `cargo bench` says `--bench`; everything else only wants to see that it runs.
    let measures = std::env::args().any(|arg| arg == "--bench") && !std::env::args().any(|arg| arg == "--test");
    let effort = match measures {
        true => Effort { batch: Duration::from_micros(400), rounds: 101, warm: false },
        false => Effort::ONCE,
    };
    let small = !measures;
    common::pin(0);
    table::print_machine(effort.rounds);
    table::print_head();
    // The many lwps come last: a host process of their size is slow to fork.
    for rows in [
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
    ] {
        table::print(&effort.measure(rows(small)));
    }
    memory::print(small);
}
