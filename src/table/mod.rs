//! What tables are made of: memory that grows and never moves, indices that are handed out and taken back, and
//! memory that is freed once nobody can look at it any more.

mod indices;
#[cfg_attr(loom, path = "reclaim_model.rs")]
mod reclaim;
mod segments;

pub(crate) use indices::Indices;
pub(crate) use reclaim::{pin, retire, unguarded};
pub(crate) use segments::{Segment, Segments};
