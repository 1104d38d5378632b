//! Reading, writing, positions.

use std::io::{IoSlice, IoSliceMut, SeekFrom};

use super::call::{Call, block};
use super::file;
use super::ready::{Attempt, until_ready};
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, OpenFile, OpenFlags};
use crate::id::Fd;
use crate::wait::events::Events;

/// The most that one call reads or writes, in bytes, as on Linux. Asked for more, it does this much.
pub const TRANSFER_MAX: usize = 0x7fff_f000;
/// The most buffers of one `readv` or `writev` (POSIX: `IOV_MAX`).
pub const IOV_MAX: usize = 1024;

/// The highest position in a file.
const OFFSET_MAX: u64 = i64::MAX as u64;
/// What `readv` takes from a stream, in bytes: any datagram fits.
const GATHERED: usize = 65_536;
/// What `writev` writes at a time, in bytes.
const PIECE: usize = 1 << 20;

/// Reads into `buf` where the descriptor's offset is, moves it on, and says how much was read: 0 at the end of the file.
///
/// To close the descriptor does not end a call that waits: it holds on to the open file, as on Linux.
///
/// # Errors
/// `EBADF`: `fd` is not open, or not for reading. `EAGAIN`: nothing there, and the descriptor is non-blocking. `EINTR`:
/// the process was killed while waiting. `EISDIR`: a directory. `EINVAL`: a file that cannot be read. What the file says.
///
/// Source: POSIX.1-2024, section read.
#[inline]
pub fn read(fd: Fd, buf: &mut [u8]) -> Result<usize> {
    block(reading(fd, buf)?)
}

#[inline]
pub(super) fn reading(fd: Fd, buf: &mut [u8]) -> Result<impl Call<Output = usize>> {
    let len = buf.len().min(TRANSFER_MAX);
    Ok(until_ready(readable(fd)?, Events::IN, move |open: &OpenFile| {
        if !open.file().seekable() {
            return open.read_at(&mut buf[..len], 0);
        }
        let mut offset = open.offset();
        let read = open.read_at(&mut buf[..room(*offset, len)], *offset)?;
        *offset += read as u64;
        Ok(read)
    }))
}

/// Reads at `at`; the descriptor's offset stays.
///
/// # Errors
/// As [`read`], and `ESPIPE`: a file without positions. `EINVAL`: a position beyond 2⁶³-1.
///
/// Source: POSIX.1-2024, section pread.
pub fn pread(fd: Fd, buf: &mut [u8], at: u64) -> Result<usize> {
    block(reading_at(fd, buf, at)?)
}

#[inline]
pub(super) fn reading_at(fd: Fd, buf: &mut [u8], at: u64) -> Result<impl Call<Output = usize>> {
    let open = readable(fd)?;
    check_position(&open, at)?;
    let len = room(at, buf.len().min(TRANSFER_MAX));
    Ok(until_ready(open, Events::IN, move |open: &OpenFile| open.read_at(&mut buf[..len], at)))
}

/// Reads as [`read`] does, into one buffer after the other. From a stream it takes at most 65,536 bytes.
///
/// # Errors
/// As [`read`], and `EINVAL`: more than [`IOV_MAX`] buffers, or of more than 2⁶³-1 bytes. `ENOMEM`.
///
/// Source: POSIX.1-2024, section readv.
pub fn readv(fd: Fd, bufs: &mut [IoSliceMut<'_>]) -> Result<usize> {
    block(reading_each(fd, bufs)?)
}

pub(super) fn reading_each(fd: Fd, bufs: &mut [IoSliceMut<'_>]) -> Result<impl Call<Output = usize>> {
    let open = readable(fd)?;
    let len = total(bufs.iter().map(|buf| buf.len()), bufs.len())?;
    let seekable = open.file().seekable();
    // In one piece: the next read of a stream could wait, and the rest of a datagram would be lost.
    let piece = if seekable { 0 } else { len.min(GATHERED) };
    let mut gathered = allocate(piece)?;
    gathered.resize(piece, 0);
    Ok(until_ready(open, Events::IN, move |open: &OpenFile| {
        if seekable {
            return read_each(open, bufs, len);
        }
        let read = open.read_at(&mut gathered, 0)?;
        let mut rest = &gathered[..read];
        for buf in &mut *bufs {
            let (now, later) = rest.split_at(buf.len().min(rest.len()));
            buf[..now.len()].copy_from_slice(now);
            rest = later;
        }
        Ok(read)
    }))
}

fn read_each(open: &OpenFile, bufs: &mut [IoSliceMut<'_>], len: usize) -> Result<usize> {
    let mut offset = open.offset();
    let mut all = 0;
    for buf in bufs {
        let want = room(*offset, buf.len().min(len - all));
        match open.read_at(&mut buf[..want], *offset) {
            Ok(read) => {
                *offset += read as u64;
                all += read;
                if read < want {
                    break;
                }
            }
            Err(_) if all > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Writes `buf` where the descriptor's offset is, moves it on, and says how much was written. With
/// [`OpenFlags::APPEND`], writes at the end of the file, whatever others append meanwhile.
///
/// A stream takes all of it, however long that lasts, unless the descriptor is non-blocking or the process is killed.
/// To close the descriptor does not end a call that waits: it holds on to the open file, as on Linux.
///
/// # Errors
/// `EBADF`: `fd` is not open, or not for writing. `EAGAIN`: no room, and the descriptor is non-blocking. `EINTR`: the
/// process was killed before anything was written. `EPIPE`: nobody can read it any more; there is no signal. `EFBIG`:
/// beyond 2⁶³-1. `EINVAL`: a file that cannot be written. What the file says, such as `ENOSPC`.
///
/// Source: POSIX.1-2024, section write.
#[inline]
pub fn write(fd: Fd, buf: &[u8]) -> Result<usize> {
    block(writing(fd, buf)?)
}

#[inline]
pub(super) fn writing(fd: Fd, buf: &[u8]) -> Result<impl Call<Output = usize>> {
    let buf = &buf[..buf.len().min(TRANSFER_MAX)];
    Ok(until_ready(writable(fd)?, Events::OUT, Writing { buf, written: 0 }))
}

struct Writing<'b> {
    buf: &'b [u8],
    written: usize,
}

impl Attempt for Writing<'_> {
    type Output = usize;

    #[inline]
    fn attempt(&mut self, open: &OpenFile) -> Result<usize> {
        write_on(open, self.buf, &mut self.written)?;
        Ok(self.written)
    }

    #[inline]
    fn partly(&self) -> Option<usize> {
        (self.written > 0).then_some(self.written)
    }
}

/// Writes what is left of `buf`, of a stream in as many pieces as it takes.
#[inline]
fn write_on(open: &OpenFile, buf: &[u8], written: &mut usize) -> Result<()> {
    if open.file().seekable() {
        *written = write_at_offset(open, buf)?;
        return Ok(());
    }
    loop {
        let more = open.write_at(&buf[*written..], 0)?;
        *written += more;
        // A device may take nothing and say so.
        if more == 0 || *written == buf.len() || open.flags().contains(OpenFlags::NONBLOCK) {
            return Ok(());
        }
    }
}

fn write_at_offset(open: &OpenFile, buf: &[u8]) -> Result<usize> {
    let mut offset = open.offset();
    if open.flags().contains(OpenFlags::APPEND) {
        let (written, end) = open.append(buf)?;
        *offset = end;
        return Ok(written);
    }
    let written = open.write_at(up_to_the_end(buf, *offset)?, *offset)?;
    *offset += written as u64;
    Ok(written)
}

/// Writes at `at`; the descriptor's offset stays. [`OpenFlags::APPEND`] makes no difference, as POSIX wants it and Linux
/// does not.
///
/// # Errors
/// As [`write()`], and `ESPIPE`: a file without positions. `EINVAL`: a position beyond 2⁶³-1.
///
/// Source: POSIX.1-2024, section pwrite.
pub fn pwrite(fd: Fd, buf: &[u8], at: u64) -> Result<usize> {
    block(writing_at(fd, buf, at)?)
}

#[inline]
pub(super) fn writing_at(fd: Fd, buf: &[u8], at: u64) -> Result<impl Call<Output = usize>> {
    let open = writable(fd)?;
    check_position(&open, at)?;
    let buf = up_to_the_end(&buf[..buf.len().min(TRANSFER_MAX)], at)?;
    Ok(until_ready(open, Events::OUT, move |open: &OpenFile| open.write_at(buf, at)))
}

/// Writes as [`write()`] does, one buffer after the other, in pieces of 1 MiB if need be. Up to that length nothing comes
/// between the buffers where `write` of as much would be in one piece, and of a datagram socket they are one datagram.
///
/// # Errors
/// As [`write()`], and `EINVAL`: more than [`IOV_MAX`] buffers, or of more than 2⁶³-1 bytes. `ENOMEM`.
///
/// Source: POSIX.1-2024, section writev.
pub fn writev(fd: Fd, bufs: &[IoSlice<'_>]) -> Result<usize> {
    block(writing_each(fd, bufs)?)
}

pub(super) fn writing_each(fd: Fd, bufs: &[IoSlice<'_>]) -> Result<impl Call<Output = usize>> {
    let open = writable(fd)?;
    let len = total(bufs.iter().map(|buf| buf.len()), bufs.len())?;
    let mut piece = allocate(len.min(PIECE))?;
    gather(bufs, 0, &mut piece, len.min(PIECE));
    Ok(until_ready(open, Events::OUT, WritingEach { bufs, len, before: 0, piece, written: 0 }))
}

struct WritingEach<'b> {
    bufs: &'b [IoSlice<'b>],
    len: usize,
    /// What was written before `piece`.
    before: usize,
    piece: Vec<u8>,
    /// What of `piece` was written.
    written: usize,
}

impl Attempt for WritingEach<'_> {
    type Output = usize;

    fn attempt(&mut self, open: &OpenFile) -> Result<usize> {
        loop {
            write_on(open, &self.piece, &mut self.written)?;
            if self.written < self.piece.len() || self.before + self.written == self.len {
                return Ok(self.before + self.written);
            }
            self.before += std::mem::take(&mut self.written);
            gather(self.bufs, self.before, &mut self.piece, PIECE.min(self.len - self.before));
        }
    }

    fn partly(&self) -> Option<usize> {
        let written = self.before + self.written;
        (written > 0).then_some(written)
    }
}

/// Makes `piece` the `len` bytes of `bufs` that begin with the `from`-th.
fn gather(bufs: &[IoSlice<'_>], mut from: usize, piece: &mut Vec<u8>, len: usize) {
    piece.clear();
    for buf in bufs {
        let rest = &buf[from.min(buf.len())..];
        from = from.saturating_sub(buf.len());
        piece.extend_from_slice(&rest[..rest.len().min(len - piece.len())]);
    }
}

/// Moves the descriptor's offset, also beyond the end of the file, and says where it is then. In a directory, offsets
/// are those that the listing gave.
///
/// # Errors
/// `EBADF`: `fd` is not open. `ESPIPE`: a file without positions. `EINVAL`: before the beginning, or beyond 2⁶³-1.
///
/// Source: POSIX.1-2024, section lseek.
pub fn lseek(fd: Fd, to: SeekFrom) -> Result<u64> {
    let open = file(fd)?;
    if !open.file().seekable() && open.file().stat()?.kind() != FileKind::Directory {
        return Err(Errno::ESPIPE);
    }
    let mut offset = open.offset();
    let target = match to {
        SeekFrom::Start(at) => Some(at),
        SeekFrom::Current(by) => offset.checked_add_signed(by),
        SeekFrom::End(by) => open.file().stat()?.size.checked_add_signed(by),
    };
    *offset = target.filter(|at| *at <= OFFSET_MAX).ok_or(Errno::EINVAL)?;
    Ok(*offset)
}

/// Cuts the file to `len` bytes, or extends it by zeros.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EINVAL`: it is not open for writing, not a regular file, or `len` is beyond 2⁶³-1. What
/// the file says, such as `EFBIG`, `ENOSPC` and `EROFS`.
///
/// Source: POSIX.1-2024, section ftruncate.
pub fn ftruncate(fd: Fd, len: u64) -> Result<()> {
    let open = file(fd)?;
    if !open.flags().writable() || len > OFFSET_MAX {
        return Err(Errno::EINVAL);
    }
    open.file().set_len(len)
}

/// Makes lasting what was written to the file: at once for files in memory, as far as the host does it for its own.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EINVAL`: a file that does not last, such as a pipe. `EIO` and others from the host.
///
/// Source: POSIX.1-2024, section fsync.
pub fn fsync(fd: Fd) -> Result<()> {
    file(fd)?.file().sync()
}

fn readable(fd: Fd) -> Result<OpenFile> {
    let open = file(fd)?;
    if open.flags().readable() { Ok(open) } else { Err(Errno::EBADF) }
}

fn writable(fd: Fd) -> Result<OpenFile> {
    let open = file(fd)?;
    if open.flags().writable() { Ok(open) } else { Err(Errno::EBADF) }
}

fn check_position(open: &OpenFile, at: u64) -> Result<()> {
    match () {
        () if at > OFFSET_MAX => Err(Errno::EINVAL),
        () if !open.file().seekable() => Err(Errno::ESPIPE),
        () => Ok(()),
    }
}

/// How many of `len` bytes there can be from `at` on.
fn room(at: u64, len: usize) -> usize {
    usize::try_from(OFFSET_MAX - at).map_or(len, |room| room.min(len))
}

/// What of `buf` there can be from `at` on.
fn up_to_the_end(buf: &[u8], at: u64) -> Result<&[u8]> {
    match room(at, buf.len()) {
        0 if !buf.is_empty() => Err(Errno::EFBIG),
        room => Ok(&buf[..room]),
    }
}

/// The length of all buffers together, cut to [`TRANSFER_MAX`].
fn total(lens: impl Iterator<Item = usize>, count: usize) -> Result<usize> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    let all = lens.into_iter().try_fold(0, usize::checked_add).filter(|all| isize::try_from(*all).is_ok());
    Ok(all.ok_or(Errno::EINVAL)?.min(TRANSFER_MAX))
}

fn allocate(len: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    Ok(buffer)
}
