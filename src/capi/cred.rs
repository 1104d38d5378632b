//! Credentials as things of their own.
//!
//! What C holds is a number, so that one that was put back is recognized.

use std::collections::HashMap;
use std::ptr;

use parking_lot::Mutex;

use super::answer::set_errno;
use super::boundary::{boundary, fatal};
use super::identity::group_list;
use crate::cred::{Cred, check_groups, valid};
use crate::errno::Result;

/// `struct kauth_cred` of C: not a thing in memory, as [`lwp`](super::lwp).
#[allow(non_camel_case_types, reason = "its name in C")]
#[derive(Debug)]
#[repr(C)]
pub struct kauth_cred {
    nothing: [u8; 0],
}

/// Those that were created and not put back, by number.
static CREDS: Mutex<Option<Creds>> = Mutex::new(None);

#[derive(Default)]
struct Creds {
    last: usize,
    held: HashMap<usize, Cred>,
}

/// Makes credentials of a user and groups.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_cred_create(
    uid: libc::uid_t,
    gid: libc::gid_t,
    ngroups: usize,
    groups: *mut libc::gid_t,
) -> *mut kauth_cred {
    // SAFETY: the caller's.
    boundary(|| match unsafe { create(uid, gid, ngroups, groups) } {
        Ok(number) => ptr::without_provenance_mut(number),
        Err(error) => {
            set_errno(error);
            ptr::null_mut()
        }
    })
}

/// # Safety
/// As [`group_list`].
unsafe fn create(uid: u32, gid: u32, ngroups: usize, groups: *const u32) -> Result<usize> {
    // SAFETY: the caller's.
    let groups = unsafe { group_list(ngroups, groups) }?;
    valid(uid)?;
    valid(gid)?;
    check_groups(groups)?;
    let cred = Cred { groups: groups.into(), ..Cred::user(uid, gid) };
    let mut creds = CREDS.lock();
    let creds = creds.get_or_insert_default();
    creds.last += 1;
    creds.held.insert(creds.last, cred);
    Ok(creds.last)
}

/// Puts credentials back.
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_cred_put(cred: *mut kauth_cred) {
    boundary(|| {
        let held = CREDS.lock().as_mut().and_then(|creds| creds.held.remove(&cred.addr()));
        if held.is_none() {
            fatal("rump_pub_cred_put of no credentials, or of some that were put back already");
        }
    });
}
