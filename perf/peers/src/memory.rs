//! What a parked task takes: each kind in a host process of its own, by what is allocated and what is resident.

use std::any::Any;
use std::process::Command;
use std::time::Instant;

use rustix::mm::{MapFlags, ProtFlags};

use crate::counting;
use crate::ours::{self, Kind};
use crate::peers::*;
use crate::table::verdict;

/// What was parked, while this is kept.
pub struct Parked {
    pub number: usize,
    /// Why there are no more, if more were asked for.
    pub refused: Option<String>,
    pub _kept: Box<dyn Any>,
}

impl Parked {
    /// All that were asked for.
    pub fn new(number: usize, kept: impl Any) -> Self {
        Self { number, refused: None, _kept: Box::new(kept) }
    }
}

/// Makes so many, parked.
type Park = fn(usize) -> Parked;

/// By name: at most how many, how they are made, and how many bytes each may take, resident, if that is a target.
const PARKED: &[(&str, usize, Park, Option<f64>)] = &[
    (FUTURE, usize::MAX, |count| ours::park(Kind::Future, count), Some(512.0)),
    (FIBER, usize::MAX, |count| ours::park(Kind::Fiber, count), Some(4096.0 + 512.0)),
    ("boxed future", usize::MAX, bare::park_boxed, None),
    ("async-task", usize::MAX, bare::park_tasks, None),
    ("embassy, raw", usize::MAX, embassy::park, None),
    ("async-executor, local", usize::MAX, executor::park, None),
    ("tokio, current thread", usize::MAX, tokio::park, None),
    ("corosensei, 16 KiB of a slab, no guard", usize::MAX, bare::park_coroutines, None),
    ("may, 64 KiB", 20_000, may::park, None),
    #[cfg(boost_fiber)]
    ("boost.fiber, 64 KiB", 20_000, boost::park, None),
];

const FUTURE: &str = "lwproc, future with its lwp";
const FIBER: &str = "lwproc, fiber with its lwp";

/// A field of a file of `/proc` in KiB, in bytes.
fn bytes(file: &str, field: &str) -> f64 {
    let text = std::fs::read_to_string(file).expect("the host tells");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("it has the field");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().expect("a number") * 1024.0
}

/// What is resident, and what the host's page tables take, in bytes.
fn resident() -> (f64, f64) {
    (bytes("/proc/self/status", "VmRSS:"), bytes("/proc/self/status", "VmPTE:"))
}

/// What a process of its own found out.
struct Measured {
    number: usize,
    /// Bytes allocated, resident, and in page tables; nanoseconds to make it, and to end it. Of each one.
    each: [f64; 5],
    /// Why there are no more.
    refused: Option<String>,
}

/// What the parent asks a process of its own to say, and [`measure`] reads.
pub fn child(name: &str, count: usize) {
    let (_, _, park, _) = PARKED.iter().find(|(known, ..)| *known == name).expect("the parent knows the names");
    // What is there once for all.
    drop(park(1));
    let before = resident();
    let begun = Instant::now();
    let (parked, allocated) = counting::allocated(|| park(count));
    let made = begun.elapsed();
    let after = resident();
    let (number, refused) = (parked.number, parked.refused.clone().unwrap_or_default());
    let begun = Instant::now();
    drop(parked);
    let ended = begun.elapsed();
    let all =
        [allocated as f64, after.0 - before.0, after.1 - before.1, made.as_secs_f64() * 1e9, ended.as_secs_f64() * 1e9];
    let each = all.map(|value| (value / number as f64).to_string()).join(" ");
    println!("{number} {each}\n{refused}");
}

fn measure(name: &str, count: usize) -> Result<Measured, String> {
    // Not by its path, where another may have been built since.
    let output = Command::new("/proc/self/exe").args(["--child", name, &count.to_string()]).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (numbers, refused) = text.split_once('\n').unwrap_or_default();
    let mut numbers = numbers.split(' ');
    let number = numbers.next().and_then(|word| word.parse().ok());
    let each: Result<[f64; 5], _> = numbers.filter_map(|word| word.parse().ok()).collect::<Vec<_>>().try_into();
    let (Some(number), Ok(each)) = (number, each) else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().find(|line| !line.is_empty()).unwrap_or("it said nothing").to_owned());
    };
    let refused = Some(refused.trim()).filter(|refused| !refused.is_empty()).map(str::to_owned);
    Ok(Measured { number, each, refused })
}

/// Prints what each kind takes.
pub fn parked(small: bool) {
    println!("\n### A parked one, in bytes (what C++ allocates is not seen)\n");
    println!("| parked | number | allocated | resident | page tables | target | |");
    println!("|---|---:|---:|---:|---:|---|---|");
    for (name, most, _, target) in PARKED {
        let count = if small { 1_000 } else { 100_000.min(*most) };
        match measure(name, count) {
            Ok(Measured { number, each: [allocated, resident, tables, ..], .. }) => {
                let (target, met) = match target {
                    Some(most) => (format!("<= {most} resident"), verdict(resident <= *most)),
                    None => (String::new(), ""),
                };
                println!("| {name} | {number} | {allocated:.0} | {resident:.0} | {tables:.0} | {target} | {met} |");
            }
            Err(said) => println!("| {name} | failed: {said} | | | | | |"),
        }
    }
}

/// Prints a million parked lwps on one host thread, or as many as the host has room for, and why not more.
pub fn million(small: bool) {
    let all = if small { 1_000 } else { 1_000_000 };
    // Three quarters of what is free: the host is to go on.
    let fits = (bytes("/proc/meminfo", "MemAvailable:") * 0.75 / 5_000.0) as usize;
    println!("\n### {all} parked lwps on one host thread\n");
    match has_guard_markers() {
        true => println!("Stacks have guards by MADV_GUARD_INSTALL.\n"),
        false => println!(
            "The kernel has no MADV_GUARD_INSTALL: each guard takes mappings, of which vm.max_map_count gives few.\n"
        ),
    }
    println!("| parked | number | GB resident | GB of page tables | ns to make each | ns to end each | |");
    println!("|---|---:|---:|---:|---:|---:|---|");
    for (name, count) in [(FUTURE, all), (FIBER, all.min(fits))] {
        match measure(name, count) {
            Ok(Measured { number, each: [_, resident, tables, made, ended], refused }) => {
                let gb = |each: f64| each * number as f64 / 1e9;
                let (resident, tables) = (gb(resident), gb(tables));
                let why = match (refused, count < all) {
                    (Some(refused), _) => format!(", the next one was refused: {refused}"),
                    (None, true) => ", as many as three quarters of the free memory hold".into(),
                    (None, false) => String::new(),
                };
                let met = verdict(number == all);
                println!("| {name} | {number} | {resident:.2} | {tables:.2} | {made:.0} | {ended:.0} | {met}{why} |");
            }
            Err(said) => println!("| {name} | failed: {said} | | | | | {} |", verdict(false)),
        }
    }
}

/// Whether the kernel has guards that take no mapping.
fn has_guard_markers() -> bool {
    /// Linux 6.13.
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    let page = rustix::param::page_size();
    // SAFETY: a new mapping wherever the host likes, which nobody uses.
    let mapping = unsafe {
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), page, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
    };
    let mapping = mapping.expect("there is room for a page");
    // SAFETY: of that mapping.
    let installed = unsafe { libc::madvise(mapping, page, MADV_GUARD_INSTALL) } == 0;
    // SAFETY: as above.
    unsafe { rustix::mm::munmap(mapping, page) }.expect("it is mapped");
    installed
}
