//! What a reader whose peer is quicker leaves to a neighbour: one that ticks every 10 ms, 300 times, on the same multiplexer.
//!
//! Each reads 64 bytes at a time for 3 seconds, with turns of 128 calls, and of as many as it likes. See `perf/README.md`.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwproc::sys::{self, aio};
use lwproc::{Fd, FdInherit, HostFile, Kernel, Lwp, Mux, OpenFlags, ProcOptions};

/// How often a neighbour ticks.
const TICK: Duration = Duration::from_millis(10);
/// How much a reader reads at a time, in bytes.
const READ: usize = 64;

/// What is read from.
#[derive(Clone, Copy)]
enum Source {
    Pipe,
    Socket,
}

/// What is kept full, and the reader's side of it.
fn full(kernel: &Kernel, from: Source, time: Duration) -> (Fd, std::thread::JoinHandle<()>) {
    let piece = [0; 32 << 10];
    match from {
        Source::Pipe => {
            let (reader, writer) = kernel.enter(sys::pipe).unwrap();
            let kernel = kernel.clone();
            let write = move || {
                let until = Instant::now() + time;
                kernel.enter(|| {
                    while Instant::now() < until {
                        sys::write(writer, &piece).unwrap();
                    }
                    sys::close(writer).unwrap();
                });
            };
            (reader, std::thread::spawn(write))
        }
        Source::Socket => {
            let (here, mut there) = UnixStream::pair().unwrap();
            let file = HostFile::new(here.into()).unwrap();
            let fd = kernel.enter(|| sys::install(file, OpenFlags::RDWR).unwrap());
            let write = move || {
                let until = Instant::now() + time;
                while Instant::now() < until {
                    there.write_all(&piece).unwrap();
                }
            };
            (fd, std::thread::spawn(write))
        }
    }
}

fn lwp(kernel: &Kernel) -> Lwp {
    kernel.spawn(ProcOptions::new().fds(FdInherit::Share)).unwrap()
}

/// Prints a row: the ticks, the longest time between two, and what was read.
fn measure(name: &str, from: Source, fiber: bool, calls: u32, ticks: usize) {
    let kernel = Kernel::new().unwrap();
    let mut mux = Mux::builder(&kernel).calls(calls).build().unwrap();
    let (fd, peer) = full(&kernel, from, TICK * ticks as u32);
    let (reads, over) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(false)));
    let (count, end) = (Rc::clone(&reads), Rc::clone(&over));
    let began = Instant::now();
    if fiber {
        mux.spawn_fiber(lwp(&kernel), move || {
            while sys::read(fd, &mut [0; READ]).unwrap() > 0 {
                count.set(count.get() + 1);
            }
            end.set(true);
        })
        .unwrap();
    } else {
        mux.spawn(lwp(&kernel), async move {
            while aio::read(fd, &mut [0; READ]).await.unwrap() > 0 {
                count.set(count.get() + 1);
            }
            end.set(true);
        })
        .unwrap();
    }
    let told = Rc::new(RefCell::new(Vec::with_capacity(ticks)));
    let tell = Rc::clone(&told);
    mux.spawn_fiber(lwp(&kernel), move || {
        while !over.get() {
            sys::nanosleep(TICK, None).unwrap();
            tell.borrow_mut().push(Instant::now());
        }
    })
    .unwrap();
    mux.run().unwrap();
    let took = began.elapsed();
    peer.join().unwrap();
    let told = told.borrow();
    let mut before = began;
    let worst = told.iter().map(|at| at.duration_since(std::mem::replace(&mut before, *at))).max();
    println!(
        "| {name} | {} | {}.{} ms | {:.1} |",
        told.len(),
        worst.unwrap_or_default().as_millis(),
        worst.unwrap_or_default().as_micros() % 1000 / 100,
        took.as_nanos() as f64 / reads.get() as f64,
    );
}

fn main() {
    // `cargo bench` says `--bench`; everything else only wants to see that it runs.
    let measures = std::env::args().any(|arg| arg == "--bench") && !std::env::args().any(|arg| arg == "--test");
    let (ticks, rounds) = if measures { (300, 3) } else { (3, 1) };
    println!("| reader | ticks of {ticks} | longest gap | ns a read |\n|---|---|---|---|");
    for _ in 0..rounds {
        for (name, from, fiber) in [
            ("fiber, pipe", Source::Pipe, true),
            ("future, pipe", Source::Pipe, false),
            ("fiber, socket", Source::Socket, true),
            ("future, socket", Source::Socket, false),
        ] {
            measure(&format!("{name}, turns without an end"), from, fiber, u32::MAX, ticks);
            measure(&format!("{name}, turns of 128 calls"), from, fiber, 128, ticks);
        }
    }
}
