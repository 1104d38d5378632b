//! Descriptors of the host, wrapped as files.

use std::ffi::OsStr;
use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
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
use crate::watch::{Events, Watch};

/// `RWF_NOSIGNAL` of Linux 6.18: `EPIPE` without the signal.
const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);
/// The offset of preadv2(2) and pwritev2(2) that means the description's own.
const OWN_OFFSET: u64 = u64::MAX;

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
    fd: OwnedFd,
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
    Socket,
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
        let class = match kind_of(&fd)? {
            Some(FileKind::Regular | FileKind::BlockDevice) => Class::Positioned { appending: Mutex::new(()) },
            Some(FileKind::Directory) => Class::Directory(Mutex::new(None)),
            Some(FileKind::Socket) => Class::Socket,
            Some(FileKind::Fifo) => Class::Pipe,
            Some(FileKind::CharDevice) | None => Class::Device,
            Some(FileKind::Symlink) => return Err(Errno::EIO),
        };
        Ok(Self { fd, class, nowait: AtomicBool::new(true) })
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

    /// What poll(2) says now.
    fn ready(&self, events: Events) -> Result<Events> {
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::from_bits_retain(events.bits() as u16))];
        retry(|| rustix::event::poll(&mut fds, Some(&Timespec::default())))?;
        Ok(Events::from_bits_truncate(fds[0].revents().bits() as i16))
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
            Class::Positioned { .. } => retry(|| rustix::io::pread(&self.fd, &mut *buf, at)),
            Class::Unpositioned => retry(|| rustix::io::read(&self.fd, &mut *buf)),
            Class::Directory(_) => Err(Errno::EISDIR),
            // read(2) of nothing answers at once; recv(2) of nothing waits.
            Class::Socket if buf.is_empty() => Ok(0),
            Class::Socket => retry(|| rustix::net::recv(&self.fd, &mut *buf, RecvFlags::DONTWAIT).map(|(_, len)| len)),
            Class::Pipe | Class::Device => self.read_stream(buf),
        }
    }

    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        match self.class {
            Class::Positioned { .. } => retry(|| rustix::io::pwrite(&self.fd, buf, at)),
            Class::Unpositioned => retry(|| rustix::io::write(&self.fd, buf)),
            Class::Directory(_) => Err(Errno::EISDIR),
            Class::Socket => retry(|| rustix::net::send(&self.fd, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)),
            Class::Pipe | Class::Device => self.write_stream(buf),
        }
    }

    /// Atomic as far as the host is concerned; where the end is then is only known to be right after this write as long
    /// as nothing else of the host appends to the file.
    fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        let Class::Positioned { appending } = &self.class else {
            return Ok((self.write_at(buf, 0)?, 0));
        };
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
            Class::Socket | Class::Pipe | Class::Device => {
                let now = self.ready(events).unwrap_or(Events::ERR);
                // The host is asked again before the waiter sleeps, so it may be entered second.
                if let (true, Some(watch)) = (now.is_empty(), watch) {
                    watch.host(self.fd.as_raw_fd(), events);
                }
                now
            }
        }
    }

    fn stat(&self) -> Result<Stat> {
        Ok(stat_of(&rustix::fs::fstat(&self.fd)?))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        retry(|| rustix::fs::ftruncate(&self.fd, len))
    }

    fn sync(&self) -> Result<()> {
        retry(|| rustix::fs::fsync(&self.fd))
    }

    fn read_dir(&self, at: u64) -> Result<Option<(DirEntry, u64)>> {
        let Class::Directory(dir) = &self.class else {
            return Err(Errno::ENOTDIR);
        };
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
mod tests {
    use std::fs;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::unix::fs::MetadataExt;

    use rustix::pipe::pipe;

    use super::*;

    /// A new file of the host without a name.
    fn unnamed() -> fs::File {
        rustix::fs::memfd_create("host", rustix::fs::MemfdFlags::CLOEXEC).unwrap().into()
    }

    fn wrap(file: &fs::File) -> HostFile {
        HostFile::new(file.try_clone().unwrap().into()).unwrap()
    }

    #[test]
    fn a_regular_file_is_used_at_positions_and_keeps_the_hosts_own() {
        let mut host = unnamed();
        host.write_all(b"0123456789").unwrap();
        host.seek(SeekFrom::Start(3)).unwrap();
        let file = wrap(&host);
        assert!(file.seekable());
        let mut buf = [0; 4];
        assert_eq!(file.read_at(&mut buf, 8), Ok(2));
        assert_eq!(&buf[..2], b"89");
        assert_eq!(file.read_at(&mut buf, 10), Ok(0));
        assert_eq!(file.read_at(&mut buf, u64::MAX), Err(Errno::EINVAL));
        assert_eq!(file.write_at(b"ab", 12), Ok(2));
        assert_eq!(file.append(b"cd"), Ok((2, 16)));
        assert_eq!(host.stream_position().unwrap(), 3);
        let mut rest = Vec::new();
        host.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"3456789\0\0abcd");
        file.set_len(1).unwrap();
        file.sync().unwrap();
        assert_eq!(host.metadata().unwrap().len(), 1);
        assert_eq!(file.poll(Events::IN | Events::OUT | Events::PRI, None), Events::IN | Events::OUT);
    }

    #[test]
    fn threads_that_append_lose_nothing() {
        let host = unnamed();
        let file = wrap(&host);
        std::thread::scope(|scope| {
            for byte in [b'a', b'b'] {
                let file = &file;
                scope.spawn(move || {
                    for _ in 0..500 {
                        assert_eq!(file.append(&[byte; 3]).map(|(written, _)| written), Ok(3));
                    }
                });
            }
        });
        let mut all = vec![0; 4000];
        assert_eq!(file.read_at(&mut all, 0), Ok(3000));
        assert!(all[..3000].chunks(3).all(|run| run[0] == run[1] && run[1] == run[2]));
    }

    #[test]
    fn a_stream_over_a_regular_file_moves_the_hosts_position() {
        let mut host = unnamed();
        host.write_all(b"abcdef").unwrap();
        host.rewind().unwrap();
        let file = HostFile::stream(host.try_clone().unwrap().into()).unwrap();
        assert!(!file.seekable());
        assert_eq!(file.read_at(&mut [0; 2], 0), Ok(2));
        assert_eq!(file.write_at(b"X", 0), Ok(1));
        assert_eq!(host.stream_position().unwrap(), 3);
    }

    #[test]
    fn attributes_are_the_hosts() {
        let host = unnamed();
        let (ours, theirs) = (wrap(&host).stat().unwrap(), host.metadata().unwrap());
        assert_eq!((ours.dev, ours.ino, ours.mode), (theirs.dev(), theirs.ino(), theirs.mode()));
        assert_eq!((ours.nlink, ours.uid, ours.gid), (theirs.nlink(), theirs.uid(), theirs.gid()));
        assert_eq!((ours.size, ours.blocks, ours.blksize), (theirs.len(), theirs.blocks(), theirs.blksize()));
        assert_eq!(ours.mtime, theirs.modified().unwrap());
    }

    #[test]
    fn a_time_before_the_epoch_is_told_as_the_host_means_it() {
        let host = unnamed();
        let time = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
        host.set_modified(time).unwrap();
        assert_eq!(wrap(&host).stat().unwrap().mtime, time);
    }

    /// A blocking pipe of the host, as the standard streams often are.
    fn blocking_pipe() -> (HostFile, HostFile) {
        let (reader, writer) = pipe().unwrap();
        (HostFile::new(reader).unwrap(), HostFile::new(writer).unwrap())
    }

    #[test]
    fn a_blocking_pipe_of_the_host_does_not_block() {
        for nowait in [true, false] {
            let (reader, writer) = blocking_pipe();
            reader.nowait.store(nowait, Ordering::Relaxed);
            writer.nowait.store(nowait, Ordering::Relaxed);
            let mut buf = vec![0; 100_000];
            assert_eq!(reader.read_at(&mut buf, 0), Err(Errno::EAGAIN));
            assert_eq!(reader.poll(Events::IN, None), Events::empty());
            let mut written = 0;
            let full = loop {
                match writer.write_at(&buf, 0) {
                    Ok(len) => written += len,
                    Err(error) => break error,
                }
            };
            assert_eq!((written, full), (65_536, Errno::EAGAIN));
            assert_eq!(reader.poll(Events::IN, None), Events::IN);
            assert_eq!(writer.poll(Events::OUT, None), Events::empty());
            let read = reader.read_at(&mut buf, 0).unwrap();
            assert!(read > 0);
            drop(writer);
            while reader.read_at(&mut buf, 0).unwrap() > 0 {}
            assert_eq!(reader.poll(Events::IN, None), Events::HUP);
            let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
            assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        }
    }

    #[test]
    fn a_pipe_without_a_reader_is_broken() {
        for nowait in [true, false] {
            let (reader, writer) = blocking_pipe();
            writer.nowait.store(nowait, Ordering::Relaxed);
            drop(reader);
            assert_eq!(writer.write_at(b"x", 0), Err(Errno::EPIPE));
            assert_eq!(writer.poll(Events::OUT, None), Events::OUT | Events::ERR);
        }
    }

    #[test]
    fn only_what_is_not_ready_is_handed_to_the_watch() {
        let (reader, writer) = blocking_pipe();
        let mut watch = Watch::new(std::task::Waker::noop());
        writer.poll(Events::OUT, Some(&mut watch));
        assert_eq!(watch.host_fds(), []);
        reader.poll(Events::IN, Some(&mut watch));
        assert_eq!(watch.host_fds(), [(reader.fd.as_raw_fd(), Events::IN)]);
    }

    #[test]
    fn a_terminal_is_read_only_when_a_line_is_there() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        let terminal = HostFile::new(terminal).unwrap();
        let mut buf = [0; 16];
        assert_eq!(terminal.read_at(&mut buf, 0), Err(Errno::EAGAIN));
        rustix::io::write(&master, b"half").unwrap();
        assert_eq!(terminal.read_at(&mut buf, 0), Err(Errno::EAGAIN));
        rustix::io::write(&master, b"\n").unwrap();
        assert_eq!(terminal.poll(Events::IN, None), Events::IN);
        assert_eq!(terminal.read_at(&mut buf, 0), Ok(5));
        assert_eq!(terminal.write_at(b"out", 0), Ok(3));
    }

    #[test]
    fn a_file_without_a_kind_is_a_stream() {
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let event = HostFile::new(event).unwrap();
        assert_eq!(event.read_at(&mut [0; 8], 0), Err(Errno::EAGAIN));
        assert_eq!(event.write_at(&7_u64.to_ne_bytes(), 0), Ok(8));
        assert_eq!(event.write_at(&[0; 3], 0), Err(Errno::EINVAL));
        let mut value = [0; 8];
        assert_eq!(event.read_at(&mut value, 0), Ok(8));
        assert_eq!(u64::from_ne_bytes(value), 7);
    }

    #[test]
    fn a_directory_is_listed_from_any_position() {
        let dir = std::env::temp_dir().join(format!("lwproc-host-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let mut expected = vec![".".to_owned(), "..".to_owned()];
        for n in 0..300 {
            let name = format!("file-with-a-rather-long-name-{n}");
            fs::write(dir.join(&name), "").unwrap();
            expected.push(name);
        }
        let file = HostFile::new(fs::File::open(&dir).unwrap().into()).unwrap();
        let list = |from: u64| {
            let (mut at, mut entries) = (from, Vec::new());
            while let Some((entry, next)) = file.read_dir(at).unwrap() {
                entries.push((entry.name.into_string().unwrap(), next));
                at = next;
            }
            entries
        };
        let mut all = list(0);
        let (_, middle) = all[150].clone();
        assert_eq!(list(middle), all[151..]);
        all.sort();
        expected.sort();
        assert_eq!(all.iter().map(|(name, _)| name).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
        assert_eq!(file.read_at(&mut [0], 0), Err(Errno::EISDIR));
        assert_eq!(file.read_dir(u64::MAX).unwrap_err(), Errno::EINVAL);
        fs::remove_dir_all(&dir).unwrap();
    }
}
