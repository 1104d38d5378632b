//! Who a process is: ids, users, groups, its name.

use std::sync::Arc;

use crate::context::current;
use crate::cred::Cred;
use crate::errno::Result;
use crate::id::{Gid, Pid, Uid};

/// The current process's pid.
///
/// Source: POSIX.1-2024, getpid.
#[inline]
pub fn getpid() -> Pid {
    current(|current| current.slot().pid())
}

/// The pid of the current process's parent; that of pid 1 once the parent is gone, and 0 for pids 0 and 1.
///
/// Source: POSIX.1-2024, getppid.
pub fn getppid() -> Pid {
    current(|current| current.kernel().parent(current.proc()))
}

/// The current lwp's number, unique among the kernel's lwps for all time; 0 in an implicit context.
///
/// Source: _lwp_self(2).
pub fn getlwpid() -> u64 {
    current(|current| if current.slot().is_implicit() { 0 } else { current.slot().handle().raw() })
}

/// The credentials, through the lwp's own copy.
#[inline]
pub(super) fn with_cred<R>(look: impl FnOnce(&Cred) -> R) -> R {
    current(|current| current.cred(look))
}

/// The real user.
///
/// Source: POSIX.1-2024, getuid.
pub fn getuid() -> Uid {
    with_cred(|cred| cred.ruid)
}

/// The effective user.
///
/// Source: POSIX.1-2024, geteuid.
pub fn geteuid() -> Uid {
    with_cred(|cred| cred.euid)
}

/// The real group.
///
/// Source: POSIX.1-2024, getgid.
pub fn getgid() -> Gid {
    with_cred(|cred| cred.rgid)
}

/// The effective group.
///
/// Source: POSIX.1-2024, getegid.
pub fn getegid() -> Gid {
    with_cred(|cred| cred.egid)
}

/// The supplementary groups.
///
/// Source: POSIX.1-2024, getgroups.
pub fn getgroups() -> Vec<Gid> {
    with_cred(|cred| cred.groups.to_vec())
}

/// Replaces the process's credentials by what `change` makes of them. All its lwps see it at their next call.
fn set_cred(change: impl Fn(&Cred) -> Result<Cred>) -> Result<()> {
    current(|current| {
        let proc = current.proc();
        loop {
            let old = proc.identity.load();
            let new = current.kernel().users.identify(change(&old.cred)?);
            // Counted before it shows, so that a process is never counted nowhere.
            let counted = new.user.add_proc(u32::MAX);
            debug_assert!(counted, "a user never has 2^32 processes");
            if proc.identity.replace(&old, Arc::clone(&new)) {
                old.user.remove_proc();
                return Ok(());
            }
            new.user.remove_proc();
        }
    })
}

/// Sets the real, effective and saved user for root, the effective one for others.
///
/// # Errors
/// `EPERM`: not root, and `uid` is neither the real nor the saved user. `EINVAL`: 2³²-1.
///
/// Source: POSIX.1-2024, setuid.
pub fn setuid(uid: Uid) -> Result<()> {
    set_cred(|cred| cred.setuid(uid))
}

/// Sets the effective user.
///
/// # Errors
/// `EPERM`: not root, and `uid` is neither the real nor the saved user. `EINVAL`: 2³²-1.
///
/// Source: POSIX.1-2024, seteuid.
pub fn seteuid(uid: Uid) -> Result<()> {
    set_cred(|cred| cred.seteuid(uid))
}

/// Sets the real and the effective user; `None` leaves one as it is. The saved user becomes the effective one if the real
/// one was given, or the effective one is not the old real one.
///
/// # Errors
/// `EPERM`: not root, and `ruid` is neither the real nor the effective user, or `euid` none of the
/// three. `EINVAL`: 2³²-1.
///
/// Source: POSIX.1-2024, setreuid.
pub fn setreuid(ruid: Option<Uid>, euid: Option<Uid>) -> Result<()> {
    set_cred(|cred| cred.setreuid(ruid, euid))
}

/// Sets the real, effective and saved group for root, the effective one for others.
///
/// # Errors
/// `EPERM`: not root, and `gid` is neither the real nor the saved group. `EINVAL`: 2³²-1.
///
/// Source: POSIX.1-2024, setgid.
pub fn setgid(gid: Gid) -> Result<()> {
    set_cred(|cred| cred.setgid(gid))
}

/// Sets the effective group.
///
/// # Errors
/// `EPERM`: not root, and `gid` is neither the real nor the saved group. `EINVAL`: 2³²-1.
///
/// Source: POSIX.1-2024, setegid.
pub fn setegid(gid: Gid) -> Result<()> {
    set_cred(|cred| cred.setegid(gid))
}

/// As [`setreuid`], for groups.
///
/// # Errors
/// `EPERM`: not root, and `rgid` is neither the real nor the effective group, or `egid` none of the
/// three. `EINVAL`: 2³²-1.
///
/// Source: POSIX.1-2024, setregid.
pub fn setregid(rgid: Option<Gid>, egid: Option<Gid>) -> Result<()> {
    set_cred(|cred| cred.setregid(rgid, egid))
}

/// Sets the supplementary groups.
///
/// # Errors
/// `EPERM`: not root. `EINVAL`: more than [`NGROUPS_MAX`](crate::NGROUPS_MAX), or 2³²-1.
///
/// Source: setgroups(2).
pub fn setgroups(groups: &[Gid]) -> Result<()> {
    set_cred(|cred| cred.setgroups(groups))
}

/// The current process's name, as `ps` shows it.
pub fn procname() -> String {
    current(|current| current.proc().name.load().to_string())
}

/// Renames the current process.
pub fn setprocname(name: impl Into<String>) {
    let name = Arc::new(name.into().into_boxed_str());
    current(|current| current.proc().name.store(name));
}
