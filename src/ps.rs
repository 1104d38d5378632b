//! `ps`: what processes there are.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use crate::id::{Pid, Uid};
use crate::kernel::Kernel;
use crate::table;

/// One process, as [`Kernel::ps`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PsRow {
    /// Its pid.
    pub pid: Pid,
    /// Its parent's, 1 once that is gone.
    pub ppid: Pid,
    /// Its effective user.
    pub uid: Uid,
    /// Its lwps, implicit ones not counted.
    pub lwps: u32,
    /// How many of them a host thread runs at this moment. A fiber that never yields stays among these, and its
    /// `switches` stand still.
    pub running: u32,
    /// Its open descriptors.
    pub fds: u32,
    /// How often its lwps were switched from. The turn that a running one has is not over.
    pub switches: u64,
    /// Its working directory, as seen from its own root; `?` where that was removed, or the process has ended meanwhile.
    pub cwd: PathBuf,
    /// Its name.
    pub name: String,
}

/// The processes of a kernel, by pid. `Display` prints a table.
///
/// Each row is true of the moment in which the walk came by; together they are no snapshot, since nobody is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ps(Vec<PsRow>);

#[derive(Default)]
struct Lwps {
    all: u32,
    running: u32,
    switches: u64,
}

impl Kernel {
    /// Lists the processes. The walk over the tables takes no lock and stops nobody; afterwards each file system is asked
    /// what the working directories are called, and `mount` and `unmount` wait while it answers.
    ///
    /// ```
    /// use lwproc::{Kernel, ProcOptions};
    ///
    /// let kernel = Kernel::new()?;
    /// let _bob = kernel.spawn(ProcOptions::new().name("bob").uid(1002))?;
    /// let ps = kernel.ps();
    /// assert_eq!(ps.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["kernel", "init", "bob"]);
    /// assert!(ps.to_string().starts_with("  PID"));
    /// # Ok::<(), lwproc::Errno>(())
    /// ```
    ///
    /// Source: ps(1).
    pub fn ps(&self) -> Ps {
        let inner = self.inner();
        let mut lwps: HashMap<Pid, Lwps> = HashMap::new();
        for lwp in inner.lwps.iter() {
            let of_proc = lwps.entry(lwp.pid).or_default();
            of_proc.all += 1;
            of_proc.running += u32::from(lwp.running);
            of_proc.switches += lwp.switches;
        }
        let guard = table::pin();
        let rows = inner.procs.iter(&guard).map(|proc| {
            let lwps = lwps.remove(&proc.pid).unwrap_or_default();
            PsRow {
                pid: proc.pid,
                ppid: inner.parent(proc),
                uid: proc.identity.load().cred.euid,
                lwps: lwps.all,
                running: lwps.running,
                fds: proc.fds.open_count(),
                switches: lwps.switches + proc.past_switches(),
                cwd: PathBuf::new(),
                name: proc.name.load().to_string(),
            }
        });
        let mut rows: Vec<PsRow> = rows.collect();
        // File systems are asked off the guard: that may take its time.
        drop(guard);
        for row in &mut rows {
            let cwd = || inner.procs.get(row.pid, &table::pin()).map(|proc| proc.cwd.load_full());
            row.cwd = inner.namespace.path(cwd).unwrap_or_else(|| "?".into());
        }
        rows.sort_by_key(|row| row.pid);
        Ps(rows)
    }
}

impl Ps {
    /// The processes, by pid.
    pub fn iter(&self) -> std::slice::Iter<'_, PsRow> {
        self.0.iter()
    }
}

impl<'p> IntoIterator for &'p Ps {
    type Item = &'p PsRow;
    type IntoIter = std::slice::Iter<'p, PsRow>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Ps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>5} {:>5} {:>6} {:>5} {:>4} {:>4} {:>10} {:<16} NAME",
            "PID", "PPID", "UID", "LWPS", "RUN", "FDS", "SWITCHES", "CWD"
        )?;
        for row in self {
            writeln!(
                f,
                "{:>5} {:>5} {:>6} {:>5} {:>4} {:>4} {:>10} {:<16} {}",
                row.pid.raw(),
                row.ppid.raw(),
                row.uid,
                row.lwps,
                row.running,
                row.fds,
                row.switches,
                row.cwd.display(),
                row.name
            )?;
        }
        Ok(())
    }
}
