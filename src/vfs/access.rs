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
    /// `EPERM`: not the owner, or an owner or group that it may not give. `EACCES`: times to be set to the present by one
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
