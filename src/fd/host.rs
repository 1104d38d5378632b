//! Descriptors of the host, wrapped as files.

use std::ffi::OsStr;
use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Dir;
use rustix::io::{Errno as HostErrno, ReadWriteFlags};
use rustix::net::{RecvFlags, SendFlags};
use rustix::time::Timespec;

use super::pipe::PIPE_BUF;
use super::{DirEntry, File, FileKind, Stat};
use crate::errno::{Errno, Result};
use crate::sync::{AtomicBool, Ordering};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::nowait;
use crate::wait::watch::Watch;

/// `RWF_NOSIGNAL` of Linux 6.18: `EPIPE` without the signal.
const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);
/// The offset of preadv2(2) and pwritev2(2) that means the description's own.
const OWN_OFFSET: u64 = u64::MAX;
/// In units of this, in bytes, the host has a file in its cache or not.
const PAGE: u64 = 4096;

/// Any descriptor of the host as a file: regular files, directories, pipes, terminals, sockets, devices.
///
/// Regular files and block devices have positions, kept by the virtual descriptor and not by the host's. All else is a
/// stream. Neither the host thread is blocked nor `O_NONBLOCK` touched, which the host's descriptor may share with
/// others: sockets are used with `MSG_DONTWAIT`, pipes with `RWF_NOWAIT`. What knows neither (terminals, and pipes
/// before Linux 6.4) is polled first, and written in pieces of at most [`PIPE_BUF`]. There a host thread can still
/// block, when somebody else takes the input between the poll and the read.
///
/// A broken pipe is `EPIPE` without a signal: by `MSG_NOSIGNAL` for sockets, by `RWF_NOSIGNAL` for pipes. Before
/// Linux 6.18 a pipe is polled for `POLLERR` instead, and a reader that goes just then still raises `SIGPIPE`; Rust
/// programs ignore that signal, C programs should.
///
/// ```
/// use lwproc::{File, HostFile};
///
/// let file = HostFile::new(std::fs::File::open("/dev/zero")?.into())?;
/// let mut buf = [1; 4];
/// assert_eq!(file.read_at(&mut buf, 0)?, 4);
/// assert_eq!(buf, [0; 4]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct HostFile {
    /// Counted, since a waiter that watches it keeps it open.
    fd: Arc<HostFd>,
    class: Class,
    /// A hint: false once the host said that this file does not know `RWF_NOWAIT`.
    nowait: AtomicBool,
}

enum Class {
    /// Has positions; never waits, as far as poll(2) is concerned.
    Positioned {
        /// Held over an append and the look where it ended.
        appending: Mutex<()>,
    },
    /// A regular file used at the host's own position.
    Unpositioned,
    /// Opened at the first `read_dir`, with the position that its next entry has.
    Directory(Mutex<Option<(Dir, u64)>>),
    Socket {
        /// Whether a read that is less than it could be is all that there was: not so where messages have bounds.
        tcp: bool,
    },
    Pipe,
    /// Terminals, character devices, and what has no kind at all, such as eventfd(2).
    Device,
}

impl HostFile {
    /// Wraps `fd`.
    ///
    /// # Errors
    /// What fstat(2) says; `EIO` for a symbolic link.
    pub fn new(fd: OwnedFd) -> Result<Self> {
        let kind = kind_of(&fd)?;
        Self::of_kind(fd, kind)
    }

    /// Wraps `fd`, of which it is known what it is.
    ///
    /// # Errors
    /// `EIO` for a symbolic link.
    pub(crate) fn of_kind(fd: OwnedFd, kind: Option<FileKind>) -> Result<Self> {
        let class = match kind {
            Some(FileKind::Regular | FileKind::BlockDevice) => Class::Positioned { appending: Mutex::new(()) },
            Some(FileKind::Directory) => Class::Directory(Mutex::new(None)),
            Some(FileKind::Socket) => Class::Socket { tcp: false },
            Some(FileKind::Fifo) => Class::Pipe,
            Some(FileKind::CharDevice) | None => Class::Device,
            Some(FileKind::Symlink) => return Err(Errno::EIO),
        };
        Ok(Self { fd: Arc::new(fd.into()), class, nowait: AtomicBool::new(true) })
    }

    /// Wraps `fd` as a stream even where it has positions: it is used at the host's own, which is what programs expect
    /// of their standard streams.
    ///
    /// # Errors
    /// As [`HostFile::new`].
    pub fn stream(fd: OwnedFd) -> Result<Self> {
        let mut file = Self::new(fd)?;
        if matches!(file.class, Class::Positioned { .. }) {
            file.class = Class::Unpositioned;
        }
        Ok(file)
    }

    /// Wraps a socket. `tcp`: one of TCP and nothing in between, which the host was asked for by this crate.
    pub(super) fn socket(fd: OwnedFd, tcp: bool) -> Self {
        Self { fd: Arc::new(fd.into()), class: Class::Socket { tcp }, nowait: AtomicBool::new(true) }
    }

    /// Whether its calls wait for a disk or a network, of which poll(2) says nothing.
    pub(crate) fn may_take_long(&self) -> bool {
        matches!(self.class, Class::Positioned { .. } | Class::Directory(_))
    }

    /// What poll(2) says now.
    fn ready(&self, events: Events) -> Result<Events> {
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::from_bits_retain(events.bits() as u16))];
        retry(|| rustix::event::poll(&mut fds, Some(&Timespec::default())))?;
        Ok(Events::from_bits_truncate(fds[0].revents().bits() as i16))
    }

    /// Makes an attempt for `events`, and notes when there is nothing to be had.
    pub(super) fn note<T>(&self, events: Events, attempt: impl FnOnce(&HostFd) -> Result<T>) -> Result<T> {
        let done = attempt(&self.fd);
        if matches!(done, Err(Errno::EAGAIN)) {
            self.fd.found_dry(events);
        }
        done
    }

    /// One attempt that the host must not block on; `None` where it does not know how, for this file.
    fn without_waiting(&self, mut attempt: impl FnMut() -> rustix::io::Result<usize>) -> Option<Result<usize>> {
        if !self.nowait.load(Ordering::Relaxed) {
            return None;
        }
        match retry(&mut attempt) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                self.nowait.store(false, Ordering::Relaxed);
                None
            }
            done => Some(done),
        }
    }

    /// Reads what the host has in its cache, to the end of the file or of `buf`.
    ///
    /// # Errors
    /// `EAGAIN`: it does not have all of it, or cannot say.
    fn read_cached(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        let mut all = 0;
        loop {
            let (rest, from) = (&mut buf[all..], at + all as u64);
            let attempt = || rustix::io::preadv2(&self.fd, &mut [IoSliceMut::new(rest)], from, ReadWriteFlags::NOWAIT);
            let read = self.without_waiting(attempt).unwrap_or(Err(Errno::EAGAIN))?;
            all += read;
            // What it does not have begins with a page; the file may end with one.
            if read == 0 || all == buf.len() || !(at + all as u64).is_multiple_of(PAGE) {
                return Ok(all);
            }
        }
    }

    /// Writes all of `buf`, or what will be written again.
    ///
    /// # Errors
    /// `EAGAIN`: it would wait, or cannot say.
    fn write_cached(&self, buf: &[u8], at: u64) -> Result<usize> {
        let attempt = || rustix::io::pwritev2(&self.fd, &[IoSlice::new(buf)], at, ReadWriteFlags::NOWAIT);
        match self.without_waiting(attempt) {
            Some(Ok(written)) if written == buf.len() => Ok(written),
            Some(Err(error)) => Err(error),
            _ => Err(Errno::EAGAIN),
        }
    }

    fn read_stream(&self, buf: &mut [u8]) -> Result<usize> {
        let attempt = || rustix::io::preadv2(&self.fd, &mut [IoSliceMut::new(buf)], OWN_OFFSET, ReadWriteFlags::NOWAIT);
        if let Some(done) = self.without_waiting(attempt) {
            return done;
        }
        if self.ready(Events::IN)?.is_empty() {
            return Err(Errno::EAGAIN);
        }
        retry(|| rustix::io::read(&self.fd, &mut *buf))
    }

    fn write_stream(&self, buf: &[u8]) -> Result<usize> {
        let flags = ReadWriteFlags::NOWAIT | NOSIGNAL;
        let attempt = || rustix::io::pwritev2(&self.fd, &[IoSlice::new(buf)], OWN_OFFSET, flags);
        if let Some(done) = self.without_waiting(attempt) {
            return done;
        }
        let ready = self.ready(Events::OUT)?;
        if matches!(self.class, Class::Pipe) && ready.contains(Events::ERR) {
            return Err(Errno::EPIPE);
        }
        if ready.is_empty() {
            return Err(Errno::EAGAIN);
        }
        retry(|| rustix::io::write(&self.fd, &buf[..buf.len().min(PIPE_BUF)]))
    }
}

impl File for HostFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        match self.class {
            Class::Positioned { .. } if nowait::asked() => self.read_cached(buf, at),
            Class::Positioned { .. } => retry(|| rustix::io::pread(&self.fd, &mut *buf, at)),
            Class::Unpositioned => retry(|| rustix::io::read(&self.fd, &mut *buf)),
            Class::Directory(_) => Err(Errno::EISDIR),
            // read(2) of nothing answers at once; recv(2) of nothing waits.
            Class::Socket { .. } if buf.is_empty() => Ok(0),
            Class::Socket { tcp } => self.note(Events::IN, |fd| {
                let read = retry(|| rustix::net::recv(fd, &mut *buf, RecvFlags::DONTWAIT).map(|(_, len)| len))?;
                // Less than there was room for was all there was. Not so where the end has been told of: that is left,
                // and is not told again.
                if tcp && (1..buf.len()).contains(&read) && !fd.ends() {
                    fd.found_dry(Events::IN);
                } else {
                    fd.used(Events::IN);
                }
                Ok(read)
            }),
            Class::Pipe | Class::Device => self.note(Events::IN, |fd| {
                let read = self.read_stream(buf)?;
                fd.used(Events::IN);
                Ok(read)
            }),
        }
    }

    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        match self.class {
            Class::Positioned { .. } if nowait::asked() => self.write_cached(buf, at),
            Class::Positioned { .. } => retry(|| rustix::io::pwrite(&self.fd, buf, at)),
            Class::Unpositioned => retry(|| rustix::io::write(&self.fd, buf)),
            Class::Directory(_) => Err(Errno::EISDIR),
            Class::Socket { .. } => self.note(Events::OUT, |fd| {
                let written = retry(|| rustix::net::send(fd, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))?;
                fd.used(Events::OUT);
                Ok(written)
            }),
            Class::Pipe | Class::Device => self.note(Events::OUT, |fd| {
                let written = self.write_stream(buf)?;
                fd.used(Events::OUT);
                Ok(written)
            }),
        }
    }

    /// Atomic as far as the host is concerned; where the end is then is only known to be right after this write as long
    /// as nothing else of the host appends to the file.
    fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        let Class::Positioned { appending } = &self.class else {
            return Ok((self.write_at(buf, 0)?, 0));
        };
        nowait::may_wait()?;
        let _appending = appending.lock();
        let written = retry(|| rustix::io::pwritev2(&self.fd, &[IoSlice::new(buf)], 0, ReadWriteFlags::APPEND))?;
        Ok((written, self.stat()?.size))
    }

    fn seekable(&self) -> bool {
        matches!(self.class, Class::Positioned { .. })
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        match self.class {
            Class::Positioned { .. } | Class::Unpositioned | Class::Directory(_) => events & (Events::IN | Events::OUT),
            Class::Socket { .. } | Class::Pipe | Class::Device => {
                let known = watch.as_ref().and_then(|watch| watch.known(&self.fd, events));
                let now = known.unwrap_or_else(|| {
                    let now = self.ready(events).unwrap_or(Events::ERR);
                    if now.is_empty() {
                        self.fd.found_dry(events);
                    }
                    now
                });
                // The host is asked again before the waiter sleeps, or tells of what it was ready for before: so it may
                // be entered second.
                if let (true, Some(watch)) = (now.is_empty(), watch) {
                    watch.host(&self.fd, events);
                }
                now
            }
        }
    }

    fn stat(&self) -> Result<Stat> {
        if self.may_take_long() {
            nowait::may_wait()?;
        }
        Ok(stat_of(&rustix::fs::fstat(&self.fd)?))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        nowait::may_wait()?;
        retry(|| rustix::fs::ftruncate(&self.fd, len))
    }

    fn sync(&self) -> Result<()> {
        nowait::may_wait()?;
        retry(|| rustix::fs::fsync(&self.fd))
    }

    fn read_dir(&self, at: u64) -> Result<Option<(DirEntry, u64)>> {
        let Class::Directory(dir) = &self.class else {
            return Err(Errno::ENOTDIR);
        };
        nowait::may_wait()?;
        let mut dir = dir.lock();
        // A description of its own: positions of the one that was handed in stay as they are.
        let (mut listing, next) = match dir.take() {
            Some(open) => open,
            None => (Dir::read_from(&self.fd)?, 0),
        };
        if next != at {
            listing.seek(i64::try_from(at).map_err(|_| Errno::EINVAL)?)?;
        }
        let Some(entry) = listing.read() else {
            return Ok(None);
        };
        let entry = entry?;
        let next = entry.offset() as u64;
        let found = DirEntry {
            ino: entry.ino(),
            kind: kind_of_type(entry.file_type()).unwrap_or(FileKind::Regular),
            name: OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(),
        };
        *dir = Some((listing, next));
        Ok(Some((found, next)))
    }
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for HostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostFile").field("fd", &self.fd).finish_non_exhaustive()
    }
}

/// Repeats a host call that a signal of the host interrupted: those are not this process's signals.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(HostErrno::INTR) => {}
            // The host's table is full, not the virtual process's own.
            Err(HostErrno::MFILE) => return Err(Errno::ENFILE),
            done => return Ok(done?),
        }
    }
}

/// The host's attributes as they are; users and groups are the host's too.
#[allow(clippy::unnecessary_cast, reason = "the host's fields are narrower on some architectures")]
pub(crate) fn stat_of(host: &rustix::fs::Stat) -> Stat {
    Stat {
        dev: host.st_dev,
        ino: host.st_ino,
        mode: host.st_mode,
        nlink: host.st_nlink as u64,
        uid: host.st_uid,
        gid: host.st_gid,
        rdev: host.st_rdev,
        size: host.st_size as u64,
        blksize: host.st_blksize as u64,
        blocks: host.st_blocks as u64,
        atime: time_of(host.st_atime, host.st_atime_nsec),
        mtime: time_of(host.st_mtime, host.st_mtime_nsec),
        ctime: time_of(host.st_ctime, host.st_ctime_nsec),
    }
}

/// `nanoseconds` count forward from `seconds`, which may be before the epoch.
fn time_of(seconds: i64, nanoseconds: u64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start =
        if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(whole) } else { SystemTime::UNIX_EPOCH.checked_add(whole) };
    start.and_then(|time| time.checked_add(Duration::from_nanos(nanoseconds))).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn kind_of(fd: &OwnedFd) -> Result<Option<FileKind>> {
    Ok(kind_of_type(rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode)))
}

/// `None` for a file without a kind, such as those of eventfd(2).
pub(crate) fn kind_of_type(host: rustix::fs::FileType) -> Option<FileKind> {
    use rustix::fs::FileType as Host;
    Some(match host {
        Host::Fifo => FileKind::Fifo,
        Host::CharacterDevice => FileKind::CharDevice,
        Host::Directory => FileKind::Directory,
        Host::BlockDevice => FileKind::BlockDevice,
        Host::RegularFile => FileKind::Regular,
        Host::Symlink => FileKind::Symlink,
        Host::Socket => FileKind::Socket,
        Host::Unknown => return None,
    })
}

#[cfg(all(test, not(loom)))]
mod tests;
