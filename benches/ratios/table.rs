//! Rows: an operation, what it is measured against, and what it should come to.

use std::time::{Duration, Instant};

use crate::common::cpus;
use crate::common::rings::Claims;

/// What F took, in nanoseconds, where targets in nanoseconds were set.
const F: f64 = 2.2;

/// How long a batch lasts, and how many rounds there are.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) batch: Duration,
    pub(crate) rounds: usize,
    /// Each batch is done twice, and timed the second time: for those that last no longer than it takes to fill the caches.
    pub(crate) warm: bool,
}

impl Effort {
    /// Once: to see that it runs.
    pub(crate) const ONCE: Self = Self { batch: Duration::from_micros(1), rounds: 1, warm: false };

    /// Measures all rows of a group, in turns.
    pub(crate) fn measure(self, mut rows: Vec<Row>) -> Vec<Measured> {
        for row in &mut rows {
            row.calibrate(self.batch);
        }
        for _ in 0..self.rounds {
            rows.iter_mut().for_each(|row| row.measure(self.warm));
        }
        rows.into_iter().map(Row::done).collect()
    }
}

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

/// At most so many nanoseconds where F takes 2.2.
pub(crate) fn ns(most: f64) -> Target {
    // To two digits.
    Target::Times("F", (most / F * 100.0).round() / 100.0)
}

/// An operation that is being measured.
pub(crate) struct Row {
    name: &'static str,
    targets: Vec<Target>,
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
        Self { name, targets: vec![target], run: Box::new(run), iters: 1, samples: Vec::new() }
    }

    /// A target, or one more.
    pub(crate) fn also(&mut self, target: Target) {
        self.targets.retain(|target| !matches!(target, Target::None));
        self.targets.push(target);
    }

    /// As often as makes whole laps of `count`, so that no cell rests longer than another's.
    pub(crate) fn in_laps(self, count: usize) -> Self {
        Self { iters: count as u64, ..self }
    }

    /// What the operation is called.
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Does it so many times.
    pub(crate) fn run(mut self, count: u64) {
        (self.run)(count);
    }

    /// Finds out how many fill a batch, however often the host interrupts it.
    fn calibrate(&mut self, batch: Duration) {
        while (0..3).any(|_| (self.run)(self.iters) < batch) {
            self.iters *= 2;
        }
    }

    /// Measures one batch.
    fn measure(&mut self, warm: bool) {
        if warm {
            (self.run)(self.iters);
        }
        let taken = (self.run)(self.iters);
        self.samples.push(taken.as_secs_f64() * 1e9 / self.iters as f64);
    }

    fn done(self) -> Measured {
        Measured { name: self.name, targets: self.targets, samples: self.samples }
    }
}

/// The first row of a group, to which all the others' ratios are.
pub(crate) fn bare_claim() -> Row {
    claims("F", 2)
}

/// As `F`, over so many cells.
pub(crate) fn claims(name: &'static str, count: usize) -> Row {
    let mut claims = Claims::new(count);
    Row::new(name, Target::None, move |iters| (0..iters).for_each(|_| claims.next())).in_laps(count)
}

/// A row with a time in nanoseconds for each round.
pub(crate) struct Measured {
    name: &'static str,
    targets: Vec<Target>,
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

/// Prints where and how often was measured.
pub(crate) fn print_machine(rounds: usize) {
    println!("cpu: {} ({} usable); medians of {rounds} rounds\n", cpu_model(), cpus());
}

/// Prints the head of a table.
pub(crate) fn print_head() {
    println!("| operation | ns | ratio to F | target | measured | |");
    println!("|---|---:|---:|---|---:|---|");
}

/// Prints a group. The first row is `F`.
pub(crate) fn print(rows: &[Measured]) {
    for row in rows {
        let (time, to_f) = (median(row.samples.clone()), row.against(&rows[0], |own, f| own / f));
        let mut columns = format!("{} | {time:.2} | {to_f:.2}", row.name);
        for target in &row.targets {
            println!("| {columns} | {} |", row.outcome(*target, rows));
            columns = format!("{}, also | | ", row.name);
        }
    }
}

impl Measured {
    /// A target, what was measured of it, and whether that meets it: three columns.
    fn outcome(&self, target: Target, rows: &[Self]) -> String {
        let named = |name| rows.iter().find(|row| row.name == name).expect("targets name rows");
        let (target, measured, met) = match target {
            Target::Times(of, most) => {
                let times = self.against(named(of), |own, others| own / others);
                (format!("<= {most} x {of}"), format!("{times:.2}"), times <= most)
            }
            Target::Above(of, most) => {
                let more = self.against(named(of), |own, others| own - others);
                (format!("<= {of} + {most} ns"), format!("{more:+.2} ns"), more <= most)
            }
            Target::Throughput(of, least) => {
                let times = self.against(named(of), |own, others| others / own);
                (format!(">= {least} x {of}"), format!("{times:.2}"), times >= least)
            }
            Target::None => return " | | ".to_owned(),
        };
        format!("{target} | {measured} | {}", verdict(met))
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
