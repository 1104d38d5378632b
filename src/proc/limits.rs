//! Resource limits of a process.

use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::OPEN_MAX;
use crate::sync::{AtomicU64, Mutex, Ordering};

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
    /// How long this process may make regular files, in bytes: those in memory and the host's. A write that reaches it is
    /// short; one that begins there or beyond, or a truncation to more than that and than the file has: `EFBIG`. There is no
    /// `SIGXFSZ`. Where the end of a host's file is, an append asks first: what others add at that moment is not seen.
    FSize,
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
    /// No limit: what `RLIM_INFINITY` is in C. Every number from 2³²-1 on means the same, but for [`Resource::FSize`].
    pub const INFINITY: u64 = u64::MAX;

    /// The same soft and hard limit.
    pub const fn both(limit: u64) -> Self {
        Self { soft: limit, hard: limit }
    }

    /// # Errors
    /// `EPERM`: it raises the hard limit that `old` has, and `cred` is not root.
    fn check_after(self, old: Self, cred: &Cred) -> Result<()> {
        if self.hard > old.hard && !cred.is_root() { Err(Errno::EPERM) } else { Ok(()) }
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

/// All limits of one process.
#[derive(Debug)]
pub(crate) struct Limits {
    /// *Atomic*, each: hard above soft, 32 bits each, all ones for none. The pair changes as one.
    nofile: AtomicU64,
    nproc: AtomicU64,
    nthr: AtomicU64,
    fsize: Wide,
}

/// A pair of limits of 64 bits each.
#[derive(Debug)]
struct Wide {
    /// *Atomic*, both.
    soft: AtomicU64,
    hard: AtomicU64,
    /// Held while they change. Who reads meanwhile, as `rfork` does, which locks nothing, may see one of them changed: of
    /// those it takes the smaller for the soft one.
    changing: Mutex<()>,
}

impl Wide {
    fn new(limit: Rlimit) -> Self {
        Self { soft: AtomicU64::new(limit.soft), hard: AtomicU64::new(limit.hard), changing: Mutex::new(()) }
    }

    fn get(&self) -> Rlimit {
        let hard = self.hard.load(Ordering::Relaxed);
        Rlimit { soft: self.soft.load(Ordering::Relaxed).min(hard), hard }
    }

    fn set(&self, limit: Rlimit, cred: &Cred) -> Result<()> {
        let _changing = self.changing.lock();
        limit.check_after(self.get(), cred)?;
        self.hard.store(limit.hard, Ordering::Relaxed);
        self.soft.store(limit.soft, Ordering::Relaxed);
        Ok(())
    }
}

impl Limits {
    /// What pid 1 boots with: 1,024 descriptors, which may be raised to [`OPEN_MAX`]; no limit on the rest.
    pub(crate) fn new() -> Self {
        let none = Rlimit::both(Rlimit::INFINITY).pack();
        Self {
            nofile: AtomicU64::new(Rlimit { soft: 1024, hard: OPEN_MAX as u64 }.pack()),
            nproc: AtomicU64::new(none),
            nthr: AtomicU64::new(none),
            fsize: Wide::new(Rlimit::both(Rlimit::INFINITY)),
        }
    }

    /// The same limits for a child.
    pub(crate) fn copy(&self) -> Self {
        let copied = |limit: &AtomicU64| AtomicU64::new(limit.load(Ordering::Relaxed));
        Self {
            nofile: copied(&self.nofile),
            nproc: copied(&self.nproc),
            nthr: copied(&self.nthr),
            fsize: Wide::new(self.fsize.get()),
        }
    }

    /// Where a pair is that is packed.
    const fn packed(&self, resource: Resource) -> Option<&AtomicU64> {
        match resource {
            Resource::NoFile => Some(&self.nofile),
            Resource::NProc => Some(&self.nproc),
            Resource::NThr => Some(&self.nthr),
            Resource::FSize => None,
        }
    }

    /// The soft limit; 2³²-1 for none, and for what is more.
    #[inline]
    pub(crate) fn soft(&self, resource: Resource) -> u32 {
        match self.packed(resource) {
            // Relaxed, here and elsewhere: a limit guards no data.
            Some(packed) => packed.load(Ordering::Relaxed) as u32,
            None => squeeze(self.fsize()) as u32,
        }
    }

    /// The soft limit on the size of files.
    #[inline]
    pub(crate) fn fsize(&self) -> u64 {
        self.fsize.soft.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, resource: Resource) -> Rlimit {
        match self.packed(resource) {
            Some(packed) => Rlimit::unpack(packed.load(Ordering::Relaxed)),
            None => self.fsize.get(),
        }
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
        let Some(place) = self.packed(resource) else {
            return self.fsize.set(limit, cred);
        };
        let mut old = place.load(Ordering::Relaxed);
        loop {
            new.check_after(Rlimit::unpack(old), cred)?;
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
        let [some, none] = [u32::MAX.into(), Rlimit::INFINITY].map(Rlimit::both);
        limits.set(Resource::FSize, some, &root).unwrap();
        assert_eq!((limits.get(Resource::FSize), limits.copy().get(Resource::FSize)), (some, some));
        assert_eq!(limits.set(Resource::FSize, none, &Cred::user(7, 7)), Err(Errno::EPERM));
        limits.set(Resource::FSize, none, &root).unwrap();
        assert_eq!((limits.get(Resource::FSize), limits.fsize()), (none, Rlimit::INFINITY));
    }
}
