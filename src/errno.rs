//! Error numbers, with the host's values and their POSIX names.

use std::fmt;
use std::io;

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// What went wrong, as `errno(2)` names it.
        ///
        /// Values are the host's (Linux, all architectures but MIPS, SPARC, Alpha and PA-RISC), so that they cross the
        /// C interface unchanged. [`fmt::Display`] prints the name and a sentence; [`Errno::name`] the name alone.
        ///
        /// ```
        /// use lwproc::Errno;
        /// let error: std::io::Error = Errno::ENOENT.into();
        /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        /// assert_eq!(Errno::ENOENT.to_string(), "ENOENT: no such file or directory");
        /// ```
        ///
        /// Source: POSIX.1-2024, `<errno.h>`; errno(2).
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum Errno {
            $(#[doc = concat!("`", stringify!($name), "`: ", $text, ".")] $name = $number,)*
        }

        impl Errno {
            /// The symbolic name, such as `"ENOENT"`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The error with this number, or `None` where the number has no name here.
            pub const fn from_raw(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such file or directory";
    ESRCH = 3, "no such process";
    EINTR = 4, "interrupted call";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "argument list too long";
    EBADF = 9, "bad file descriptor";
    EAGAIN = 11, "resource temporarily unavailable";
    ENOMEM = 12, "cannot allocate memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "device or resource busy";
    EEXIST = 17, "file exists";
    EXDEV = 18, "cross-device link";
    ENODEV = 19, "operation not supported by device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "too many open files in system";
    EMFILE = 24, "too many open files";
    ENOTTY = 25, "inappropriate ioctl for device";
    ETXTBSY = 26, "text file busy";
    EFBIG = 27, "file too large";
    ENOSPC = 28, "no space left on device";
    ESPIPE = 29, "illegal seek";
    EROFS = 30, "read-only file system";
    EMLINK = 31, "too many links";
    EPIPE = 32, "broken pipe";
    EDOM = 33, "numerical argument out of domain";
    ERANGE = 34, "result too large";
    EDEADLK = 35, "resource deadlock avoided";
    ENAMETOOLONG = 36, "file name too long";
    ENOLCK = 37, "no locks available";
    ENOSYS = 38, "function not implemented";
    ENOTEMPTY = 39, "directory not empty";
    ELOOP = 40, "too many levels of symbolic links";
    EOVERFLOW = 75, "value too large to be stored in data type";
    EILSEQ = 84, "illegal byte sequence";
    ENOTSOCK = 88, "socket operation on non-socket";
    EDESTADDRREQ = 89, "destination address required";
    EMSGSIZE = 90, "message too long";
    EPROTOTYPE = 91, "protocol wrong type for socket";
    ENOPROTOOPT = 92, "protocol option not available";
    EPROTONOSUPPORT = 93, "protocol not supported";
    EOPNOTSUPP = 95, "operation not supported";
    EAFNOSUPPORT = 97, "address family not supported by protocol family";
    EADDRINUSE = 98, "address already in use";
    EADDRNOTAVAIL = 99, "cannot assign requested address";
    ENETDOWN = 100, "network is down";
    ENETUNREACH = 101, "network is unreachable";
    ECONNABORTED = 103, "software caused connection abort";
    ECONNRESET = 104, "connection reset by peer";
    ENOBUFS = 105, "no buffer space available";
    EISCONN = 106, "socket is already connected";
    ENOTCONN = 107, "socket is not connected";
    ETIMEDOUT = 110, "operation timed out";
    ECONNREFUSED = 111, "connection refused";
    EHOSTDOWN = 112, "host is down";
    EHOSTUNREACH = 113, "no route to host";
    EALREADY = 114, "operation already in progress";
    EINPROGRESS = 115, "operation now in progress";
    ESTALE = 116, "stale file handle";
    EDQUOT = 122, "disc quota exceeded";
    ECANCELED = 125, "operation canceled";
}

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

impl Errno {
    /// The number, as C programs see it in `errno`.
    pub const fn raw(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.text())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.raw())
    }
}

/// The host's answer; `EIO` where it has no name here.
impl From<rustix::io::Errno> for Errno {
    fn from(host: rustix::io::Errno) -> Self {
        Self::from_raw(host.raw_os_error()).unwrap_or(Self::EIO)
    }
}

/// The host's answer. An error without a number is `EINVAL` where the input was to blame, `EACCES` where a sandboxed
/// directory refused an escape, and `EIO` otherwise.
impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::from_raw(number).unwrap_or(Self::EIO),
            None => match error.kind() {
                io::ErrorKind::InvalidInput => Self::EINVAL,
                io::ErrorKind::PermissionDenied => Self::EACCES,
                _ => Self::EIO,
            },
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Errno;

    #[test]
    fn numbers_are_the_hosts() {
        use rustix::io::Errno as Host;
        for (ours, host) in [
            (Errno::EPERM, Host::PERM),
            (Errno::EAGAIN, Host::AGAIN),
            (Errno::ENAMETOOLONG, Host::NAMETOOLONG),
            (Errno::ENOTEMPTY, Host::NOTEMPTY),
            (Errno::ELOOP, Host::LOOP),
            (Errno::EOPNOTSUPP, Host::OPNOTSUPP),
            (Errno::ETIMEDOUT, Host::TIMEDOUT),
            (Errno::ECANCELED, Host::CANCELED),
        ] {
            assert_eq!(ours.raw(), host.raw_os_error());
            assert_eq!(Errno::from(host), ours);
        }
    }

    #[test]
    fn a_number_without_a_name_is_an_io_error() {
        assert_eq!(Errno::from_raw(9999), None);
        assert_eq!(Errno::from(std::io::Error::from_raw_os_error(9999)), Errno::EIO);
    }

    #[test]
    fn crosses_io_error_and_back() {
        let error: std::io::Error = Errno::EACCES.into();
        assert_eq!(Errno::from(error), Errno::EACCES);
    }
}
