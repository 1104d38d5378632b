//! Files by name: the namespace, and the file systems in it.

mod access;
mod hostfs;
mod memfs;
mod mount;
mod namei;
mod names;
mod node;
mod opennode;
mod place;

pub use access::{Access, SetTime};
pub use mount::MountOptions;
pub(crate) use mount::Namespace;
pub(crate) use namei::Namei;
pub(crate) use opennode::OpenNode;
pub(crate) use place::{Cwd, Place};
