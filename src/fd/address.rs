//! Where sockets are, and of what kind they are.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What kind of addresses a socket has.
///
/// Source: POSIX.1-2024, section socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
    /// Paths in the virtual namespace.
    Unix,
}

/// How a socket carries data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Connected streams of bytes.
    Stream,
    /// Messages of limited length.
    Datagram,
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SocketAddress {
    /// An internet address and port, of either version.
    Inet(SocketAddr),
    /// A path in the virtual namespace, as it was given to `bind` or `connect`.
    Unix(PathBuf),
    /// A Unix socket without a name, or one whose name is not known here: the host does not tell the virtual name of
    /// whoever connected.
    Unnamed,
}
