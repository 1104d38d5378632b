//! Writing as far as the process's limit on the size of files lets it.

use crate::context::current;
use crate::errno::Result;
use crate::fd::{FileKind, OpenFile, fsize};
use crate::proc::limits::Rlimit;
use crate::vfs::OpenNode;

/// The limit of the current process.
#[inline]
pub(super) fn limit() -> u64 {
    current(|current| current.proc().limits.fsize())
}

/// What of `buf` may be written at `at`.
///
/// # Errors
/// `EFBIG`: nothing.
#[inline]
pub(super) fn within<'b>(open: &OpenFile, buf: &'b [u8], at: u64, limit: u64) -> Result<&'b [u8]> {
    match limit {
        Rlimit::INFINITY => Ok(buf),
        limit if limited(open)? => fsize::within(buf, at, limit),
        _ => Ok(buf),
    }
}

/// Appends what of `buf` may be.
///
/// # Errors
/// `EFBIG`: nothing. What the file says.
pub(super) fn append(open: &OpenFile, buf: &[u8], limit: u64) -> Result<(usize, u64)> {
    match (limit, OpenNode::of(open)) {
        (Rlimit::INFINITY, _) => open.append(buf),
        (limit, Some(node)) => node.append_within(buf, limit),
        (limit, None) if limited(open)? => fsize::append(open.file(), buf, limit),
        _ => open.append(buf),
    }
}

/// Cuts or extends the file.
///
/// # Errors
/// `EFBIG`: it would be extended beyond the limit. What the file says.
pub(super) fn set_len(open: &OpenFile, len: u64, limit: u64) -> Result<()> {
    match (limit, OpenNode::of(open)) {
        (limit, _) if len <= limit => {}
        (limit, Some(node)) => return node.set_len_within(len, limit),
        (limit, None) if limited(open)? => fsize::check(open.file().stat()?.size, len, limit)?,
        _ => {}
    }
    open.file().set_len(len)
}

/// Whether the limit is for such a file.
#[cold]
fn limited(open: &OpenFile) -> Result<bool> {
    let kind = match OpenNode::of(open) {
        Some(node) => node.kind(),
        None => open.file().stat()?.kind(),
    };
    Ok(kind == FileKind::Regular)
}
