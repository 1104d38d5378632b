//! Who may do what to a file: the one place that compares credentials with owners, groups and modes.

use std::time::SystemTime;

use bitflags::bitflags;

use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, S_IFMT};
use crate::id::{Gid, Mode, Uid};

/// Set-user-ID.
pub(super) const S_ISUID: Mode = 0o4000;
/// Set-group-ID; on a directory: what is made there is of its group.
pub(super) const S_ISGID: Mode = 0o2000;
/// On a directory: only owners remove names.
pub(super) const S_ISVTX: Mode = 0o1000;

bitflags! {
    /// What is to be done to a file, with the values of `R_OK`, `W_OK` and `X_OK`; none of them is `F_OK`.
    ///
    /// Source: POSIX.1-2024, access, `<unistd.h>`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Access: u32 {
        /// Read it.
        const READ = 4;
        /// Write it.
        const WRITE = 2;
        /// Execute it, or search it for a name.
        const EXECUTE = 1;
    }
}

/// A time to be set.
///
/// Source: POSIX.1-2024, utimensat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// `UTIME_NOW`: the present.
    Now,
    /// `UTIME_OMIT`: leave it.
    Omit,
    /// This time.
    At(SystemTime),
}

/// A change of attributes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// The permission bits.
    Mode(Mode),
    /// Owner and group; `None` leaves one.
    Owner(Option<Uid>, Option<Gid>),
    /// Times of the last read and the last write.
    Times(SetTime, SetTime),
}

/// What decides about access to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permissions {
    /// Kind and permission bits.
    pub(super) mode: Mode,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

impl Permissions {
    fn is_directory(self) -> bool {
        self.mode & S_IFMT == FileKind::Directory as Mode
    }

    /// Whether `cred` may do all of `wanted`: by the owner's bits if it is the owner, else by the group's if it is in the
    /// group, else by the others'. Root may do anything, but execute only what somebody may.
    ///
    /// # Errors
    /// `EACCES`.
    #[inline]
    pub(super) fn check(self, cred: &Cred, wanted: Access) -> Result<()> {
        let allowed = if cred.is_root() {
            !wanted.contains(Access::EXECUTE) || self.is_directory() || self.mode & 0o111 != 0
        } else {
            let shift = if cred.euid == self.uid {
                6
            } else if cred.in_group(self.gid) {
                3
            } else {
                0
            };
            wanted.bits() & !(self.mode >> shift) == 0
        };
        if allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether `cred` may add names to this directory.
    ///
    /// # Errors
    /// `EACCES`.
    pub(super) fn may_add(self, cred: &Cred) -> Result<()> {
        self.check(cred, Access::WRITE | Access::EXECUTE)
    }

    /// Whether `cred` may take away a name of a file that `owner` owns from this directory.
    ///
    /// # Errors
    /// `EACCES`. `EPERM`: the directory is sticky, and neither it nor the file is `cred`'s.
    pub(super) fn may_remove(self, cred: &Cred, owner: Uid) -> Result<()> {
        self.check(cred, Access::WRITE | Access::EXECUTE)?;
        let sticky = self.mode & S_ISVTX != 0 && !cred.is_root() && ![self.uid, owner].contains(&cred.euid);
        if sticky { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Owner, group and mode of a new file of `kind` in this directory.
    pub(super) fn newborn(self, cred: &Cred, kind: FileKind, mode: Mode) -> Self {
        let inherits = self.mode & S_ISGID != 0;
        let gid = if inherits { self.gid } else { cred.egid };
        let mut mode = mode & 0o7777;
        if kind == FileKind::Directory {
            mode = mode & !(S_ISUID | S_ISGID) | if inherits { S_ISGID } else { 0 };
        } else if inherits && mode & 0o010 != 0 && !cred.is_root() && !cred.in_group(gid) {
            mode &= !S_ISGID;
        }
        Self { mode: kind as Mode | mode, uid: cred.euid, gid }
    }

    /// The same without set-user-ID, and without set-group-ID where the group may execute: else that is no such bit.
    pub(super) fn stripped(self) -> Self {
        let strip = if self.mode & 0o010 == 0 { S_ISUID } else { S_ISUID | S_ISGID };
        Self { mode: self.mode & !strip, ..self }
    }

    /// What the owner, group and mode are after `change` by `cred`.
    ///
    /// # Errors
    /// `EPERM`: not the owner, or an owner or group that it may not give. `EINVAL`: one that there cannot be. `EACCES`: times to be set to the present by one
    /// who may not write either.
    pub(super) fn change(self, cred: &Cred, change: Change) -> Result<Self> {
        let owner = cred.is_root() || cred.euid == self.uid;
        let permitted = |allowed| if allowed { Ok(()) } else { Err(Errno::EPERM) };
        match change {
            Change::Mode(mode) => {
                permitted(owner)?;
                let foreign = !cred.is_root() && !cred.in_group(self.gid);
                let kept = if foreign { 0o7777 & !S_ISGID } else { 0o7777 };
                Ok(Self { mode: self.mode & S_IFMT | mode & kept, ..self })
            }
            // -1, which leaves one as it is, is `None` here; nobody is called that.
            Change::Owner(uid, gid) if [uid, gid].contains(&Some(u32::MAX)) => Err(Errno::EINVAL),
            Change::Owner(uid, gid) => {
                permitted(cred.is_root() || uid.is_none_or(|uid| owner && uid == self.uid))?;
                permitted(cred.is_root() || gid.is_none_or(|gid| owner && (gid == self.gid || cred.in_group(gid))))?;
                let Self { mode, .. } = if self.is_directory() { self } else { self.stripped() };
                Ok(Self { mode, uid: uid.unwrap_or(self.uid), gid: gid.unwrap_or(self.gid) })
            }
            Change::Times(SetTime::Omit, SetTime::Omit) => Ok(self),
            Change::Times(SetTime::Now, SetTime::Now) => {
                if !owner {
                    self.check(cred, Access::WRITE)?;
                }
                Ok(self)
            }
            Change::Times(..) => permitted(owner).map(|()| self),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const FILE: Mode = FileKind::Regular as Mode;
    const DIRECTORY: Mode = FileKind::Directory as Mode;

    fn of_seven(mode: Mode) -> Permissions {
        Permissions { mode, uid: 7, gid: 70 }
    }

    fn member(uid: Uid, group: Gid) -> Cred {
        Cred { groups: [group].into(), ..Cred::user(uid, 1) }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        // The owner has less than everybody else here.
        let file = of_seven(FILE | 0o047);
        assert_eq!(file.check(&member(7, 70), Access::READ), Err(Errno::EACCES));
        assert_eq!(file.check(&member(8, 70), Access::READ), Ok(()));
        assert_eq!(file.check(&Cred::user(8, 70), Access::WRITE), Err(Errno::EACCES));
        assert_eq!(file.check(&Cred::user(8, 8), Access::all()), Ok(()));
        assert_eq!(file.check(&Cred::user(7, 8), Access::empty()), Ok(()));
    }

    #[test]
    fn root_may_do_all_but_run_what_nobody_may() {
        let root = Cred::root();
        assert_eq!(of_seven(FILE).check(&root, Access::READ | Access::WRITE), Ok(()));
        assert_eq!(of_seven(FILE | 0o666).check(&root, Access::EXECUTE), Err(Errno::EACCES));
        assert_eq!(of_seven(FILE | 0o001).check(&root, Access::EXECUTE), Ok(()));
        assert_eq!(of_seven(DIRECTORY).check(&root, Access::all()), Ok(()));
    }

    #[test]
    fn a_sticky_directory_keeps_names_for_their_owners() {
        let sticky = of_seven(DIRECTORY | 0o1777);
        assert_eq!(sticky.may_remove(&Cred::user(8, 8), 9), Err(Errno::EPERM));
        for cred in [Cred::user(9, 1), Cred::user(7, 1), Cred::root()] {
            assert_eq!(sticky.may_remove(&cred, 9), Ok(()));
        }
        assert_eq!(of_seven(DIRECTORY | 0o1755).may_remove(&Cred::user(9, 9), 9), Err(Errno::EACCES));
    }

    #[test]
    fn only_root_gives_files_away_and_owners_choose_among_their_groups() {
        let file = of_seven(FILE | 0o6755);
        for (cred, uid, gid) in
            [(Cred::user(7, 1), Some(8), None), (Cred::user(7, 1), None, Some(8)), (Cred::user(8, 1), None, Some(1))]
        {
            assert_eq!(file.change(&cred, Change::Owner(uid, gid)), Err(Errno::EPERM));
        }
        let chosen = file.change(&member(7, 71), Change::Owner(Some(7), Some(71))).unwrap();
        assert_eq!(chosen, Permissions { mode: FILE | 0o755, uid: 7, gid: 71 });
        let given = file.change(&Cred::root(), Change::Owner(Some(8), Some(9))).unwrap();
        assert_eq!((given.uid, given.gid), (8, 9));
        let nobody = Change::Owner(Some(u32::MAX), None);
        assert_eq!(file.change(&Cred::root(), nobody), Err(Errno::EINVAL));
    }

    #[test]
    fn set_group_is_for_members() {
        let file = of_seven(FILE | 0o755);
        let change = |cred: &Cred| file.change(cred, Change::Mode(0o2755)).map(|changed| changed.mode);
        assert_eq!(change(&Cred::user(7, 1)), Ok(FILE | 0o755));
        assert_eq!(change(&member(7, 70)), Ok(FILE | 0o2755));
        assert_eq!(change(&Cred::user(8, 70)), Err(Errno::EPERM));
    }

    #[test]
    fn a_set_group_directory_gives_its_group() {
        let (plain, shared) = (of_seven(DIRECTORY | 0o777), of_seven(DIRECTORY | 0o2777));
        let cred = Cred::user(8, 80);
        assert_eq!(plain.newborn(&cred, FileKind::Regular, 0o644).gid, 80);
        let made = shared.newborn(&cred, FileKind::Regular, 0o2755);
        assert_eq!(made, Permissions { mode: FILE | 0o755, uid: 8, gid: 70 });
        assert_eq!(shared.newborn(&cred, FileKind::Directory, 0o755).mode, DIRECTORY | 0o2755);
    }

    #[test]
    fn times_are_the_owners_but_the_present_is_any_writers() {
        let (owner, writer) = (Cred::user(7, 1), Cred::user(8, 1));
        let file = of_seven(FILE | 0o622);
        let set = |file: Permissions, cred, atime, mtime| file.change(cred, Change::Times(atime, mtime)).map(drop);
        let then = SetTime::At(SystemTime::UNIX_EPOCH);
        assert_eq!(set(file, &owner, then, then), Ok(()));
        assert_eq!(set(file, &writer, then, then), Err(Errno::EPERM));
        assert_eq!(set(file, &writer, SetTime::Now, SetTime::Omit), Err(Errno::EPERM));
        assert_eq!(set(file, &writer, SetTime::Now, SetTime::Now), Ok(()));
        assert_eq!(set(of_seven(FILE | 0o644), &writer, SetTime::Now, SetTime::Now), Err(Errno::EACCES));
    }
}
