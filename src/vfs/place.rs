//! Places: directories that were walked to, and the pair of them that a process holds.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::mount::Mount;
use super::node::Node;
use crate::errno::{Errno, Result};

/// A directory in the namespace: where somebody is, or has it open. It stays the same directory when it is moved, and
/// goes on to be one, empty, when it is removed.
#[derive(Clone)]
pub(crate) struct Place {
    pub(super) node: Arc<dyn Node>,
    pub(super) mount: Arc<Mount>,
}

impl Place {
    /// Whether both are the same directory.
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }

    /// The directory above, unless this is the root of the namespace: the one that it hides, where it is mounted.
    ///
    /// # Errors
    /// What the file system says.
    fn above(&self) -> Result<Option<Self>> {
        if Arc::ptr_eq(&self.node, self.mount.root()) {
            return Ok(self.mount.at().cloned());
        }
        Ok(Some(Self { node: self.node.parent()?, mount: Arc::clone(&self.mount) }))
    }

    /// Whether this is `root` or in it.
    pub(crate) fn is_in(&self, root: &Self) -> bool {
        // Everything is in the root of the namespace, and that is the usual root.
        if root.mount.at().is_none() && Arc::ptr_eq(&root.node, root.mount.root()) {
            return true;
        }
        let mut here = self.clone();
        while !here.same(root) {
            match here.above() {
                Ok(Some(above)) => here = above,
                Ok(None) | Err(_) => return false,
            }
        }
        true
    }

    /// The directory that `..` is, below `root`: that one is its own. From outside, where a process can have a directory
    /// open, `..` leads to the root.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn parent(&self, root: &Self) -> Result<Self> {
        if self.same(root) || !self.is_in(root) {
            return Ok(root.clone());
        }
        let mut here = self;
        while Arc::ptr_eq(&here.node, here.mount.root()) {
            match here.mount.at() {
                // A process's root may itself be the root of a mount.
                Some(at) if at.same(root) => return Ok(at.clone()),
                Some(at) => here = at,
                None => return Ok(here.clone()),
            }
        }
        Ok(Self { node: here.node.parent()?, mount: Arc::clone(&here.mount) })
    }

    /// The way from `root` to here.
    ///
    /// # Errors
    /// `ENOENT`: this directory, or one that it is in, was removed, or it is not below `root`.
    fn path(&self, root: &Self) -> Result<PathBuf> {
        let mut names: Vec<OsString> = Vec::new();
        let mut here = self.clone();
        while !here.same(root) {
            if Arc::ptr_eq(&here.node, here.mount.root()) {
                let at = here.mount.at().ok_or(Errno::ENOENT)?.clone();
                here = at;
                continue;
            }
            names.push(here.node.name()?);
            here.node = here.node.parent()?;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(OsString::from_vec(path).into())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

/// Where a process is: what it takes for the root, and its working directory.
#[derive(Clone, Debug)]
pub(crate) struct Cwd {
    /// Where paths that begin with a slash begin, and where `..` ends.
    pub(crate) root: Place,
    /// Where other paths begin.
    pub(crate) dir: Place,
}

impl Cwd {
    /// The working directory's path, as seen from the root.
    ///
    /// # Errors
    /// `ENOENT`: it was removed, or is not below the root.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        self.dir.path(&self.root)
    }
}
