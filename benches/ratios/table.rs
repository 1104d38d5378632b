//! Rows: an operation, what it is measured against, and what it should come to.

use std::time::{Duration, Instant};

use crate::common::cpus;

/// What a row should come to, in relation to the row of a name.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most so many times the other's time.
    Times(&'static str, f64),
    /// At most so many nanoseconds more than the other.
    Above(&'static str, f64),
    /// At least so many times the other's throughput.
    Throughput(&'static str, f64),
    /// Nothing: it is there to be compared with.
    None,
}

/// An operation that is being measured.
pub(crate) struct Row {
    name: &'static str,
    target: Target,
    /// Does it so many times, and says how long one took.
    run: Box<dyn FnMut(u64) -> Duration>,
    iters: u64,
    samples: Vec<f64>,
}

impl Row {
    /// A row whose `batch` does the operation as often as it is told.
    pub(crate) fn new(name: &'static str, target: Target, mut batch: impl FnMut(u64) + 'static) -> Self {
        Self::timed(name, target, move |iters| {
            let begun = Instant::now();
            batch(iters);
            begun.elapsed()
        })
    }

    /// A row whose `run` keeps the time itself.
    pub(crate) fn timed(name: &'static str, target: Target, run: impl FnMut(u64) -> Duration + 'static) -> Self {
        Self { name, target, run: Box::new(run), iters: 1, samples: Vec::new() }
    }

    /// As often as makes whole laps of `count`, so that no cell rests longer than another's.
    pub(crate) fn in_laps(self, count: usize) -> Self {
        Self { iters: count as u64, ..self }
    }

    /// Finds out how many fill a batch, however often the host interrupts it.
    pub(crate) fn calibrate(&mut self, batch: Duration) {
        while (0..3).any(|_| (self.run)(self.iters) < batch) {
            self.iters *= 2;
        }
    }

    /// Measures one batch.
    pub(crate) fn measure(&mut self) {
        let taken = (self.run)(self.iters);
        self.samples.push(taken.as_secs_f64() * 1e9 / self.iters as f64);
    }

    pub(crate) fn done(self) -> Measured {
        Measured { name: self.name, target: self.target, samples: self.samples }
    }
}

/// A row with a time in nanoseconds for each round.
pub(crate) struct Measured {
    name: &'static str,
    target: Target,
    samples: Vec<f64>,
}

impl Measured {
    /// The median over all rounds of what `relate` makes of this row's time and the other's.
    fn against(&self, other: &Self, relate: impl Fn(f64, f64) -> f64) -> f64 {
        median(self.samples.iter().zip(&other.samples).map(|(own, others)| relate(*own, *others)).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints what stands above all groups' rows.
pub(crate) fn print_head(rounds: usize) {
    println!("cpu: {} ({} usable); medians of {rounds} rounds\n", cpu_model(), cpus());
    println!("| operation | ns | ratio to F | target | measured | |");
    println!("|---|---:|---:|---|---:|---|");
}

/// Prints a group. The first row is `F`.
pub(crate) fn print(rows: &[Measured]) {
    let named = |name| rows.iter().find(|row| row.name == name).expect("targets name rows");
    for row in rows {
        let (target, measured, met) = match row.target {
            Target::Times(of, most) => {
                let times = row.against(named(of), |own, others| own / others);
                (format!("<= {most} x {of}"), format!("{times:.2}"), times <= most)
            }
            Target::Above(of, most) => {
                let more = row.against(named(of), |own, others| own - others);
                (format!("<= {of} + {most} ns"), format!("{more:+.2} ns"), more <= most)
            }
            Target::Throughput(of, least) => {
                let times = row.against(named(of), |own, others| others / own);
                (format!(">= {least} x {of}"), format!("{times:.2}"), times >= least)
            }
            Target::None => (String::new(), String::new(), true),
        };
        let verdict = match row.target {
            Target::None => "",
            _ => verdict(met),
        };
        let time = median(row.samples.clone());
        let to_f = row.against(&rows[0], |own, f| own / f);
        println!("| {} | {time:.2} | {to_f:.2} | {target} | {measured} | {verdict} |", row.name);
    }
}

pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// The cpu's name, as the host gives it.
fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1).map(str::trim));
    model.unwrap_or("unknown").to_owned()
}
