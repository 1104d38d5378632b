//! The namespace: the file system in memory, and what is mounted on it.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::hostfs::HostFs;
use super::memfs::{MemDir, MemFs};
use super::node::{New, Node, Opener};
use super::{Cwd, Namei, Place};
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{File, FileKind, HostRange, Null, OpenFlags, Zero};
use crate::id::{Gid, Mode, Uid};
use crate::panics::{Panic, drop_each};
use crate::sync::{AtomicUsize, Ordering};

/// How a directory of the host is mounted.
///
/// ```
/// let options = lwproc::MountOptions::new().read_only(true).owner(1001, 1001);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct MountOptions {
    read_only: bool,
    pub(super) owner: Option<(Uid, Gid)>,
    pub(super) flat: bool,
}

impl MountOptions {
    /// To be read and written; owners are the host's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing there can be changed: what would is `EROFS`.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// All files there appear to be this user's and group's, whoever owns them on the host, and made by whom they may be.
    /// Without it the host's owners hold; a host process that is not root can then only make files that are its own user's,
    /// not the virtual one's.
    pub fn owner(mut self, uid: Uid, gid: Gid) -> Self {
        self.owner = Some((uid, gid));
        self
    }

    /// Whether directories are left out: those in the host's directory are not to be seen there, and none can be made
    /// (`EPERM`).
    pub fn flat(mut self, flat: bool) -> Self {
        self.flat = flat;
        self
    }
}

/// A file system that is part of the namespace.
pub(super) struct Mount {
    root: Arc<dyn Node>,
    /// The directory that it hides; none for the file system at the root.
    at: Option<Place>,
    read_only: bool,
}

impl Mount {
    pub(super) fn root(&self) -> &Arc<dyn Node> {
        &self.root
    }

    pub(super) fn at(&self) -> Option<&Place> {
        self.at.as_ref()
    }

    /// # Errors
    /// `EROFS`: mounted to be read only.
    pub(super) fn writable(&self) -> Result<()> {
        if self.read_only { Err(Errno::EROFS) } else { Ok(()) }
    }
}

/// A kernel's files: a file system in memory, and what is mounted on it.
pub(crate) struct Namespace {
    root: Place,
    /// The same directory.
    tree: Arc<MemDir>,
    /// Where a process is that has ended: outside of everything, and so keeping nothing.
    nowhere: Arc<Cwd>,
    /// By the address of the directory that each hides, which each keeps.
    mounts: RwLock<HashMap<usize, Arc<Mount>>>,
    /// *Atomic*: how many mounts there are, so that a walk looks for them only where there are any.
    count: AtomicUsize,
    /// What opens devices, kept here alone, until the namespace is closed.
    openers: Mutex<Vec<Arc<Opener>>>,
}

/// The top of a file system in memory that is mounted nowhere.
fn top(tree: &Arc<MemDir>) -> Place {
    let root: Arc<dyn Node> = Arc::clone(tree) as _;
    Place { node: Arc::clone(&root), mount: Arc::new(Mount { root, at: None, read_only: false }) }
}

/// Two directories that nothing can be made in, neither of which is in the other.
fn nowhere() -> Arc<Cwd> {
    let [root, dir] = [(); 2].map(|()| {
        let tree = MemFs::root(0);
        tree.clear();
        top(&tree)
    });
    Arc::new(Cwd { root, dir })
}

fn address(node: &Arc<dyn Node>) -> usize {
    Arc::as_ptr(node).cast::<()>().addr()
}

impl Namespace {
    /// An empty file system of at most `limit` bytes, with `/tmp`, `/dev/null` and `/dev/zero`.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        let tree = MemFs::root(limit);
        let namespace = Self {
            root: top(&tree),
            tree,
            nowhere: nowhere(),
            mounts: RwLock::new(HashMap::new()),
            count: AtomicUsize::new(0),
            openers: Mutex::new(Vec::new()),
        };
        namespace.populate().expect("an empty file system has room for its first files");
        Arc::new(namespace)
    }

    fn populate(&self) -> Result<()> {
        let (root, superuser) = (&self.root.node, Cred::root());
        root.make(&superuser, "tmp".as_ref(), New::Directory, 0o1777)?;
        let dev = root.make(&superuser, "dev".as_ref(), New::Directory, 0o755)?;
        let null: Arc<Opener> = Arc::new(|_| Ok(Box::new(Null)));
        let zero: Arc<Opener> = Arc::new(|_| Ok(Box::new(Zero)));
        for (name, number, opener) in [("null", 0x103, null), ("zero", 0x105, zero)] {
            dev.make(&superuser, name.as_ref(), New::Device(number, Arc::downgrade(&opener)), 0o666)?;
            self.openers.lock().push(opener);
        }
        Ok(())
    }

    /// The directory at the top.
    pub(crate) fn root(&self) -> Place {
        self.root.clone()
    }

    /// A directory that nothing is in, below a root that it is not in.
    pub(crate) fn nowhere(&self) -> Arc<Cwd> {
        Arc::clone(&self.nowhere)
    }

    /// The end of its kernel: lets go of mounts, files, and what opens devices, whoever keeps the namespace.
    pub(crate) fn close(&self, panic: &mut Option<Panic>) {
        let mounts = mem::take(&mut *self.mounts.write());
        self.count.store(0, Ordering::Relaxed);
        drop(mounts);
        self.tree.clear();
        let openers = mem::take(&mut *self.openers.lock());
        drop_each(openers, panic);
    }

    /// The path of a working directory that `cwd` gives, if there is one. It may be that of a process that ends meanwhile:
    /// nothing is unmounted until it was let go of, so that `unmount` finds no trace of this.
    pub(crate) fn path(&self, cwd: impl FnOnce() -> Option<Arc<Cwd>>) -> Option<PathBuf> {
        let _mounts = self.hold();
        cwd().and_then(|cwd| cwd.path().ok())
    }

    /// A walk by root from the top.
    pub(crate) fn with_namei<R>(&self, f: impl FnOnce(&Namei<'_>) -> R) -> R {
        let superuser = Cred::root();
        f(&Namei { namespace: self, cred: &superuser, root: &self.root, base: &self.root, umask: 0 })
    }

    /// What hides the directory `node`, if anything does.
    #[inline]
    pub(super) fn mounted_on(&self, node: &Arc<dyn Node>) -> Option<Arc<Mount>> {
        // Relaxed: a hint; a mount made before the walk in this thread, or told of by one, is seen.
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.mounts.read().get(&address(node)).cloned()
    }

    /// Keeps anything from being mounted or unmounted while the guard lives.
    pub(super) fn hold(&self) -> Mounts<'_> {
        Mounts(self.mounts.read())
    }

    /// Mounts a directory of the host on the directory `at`, which it hides.
    ///
    /// # Errors
    /// Those of the path. `ENOTDIR`: no directory. `EBUSY`: the root, or something is mounted there.
    pub(crate) fn mount(&self, at: &Path, dir: cap_std::fs::Dir, options: MountOptions) -> Result<()> {
        let at = self.with_namei(|namei| namei.directory(at))?;
        if Arc::ptr_eq(&at.node, at.mount.root()) {
            return Err(Errno::EBUSY);
        }
        let root = HostFs::root(dir.into_std_file().into(), options)?;
        let mut mounts = self.mounts.write();
        // It may have been removed meanwhile.
        at.node.name()?;
        let key = address(&at.node);
        if mounts.contains_key(&key) {
            return Err(Errno::EBUSY);
        }
        mounts.insert(key, Arc::new(Mount { root, at: Some(at), read_only: options.read_only }));
        self.count.store(mounts.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Takes away what is mounted on `at`.
    ///
    /// # Errors
    /// Those of the path. `EINVAL`: nothing is mounted there. `EBUSY`: a file there is open, a process is in it, or
    /// something is mounted on it.
    pub(crate) fn unmount(&self, at: &Path) -> Result<()> {
        let Place { node, mount } = self.with_namei(|namei| namei.directory(at))?;
        let key = match mount.at() {
            Some(at) if Arc::ptr_eq(&node, mount.root()) => address(&at.node),
            _ => return Err(Errno::EINVAL),
        };
        let mut mounts = self.mounts.write();
        if !mounts.get(&key).is_some_and(|there| Arc::ptr_eq(there, &mount)) {
            // Somebody else was faster.
            return Err(Errno::EINVAL);
        }
        // With the table locked nobody walks into it any more: two are the table's and this one.
        if Arc::strong_count(&mount) > 2 {
            return Err(Errno::EBUSY);
        }
        let removed = mounts.remove(&key);
        self.count.store(mounts.len(), Ordering::Relaxed);
        drop(mounts);
        drop(removed);
        Ok(())
    }

    /// Makes a regular file at `at` with contents that the host keeps.
    ///
    /// # Errors
    /// Those of the path. `EEXIST`: there is something. `EPERM`: on a mount.
    pub(crate) fn add_file(&self, at: &Path, file: HostRange, mode: Mode) -> Result<()> {
        self.with_namei(|namei| namei.make(at, New::Shown(Arc::new(file)), mode).map(drop))
    }

    /// Makes a character device at `at`; each open of it refers to what `opener` then makes, given the flags.
    ///
    /// # Errors
    /// Those of the path. `EEXIST`: there is something. `EPERM`: on a mount.
    pub(crate) fn add_device(
        &self,
        at: &Path,
        mode: Mode,
        opener: impl Fn(OpenFlags) -> Result<Box<dyn File>> + Send + Sync + 'static,
    ) -> Result<()> {
        let opener: Arc<Opener> = Arc::new(opener);
        self.with_namei(|namei| namei.make(at, New::Device(0, Arc::downgrade(&opener)), mode).map(drop))?;
        self.openers.lock().push(opener);
        Ok(())
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("mounts", &self.mounts.read().len()).finish_non_exhaustive()
    }
}

/// The mounts, which stay as they are as long as this lives.
pub(super) struct Mounts<'n>(RwLockReadGuard<'n, HashMap<usize, Arc<Mount>>>);

impl Mounts<'_> {
    /// # Errors
    /// `EBUSY`: what is called `name` in `dir` is a directory that something is mounted on.
    pub(super) fn check_free(&self, cred: &Cred, dir: &dyn Node, name: &std::ffi::OsStr) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        match dir.lookup(cred, name) {
            Ok(node) if node.kind() == FileKind::Directory && self.0.contains_key(&address(&node)) => Err(Errno::EBUSY),
            _ => Ok(()),
        }
    }
}
