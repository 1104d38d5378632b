//! Settings of sockets.

use rustix::net::sockopt;

use super::Socket;
use super::host::retry;
use crate::errno::{Errno, Result};

/// A setting of a socket; its value is an `int` as in C, flags being 0 or 1.
///
/// Source: POSIX.1-2024, section setsockopt; socket(7), tcp(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketOption {
    /// `SO_REUSEADDR`: bind although an earlier connection lingers on the port.
    ReuseAddress,
    /// `SO_KEEPALIVE`: probe a silent peer.
    KeepAlive,
    /// `TCP_NODELAY`: send small pieces at once.
    NoDelay,
    /// `SO_SNDBUF`, in bytes. The host doubles what is set, and bounds it.
    SendBuffer,
    /// `SO_RCVBUF`, in bytes. The host doubles what is set, and bounds it.
    ReceiveBuffer,
    /// `SO_ERROR`: the pending error's number, or 0. Reading clears it; it cannot be set.
    Error,
    /// `SO_ACCEPTCONN`: whether the socket listens. It cannot be set.
    Listening,
}

impl Socket {
    /// The value of `option`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` or `ENOPROTOOPT`: not an option of this kind of socket.
    pub fn option(&self, option: SocketOption) -> Result<i32> {
        let size = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        match option {
            SocketOption::ReuseAddress => retry(|| sockopt::socket_reuseaddr(self)).map(i32::from),
            SocketOption::KeepAlive => retry(|| sockopt::socket_keepalive(self)).map(i32::from),
            SocketOption::NoDelay => retry(|| sockopt::tcp_nodelay(self)).map(i32::from),
            SocketOption::SendBuffer => retry(|| sockopt::socket_send_buffer_size(self)).map(size),
            SocketOption::ReceiveBuffer => retry(|| sockopt::socket_recv_buffer_size(self)).map(size),
            SocketOption::Error => {
                Ok(retry(|| sockopt::socket_error(self))?.map_or_else(|error| Errno::from(error).raw(), |()| 0))
            }
            SocketOption::Listening => retry(|| sockopt::socket_acceptconn(self)).map(i32::from),
        }
    }

    /// Sets `option`.
    ///
    /// # Errors
    /// `EINVAL`: a negative size. `ENOPROTOOPT`: it cannot be set. `EOPNOTSUPP` or `ENOPROTOOPT`: not an option of this
    /// kind of socket.
    pub fn set_option(&self, option: SocketOption, value: i32) -> Result<()> {
        let size = || usize::try_from(value).map_err(|_| Errno::EINVAL);
        match option {
            SocketOption::ReuseAddress => retry(|| sockopt::set_socket_reuseaddr(self, value != 0)),
            SocketOption::KeepAlive => retry(|| sockopt::set_socket_keepalive(self, value != 0)),
            SocketOption::NoDelay => retry(|| sockopt::set_tcp_nodelay(self, value != 0)),
            SocketOption::SendBuffer => {
                let size = size()?;
                retry(|| sockopt::set_socket_send_buffer_size(self, size))
            }
            SocketOption::ReceiveBuffer => {
                let size = size()?;
                retry(|| sockopt::set_socket_recv_buffer_size(self, size))
            }
            SocketOption::Error | SocketOption::Listening => Err(Errno::ENOPROTOOPT),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::SocketOption;
    use crate::errno::Errno;
    use crate::fd::{Domain, Socket, SocketKind};

    #[test]
    fn options_are_the_hosts() {
        let socket = Socket::new(Domain::Inet, SocketKind::Stream).unwrap();
        for option in [SocketOption::ReuseAddress, SocketOption::KeepAlive, SocketOption::NoDelay] {
            assert_eq!(socket.option(option), Ok(0));
            socket.set_option(option, 5).unwrap();
            assert_eq!(socket.option(option), Ok(1));
            socket.set_option(option, 0).unwrap();
            assert_eq!(socket.option(option), Ok(0));
        }
        for option in [SocketOption::SendBuffer, SocketOption::ReceiveBuffer] {
            socket.set_option(option, 20_000).unwrap();
            assert_eq!(socket.option(option), Ok(40_000));
            assert_eq!(socket.set_option(option, -1), Err(Errno::EINVAL));
        }
        assert_eq!(socket.option(SocketOption::Error), Ok(0));
        assert_eq!(socket.set_option(SocketOption::Error, 0), Err(Errno::ENOPROTOOPT));
        assert_eq!(socket.set_option(SocketOption::Listening, 1), Err(Errno::ENOPROTOOPT));
        let unix = Socket::new(Domain::Unix, SocketKind::Stream).unwrap();
        assert_eq!(unix.set_option(SocketOption::NoDelay, 1), Err(Errno::EOPNOTSUPP));
    }
}
