//! Walks: from a path to the file it names. All `..`, links and mounts are dealt with here, below the process's root.

use std::ffi::OsStr;
use std::ops::{Deref, Range};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::access::Access;
use super::mount::{Mount, Namespace};
use super::node::Node;
use super::place::Place;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::FileKind;
use crate::id::Mode;

/// The longest path, in bytes (POSIX: `PATH_MAX` less the NUL).
const PATH_MAX: usize = 4095;
/// The longest component, in bytes (POSIX: `NAME_MAX`).
const NAME_MAX: usize = 255;
/// The most symbolic links in one walk.
const LINKS_MAX: u32 = 40;

/// A look at names on behalf of somebody: who it is, and where paths begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namei<'a> {
    /// The files.
    pub(crate) namespace: &'a Namespace,
    /// Who looks.
    pub(crate) cred: &'a Cred,
    /// Where paths that begin with a slash begin.
    pub(crate) root: &'a Place,
    /// Where other paths begin.
    pub(crate) base: &'a Place,
    /// Permission bits that files made here do not get.
    pub(crate) umask: Mode,
}

/// Either somebody else's count or one's own: plain paths are walked without counting.
pub(super) enum Counted<'a, T: ?Sized> {
    Borrowed(&'a Arc<T>),
    Owned(Arc<T>),
}

impl<T: ?Sized> Counted<'_, T> {
    fn into_owned(self) -> Arc<T> {
        match self {
            Self::Borrowed(counted) => Arc::clone(counted),
            Self::Owned(counted) => counted,
        }
    }
}

impl<T: ?Sized> Deref for Counted<'_, T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        match self {
            Self::Borrowed(counted) => counted,
            Self::Owned(counted) => counted,
        }
    }
}

/// A directory on the way.
pub(super) struct Here<'a> {
    pub(super) node: Counted<'a, dyn Node>,
    pub(super) mount: Counted<'a, Mount>,
}

impl<'a> Here<'a> {
    fn at(place: &'a Place) -> Self {
        Self { node: Counted::Borrowed(&place.node), mount: Counted::Borrowed(&place.mount) }
    }

    fn into_place(self) -> Place {
        Place { node: self.node.into_owned(), mount: self.mount.into_owned() }
    }
}

impl From<Place> for Here<'_> {
    fn from(place: Place) -> Self {
        Self { node: Counted::Owned(place.node), mount: Counted::Owned(place.mount) }
    }
}

/// What is left of the path: the caller's, or one that links were put into.
enum Text<'a> {
    Given(&'a [u8]),
    Spliced(Vec<u8>),
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Given(text) => text,
            Self::Spliced(text) => text,
        }
    }
}

/// What is done about a path's last component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Looked up; a link is followed.
    Follow,
    /// Looked up; a link is followed only where a slash comes after it.
    Keep,
    /// Looked up, to be made if it is not there: no slash may come after it. `follow`: a link is followed.
    Create { follow: bool },
    /// Not looked up.
    Parent,
}

impl Last {
    fn follows(self) -> bool {
        matches!(self, Self::Follow | Self::Create { follow: true })
    }
}

/// The last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'f> {
    Plain(&'f OsStr),
    Dot,
    DotDot,
    /// There was none.
    Root,
}

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Dot,
    DotDot,
    Root,
}

/// Where a walk ended.
pub(super) struct Found<'a> {
    /// The directory that the last component is in; for `.`, `..` and `/` the directory that it is.
    pub(super) dir: Here<'a>,
    /// What the last component is, if it was looked up and is there; the mount is the directory's, unless it is a
    /// directory that something is mounted on, which `dir` then is.
    node: Option<Arc<dyn Node>>,
    text: Text<'a>,
    name: Range<usize>,
    kind: Kind,
    /// Whether slashes come after it.
    pub(super) slash: bool,
}

impl<'a> Found<'a> {
    pub(super) fn name(&self) -> Name<'_> {
        match self.kind {
            Kind::Plain => Name::Plain(OsStr::from_bytes(&self.text[self.name.clone()])),
            Kind::Dot => Name::Dot,
            Kind::DotDot => Name::DotDot,
            Kind::Root => Name::Root,
        }
    }

    /// What was found, and its mount; `None` where there is nothing of the name.
    pub(super) fn into_file(self) -> Option<(Arc<dyn Node>, Counted<'a, Mount>)> {
        match (self.kind, self.node) {
            (Kind::Plain, node) => node.map(|node| (node, self.dir.mount)),
            _ => Some((self.dir.node.into_owned(), self.dir.mount)),
        }
    }

    /// Whether there is something of the name.
    pub(super) fn exists(&self) -> bool {
        self.node.is_some() || !matches!(self.kind, Kind::Plain)
    }
}

impl<'a> Namei<'a> {
    /// Walks along `path`, at most to its last component.
    ///
    /// # Errors
    /// `ENOENT`: the path is empty, or something on the way is not there. `EINVAL`: it has a NUL. `ENAMETOOLONG`: it is
    /// longer than 4,095 bytes, or a component longer than 255. `ENOTDIR`: something that more comes after is no
    /// directory. `EACCES`: no permission to search a directory. `ELOOP`: more than 40 links. `EISDIR`: a slash at the
    /// end, with [`Last::Create`].
    pub(super) fn walk<'w>(&self, path: &'w Path, last: Last) -> Result<Found<'w>>
    where
        'a: 'w,
    {
        let given = path.as_os_str().as_bytes();
        if given.is_empty() {
            return Err(Errno::ENOENT);
        }
        if given.len() > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if given.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let mut text = Text::Given(given);
        let mut here: Here<'w> = Here::at(if given[0] == b'/' { self.root } else { self.base });
        let mut at = 0;
        let mut links = 0;
        loop {
            let start = at + text[at..].iter().take_while(|byte| **byte == b'/').count();
            let end = start + text[start..].iter().take_while(|byte| **byte != b'/').count();
            let next = end + text[end..].iter().take_while(|byte| **byte == b'/').count();
            let (is_last, slash) = (next == text.len(), next > end);
            let component = &text[start..end];
            let found = |here, text, node, kind| Found { dir: here, node, text, name: start..end, kind, slash };
            match component {
                b"" => return Ok(found(here, text, None, Kind::Root)),
                b"." | b".." => {
                    here.node.permissions()?.check(self.cred, Access::EXECUTE)?;
                    let up = component.len() == 2;
                    if up {
                        here = self.up(&here)?.into();
                    }
                    if is_last {
                        return Ok(found(here, text, None, if up { Kind::DotDot } else { Kind::Dot }));
                    }
                    at = next;
                    continue;
                }
                _ => {}
            }
            // All else is refused only to those who may search.
            let refused = match last {
                _ if component.len() > NAME_MAX => Some(Errno::ENAMETOOLONG),
                Last::Create { .. } if is_last && slash => Some(Errno::EISDIR),
                _ => None,
            };
            if refused.is_some() || is_last && last == Last::Parent {
                here.node.permissions()?.check(self.cred, Access::EXECUTE)?;
                return refused.map_or_else(|| Ok(found(here, text, None, Kind::Plain)), Err);
            }
            let node = match here.node.lookup(self.cred, OsStr::from_bytes(component)) {
                Ok(node) => node,
                Err(Errno::ENOENT) if is_last => return Ok(found(here, text, None, Kind::Plain)),
                Err(error) => return Err(error),
            };
            match node.kind() {
                FileKind::Symlink if !is_last || slash || last.follows() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::ELOOP);
                    }
                    let target = node.readlink()?;
                    let target = target.as_bytes();
                    if target.is_empty() {
                        return Err(Errno::ENOENT);
                    }
                    if target[0] == b'/' {
                        here = Here::at(self.root);
                    }
                    text = Text::Spliced([target, &text[end..]].concat());
                    at = 0;
                }
                FileKind::Directory => {
                    // Nothing is ever mounted on the root of a mount: one look is enough.
                    let place =
                        self.namespace.mounted_on(&node).map(|mount| Place { node: Arc::clone(mount.root()), mount });
                    if is_last {
                        let (node, mount) = match place {
                            Some(Place { node, mount }) => (node, Counted::Owned(mount)),
                            None => (node, here.mount),
                        };
                        let dir = Here { node: here.node, mount };
                        return Ok(found(dir, text, Some(node), Kind::Plain));
                    }
                    match place {
                        Some(place) => here = place.into(),
                        None => here.node = Counted::Owned(node),
                    }
                    at = next;
                }
                _ if !is_last || slash => return Err(Errno::ENOTDIR),
                _ => return Ok(found(here, text, Some(node), Kind::Plain)),
            }
        }
    }

    fn up(&self, here: &Here<'_>) -> Result<Place> {
        Place { node: Arc::clone(&here.node), mount: Arc::clone(&here.mount) }.parent(self.root)
    }

    /// The file at `path`, and its mount.
    ///
    /// # Errors
    /// Those of [`walk`](Self::walk), and `ENOENT`: nothing of the last name is there.
    pub(super) fn file<'w>(&self, path: &'w Path, last: Last) -> Result<(Arc<dyn Node>, Counted<'w, Mount>)>
    where
        'a: 'w,
    {
        self.walk(path, last)?.into_file().ok_or(Errno::ENOENT)
    }

    /// The directory at `path`.
    ///
    /// # Errors
    /// Those of a path, and `ENOTDIR`: it is no directory. Permission to search it is not asked for.
    pub(crate) fn directory(&self, path: &Path) -> Result<Place> {
        let found = self.walk(path, Last::Follow)?;
        if !matches!(found.name(), Name::Plain(_)) {
            return Ok(found.dir.into_place());
        }
        let (node, mount) = found.into_file().ok_or(Errno::ENOENT)?;
        if node.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(Place { node, mount: mount.into_owned() })
    }
}
