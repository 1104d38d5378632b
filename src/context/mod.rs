//! What the calling thread or task runs: its lwp, its implicit lwp, its kernel, and how it comes to leave them.

pub(crate) mod curlwp;
pub(crate) mod curproc;
pub(crate) mod exit;
pub(crate) mod hook;
pub(crate) mod implicit;
pub mod local;
