//! Lwps: slots with one atomic word each, and the table of them. A lwp *is* its slot: nothing behind it is allocated.

mod error;
mod slot;
mod state;
mod table;

pub use error::SwitchError;
pub(crate) use slot::{LetGo, Orphaning, Slot};
pub(crate) use table::LwpTable;
