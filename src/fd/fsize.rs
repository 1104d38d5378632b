//! Limits on how long a write may make a file.

use super::File;
use crate::errno::{Errno, Result};

/// What of `buf`, written at `at`, ends within `limit`.
///
/// # Errors
/// `EFBIG`: nothing of it, though there is something.
pub(crate) fn within(buf: &[u8], at: u64, limit: u64) -> Result<&[u8]> {
    match usize::try_from(limit.saturating_sub(at)) {
        Ok(0) if !buf.is_empty() => Err(Errno::EFBIG),
        Ok(room) => Ok(&buf[..room.min(buf.len())]),
        Err(_) => Ok(buf),
    }
}

/// # Errors
/// `EFBIG`: a file of `old` bytes may not become `new` bytes long. One that is too long already may be cut.
pub(crate) fn check(old: u64, new: u64, limit: u64) -> Result<()> {
    if new > old.max(limit) { Err(Errno::EFBIG) } else { Ok(()) }
}

/// [`File::append`], of what ends within `limit`. Where the end is, is looked at before: what others append meanwhile can
/// bring the file beyond it.
///
/// # Errors
/// Those of the file, and of [`within`].
pub(crate) fn append(file: &dyn File, buf: &[u8], limit: u64) -> Result<(usize, u64)> {
    let buf = within(buf, file.stat()?.size, limit)?;
    let (written, end) = file.append(buf)?;
    Ok((written.min(buf.len()), end))
}
