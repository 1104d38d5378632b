//! What an embedder adds to a kernel's files.

use std::path::Path;

use super::Kernel;
use crate::errno::Result;
use crate::fd::{File, HostRange, OpenFlags};
use crate::id::Mode;
use crate::vfs::MountOptions;

impl Kernel {
    /// Mounts a directory of the host on the directory `at`, which it hides. Paths are those of the kernel's root,
    /// whoever calls.
    ///
    /// Processes cannot leave the directory: links, `..` and whatever else is on a path are dealt with here, one name at a
    /// time. The host's owners and modes hold for them as for the files in memory, and what the host itself forbids is
    /// forbidden on top. Devices of the host cannot be opened there.
    ///
    /// ```
    /// use cap_std::{ambient_authority, fs::Dir};
    /// use lwproc::{Errno, Kernel, MountOptions, OpenFlags, sys};
    ///
    /// let kernel = Kernel::new()?;
    /// kernel.enter(|| sys::mkdir("/src", 0o755))?;
    /// let dir = Dir::open_ambient_dir(env!("CARGO_MANIFEST_DIR"), ambient_authority())?;
    /// kernel.mount("/src", dir, MountOptions::new().read_only(true))?;
    /// kernel.enter(|| {
    ///     assert!(sys::stat("/src/Cargo.toml")?.size > 0);
    ///     assert_eq!(sys::unlink("/src/Cargo.toml"), Err(Errno::EROFS));
    ///     Ok::<(), Errno>(())
    /// })?;
    /// kernel.unmount("/src")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of a path, as for [`sys::stat`](crate::sys::stat). `ENOTDIR`: `at` is no directory. `EBUSY`: it is the root,
    /// or something is mounted there. `ENFILE`: the host is out of descriptors.
    pub fn mount(&self, at: impl AsRef<Path>, dir: cap_std::fs::Dir, options: MountOptions) -> Result<()> {
        self.inner().namespace.mount(at.as_ref(), dir, options)
    }

    /// Takes away what is mounted on `at`. Processes and files that were there keep it no longer than the call that ended
    /// or closed them.
    ///
    /// # Errors
    /// Those of a path. `EINVAL`: nothing is mounted there. `EBUSY`: a file there is open, a process has its working
    /// directory or root there, a call is on its way there at this moment, or something is mounted below.
    pub fn unmount(&self, at: impl AsRef<Path>) -> Result<()> {
        self.inner().namespace.unmount(at.as_ref())
    }

    /// Makes a regular file at `at`, owned by root, with the permissions `mode`, whose contents are a file of the host's or
    /// a part of it. Its size and times are the host's. Opened to be written, one that the host gave to be read alone is
    /// `EROFS`. Who unlinks it takes away the name here.
    ///
    /// ```
    /// use lwproc::{HostRange, Kernel, OpenFlags, sys};
    ///
    /// let kernel = Kernel::new()?;
    /// let manifest = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))?;
    /// kernel.add_file("/tmp/manifest", HostRange::new(manifest.into())?, 0o444)?;
    /// kernel.enter(|| {
    ///     let fd = sys::open("/tmp/manifest", OpenFlags::RDONLY, 0)?;
    ///     let mut buf = [0; 11];
    ///     sys::read(fd, &mut buf)?;
    ///     assert_eq!(&buf, b"[workspace]");
    ///     sys::close(fd)
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of a path. `EEXIST`: there is something. `ENOSPC`. `EPERM`: on a mount.
    pub fn add_file(&self, at: impl AsRef<Path>, file: HostRange, mode: Mode) -> Result<()> {
        self.inner().namespace.add_file(at.as_ref(), file, mode)
    }

    /// Makes a character device at `at`, owned by root. Each open of it gets a file of its own from `opener`, which is
    /// given the flags, and runs as part of the call that opens. It lives until the kernel has halted, even where the device
    /// is unlinked, and is dropped in the call that lets go of the last lwp: a handle on this kernel in it would keep the
    /// kernel from halting.
    ///
    /// ```
    /// use lwproc::{File, Kernel, OpenFlags, Result, sys};
    ///
    /// struct Dice;
    ///
    /// impl File for Dice {
    ///     fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
    ///         buf.fill(4);
    ///         Ok(buf.len())
    ///     }
    /// }
    ///
    /// let kernel = Kernel::new()?;
    /// kernel.add_device("/dev/dice", 0o444, |_| Ok(Box::new(Dice)))?;
    /// kernel.enter(|| {
    ///     let fd = sys::open("/dev/dice", OpenFlags::RDONLY, 0)?;
    ///     let mut buf = [0];
    ///     sys::read(fd, &mut buf)?;
    ///     assert_eq!(buf, [4]);
    ///     sys::close(fd)
    /// })?;
    /// # Ok::<(), lwproc::Errno>(())
    /// ```
    ///
    /// # Errors
    /// Those of a path. `EEXIST`: there is something. `ENOSPC`. `EPERM`: on a mount.
    pub fn add_device(
        &self,
        at: impl AsRef<Path>,
        mode: Mode,
        opener: impl Fn(OpenFlags) -> Result<Box<dyn File>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.inner().namespace.add_device(at.as_ref(), mode, opener)
    }
}
