//! Directories.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::mem;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::attributes::Attributes;
use super::leaf::{Content, Leaf};
use super::{Charge, MemFile, MemFs, MemNode, NAME};
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{DirEntry, FileKind, OpenFlags, Stat};
use crate::id::Mode;
use crate::vfs::access::{Access, Change, Permissions};
use crate::vfs::node::{New, Node, Opened};

/// The positions of `.` and `..`, which come first; names come after.
const DOT: u64 = 0;
const DOT_DOT: u64 = 1;
const FIRST: u64 = 2;

pub(in crate::vfs) struct MemDir {
    ino: u64,
    fs: Arc<MemFs>,
    me: Weak<MemDir>,
    link: Mutex<Link>,
    state: RwLock<State>,
}

/// Where a directory is.
enum Link {
    /// The top, which is its own parent.
    Root,
    /// In a directory that keeps it, by this name.
    In(Weak<MemDir>, Arc<OsStr>),
    /// Removed from this directory, which `..` still is.
    Removed(Arc<MemDir>),
}

struct State {
    attributes: Attributes,
    entries: HashMap<Arc<OsStr>, Entry>,
    /// The names by position, which each keeps as long as it is there: a listing that goes on after names came and went
    /// misses none that stayed, and has none twice.
    order: BTreeMap<u64, Arc<OsStr>>,
    next: u64,
    /// No name can be added any more.
    removed: bool,
}

struct Entry {
    position: u64,
    node: MemNode,
    /// Held for its drop.
    _charge: Charge,
}

impl State {
    fn insert(&mut self, name: Arc<OsStr>, node: MemNode, charge: Charge) {
        if let MemNode::Dir(_) = node {
            self.attributes.nlink += 1;
        }
        let position = self.next;
        self.next += 1;
        self.order.insert(position, Arc::clone(&name));
        self.entries.insert(name, Entry { position, node, _charge: charge });
        self.attributes.modified();
    }

    fn remove(&mut self, name: &OsStr) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.order.remove(&entry.position);
        if let MemNode::Dir(_) = entry.node {
            self.attributes.nlink -= 1;
        }
        self.attributes.modified();
        Some(entry)
    }

    /// Whether `cred` may add the name, which is not there.
    fn check_add(&self, cred: &Cred, name: &OsStr) -> Result<()> {
        let permissions = self.attributes.permissions;
        permissions.check(cred, Access::EXECUTE)?;
        if self.entries.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if self.removed {
            return Err(Errno::ENOENT);
        }
        permissions.may_add(cred)
    }

    /// The node called `name`, if `cred` may take the name away.
    fn check_remove(&self, cred: &Cred, name: &OsStr) -> Result<MemNode> {
        let permissions = self.attributes.permissions;
        permissions.check(cred, Access::EXECUTE)?;
        let node = self.entries.get(name).ok_or(Errno::ENOENT)?.node.clone();
        permissions.may_remove(cred, node.as_node().permissions()?.uid)?;
        Ok(node)
    }
}

impl MemDir {
    pub(super) fn root(fs: Arc<MemFs>) -> Arc<Self> {
        let permissions = Permissions { mode: FileKind::Directory as Mode | 0o755, uid: 0, gid: 0 };
        Self::new(&fs, permissions, Link::Root)
    }

    fn new(fs: &Arc<MemFs>, permissions: Permissions, link: Link) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            ino: fs.next_ino(),
            fs: Arc::clone(fs),
            me: Weak::clone(me),
            link: Mutex::new(link),
            state: RwLock::new(State {
                attributes: Attributes::new(permissions, 2),
                entries: HashMap::new(),
                order: BTreeMap::new(),
                next: FIRST,
                removed: false,
            }),
        })
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    /// Takes all names out of a root, into which none comes any more.
    pub(in crate::vfs) fn clear(&self) {
        let mut state = self.state.write();
        state.removed = true;
        state.order.clear();
        let entries = mem::take(&mut state.entries);
        drop(state);
        drop(entries);
    }

    /// The directory itself, counted; whoever calls its methods keeps it.
    fn counted(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or(Errno::ENOENT)
    }

    fn container(&self) -> Result<Arc<Self>> {
        match &*self.link.lock() {
            Link::Root => Err(Errno::ENOENT),
            Link::In(parent, _) => parent.upgrade().ok_or(Errno::ENOENT),
            Link::Removed(parent) => Ok(Arc::clone(parent)),
        }
    }

    /// Marks a directory that is empty as removed from `parent`.
    ///
    /// # Errors
    /// `ENOTEMPTY`.
    fn bury(&self, parent: &Arc<Self>) -> Result<()> {
        let mut state = self.state.write();
        if !state.entries.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        state.removed = true;
        state.attributes.add_links(-2);
        *self.link.lock() = Link::Removed(Arc::clone(parent));
        Ok(())
    }

    /// Whether this directory is `node`, or somewhere in it. No directory is moved while `moves` is held.
    fn is_in(&self, node: &MemNode) -> bool {
        let mut above = self.counted();
        while let Ok(dir) = above {
            if dir.ino == node.ino() {
                return true;
            }
            above = dir.container();
        }
        false
    }

    /// The rename, with both directories locked; `to` is `None` where it is `from`. What was replaced comes back, to be
    /// dropped when nothing is locked.
    fn move_name(
        &self,
        cred: &Cred,
        (from, name): (&mut State, &OsStr),
        to_dir: &Arc<Self>,
        (mut to, to_name): (Option<&mut State>, &OsStr),
    ) -> Result<Option<Entry>> {
        from.attributes.permissions.check(cred, Access::EXECUTE)?;
        let target = to.as_deref().unwrap_or(&*from);
        target.attributes.permissions.check(cred, Access::EXECUTE)?;
        let node = from.entries.get(name).ok_or(Errno::ENOENT)?.node.clone();
        let there = target.entries.get(to_name).map(|entry| entry.node.clone());
        let is_dir = matches!(node, MemNode::Dir(_));
        if is_dir && to_dir.is_in(&node) {
            return Err(Errno::EINVAL);
        }
        if there.as_ref().is_some_and(|there| self.is_in(there)) {
            return Err(Errno::ENOTEMPTY);
        }
        if there.as_ref().is_some_and(|there| there.is(&node)) {
            return Ok(None);
        }
        from.check_remove(cred, name)?;
        match &there {
            Some(there) => {
                target.check_remove(cred, to_name)?;
                match (is_dir, there) {
                    (true, MemNode::Dir(_)) => {}
                    (true, _) => return Err(Errno::ENOTDIR),
                    (false, MemNode::Dir(_)) => return Err(Errno::EISDIR),
                    (false, _) => {}
                }
            }
            None => target.check_add(cred, to_name)?,
        }
        // Its own `..` changes.
        if is_dir && to.is_some() {
            node.as_node().permissions()?.check(cred, Access::WRITE)?;
        }
        match &there {
            Some(MemNode::Dir(there)) => there.bury(to_dir)?,
            Some(there) => there.add_links(-1),
            None => {}
        }
        let replaced = match &mut to {
            Some(to) => to.remove(to_name),
            None => from.remove(to_name),
        };
        let Some(Entry { node, _charge: charge, .. }) = from.remove(name) else {
            return Err(Errno::ENOENT);
        };
        let to_name: Arc<OsStr> = to_name.into();
        match &node {
            MemNode::Dir(dir) => {
                *dir.link.lock() = Link::In(Arc::downgrade(to_dir), Arc::clone(&to_name));
                dir.state.write().attributes.add_links(0);
            }
            node => node.add_links(0),
        }
        to.unwrap_or(from).insert(to_name, node, charge);
        Ok(replaced)
    }
}

impl Node for MemDir {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn stat(&self) -> Result<Stat> {
        let state = self.state.read();
        let stat = state.attributes.stat(self.ino, (state.entries.len() as u64 + 2) * 20);
        Ok(Stat { blocks: 0, ..stat })
    }

    fn permissions(&self) -> Result<Permissions> {
        Ok(self.state.read().attributes.permissions)
    }

    #[inline]
    fn lookup(&self, cred: &Cred, name: &OsStr) -> Result<Arc<dyn Node>> {
        let state = self.state.read();
        state.attributes.permissions.check(cred, Access::EXECUTE)?;
        state.entries.get(name).map(|entry| entry.node.node()).ok_or(Errno::ENOENT)
    }

    fn parent(&self) -> Result<Arc<dyn Node>> {
        Ok(self.container()?)
    }

    fn name(&self) -> Result<OsString> {
        match &*self.link.lock() {
            Link::In(_, name) => Ok((**name).to_owned()),
            Link::Root | Link::Removed(_) => Err(Errno::ENOENT),
        }
    }

    fn make(&self, cred: &Cred, name: &OsStr, new: New<'_>, mode: Mode) -> Result<Arc<dyn Node>> {
        let mut state = self.state.write();
        state.check_add(cred, name)?;
        let charge = Charge::new(&self.fs, NAME)?;
        let permissions = state.attributes.permissions.newborn(cred, new.kind(), mode);
        let name: Arc<OsStr> = name.into();
        let leaf = |content| MemNode::Leaf(Arc::new(Leaf::new(self.fs.next_ino(), permissions, content)));
        let node = match new {
            New::Regular => MemNode::File(Arc::new(MemFile::new(&self.fs, self.fs.next_ino(), permissions))),
            New::Directory => {
                let link = Link::In(Weak::clone(&self.me), Arc::clone(&name));
                MemNode::Dir(Self::new(&self.fs, permissions, link))
            }
            New::Symlink(target) => {
                let charge = Charge::new(&self.fs, target.len() as u64)?;
                leaf(Content::Symlink(target.to_owned(), charge))
            }
            New::Device(number, opener) => leaf(Content::Device(number, opener)),
            New::Shown(file) => leaf(Content::Shown(file)),
        };
        let made = node.node();
        state.insert(name, node, charge);
        Ok(made)
    }

    fn link(&self, cred: &Cred, name: &OsStr, target: &Arc<dyn Node>) -> Result<()> {
        let target = of(target)?;
        let mut state = self.state.write();
        state.check_add(cred, name)?;
        let charge = Charge::new(&self.fs, NAME)?;
        // One whose last name was taken away meanwhile does not come back.
        if target.as_node().stat()?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        target.add_links(1);
        state.insert(name.into(), target, charge);
        Ok(())
    }

    fn unlink(&self, cred: &Cred, name: &OsStr) -> Result<()> {
        let mut moves = None;
        let mut state = loop {
            let state = self.state.write();
            // To look at a directory in a directory is to lock two.
            match state.entries.get(name) {
                Some(Entry { node: MemNode::Dir(_), .. }) if moves.is_none() => {}
                _ => break state,
            }
            drop(state);
            moves = Some(self.fs.moves.lock());
        };
        let node = state.check_remove(cred, name)?;
        if let MemNode::Dir(_) = node {
            return Err(Errno::EISDIR);
        }
        node.add_links(-1);
        let removed = state.remove(name);
        drop(state);
        drop((removed, node));
        Ok(())
    }

    fn rmdir(&self, cred: &Cred, name: &OsStr) -> Result<()> {
        let _moves = self.fs.moves.lock();
        let mut state = self.state.write();
        let node = state.check_remove(cred, name)?;
        let MemNode::Dir(dir) = &node else {
            return Err(Errno::ENOTDIR);
        };
        dir.bury(&self.counted()?)?;
        let removed = state.remove(name);
        drop(state);
        drop(removed);
        Ok(())
    }

    fn rename(&self, cred: &Cred, name: &OsStr, to: &dyn Node, to_name: &OsStr) -> Result<()> {
        let to = (to as &dyn Any).downcast_ref::<Self>().ok_or(Errno::EXDEV)?.counted()?;
        let _moves = self.fs.moves.lock();
        let mut from_state = self.state.write();
        let replaced = if to.ino == self.ino {
            self.move_name(cred, (&mut from_state, name), &to, (None, to_name))
        } else {
            let mut to_state = to.state.write();
            self.move_name(cred, (&mut from_state, name), &to, (Some(&mut to_state), to_name))
        };
        drop(from_state);
        replaced.map(drop)
    }

    fn change(&self, cred: &Cred, change: Change) -> Result<()> {
        self.state.write().attributes.change(cred, change)
    }

    fn open(&self, _flags: OpenFlags) -> Result<Opened> {
        Ok(Opened::Node)
    }

    fn read_dir(&self, at: u64) -> Result<Option<(DirEntry, u64)>> {
        let entry = |ino, kind, name: &OsStr| DirEntry { ino, kind, name: name.to_owned() };
        let own = |ino, name: &str| Ok(Some((entry(ino, FileKind::Directory, name.as_ref()), at + 1)));
        match at {
            DOT => return own(self.ino, "."),
            DOT_DOT => return own(self.container().map_or(self.ino, |parent| parent.ino), ".."),
            _ => {}
        }
        let state = self.state.read();
        let Some((position, name)) = state.order.range(at..).next() else {
            return Ok(None);
        };
        let node = &state.entries[name].node;
        Ok(Some((entry(node.ino(), node.as_node().kind(), name), position + 1)))
    }
}

/// A node that is no directory, as a directory keeps it.
fn of(node: &Arc<dyn Node>) -> Result<MemNode> {
    let any = || Arc::clone(node) as Arc<dyn Any + Send + Sync>;
    match any().downcast::<MemFile>() {
        Ok(file) => Ok(MemNode::File(file)),
        Err(_) => any().downcast::<Leaf>().map(MemNode::Leaf).map_err(|_| Errno::EPERM),
    }
}

impl MemDir {
    /// Hands out the directories that this one alone may keep.
    fn let_go(&mut self, dirs: &mut Vec<Arc<Self>>) {
        for (_, entry) in self.state.get_mut().entries.drain() {
            if let MemNode::Dir(dir) = entry.node {
                dirs.push(dir);
            }
        }
        if let Link::Removed(parent) = mem::replace(self.link.get_mut(), Link::Root) {
            dirs.push(parent);
        }
    }
}

impl Drop for MemDir {
    /// Step by step: directories go deeper than any stack.
    fn drop(&mut self) {
        let mut dirs = Vec::new();
        self.let_go(&mut dirs);
        while let Some(dir) = dirs.pop() {
            if let Some(mut dir) = Arc::into_inner(dir) {
                dir.let_go(&mut dirs);
            }
        }
    }
}
