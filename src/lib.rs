//! Virtual processes inside one host process: `rump_lwproc(3)` as a Rust runtime.
//!
//! A **process** is a container of resources: credentials, root and working directory, umask, descriptor table, limits,
//! and values of the embedder's own. A **lwp** is an execution context; it belongs to one process for life, and the process
//! ends with its last lwp. A **host thread** runs one lwp at a time, or is in an *implicit context* of pid 1. Taking on a
//! lwp is a compare-exchange and a pointer in thread-local storage: no lock, and nothing that the host would notice.
//!
//! # Two faces
//!
//! [`Lwp`] is a lwp that is owned. It is entered for the length of a closure and released when dropped, so it cannot be
//! left behind, run twice or used after its end:
//!
//! ```
//! use lwproc::{Kernel, OpenFlags, ProcOptions, sys};
//!
//! let kernel = Kernel::new()?;
//! let mut alice = kernel.spawn(ProcOptions::new().name("alice").uid(1001).gid(1001).cwd("/tmp"))?;
//! alice.enter(|| {
//!     let fd = sys::open("note", OpenFlags::RDWR | OpenFlags::CREAT, 0o600)?;
//!     sys::write(fd, b"hello")?;
//!     assert_eq!(sys::fstat(fd)?.uid, 1001);
//!     sys::close(fd)
//! })?;
//! # Ok::<(), lwproc::Errno>(())
//! ```
//!
//! The calls of the manual page are methods of [`Kernel`], for those who move between lwps by hand: [`rfork`](Kernel::rfork),
//! [`newlwp`](Kernel::newlwp), [`switch`](Kernel::switch), [`releaselwp`](Kernel::releaselwp), [`curlwp`](Kernel::curlwp).
//! A lwp made by them lives until it is released. Misuse of these (running a lwp twice, releasing what is not there) is
//! [fatal](Fatal), as in the original.
//!
//! # Who is current
//!
//! The [system calls](sys) and [locals](local) act for the calling host thread's, or task's, *context*:
//!
//! | the thread or task | its context |
//! |---|---|
//! | entered a lwp, or switched to one | that lwp |
//! | let go of its lwp: `switch(None)`, `releaselwp` | the implicit context of that kernel |
//! | is in [`Kernel::enter`] | the implicit context of that kernel |
//! | has done none of this yet | the implicit context of [`Kernel::global`] |
//!
//! A new host thread begins without a context, whoever made it; a fiber or future of a [multiplexer](mux) begins in the lwp
//! that it was spawned with, and is as good as a host thread in all of this. What is current in a context, or was put aside in
//! it by an `enter`, *runs*: nobody else can switch to it. What a context lets go of (by a switch away, by its end) is
//! anybody's who has the id. An `enter` that a coroutine of others is suspended in ends in the context in which it began, or is
//! [fatal](FatalKind::OutOfOrder). A context keeps the memory of the kernel that it is in. A handle ([`LwpId`]) is never an
//! address: stale, invented and foreign ones are recognized.
//!
//! A [`Lwp`] has one owner. Others who know its id may switch to it while it rests; an owner that goes meanwhile leaves its end to
//! whoever runs it then.
//!
//! # Many lwps on one thread
//!
//! A [`Mux`] runs lwps by the hundred thousand on one host thread: each as a fiber, which is ordinary blocking code on a
//! stack of its own, or as a future. What would block in a fiber suspends it alone. [`Runtime`] has one for each of several
//! threads. See [`mux`].
//!
//! ```
//! use lwproc::{FdInherit, Kernel, Mux, ProcOptions, sys};
//!
//! let kernel = Kernel::new()?;
//! let mut mux = Mux::new(&kernel)?;
//! let (read, write) = kernel.enter(sys::pipe)?;
//! for uid in 1..=3 {
//!     let lwp = kernel.spawn(ProcOptions::new().uid(uid).fds(FdInherit::Share))?;
//!     mux.spawn_fiber(lwp, move || sys::write(write, &[sys::getuid() as u8]))?;
//! }
//! let reader = kernel.spawn(ProcOptions::new().fds(FdInherit::Share))?;
//! let mut sum = mux.spawn_fiber(reader, move || {
//!     let mut bytes = [0; 3];
//!     // Waits for each of them.
//!     (0..3).for_each(|at| assert_eq!(sys::read(read, &mut bytes[at..=at]), Ok(1)));
//!     bytes.iter().sum::<u8>()
//! })?;
//! mux.run()?;
//! assert_eq!(sum.join().unwrap(), 6);
//! # Ok::<(), lwproc::Errno>(())
//! ```
//!
//! # What may block
//!
//! `switch`, `enter`, `rfork`, `newlwp`, `releaselwp`, and the lookup of lwps, processes and descriptors take no lock and
//! wait for nobody. System calls block as POSIX says they do, each in one place, and end with `EINTR` when their process is
//! [killed](Kernel::kill): on a plain host thread they park it, in a fiber they suspend the fiber, and as futures
//! ([`sys::aio`]) they are pending. Files take what locks they need; those of embedders ([`File`]) do as they like.
//!
//! # The end of things
//!
//! A process ends in the call that releases its last lwp: descriptors are closed while the lwp is still current, exit hooks
//! run, locals are dropped, and it leaves its working directory and root. A file closes in the call that closes its last
//! descriptor; one that was being opened when its process ended, in the call that was opening it (`ESRCH`). None of that waits
//! for a collector, which frees memory alone. A kernel halts when its last handle is dropped; see [`Kernel`].
//!
//! A panic in a closure that runs in a lwp leaves the lwp and goes on. A panic in a file's drop, an exit hook or a local's
//! drop goes on when the process has ended in spite of it. One that nobody would see, such as a waker's, ends where it
//! occurs, and is told to [`Builder::on_panic`].
//!
//! # Layers
//!
//! Each module uses those below it alone:
//!
//! ```text
//! capi
//! mux   ps
//! blocking   sys
//! lwproc (rfork newlwp switch releaselwp Lwp)
//! context (curlwp nest saved current leave exit halt, local)
//! kernel
//! lwp  ->  proc (user limits locals)
//! vfs  ->  fd  ->  wait (until watch turn queue driver park hostfd)
//! table (segments indices reclaim)
//! sync   errno   id   cred   panics
//! ```
//!
//! Every concurrent protocol is a word or two with named transitions, described at the top of its file
//! (`lwp/slot.rs`, `proc/lwpcount.rs`, `fd/fdtable.rs`, `table/`, `wait/queue.rs`, `wait/park.rs`, `context/`,
//! `mux/inbox.rs`, `mux/shown.rs`, `mux/spawn/packet.rs`, `blocking/latch.rs`, `blocking/waiters.rs`), and has a loom model in `loom-tests/` with a broken twin
//! that the model must catch.
//!
//! # Source
//!
//! rump_lwproc(3), rfork(2), NetBSD; POSIX.1-2024 for the system calls.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("lwproc runs on 64-bit Linux alone: it takes descriptors, epoll and words of 64 bits for granted");

pub mod blocking;
#[cfg(all(feature = "capi", not(loom)))]
pub mod capi;
mod context;
mod cred;
mod errno;
mod fd;
mod id;
mod kernel;
#[cfg(all(test, loom))]
#[path = "../loom-tests/models/mod.rs"]
mod loom_models;
mod lwp;
mod lwproc;
pub mod mux;
mod panics;
mod proc;
mod ps;
mod sync;
pub mod sys;
mod table;
mod vfs;
mod wait;

pub use blocking::block_on::block_on;
pub use context::local;
pub use cred::{Cred, NGROUPS_MAX};
pub use errno::{Errno, Result};
pub use fd::{
    Console, DirEntry, Domain, FdFlags, File, FileKind, HostFile, HostRange, OPEN_MAX, OpenFile, OpenFlags, PIPE_BUF,
    PIPE_CAPACITY, PipeReader, PipeWriter, S_IFMT, Socket, SocketAddress, SocketKind, SocketOption, Stat, pipe,
};
pub use id::{Fd, Gid, LwpId, Mode, Pid, Uid};
pub use kernel::{Builder, Fatal, FatalKind, Kernel, Usage};
pub use lwp::SwitchError;
pub use lwproc::{FdInherit, Lwp, ProcOptions};
#[cfg(not(loom))]
pub use mux::{JoinError, JoinHandle, Mux, MuxBuilder, MuxHandle, Runtime};
pub use proc::{Resource, Rlimit};
pub use ps::{Ps, PsRow};
pub use vfs::{Access, MountOptions, SetTime};
pub use wait::events::Events;
pub use wait::hostfd::HostFd;
pub use wait::queue::WaitQueue;
pub use wait::watch::Watch;

/// The examples of the README run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
