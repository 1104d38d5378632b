//! Request methods.

use std::fmt;

/// What is asked to be done with the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Put,
    Delete,
    Options,
    /// One that this server knows no use for, as it was spelled.
    Other(Box<str>),
}

impl Method {
    /// Methods are case-sensitive.
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            other => Self::Other(other.into()),
        }
    }

    /// The name, as on the wire.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other(name) => name,
        }
    }

    /// Whether it is one that every server is expected to know, though this one may have no use for it.
    ///
    /// Source: RFC 9110, section 9; RFC 5789 for `PATCH`.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Other(name) => ["POST", "CONNECT", "TRACE", "PATCH"].contains(&&**name),
            _ => true,
        }
    }

    /// Whether it only reads: the methods for which `If-None-Match` means "send it unless I have it".
    pub(crate) const fn is_read(&self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    /// Whether it changes the target.
    pub(crate) const fn is_write(&self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
