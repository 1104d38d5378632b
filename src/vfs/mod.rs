//! The namespace.

use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{File, OpenFlags};
use crate::id::Mode;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug)]
pub struct Namespace;
#[derive(Clone, Debug)]
pub struct Place;
#[derive(Clone, Debug)]
pub struct Cwd {
    pub root: Place,
    pub dir: Place,
}
#[derive(Debug)]
pub struct Namei<'a> {
    pub namespace: &'a Namespace,
    pub cred: &'a Cred,
    pub root: &'a Place,
    pub base: &'a Place,
    pub umask: Mode,
}
impl Namespace {
    pub fn new(_: u64) -> Arc<Self> {
        Arc::new(Self)
    }
    pub fn root(&self) -> Place {
        Place
    }
}
impl Cwd {
    pub fn path(&self) -> Result<PathBuf> {
        Ok("/".into())
    }
}
impl Namei<'_> {
    pub fn directory(&self, _: &Path) -> Result<Place> {
        Err(Errno::ENOENT)
    }
    pub fn open(&self, _: &Path, _: OpenFlags, _: Mode) -> Result<Box<dyn File>> {
        Err(Errno::ENOENT)
    }
}
