//! What processes and lwps cost, in bytes that the allocator was asked for.

#[path = "common/counting.rs"]
mod counting;

use lwproc::{Console, Kernel, Lwp, ProcOptions, sys};

use counting::{each, out};

/// One test: a second one beside it would be counted too.
#[test]
fn a_process_takes_at_most_640_bytes_and_a_further_lwp_256_with_their_slots() {
    // So many that both tables are full to the end of a segment: each slot is counted once. Tables are 64 · (2ⁿ - 1)
    // long, and pids 0 and 1 have two of them.
    const PROCS: usize = 64 * 255 - 2;
    const LWPS: usize = 64 * 1023 - PROCS;
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    // What a thread makes at its first entry is not the processes'.
    kernel.enter(sys::getuid);
    let (proc, mut procs) = each(PROCS, || kernel.spawn(ProcOptions::new()).unwrap());
    let (lwp, lwps) = each(LWPS, || procs[0].newlwp().unwrap());
    let (entered, ()) = {
        let before = out();
        procs.iter_mut().for_each(|lwp| lwp.enter(|| assert_eq!(sys::getuid(), 0)));
        ((out() - before) as f64 / PROCS as f64, ())
    };
    println!("process with its lwp: {proc:.1} bytes; and {entered:.1} once it has asked for its credentials");
    println!("further lwp: {lwp:.1} bytes");
    assert!(proc <= 640.0, "{proc} bytes a process");
    assert!(lwp <= 256.0, "{lwp} bytes a lwp");
    assert!(proc + entered <= 640.0, "{proc} + {entered} bytes a process that runs");

    // Released, they go back: what stays is the tables, which are used again.
    drop((procs, lwps));
    let released = out();
    for _ in 0..3 {
        let again: Vec<Lwp> = (0..PROCS).map(|_| kernel.spawn(ProcOptions::new()).unwrap()).collect();
        drop(again);
    }
    let grown = out().saturating_sub(released);
    assert!(grown < 64 * PROCS, "{grown} bytes more after making and releasing all of it three times");
}
