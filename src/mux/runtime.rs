//! `Runtime`: a multiplexer for each of several host threads.

use std::fmt;
use std::future::{Future, pending};
use std::sync::mpsc;
use std::thread;

use super::handle::MuxHandle;
use super::options::MuxBuilder;
use super::spawn::{JoinHandle, SpawnError, SpawnErrorKind};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::lwproc::Lwp;

/// Several host threads with a [`Mux`](super::Mux) each: how a server uses more than one core.
///
/// What is spawned goes to the multiplexer that has the fewest tasks, and stays there: lwps do not migrate, so that no
/// fiber's stack and no thread-scheduler changes host threads, and turns take no atomics. Load is evened out by placing, not
/// by stealing: a server accepts connections on all multiplexers (a fiber each, over one listening socket), or spawns each
/// connection from wherever it was accepted.
///
/// Dropped, it stops all multiplexers, and waits until they have cancelled what they still had.
///
/// ```
/// use lwproc::{Kernel, ProcOptions, Runtime, sys};
///
/// let kernel = Kernel::new()?;
/// let runtime = Runtime::new(&kernel, 2)?;
/// let mut joins = Vec::new();
/// for uid in 1..=10 {
///     let lwp = kernel.spawn(ProcOptions::new().uid(uid))?;
///     joins.push(runtime.spawn_fiber(lwp, || sys::getuid())?);
/// }
/// let sum: u32 = joins.iter_mut().map(|join| join.join().unwrap()).sum();
/// assert_eq!(sum, 55);
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub struct Runtime {
    muxes: Vec<MuxHandle>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Runtime {
    /// The most host threads.
    pub const MAX_THREADS: usize = 1024;

    /// A runtime of `threads` host threads, with the default options.
    ///
    /// # Errors
    /// `EINVAL`: no threads, or more than [`MAX_THREADS`](Self::MAX_THREADS). `EAGAIN`: the host has no thread left. And
    /// as for [`MuxBuilder::build`].
    pub fn new(kernel: &Kernel, threads: usize) -> Result<Self> {
        Self::with(&super::Mux::builder(kernel), threads)
    }

    /// A runtime of `threads` host threads, with the options of `mux`; each gets its name and a number.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with(mux: &MuxBuilder, threads: usize) -> Result<Self> {
        if threads == 0 || threads > Self::MAX_THREADS {
            return Err(Errno::EINVAL);
        }
        // Dropped where one cannot be made, it ends those that are there.
        let mut runtime = Self { muxes: Vec::new(), threads: Vec::new() };
        for number in 0..threads {
            let name = format!("{}-{number}", mux.name);
            let options = mux.clone().name(&name);
            let (tell, told) = mpsc::sync_channel(1);
            let run = move || match options.build() {
                Ok(mut mux) => {
                    let _ = tell.send(Ok(mux.handle()));
                    // It ends when it is stopped, or when the host cannot wait any more; then the handle is closed.
                    let _ = mux.run_until(pending::<()>());
                }
                Err(error) => _ = tell.send(Err(error)),
            };
            let thread = thread::Builder::new().name(name).spawn(run).map_err(|_| Errno::EAGAIN)?;
            runtime.threads.push(thread);
            runtime.muxes.push(told.recv().map_err(|_| Errno::EAGAIN)??);
        }
        Ok(runtime)
    }

    /// Spawns a future in `lwp`, on the multiplexer that has the fewest tasks.
    ///
    /// # Errors
    /// As for [`MuxHandle::spawn`].
    pub fn spawn<F>(&self, lwp: Lwp, future: F) -> std::result::Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.least() {
            Some(mux) => mux.spawn(lwp, future),
            None => Err(SpawnError { lwp, kind: SpawnErrorKind::Closed }),
        }
    }

    /// Spawns a fiber in `lwp`, on the multiplexer that has the fewest tasks.
    ///
    /// # Errors
    /// As for [`MuxHandle::spawn_fiber`].
    pub fn spawn_fiber<T, F>(&self, lwp: Lwp, f: F) -> std::result::Result<JoinHandle<T>, SpawnError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self.least() {
            Some(mux) => mux.spawn_fiber(lwp, f),
            None => Err(SpawnError { lwp, kind: SpawnErrorKind::Closed }),
        }
    }

    fn least(&self) -> Option<&MuxHandle> {
        self.muxes.iter().filter(|mux| !mux.is_closed()).min_by_key(|mux| mux.load())
    }

    /// The multiplexers, to spawn on each.
    pub fn muxes(&self) -> &[MuxHandle] {
        &self.muxes
    }

    /// Stops all multiplexers, which cancel what they still have, and does not wait for it.
    pub fn stop(&self) {
        self.muxes.iter().for_each(MuxHandle::stop);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // One that drops the runtime in a task of its own cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                // A panic of the embedder's drops was reported when it began.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.muxes).finish()
    }
}
