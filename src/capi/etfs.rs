//! Files and directories of the host at keys in the namespace.

use std::collections::HashMap;
use std::ffi::{c_char, c_int};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use parking_lot::Mutex;
use rustix::fs::{CWD, Mode as HostMode, OFlags};

use super::answer::errno_of;
use super::memory;
use crate::errno::{Errno, Result};
use crate::fd::{File, HostRange, retry};
use crate::kernel::Kernel;
use crate::vfs::MountOptions;

/// `enum rump_etfs_type`.
const REG: c_int = 0;
const CHR: c_int = 2;
const DIR: c_int = 3;
const DIR_SUBDIRS: c_int = 4;

/// `RUMP_ETFS_SIZE_ENDOFF`.
const TO_THE_END: u64 = u64::MAX;

/// What is registered.
enum Entry {
    /// A file, by its number, so that one which somebody put in its place stays.
    File(u64),
    /// A directory, and whether it was made to be mounted on.
    Directory { made: bool },
}

/// *Locked*, while keys come and go. By key.
static REGISTERED: Mutex<Option<HashMap<PathBuf, Entry>>> = Mutex::new(None);

/// Shows all of a file or directory.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_etfs_register(key: *const c_char, hostpath: *const c_char, r#type: c_int) -> c_int {
    // SAFETY: the caller's.
    errno_of(|| register(unsafe { memory::path(key) }?, unsafe { memory::path(hostpath) }?, r#type, None))
}

/// Shows a part of a file.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_etfs_register_withsize(
    key: *const c_char,
    hostpath: *const c_char,
    r#type: c_int,
    begin: u64,
    size: u64,
) -> c_int {
    errno_of(|| {
        // SAFETY: the caller's.
        let (key, hostpath) = unsafe { (memory::path(key)?, memory::path(hostpath)?) };
        register(key, hostpath, r#type, Some((begin, size)))
    })
}

/// Takes away what was registered at a key.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_etfs_remove(key: *const c_char) -> c_int {
    // SAFETY: the caller's.
    errno_of(|| remove(unsafe { memory::path(key) }?))
}

fn register(key: &Path, hostpath: &Path, kind: c_int, part: Option<(u64, u64)>) -> Result<()> {
    if !key.is_absolute() {
        return Err(Errno::EINVAL);
    }
    let kernel = Kernel::try_global()?;
    let mut registered = REGISTERED.lock();
    let registered = registered.get_or_insert_default();
    if registered.contains_key(key) {
        return Err(Errno::EEXIST);
    }
    let entry = match (kind, part) {
        (REG..=CHR, _) => {
            let file = open_part(hostpath, part)?;
            Entry::File(show(kernel, key, file)?)
        }
        (DIR | DIR_SUBDIRS, None) => {
            let dir = Dir::open_ambient_dir(hostpath, ambient_authority())?;
            Entry::Directory { made: mount(kernel, key, dir, kind == DIR)? }
        }
        _ => return Err(Errno::EINVAL),
    };
    registered.insert(key.into(), entry);
    Ok(())
}

fn open_part(hostpath: &Path, part: Option<(u64, u64)>) -> Result<HostRange> {
    let file = open(hostpath)?;
    match part {
        None => HostRange::new(file),
        Some((begin, TO_THE_END)) => HostRange::rest(file, begin),
        Some((begin, size)) => HostRange::part(file, begin, size),
    }
}

/// Opens a file of the host, to be written too if that is allowed.
fn open(hostpath: &Path) -> Result<OwnedFd> {
    // Never waits, for a FIFO's other end say: such a file is then refused.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |mode| retry(|| rustix::fs::openat(CWD, hostpath, flags | mode, HostMode::empty()));
    match open(OFlags::RDWR) {
        Err(Errno::EACCES | Errno::EPERM | Errno::EROFS | Errno::ETXTBSY | Errno::EISDIR) => open(OFlags::RDONLY),
        opened => opened,
    }
}

/// Makes `file` visible at `key`, root's and with the host's permissions, and gives its number.
fn show(kernel: &Kernel, key: &Path, file: HostRange) -> Result<u64> {
    let host = file.stat()?.permissions() & 0o777;
    let mode = if file.writable() { host } else { host & !0o222 };
    make_parents(kernel, key)?;
    kernel.add_file(key, file, mode)?;
    kernel.inner().namespace.with_namei(|namei| namei.lstat(key)).map(|stat| stat.ino)
}

/// Mounts `dir` at `key`, on a directory that is there or is made for it: then `true`.
fn mount(kernel: &Kernel, key: &Path, dir: Dir, flat: bool) -> Result<bool> {
    make_parents(kernel, key)?;
    let namespace = &kernel.inner().namespace;
    let made = match namespace.with_namei(|namei| namei.mkdir(key, 0o755)) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(error) => return Err(error),
    };
    match kernel.mount(key, dir, MountOptions::new().owner(0, 0).flat(flat)) {
        Ok(()) => Ok(made),
        Err(error) => {
            if made {
                let _ = namespace.with_namei(|namei| namei.rmdir(key));
            }
            // What is there is another mount, or no directory.
            Err(if matches!(error, Errno::EBUSY | Errno::ENOTDIR) { Errno::EEXIST } else { error })
        }
    }
}

/// Makes the directories on the way to `key` that are not there.
fn make_parents(kernel: &Kernel, key: &Path) -> Result<()> {
    let mut above: Vec<&Path> = key.ancestors().skip(1).collect();
    // Not the root.
    above.pop();
    for dir in above.into_iter().rev() {
        match kernel.inner().namespace.with_namei(|namei| namei.mkdir(dir, 0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn remove(key: &Path) -> Result<()> {
    let kernel = Kernel::try_global()?;
    let namespace = &kernel.inner().namespace;
    let mut registered = REGISTERED.lock();
    let registered = registered.get_or_insert_default();
    match registered.get(key).ok_or(Errno::ENOENT)? {
        Entry::File(number) => namespace.with_namei(|namei| match namei.lstat(key) {
            Ok(stat) if stat.ino == *number => namei.unlink(key),
            // Taken away, moved or replaced by somebody who might.
            _ => Ok(()),
        })?,
        Entry::Directory { made } => {
            match kernel.unmount(key) {
                // Unmounted by a Rust embedder, or under a directory that was moved.
                Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => {}
                done => done?,
            }
            if *made {
                // It may have been moved or filled meanwhile: then it is somebody's.
                let _ = namespace.with_namei(|namei| namei.rmdir(key));
            }
        }
    }
    registered.remove(key);
    Ok(())
}
