//! The others.

pub mod bare;
#[cfg(boost_fiber)]
pub mod boost;
pub mod embassy;
pub mod executor;
pub mod may;
pub mod tokio;
