//! The console: what descriptors 0, 1 and 2 of pid 1 refer to.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use parking_lot::ReentrantMutex;

use super::host::retry;
use super::{File, HostFile};
use crate::errno::{Errno, Result};

/// What descriptors 0, 1 and 2 of pid 1 refer to, and so those of every process that inherits them.
///
/// ```
/// use lwproc::{Console, File, pipe};
/// use std::sync::Arc;
///
/// // What is written to the console comes out of a pipe.
/// let (output, writer) = pipe();
/// let (input, _) = pipe();
/// let writer: Arc<dyn File> = Arc::new(writer);
/// let console = Console::of_files(Arc::new(input), Arc::clone(&writer), writer);
/// ```
#[derive(Clone)]
pub struct Console {
    files: [Arc<dyn File>; 3],
}

impl Console {
    /// The host process's own standard streams, through duplicates: closing them here leaves the host's open. One that
    /// the host has closed is as in [`Console::null`].
    ///
    /// # Errors
    /// `ENFILE`: the host is out of descriptors.
    pub fn host() -> Result<Self> {
        let host = |stream: BorrowedFd<'_>| -> Result<Arc<dyn File>> {
            match retry(|| rustix::io::fcntl_dupfd_cloexec(stream, 3)) {
                Ok(duplicate) => Ok(Arc::new(HostFile::stream(duplicate)?)),
                Err(Errno::EBADF) => Ok(null()),
                Err(other) => Err(other),
            }
        };
        let files = [host(rustix::stdio::stdin())?, host(rustix::stdio::stdout())?, host(rustix::stdio::stderr())?];
        Ok(Self { files })
    }

    /// Reads as empty and swallows what is written.
    pub fn null() -> Self {
        Self { files: [null(), null(), null()] }
    }

    /// Reads from `input`, writes to `output` and flushes it; both are used by one call at a time.
    ///
    /// They should not block: the call that uses them would hold up its host thread, and all fibers there. One that
    /// uses the console itself gets `EDEADLK`. Their errors become errnos as [`Errno`]'s conversion says;
    /// `WouldBlock` is `EIO`, since nothing would tell when to try again. A file of one's own, with
    /// [`Console::of_files`], has none of these limits.
    pub fn new(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> Self {
        let output: Arc<dyn File> = Arc::new(Output(exclusive(output)));
        Self { files: [Arc::new(Input(exclusive(input))), Arc::clone(&output), output] }
    }

    /// Descriptors 0, 1 and 2 refer to these files.
    pub fn of_files(input: Arc<dyn File>, output: Arc<dyn File>, error: Arc<dyn File>) -> Self {
        Self { files: [input, output, error] }
    }

    /// The files of descriptors 0, 1 and 2, in this order.
    pub(crate) fn into_files(self) -> [Arc<dyn File>; 3] {
        self.files
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

/// One call at a time; the cell finds out the call that comes from within another.
type Exclusive<T> = ReentrantMutex<RefCell<T>>;

fn exclusive<T>(value: T) -> Exclusive<T> {
    ReentrantMutex::new(RefCell::new(value))
}

fn with<T, R>(exclusive: &Exclusive<T>, call: impl FnOnce(&mut T) -> io::Result<R>) -> Result<R> {
    let locked = exclusive.lock();
    let mut value = locked.try_borrow_mut().map_err(|_| Errno::EDEADLK)?;
    call(&mut value).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Errno::EIO,
        _ => error.into(),
    })
}

struct Input<R>(Exclusive<R>);

impl<R: Read + Send + 'static> File for Input<R> {
    fn read_at(&self, buf: &mut [u8], _at: u64) -> Result<usize> {
        with(&self.0, |input| {
            loop {
                match input.read(buf) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    done => return done,
                }
            }
        })
    }
}

struct Output<W>(Exclusive<W>);

impl<W: Write + Send + 'static> File for Output<W> {
    fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
        with(&self.0, |output| output.write_all(buf).and_then(|()| output.flush()))?;
        Ok(buf.len())
    }
}

fn null() -> Arc<dyn File> {
    Arc::new(Null)
}

struct Null;

impl File for Null {
    fn read_at(&self, _buf: &mut [u8], _at: u64) -> Result<usize> {
        Ok(0)
    }

    fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
        Ok(buf.len())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Cursor;
    use std::sync::{Mutex, OnceLock};

    use super::*;
    use crate::fd::{FileKind, pipe};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.lock().unwrap().push(b'|');
            Ok(())
        }
    }

    #[test]
    fn reads_from_the_embedders_reader_and_writes_and_flushes_to_its_writer() {
        let written = Shared::default();
        let [input, output, error] = Console::new(Cursor::new(b"ab"), written.clone()).into_files();
        let mut buf = [0; 8];
        assert_eq!(input.read_at(&mut buf, 0), Ok(2));
        assert_eq!(input.read_at(&mut buf, 0), Ok(0));
        assert_eq!(input.write_at(b"x", 0), Err(Errno::EINVAL));
        assert_eq!(output.write_at(b"out", 0), Ok(3));
        assert_eq!(error.write_at(b"err", 0), Ok(3));
        assert_eq!(*written.0.lock().unwrap(), b"out|err|");
        assert_eq!(output.stat().unwrap().kind(), FileKind::CharDevice);
    }

    #[test]
    fn a_null_console_is_empty_and_swallows() {
        let [input, output, error] = Console::null().into_files();
        assert_eq!(input.read_at(&mut [0; 4], 0), Ok(0));
        assert_eq!(output.write_at(b"x", 0), Ok(1));
        assert_eq!(error.write_at(b"yz", 0), Ok(2));
    }

    #[test]
    fn the_hosts_streams_outlive_a_console_on_them() {
        let before = rustix::fs::fstat(rustix::stdio::stderr()).unwrap();
        let [_, _, error] = Console::host().unwrap().into_files();
        let stat = error.stat().unwrap();
        assert_eq!((stat.dev, stat.ino), (before.st_dev, before.st_ino));
        assert!(!error.seekable());
        drop(error);
        assert_eq!(rustix::fs::fstat(rustix::stdio::stderr()).unwrap().st_ino, before.st_ino);
    }

    #[test]
    fn a_writer_that_writes_to_its_own_console_is_told_so_and_one_that_would_block_is_an_error() {
        struct Again(Arc<OnceLock<Arc<dyn File>>>);

        impl Write for Again {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                match self.0.get() {
                    Some(own) => own.write_at(buf, 0).map_err(io::Error::from),
                    None => Err(ErrorKind::WouldBlock.into()),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let own = Arc::new(OnceLock::new());
        let [_, output, _] = Console::new(io::empty(), Again(Arc::clone(&own))).into_files();
        assert_eq!(output.write_at(b"x", 0), Err(Errno::EIO));
        own.set(Arc::clone(&output)).unwrap_or_else(|_| unreachable!());
        assert_eq!(output.write_at(b"x", 0), Err(Errno::EDEADLK));
    }

    #[test]
    fn files_of_the_embedder_are_used_as_they_are() {
        let (reader, writer) = pipe();
        let writer: Arc<dyn File> = Arc::new(writer);
        let (empty, _) = pipe();
        let [input, output, error] =
            Console::of_files(Arc::new(empty), Arc::clone(&writer), Arc::clone(&writer)).into_files();
        drop(writer);
        assert_eq!(input.read_at(&mut [0], 0), Ok(0));
        output.write_at(b"a", 0).unwrap();
        error.write_at(b"b", 0).unwrap();
        drop((output, error));
        let mut buf = [0; 4];
        assert_eq!(reader.read_at(&mut buf, 0), Ok(2));
        assert_eq!(reader.read_at(&mut buf, 0), Ok(0));
    }
}
