//! The stacks of fibers.

#[cfg(not(loom))]
mod altstack;
#[cfg(all(test, not(loom)))]
#[path = "../../../tests/common/apart.rs"]
mod apart;
#[cfg(not(loom))]
mod cxx;
#[cfg(not(loom))]
mod fiber;
pub(crate) mod guards;
#[cfg(not(loom))]
mod overflow;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
mod sanitizer;
#[cfg(not(loom))]
mod slab;
#[cfg(not(loom))]
mod switch;
#[cfg(not(loom))]
mod trim;

#[cfg(not(loom))]
pub(super) use fiber::Fiber;
#[cfg(not(loom))]
pub(super) use pool::StackPool;
#[cfg(not(loom))]
pub(super) use slab::Stack;
#[cfg(not(loom))]
pub use trim::trim_stack;
