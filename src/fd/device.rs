//! The devices that every namespace has.

use super::File;
use crate::errno::Result;

/// Reads as empty and swallows what is written: `/dev/null`.
///
/// Source: null(4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Null;

impl File for Null {
    fn read_at(&self, _buf: &mut [u8], _at: u64) -> Result<usize> {
        Ok(0)
    }

    fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
        Ok(buf.len())
    }
}

/// Reads as zeros without end, and swallows what is written: `/dev/zero`.
///
/// Source: zero(4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zero;

impl File for Zero {
    fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
        buf.fill(0);
        Ok(buf.len())
    }

    fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
        Ok(buf.len())
    }
}
