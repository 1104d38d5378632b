//! The embedder's own per-process values, keyed by type, and hooks that run when a process ends.
//!
//! A value belongs to the process that was current when it was [`set`]; its [`Inherit`] says what a child has of it.

use std::any::Any;
use std::sync::Arc;

use crate::context::current;
use crate::id::Pid;
pub use crate::proc::locals::{Inherit, LocalRef};

/// The current process's value of type `T`; `None` if it has none.
///
/// A lookup is a lock-free read and a search through the process's values.
///
/// ```
/// use lwproc::local::{self, Inherit};
/// use lwproc::{FdInherit, Kernel};
///
/// struct Tenant(&'static str);
///
/// let kernel = Kernel::new()?;
/// kernel.rfork(FdInherit::Clean)?;
/// local::set(Tenant("alice"), Inherit::share());
/// kernel.rfork(FdInherit::Clean)?;
/// assert_eq!(local::get::<Tenant>().unwrap().0, "alice");
/// kernel.releaselwp();
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub fn get<T: Any + Send + Sync>() -> Option<LocalRef<T>> {
    // Let go of here, where the embedder's code may run, if the value is not among them.
    let row = current(|current| current.proc().locals_if_any().map(|locals| locals.row()))?;
    LocalRef::of(row)
}

/// Gives the current process a value, in the place of the one of that type that it had. `inherit` says what `rfork` does
/// with it. It is dropped when the process ends, after the exit hooks, or when the last [`LocalRef`] to it goes.
pub fn set<T: Any + Send + Sync>(value: T, inherit: Inherit<T>) {
    let locals = current(|current| Arc::clone(current.proc().locals()));
    locals.set(value, inherit);
}

/// Takes the current process's value of type `T` away. Whether it had one.
pub fn remove<T: Any + Send + Sync>() -> bool {
    current(|current| current.proc().locals_if_any().cloned()).is_some_and(|locals| locals.remove::<T>())
}

/// Runs `hook`, with the pid, when the current process ends: after its descriptors are closed, with its last lwp still
/// current, last set first. Not inherited. Pid 1 ends with the kernel and runs none.
pub fn on_exit(hook: impl FnOnce(Pid) + Send + 'static) {
    let locals = current(|current| Arc::clone(current.proc().locals()));
    locals.on_exit(Box::new(hook));
}
