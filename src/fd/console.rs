//! The console: what descriptors 0, 1 and 2 of pid 1 refer to.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use parking_lot::ReentrantMutex;

use super::host::retry;
use super::{File, HostFile, Null, OpenFlags};
use crate::errno::{Errno, Result};

/// What descriptors 0, 1 and 2 of pid 1 refer to, and so those of every process that inherits them.
///
/// ```
/// use lwproc::{Console, pipe};
///
/// // What is written to descriptors 1 and 2 comes out of pipes.
/// let ((input, _), (output, to_output), (error, to_error)) = (pipe(), pipe(), pipe());
/// let console = Console::of_files(input, to_output, to_error);
/// ```
pub struct Console(Source);

enum Source {
    Host,
    Files([Box<dyn File>; 3]),
}

impl Console {
    /// The host process's own standard streams, through duplicates made at boot: closing them here leaves the host's
    /// open. One that the host has closed is as in [`Console::null`].
    pub fn host() -> Self {
        Self(Source::Host)
    }

    /// Reads as empty and swallows what is written.
    pub fn null() -> Self {
        Self::of_files(Null, Null, Null)
    }

    /// Reads from `input`, writes to `output` and flushes it; both are used by one call at a time.
    ///
    /// They should not block: the call that uses them would hold up its host thread, and all fibers there. One that
    /// uses the console itself gets `EDEADLK`. Their errors become errnos as [`Errno`]'s conversion says;
    /// `WouldBlock` is `EIO`, since nothing would tell when to try again. A file of one's own, with
    /// [`Console::of_files`], has none of these limits.
    pub fn new(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> Self {
        let output = Arc::new(exclusive(output));
        Self::of_files(Input(exclusive(input)), Output(Arc::clone(&output)), Output(output))
    }

    /// Descriptors 0, 1 and 2 refer to these files.
    pub fn of_files(input: impl File, output: impl File, error: impl File) -> Self {
        Self(Source::Files([Box::new(input), Box::new(output), Box::new(error)]))
    }

    /// The files of descriptors 0, 1 and 2, in this order, and how they are opened.
    ///
    /// # Errors
    /// `ENFILE`: the host is out of descriptors.
    pub(crate) fn into_files(self) -> Result<[(Box<dyn File>, OpenFlags); 3]> {
        let [input, output, error] = match self.0 {
            Source::Files(files) => files,
            Source::Host => {
                use rustix::stdio::{stderr, stdin, stdout};
                [duplicate(stdin())?, duplicate(stdout())?, duplicate(stderr())?]
            }
        };
        Ok([(input, OpenFlags::RDONLY), (output, OpenFlags::WRONLY), (error, OpenFlags::WRONLY)])
    }
}

fn duplicate(stream: BorrowedFd<'_>) -> Result<Box<dyn File>> {
    match retry(|| rustix::io::fcntl_dupfd_cloexec(stream, 3)) {
        Ok(duplicate) => Ok(Box::new(HostFile::stream(duplicate)?)),
        Err(Errno::EBADF) => Ok(Box::new(Null)),
        Err(other) => Err(other),
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

struct Output<W>(Arc<Exclusive<W>>);

impl<W: Write + Send + 'static> File for Output<W> {
    fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
        with(&self.0, |output| output.write_all(buf).and_then(|()| output.flush()))?;
        Ok(buf.len())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Cursor;
    use std::sync::{Mutex, OnceLock};

    use super::*;
    use crate::fd::{FileKind, pipe};

    fn files(console: Console) -> [Box<dyn File>; 3] {
        console.into_files().unwrap().map(|(file, _)| file)
    }

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
        let [input, output, error] = files(Console::new(Cursor::new(b"ab"), written.clone()));
        let mut buf = [0; 8];
        assert_eq!(input.read_at(&mut buf, 0), Ok(2));
        assert_eq!(input.read_at(&mut buf, 0), Ok(0));
        assert_eq!(output.write_at(b"out", 0), Ok(3));
        assert_eq!(error.write_at(b"err", 0), Ok(3));
        assert_eq!(*written.0.lock().unwrap(), b"out|err|");
        assert_eq!(output.stat().unwrap().kind(), FileKind::CharDevice);
    }

    #[test]
    fn standard_input_is_to_be_read_and_the_others_to_be_written() {
        let flags = Console::null().into_files().unwrap().map(|(_, flags)| flags);
        assert_eq!(flags, [OpenFlags::RDONLY, OpenFlags::WRONLY, OpenFlags::WRONLY]);
    }

    #[test]
    fn a_null_console_is_empty_and_swallows() {
        let [input, output, error] = files(Console::null());
        assert_eq!(input.read_at(&mut [0; 4], 0), Ok(0));
        assert_eq!(output.write_at(b"x", 0), Ok(1));
        assert_eq!(error.write_at(b"yz", 0), Ok(2));
    }

    #[test]
    fn the_hosts_streams_outlive_a_console_on_them() {
        let before = rustix::fs::fstat(rustix::stdio::stderr()).unwrap();
        let [_, _, error] = files(Console::host());
        let stat = error.stat().unwrap();
        assert_eq!((stat.dev, stat.ino), (before.st_dev, before.st_ino));
        assert!(!error.seekable());
        drop(error);
        assert_eq!(rustix::fs::fstat(rustix::stdio::stderr()).unwrap().st_ino, before.st_ino);
    }

    #[test]
    fn a_writer_that_writes_to_its_own_console_is_told_so_and_one_that_would_block_is_an_error() {
        #[derive(Default)]
        struct Again(Arc<OnceLock<Box<dyn File>>>);

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

        let writer = Again::default();
        let own = Arc::clone(&writer.0);
        let [_, output, error] = files(Console::new(io::empty(), writer));
        assert_eq!(output.write_at(b"x", 0), Err(Errno::EIO));
        assert!(own.set(error).is_ok());
        assert_eq!(output.write_at(b"x", 0), Err(Errno::EDEADLK));
    }

    #[test]
    fn files_of_the_embedder_are_used_as_they_are() {
        let ((input, to_input), (output, to_output)) = (pipe(), pipe());
        let console = files(Console::of_files(input, to_output, Null));
        to_input.write_at(b"abc", 0).unwrap();
        let mut buf = [0; 4];
        assert_eq!(console[0].read_at(&mut buf, 0), Ok(3));
        console[1].write_at(b"x", 0).unwrap();
        drop(console);
        assert_eq!(output.read_at(&mut buf, 0), Ok(1));
        assert_eq!(output.read_at(&mut buf, 0), Ok(0));
    }
}
