//! Reading, writing, positions.

use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::task::Poll;

use super::call::{Call, block};
use super::pool::{Job, on_file};
use super::ready::{Attempt, Moved, until_ready};
use super::{file, fsize};
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, OpenFile, OpenFlags};
use crate::id::Fd;
use crate::wait::events::Events;
use crate::wait::nowait;
use crate::wait::watch::Watch;

/// The most that one call reads or writes, in bytes, as on Linux. Asked for more, it does this much.
pub const TRANSFER_MAX: usize = 0x7fff_f000;
/// The most buffers of one `readv` or `writev` (POSIX: `IOV_MAX`).
pub const IOV_MAX: usize = 1024;

/// The highest position in a file.
const OFFSET_MAX: u64 = i64::MAX as u64;
/// What `readv` takes from a stream, in bytes: any datagram fits.
const GATHERED: usize = 65_536;
/// What a thread of the pool reads at a time, in bytes: as much is allocated.
const POOLED: usize = 1 << 20;
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
    Ok(until_ready(readable(fd)?, Events::IN, Reading { buf: &mut buf[..len], at: None }))
}

struct Reading<'b> {
    buf: &'b mut [u8],
    /// Where; the descriptor's offset, if nothing is said.
    at: Option<u64>,
}

/// Reads at `at`, or at the descriptor's offset.
fn read_once(open: &OpenFile, buf: &mut [u8], at: Option<u64>) -> Result<usize> {
    if at.is_some() || !open.file().seekable() {
        return open.read_at(buf, at.unwrap_or(0));
    }
    let mut offset = open.offset()?;
    let len = room(*offset, buf.len());
    let read = open.read_at(&mut buf[..len], *offset)?;
    *offset += read as u64;
    Ok(read)
}

impl Attempt for Reading<'_> {
    type Output = usize;

    #[inline]
    fn attempt(&mut self, open: &OpenFile) -> Result<usize> {
        read_once(open, self.buf, self.at)
    }

    fn pooled(&mut self, open: &OpenFile, job: &mut Job<Moved>, watch: &Watch<'_>) -> Poll<Result<usize>> {
        let read = job.poll(watch, || read_apart(open, self.buf.len(), self.at));
        read.map_ok(|Moved { bytes, count }| {
            self.buf[..count].copy_from_slice(&bytes[..count]);
            count
        })
    }
}

/// A read of at most `len` bytes, and of [`POOLED`], for the pool.
fn read_apart(open: &OpenFile, len: usize, at: Option<u64>) -> impl FnOnce() -> Result<Moved> + Send + use<> {
    let open = open.clone();
    move || {
        let len = len.min(POOLED);
        let mut bytes = allocate(len)?;
        bytes.resize(len, 0);
        let count = read_once(&open, &mut bytes, at)?;
        Ok(Moved { bytes, count })
    }
}

/// A write for the pool of what `bytes` gives, by the limit that the caller has now.
fn write_apart(
    open: &OpenFile,
    bytes: Result<Vec<u8>>,
    at: Option<u64>,
) -> impl FnOnce() -> Result<Moved> + Send + use<> {
    let (open, limit) = (open.clone(), fsize::limit());
    move || write_once(&open, &bytes?, at, limit).map(|count| Moved { bytes: Vec::new(), count })
}

fn copied(buf: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = allocate(buf.len())?;
    bytes.extend_from_slice(buf);
    Ok(bytes)
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
    Ok(until_ready(open, Events::IN, Reading { buf: &mut buf[..len], at: Some(at) }))
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
    Ok(until_ready(open, Events::IN, ReadingEach { bufs, len, gathered, seekable }))
}

struct ReadingEach<'b, 's> {
    bufs: &'b mut [IoSliceMut<'s>],
    len: usize,
    /// Where what comes from a stream goes first.
    gathered: Vec<u8>,
    seekable: bool,
}

impl Attempt for ReadingEach<'_, '_> {
    type Output = usize;

    fn attempt(&mut self, open: &OpenFile) -> Result<usize> {
        if self.seekable {
            return read_each(open, self.bufs, self.len);
        }
        let read = open.read_at(&mut self.gathered, 0)?;
        scatter(&self.gathered[..read], self.bufs);
        Ok(read)
    }

    fn pooled(&mut self, open: &OpenFile, job: &mut Job<Moved>, watch: &Watch<'_>) -> Poll<Result<usize>> {
        let read = job.poll(watch, || read_apart(open, self.len, None));
        read.map_ok(|Moved { bytes, count }| {
            scatter(&bytes[..count], self.bufs);
            count
        })
    }
}

/// Spreads `bytes` over `bufs`.
fn scatter(mut bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) {
    for buf in bufs {
        let (now, later) = bytes.split_at(buf.len().min(bytes.len()));
        buf[..now.len()].copy_from_slice(now);
        bytes = later;
    }
}

fn read_each(open: &OpenFile, bufs: &mut [IoSliceMut<'_>], len: usize) -> Result<usize> {
    let mut offset = open.offset()?;
    let mut all = 0;
    for buf in bufs {
        let at = *offset + all as u64;
        let want = room(at, buf.len().min(len - all));
        match open.read_at(&mut buf[..want], at) {
            Ok(read) => {
                all += read;
                if read < want {
                    break;
                }
            }
            // What the pool is to read it reads from the beginning.
            Err(error) if all == 0 || nowait::asked() => return Err(error),
            Err(_) => break,
        }
    }
    *offset += all as u64;
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
/// beyond 2⁶³-1, or beyond the process's [limit](crate::Resource::FSize), up to which a write goes that begins before it.
/// `EINVAL`: a file that cannot be written. What the file says, such as `ENOSPC`.
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

    fn pooled(&mut self, open: &OpenFile, job: &mut Job<Moved>, watch: &Watch<'_>) -> Poll<Result<usize>> {
        job.poll(watch, || write_apart(open, copied(self.buf), None)).map_ok(|moved| moved.count)
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
        *written = write_once(open, buf, None, fsize::limit())?;
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

/// Writes at `at`, or at the descriptor's offset. `limit`: on the size of files.
fn write_once(open: &OpenFile, buf: &[u8], at: Option<u64>, limit: u64) -> Result<usize> {
    if let Some(at) = at {
        return open.write_at(fsize::within(open, buf, at, limit)?, at);
    }
    let mut offset = open.offset()?;
    if open.flags().contains(OpenFlags::APPEND) {
        let (written, end) = fsize::append(open, buf, limit)?;
        *offset = end;
        return Ok(written);
    }
    let written = open.write_at(fsize::within(open, up_to_the_end(buf, *offset)?, *offset, limit)?, *offset)?;
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
    Ok(until_ready(open, Events::OUT, WritingAt { buf, at }))
}

struct WritingAt<'b> {
    buf: &'b [u8],
    at: u64,
}

impl Attempt for WritingAt<'_> {
    type Output = usize;

    fn attempt(&mut self, open: &OpenFile) -> Result<usize> {
        write_once(open, self.buf, Some(self.at), fsize::limit())
    }

    fn pooled(&mut self, open: &OpenFile, job: &mut Job<Moved>, watch: &Watch<'_>) -> Poll<Result<usize>> {
        job.poll(watch, || write_apart(open, copied(self.buf), Some(self.at))).map_ok(|moved| moved.count)
    }
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

    fn pooled(&mut self, open: &OpenFile, job: &mut Job<Moved>, watch: &Watch<'_>) -> Poll<Result<usize>> {
        let (bufs, before) = (self.bufs, self.before);
        let len = self.len - before;
        let gathered = || {
            let mut bytes = allocate(len)?;
            gather(bufs, before, &mut bytes, len);
            Ok(bytes)
        };
        let written = job.poll(watch, || write_apart(open, gathered(), None));
        written.map_ok(|moved| before + moved.count)
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
    block(seeking(fd, to)?)
}

pub(super) fn seeking(fd: Fd, to: SeekFrom) -> Result<impl Call<Output = u64>> {
    Ok(on_file(file(fd)?, move |open| {
        if !open.file().seekable() && open.file().stat()?.kind() != FileKind::Directory {
            return Err(Errno::ESPIPE);
        }
        let mut offset = open.offset()?;
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => offset.checked_add_signed(by),
            SeekFrom::End(by) => open.file().stat()?.size.checked_add_signed(by),
        };
        *offset = target.filter(|at| *at <= OFFSET_MAX).ok_or(Errno::EINVAL)?;
        Ok(*offset)
    }))
}

/// Cuts the file to `len` bytes, or extends it by zeros.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EINVAL`: it is not open for writing, not a regular file, or `len` is beyond 2⁶³-1. What
/// the file says, such as `EFBIG`, `ENOSPC` and `EROFS`. `EFBIG`: longer than it is and than the process's
/// [limit](crate::Resource::FSize).
///
/// Source: POSIX.1-2024, section ftruncate.
pub fn ftruncate(fd: Fd, len: u64) -> Result<()> {
    block(truncating(fd, len)?)
}

pub(super) fn truncating(fd: Fd, len: u64) -> Result<impl Call<Output = ()>> {
    let open = file(fd)?;
    if !open.flags().writable() || len > OFFSET_MAX {
        return Err(Errno::EINVAL);
    }
    let limit = fsize::limit();
    Ok(on_file(open, move |open| fsize::set_len(open, len, limit)))
}

/// Makes lasting what was written to the file: at once for files in memory, as far as the host does it for its own.
///
/// # Errors
/// `EBADF`: `fd` is not open. `EINVAL`: a file that does not last, such as a pipe. `EIO` and others from the host.
///
/// Source: POSIX.1-2024, section fsync.
pub fn fsync(fd: Fd) -> Result<()> {
    block(syncing(fd)?)
}

pub(super) fn syncing(fd: Fd) -> Result<impl Call<Output = ()>> {
    Ok(on_file(file(fd)?, |open| open.file().sync()))
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
