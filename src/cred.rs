//! Credentials: who a process is, as an immutable value. The rules for changing them are methods that make a new one.

use std::sync::Arc;

use crate::errno::{Errno, Result};
use crate::id::{Gid, Uid};

/// The most supplementary groups a process may have (POSIX: `NGROUPS_MAX`).
pub const NGROUPS_MAX: usize = 16;

/// A process's user and group ids.
///
/// Source: POSIX.1-2024, sections setuid, seteuid, setreuid, setgid, setegid, setregid; setgroups(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cred {
    /// Real user.
    pub ruid: Uid,
    /// Effective user: the one that permissions are checked for.
    pub euid: Uid,
    /// Saved user.
    pub suid: Uid,
    /// Real group.
    pub rgid: Gid,
    /// Effective group.
    pub egid: Gid,
    /// Saved group.
    pub sgid: Gid,
    /// Supplementary groups, at most [`NGROUPS_MAX`].
    pub groups: Arc<[Gid]>,
}

impl Cred {
    /// Root: user and group 0, no other groups.
    pub fn root() -> Self {
        Self::user(0, 0)
    }

    /// A user and a group, real, effective and saved alike, no other groups.
    pub fn user(uid: Uid, gid: Gid) -> Self {
        Self { ruid: uid, euid: uid, suid: uid, rgid: gid, egid: gid, sgid: gid, groups: Arc::new([]) }
    }

    /// Whether the effective user is root.
    pub fn is_root(&self) -> bool {
        self.euid == 0
    }

    /// Whether `gid` is the effective or a supplementary group.
    pub fn in_group(&self, gid: Gid) -> bool {
        self.egid == gid || self.groups.contains(&gid)
    }
}

/// The changes that the set*id calls make. Each answers the new credentials, or `EPERM` where the rules forbid it, or
/// `EINVAL` for 2³²-1, which is no id.
impl Cred {
    /// `setuid`: all three users for root, else the effective one, to the real or the saved one.
    pub fn setuid(&self, uid: Uid) -> Result<Self> {
        Ok(self.with_users(self.users().set(uid, self.is_root())?))
    }

    /// `seteuid`: the effective user, to the real or the saved one, or to any for root.
    pub fn seteuid(&self, uid: Uid) -> Result<Self> {
        Ok(self.with_users(self.users().set_effective(uid, self.is_root())?))
    }

    /// `setreuid`: real and effective user; `None` leaves one. Unless root, the real user may become the real or
    /// effective one, and the effective user the real, effective or saved one. The saved user follows the new effective
    /// one where the real user is given, or the effective one becomes other than the old real one.
    pub fn setreuid(&self, ruid: Option<Uid>, euid: Option<Uid>) -> Result<Self> {
        Ok(self.with_users(self.users().set_both(ruid, euid, self.is_root())?))
    }

    /// `setgid`: all three groups for root, else the effective one, to the real or the saved one.
    pub fn setgid(&self, gid: Gid) -> Result<Self> {
        Ok(self.with_groups(self.own_groups().set(gid, self.is_root())?))
    }

    /// `setegid`: the effective group, to the real or the saved one, or to any for root.
    pub fn setegid(&self, gid: Gid) -> Result<Self> {
        Ok(self.with_groups(self.own_groups().set_effective(gid, self.is_root())?))
    }

    /// `setregid`: as [`setreuid`](Self::setreuid), for groups.
    pub fn setregid(&self, rgid: Option<Gid>, egid: Option<Gid>) -> Result<Self> {
        Ok(self.with_groups(self.own_groups().set_both(rgid, egid, self.is_root())?))
    }

    /// `setgroups`: the supplementary groups, for root alone. `EINVAL`: more than [`NGROUPS_MAX`].
    pub fn setgroups(&self, groups: &[Gid]) -> Result<Self> {
        permitted(self.is_root())?;
        check_groups(groups)?;
        Ok(Self { groups: groups.into(), ..self.clone() })
    }

    fn users(&self) -> Ids {
        Ids { real: self.ruid, effective: self.euid, saved: self.suid }
    }

    fn with_users(&self, ids: Ids) -> Self {
        Self { ruid: ids.real, euid: ids.effective, suid: ids.saved, ..self.clone() }
    }

    fn own_groups(&self) -> Ids {
        Ids { real: self.rgid, effective: self.egid, saved: self.sgid }
    }

    fn with_groups(&self, ids: Ids) -> Self {
        Self { rgid: ids.real, egid: ids.effective, sgid: ids.saved, ..self.clone() }
    }
}

/// Three users, or three groups: the same rules hold for both.
#[derive(Clone, Copy)]
struct Ids {
    real: u32,
    effective: u32,
    saved: u32,
}

impl Ids {
    fn set(self, id: u32, root: bool) -> Result<Self> {
        valid(id)?;
        if root { Ok(Self { real: id, effective: id, saved: id }) } else { self.set_effective(id, root) }
    }

    fn set_effective(self, id: u32, root: bool) -> Result<Self> {
        valid(id)?;
        permitted(root || [self.real, self.saved].contains(&id))?;
        Ok(Self { effective: id, ..self })
    }

    fn set_both(self, real: Option<u32>, effective: Option<u32>, root: bool) -> Result<Self> {
        let Self { real: old_real, effective: old_effective, saved } = self;
        [real, effective].into_iter().flatten().try_for_each(valid)?;
        permitted(root || real.is_none_or(|id| [old_real, old_effective].contains(&id)))?;
        permitted(root || effective.is_none_or(|id| [old_real, old_effective, saved].contains(&id)))?;
        let new_effective = effective.unwrap_or(old_effective);
        let follows = real.is_some() || effective.is_some_and(|id| id != old_real);
        Ok(Self {
            real: real.unwrap_or(old_real),
            effective: new_effective,
            saved: if follows { new_effective } else { saved },
        })
    }
}

/// # Errors
/// `EINVAL`: more than [`NGROUPS_MAX`], or 2³²-1 among them.
pub(crate) fn check_groups(groups: &[Gid]) -> Result<()> {
    if groups.len() > NGROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    groups.iter().copied().try_for_each(valid)
}

/// 2³²-1 is nobody's: in C it stands for "leave as it is".
pub(crate) fn valid(id: u32) -> Result<()> {
    if id == u32::MAX { Err(Errno::EINVAL) } else { Ok(()) }
}

fn permitted(allowed: bool) -> Result<()> {
    if allowed { Ok(()) } else { Err(Errno::EPERM) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Cred, NGROUPS_MAX};
    use crate::errno::Errno;

    #[test]
    fn root_gives_itself_up_for_good() {
        let user = Cred::root().setuid(7).unwrap();
        assert_eq!((user.ruid, user.euid, user.suid), (7, 7, 7));
        assert_eq!(user.setuid(0), Err(Errno::EPERM));
        assert_eq!(user.setuid(7).unwrap(), user);
    }

    #[test]
    fn the_effective_user_returns_to_the_saved_one() {
        let lowered = Cred::root().seteuid(7).unwrap();
        assert_eq!((lowered.ruid, lowered.euid, lowered.suid), (0, 7, 0));
        assert_eq!(lowered.seteuid(8), Err(Errno::EPERM));
        assert_eq!(lowered.seteuid(0).unwrap(), Cred::root());
    }

    #[test]
    fn setreuid_swaps_and_moves_the_saved_user() {
        let user = Cred { euid: 9, ..Cred::user(7, 7) };
        let swapped = user.setreuid(Some(9), Some(7)).unwrap();
        assert_eq!((swapped.ruid, swapped.euid, swapped.suid), (9, 7, 7));
        assert_eq!(user.setreuid(Some(8), None), Err(Errno::EPERM));
        assert_eq!(user.setreuid(None, Some(8)), Err(Errno::EPERM));
        assert_eq!(user.setreuid(None, None).unwrap(), user);
    }

    #[test]
    fn the_highest_number_is_no_id() {
        let root = Cred::root();
        for refused in [
            root.setuid(u32::MAX),
            root.seteuid(u32::MAX),
            root.setreuid(Some(u32::MAX), None),
            root.setregid(None, Some(u32::MAX)),
            root.setgroups(&[1, u32::MAX]),
        ] {
            assert_eq!(refused, Err(Errno::EINVAL));
        }
    }

    #[test]
    fn groups_follow_the_same_rules_and_ask_for_root() {
        let user = Cred::user(7, 8);
        assert_eq!(user.setgid(9), Err(Errno::EPERM));
        assert_eq!(user.setgroups(&[1]), Err(Errno::EPERM));
        assert_eq!(user.setregid(Some(9), None), Err(Errno::EPERM));
        assert_eq!(Cred::root().setgroups(&[1; NGROUPS_MAX + 1]), Err(Errno::EINVAL));
        assert!(Cred::root().setgroups(&[1; NGROUPS_MAX]).unwrap().in_group(1));
    }
}
