//! Resource limits of a process.

use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::OPEN_MAX;
use crate::sync::{AtomicU64, Ordering};

/// A limited resource.
///
/// Source: POSIX.1-2024, getrlimit; getrlimit(2) of NetBSD for `RLIMIT_NPROC` and `RLIMIT_NTHR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// One more than the highest descriptor number. Beyond it: `EMFILE`. At most [`OPEN_MAX`].
    NoFile,
    /// Processes of the real user, in the whole kernel. Beyond it: `EAGAIN`. Root is not held to it.
    NProc,
    /// Lwps of this process. Beyond it: `EAGAIN`.
    NThr,
}

/// A soft limit, which holds, and a hard one, up to which a process may raise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rlimit {
    /// The limit in force.
    pub soft: u64,
    /// How far `soft` may be raised.
    pub hard: u64,
}

impl Rlimit {
    /// No limit: what `RLIM_INFINITY` is in C. Every number from 2³²-1 on means the same.
    pub const INFINITY: u64 = u64::MAX;

    /// The same soft and hard limit.
    pub const fn both(limit: u64) -> Self {
        Self { soft: limit, hard: limit }
    }

    const fn pack(self) -> u64 {
        squeeze(self.hard) << 32 | squeeze(self.soft)
    }

    const fn unpack(packed: u64) -> Self {
        Self { soft: widen(packed as u32), hard: widen((packed >> 32) as u32) }
    }
}

const fn squeeze(limit: u64) -> u64 {
    if limit >= u32::MAX as u64 { u32::MAX as u64 } else { limit }
}

const fn widen(limit: u32) -> u64 {
    if limit == u32::MAX { Rlimit::INFINITY } else { limit as u64 }
}

/// All limits of one process; each pair changes as one.
#[derive(Debug)]
pub(crate) struct Limits {
    /// *Atomic*, each: hard above soft, 32 bits each, all ones for none.
    nofile: AtomicU64,
    nproc: AtomicU64,
    nthr: AtomicU64,
}

impl Limits {
    /// What pid 1 boots with: 1,024 descriptors, which may be raised to [`OPEN_MAX`]; no limit on the rest.
    pub(crate) fn new() -> Self {
        let none = Rlimit::both(Rlimit::INFINITY).pack();
        Self {
            nofile: AtomicU64::new(Rlimit { soft: 1024, hard: OPEN_MAX as u64 }.pack()),
            nproc: AtomicU64::new(none),
            nthr: AtomicU64::new(none),
        }
    }

    /// The same limits for a child.
    pub(crate) fn copy(&self) -> Self {
        let copied = |limit: &AtomicU64| AtomicU64::new(limit.load(Ordering::Relaxed));
        Self { nofile: copied(&self.nofile), nproc: copied(&self.nproc), nthr: copied(&self.nthr) }
    }

    const fn of(&self, resource: Resource) -> &AtomicU64 {
        match resource {
            Resource::NoFile => &self.nofile,
            Resource::NProc => &self.nproc,
            Resource::NThr => &self.nthr,
        }
    }

    /// The soft limit, 2³²-1 for none.
    #[inline]
    pub(crate) fn soft(&self, resource: Resource) -> u32 {
        // Relaxed, here and below: a limit guards no data.
        self.of(resource).load(Ordering::Relaxed) as u32
    }

    pub(crate) fn get(&self, resource: Resource) -> Rlimit {
        Rlimit::unpack(self.of(resource).load(Ordering::Relaxed))
    }

    /// # Errors
    /// `EINVAL`: soft above hard, or more descriptors than [`OPEN_MAX`] though not [`Rlimit::INFINITY`], which is cut to
    /// it. `EPERM`: a higher hard limit, unless root.
    pub(crate) fn set(&self, resource: Resource, limit: Rlimit, cred: &Cred) -> Result<()> {
        if limit.soft > limit.hard {
            return Err(Errno::EINVAL);
        }
        let mut new = limit;
        if resource == Resource::NoFile {
            new = Rlimit { soft: nofile(limit.soft)?, hard: nofile(limit.hard)? };
        }
        let place = self.of(resource);
        let mut old = place.load(Ordering::Relaxed);
        loop {
            if new.hard > Rlimit::unpack(old).hard && !cred.is_root() {
                return Err(Errno::EPERM);
            }
            match place.compare_exchange_weak(old, new.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => old = now,
            }
        }
    }
}

fn nofile(limit: u64) -> Result<u64> {
    match limit {
        Rlimit::INFINITY => Ok(OPEN_MAX as u64),
        limit if limit > OPEN_MAX as u64 => Err(Errno::EINVAL),
        limit => Ok(limit),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Limits, Resource, Rlimit};
    use crate::{Cred, Errno, OPEN_MAX};

    #[test]
    fn a_user_may_lower_the_hard_limit_but_not_raise_it() {
        let (limits, user) = (Limits::new(), Cred::user(7, 7));
        limits.set(Resource::NProc, Rlimit { soft: 3, hard: 5 }, &user).unwrap();
        limits.set(Resource::NProc, Rlimit::both(5), &user).unwrap();
        assert_eq!(limits.set(Resource::NProc, Rlimit { soft: 5, hard: 6 }, &user), Err(Errno::EPERM));
        limits.set(Resource::NProc, Rlimit { soft: 5, hard: 6 }, &Cred::root()).unwrap();
        assert_eq!(limits.get(Resource::NProc), Rlimit { soft: 5, hard: 6 });
    }

    #[test]
    fn nonsense_is_refused_and_infinity_is_kept() {
        let (limits, root) = (Limits::new(), Cred::root());
        assert_eq!(limits.set(Resource::NThr, Rlimit { soft: 2, hard: 1 }, &root), Err(Errno::EINVAL));
        assert_eq!(limits.set(Resource::NoFile, Rlimit::both(OPEN_MAX as u64 + 1), &root), Err(Errno::EINVAL));
        limits.set(Resource::NoFile, Rlimit::both(Rlimit::INFINITY), &root).unwrap();
        assert_eq!(limits.get(Resource::NoFile), Rlimit::both(OPEN_MAX as u64));
        assert_eq!(limits.get(Resource::NThr), Rlimit::both(Rlimit::INFINITY));
    }
}
