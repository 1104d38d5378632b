//! The host's `struct dirent`, one after the other in a buffer.

use std::ffi::{c_char, c_int};
use std::mem::offset_of;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

use super::answer::call;
use super::memory;
use crate::errno::Errno;
use crate::fd::{DirEntry, FileKind};
use crate::sys;

/// Where the name begins.
const NAME: usize = offset_of!(libc::dirent, d_name);
/// No entry is shorter: a name of one byte, and its NUL.
const SHORTEST: usize = NAME + 2;
/// What each entry's length is a multiple of.
const ALIGN: usize = align_of::<libc::dirent>();

/// [`sys::getdents`], as many as fit. `EINVAL`: not even one does.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_getdents(fd: c_int, buf: *mut c_char, len: usize) -> c_int {
    call(|| {
        // SAFETY: the caller's.
        let buf = unsafe { memory::bytes_mut(buf.cast(), len) }?;
        let mut written = 0;
        let mut full = false;
        // No more than can fit.
        sys::each_dirent(fd, (buf.len() / SHORTEST).max(1), |entry, next| {
            let room = &mut buf[written..];
            let len = length_of(&entry);
            if room.len() < len {
                full = true;
                return ControlFlow::Break(());
            }
            put(&mut room[..len], &entry, next);
            written += len;
            ControlFlow::Continue(())
        })?;
        // No more than TRANSFER_MAX, which is less than an int's.
        if written == 0 && full { Err(Errno::EINVAL) } else { Ok(written as c_int) }
    })
}

/// How long an entry is: with its NUL, and what comes after it to the next.
fn length_of(entry: &DirEntry) -> usize {
    (NAME + entry.name.len() + 1).next_multiple_of(ALIGN)
}

/// Writes an entry, which is as long as `place`, and after which `next` is the position.
fn put(place: &mut [u8], entry: &DirEntry, next: u64) {
    place.fill(0);
    let name = entry.name.as_bytes();
    // A name has at most 255 bytes.
    let len = place.len() as u16;
    for (at, bytes) in [
        (offset_of!(libc::dirent, d_ino), &entry.ino.to_ne_bytes()[..]),
        (offset_of!(libc::dirent, d_off), &next.to_ne_bytes()),
        (offset_of!(libc::dirent, d_reclen), &len.to_ne_bytes()),
        (offset_of!(libc::dirent, d_type), &[type_of(entry.kind)]),
        (NAME, name),
    ] {
        place[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

const fn type_of(kind: FileKind) -> u8 {
    match kind {
        FileKind::Fifo => libc::DT_FIFO,
        FileKind::CharDevice => libc::DT_CHR,
        FileKind::Directory => libc::DT_DIR,
        FileKind::BlockDevice => libc::DT_BLK,
        FileKind::Regular => libc::DT_REG,
        FileKind::Symlink => libc::DT_LNK,
        FileKind::Socket => libc::DT_SOCK,
    }
}
