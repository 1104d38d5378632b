//! What the design promises, measured: each operation as a ratio to the bare claim in the same run.
//!
//! Machines are noisy, so every figure is a median over many rounds, each round measures everything once, in a short
//! batch, tied to one cpu, and ratios are taken within a round. See `perf/README.md`.

#[path = "../common/mod.rs"]
mod common;
mod memory;
mod multiplexing;
mod operations;
mod table;
mod waking;

use std::time::Duration;

use table::{Measured, Row};

/// How long a batch lasts, and how many rounds there are.
struct Effort {
    batch: Duration,
    rounds: usize,
}

fn main() {
    // `cargo bench` says `--bench`; everything else only wants to see that it runs.
    let measures = std::env::args().any(|arg| arg == "--bench") && !std::env::args().any(|arg| arg == "--test");
    let effort = match measures {
        true => Effort { batch: Duration::from_micros(400), rounds: 101 },
        false => Effort { batch: Duration::from_micros(1), rounds: 1 },
    };
    let small = !measures;
    common::pin(0);
    table::print_head(effort.rounds);
    // The many lwps come last: a host process of their size is slow to fork.
    for rows in [
        operations::entering,
        operations::the_rest,
        operations::on_two_threads,
        multiplexing::lives,
        multiplexing::talking,
        waking::rows,
        operations::switching,
        multiplexing::yields,
    ] {
        table::print(&measure(rows(small), &effort));
    }
    memory::print(small);
}

/// Measures all rows of a group, in turns.
fn measure(mut rows: Vec<Row>, effort: &Effort) -> Vec<Measured> {
    for row in &mut rows {
        row.calibrate(effort.batch);
    }
    for _ in 0..effort.rounds {
        rows.iter_mut().for_each(Row::measure);
    }
    rows.into_iter().map(Row::done).collect()
}
