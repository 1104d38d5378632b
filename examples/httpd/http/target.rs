//! Request targets: what a URL asks for.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::response::Refusal;

/// What must be escaped in one part of a path: all but the unreserved characters of RFC 3986.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    /// What came after the `?`.
    query: Option<String>,
}

/// The things that URLs name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `/`: the list of tenants.
    Tenants,
    /// `/-/ps`: the process table.
    Processes,
    /// `*`: the server itself.
    Server,
    /// `/~NAME…`: something in a tenant's directory.
    Tenant {
        /// The tenant's name.
        name: String,
        /// The parts of the path below, decoded, without empty ones and `.`. `..` may be among them: the kernel resolves
        /// it, and it goes no higher than the tenant's root.
        parts: Vec<Vec<u8>>,
        /// Whether the path ends in a slash.
        slash: bool,
    },
    /// Anything else.
    Nothing,
}

impl Target {
    /// Reads the request target `raw`.
    ///
    /// # Errors
    /// 400 for what is no target: no leading slash, a bad escape, an escaped NUL, a fragment.
    pub(crate) fn parse(raw: &str) -> Result<Self, Refusal> {
        if raw == "*" {
            return Ok(Self { resource: Resource::Server, query: None });
        }
        if raw.contains('#') {
            return Err(Refusal::bad("a fragment does not belong in a request"));
        }
        let (path, query) = match raw.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (raw, None),
        };
        let path = match strip_scheme(path) {
            // http://host/path, as proxies and HTTP/2 gateways may send it.
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                if !is_authority(authority) {
                    return Err(Refusal::bad("the request target names no host"));
                }
                if path.is_empty() { "/" } else { path }
            }
            None => path,
        };
        if !path.starts_with('/') {
            return Err(Refusal::bad("the request target does not start with a slash"));
        }
        Ok(Self { resource: Resource::parse(path)?, query })
    }

    /// Where a directory asked for without its last slash is to be found.
    pub(crate) fn with_slash(&self) -> Option<String> {
        let mut location = self.resource.url()?;
        if !location.ends_with('/') {
            location.push('/');
        }
        if let Some(query) = &self.query {
            location.push('?');
            location.extend(percent_encode(query.as_bytes(), percent_encoding::CONTROLS));
        }
        Some(location)
    }
}

/// Whether it is a host, maybe with a port. Names of users have no place in `http` (RFC 9110, section 4.2.4).
fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rfind(':').filter(|at| !authority[*at..].contains(']')) {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (authority, ""),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    let literal = |byte: u8| named(byte) || byte == b':';
    let valid = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.is_some_and(|inside| !inside.is_empty() && inside.bytes().all(literal)),
        None => !host.is_empty() && host.bytes().all(named),
    };
    valid && (port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// What comes after `http://`, in any case.
fn strip_scheme(path: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let start = path.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &path[scheme.len()..])
    })
}

impl Resource {
    fn parse(path: &str) -> Result<Self, Refusal> {
        let mut parts = Vec::new();
        for part in path.split('/') {
            let part = decode(part)?;
            if part.contains(&b'/') {
                // An escaped slash is part of a name, and no name has one.
                return Ok(Self::Nothing);
            }
            if !part.is_empty() && part != b"." {
                parts.push(part);
            }
        }
        let slash = path.ends_with('/') || path.ends_with("/.");
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else { return Ok(Self::Tenants) };
        let parts: Vec<_> = parts.collect();
        if first == b"-" && parts == [b"ps"] && !slash {
            return Ok(Self::Processes);
        }
        match first.strip_prefix(b"~").map(|name| String::from_utf8(name.to_vec())) {
            Some(Ok(name)) if !name.is_empty() => Ok(Self::Tenant { name, parts, slash }),
            _ => Ok(Self::Nothing),
        }
    }

    /// The path in the tenant's directory, absolute, without a slash at its end.
    pub(crate) fn path(&self) -> Option<OsString> {
        let Self::Tenant { parts, .. } = self else { return None };
        let mut path = Vec::new();
        for part in parts {
            path.push(b'/');
            path.extend_from_slice(part);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some(OsString::from_vec(path))
    }

    /// The URL's path, escaped anew. It never starts with two slashes, so that as a `Location` it stays on this server.
    pub(crate) fn url(&self) -> Option<String> {
        let Self::Tenant { name, parts, slash } = self else { return None };
        let mut url = format!("/~{}", escape(name.as_bytes()));
        for part in parts {
            url.push('/');
            url.push_str(&escape(part));
        }
        if *slash {
            url.push('/');
        }
        Some(url)
    }
}

/// Escapes one part of a path.
pub(crate) fn escape(part: &[u8]) -> String {
    percent_encode(part, PART).to_string()
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    let mut escapes = part.split('%');
    escapes.next();
    if !escapes.all(|after| after.len() >= 2 && after.bytes().take(2).all(|digit| digit.is_ascii_hexdigit())) {
        return Err(Refusal::bad("a % in the request target is not followed by two hexadecimal digits"));
    }
    let bytes: Vec<u8> = percent_decode_str(part).collect();
    if bytes.contains(&0) {
        return Err(Refusal::bad("a NUL in the request target"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Resource, Target};

    fn resource(raw: &str) -> Resource {
        Target::parse(raw).unwrap_or_else(|_| panic!("{raw}")).resource
    }

    #[test]
    fn paths_come_decoded_and_without_what_means_nothing() {
        for (raw, path) in [
            ("/~alice/a/b", "/a/b"),
            ("/%7ealice//a/./b", "/a/b"),
            ("//~alice/a%20b%3F", "/a b?"),
            ("/~alice", "/"),
            ("/~alice/", "/"),
            ("/~alice/../~bob/x", "/../~bob/x"),
            ("/~alice/%2e%2E/x", "/../x"),
            ("/~alice/%252e", "/%2e"),
            ("/~alice/a?b/../c", "/a"),
            ("http://host:80/~alice/x", "/x"),
            ("HTTP://host/~alice/x", "/x"),
            ("http://[::1]:80/~alice/x", "/x"),
            ("http://[::1]/~alice/x", "/x"),
        ] {
            assert_eq!(resource(raw).path().unwrap(), path, "{raw}");
        }
        assert_eq!(resource("/~alice/caf%c3%a9%ff").path().unwrap().into_encoded_bytes(), b"/caf\xc3\xa9\xff");
    }

    #[test]
    fn the_servers_own_pages() {
        for (raw, expected) in [
            ("/", Resource::Tenants),
            ("//", Resource::Tenants),
            ("/?x", Resource::Tenants),
            ("http://host", Resource::Tenants),
            ("/-/ps", Resource::Processes),
            ("*", Resource::Server),
            ("/-/", Resource::Nothing),
            ("/-/ps/", Resource::Nothing),
            ("/alice/x", Resource::Nothing),
            ("/~/x", Resource::Nothing),
            ("/~alice/a%2fb", Resource::Nothing),
            ("/~al%ffice/x", Resource::Nothing),
        ] {
            assert_eq!(resource(raw), expected, "{raw}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for raw in [
            "",
            "x",
            "~alice",
            "/~alice/%",
            "/~alice/%2",
            "/~alice/%zz",
            "/~alice/%00",
            "/~alice/%+1",
            "/#x",
            "ftp://h/",
            "http://",
            "http:///~alice/x",
            "http://?x",
            "http://:80/",
            "http://a:b/",
            "http://a:99999/",
            "http://user@a/",
            "http://[::1/",
            "http://a b/",
        ] {
            assert!(Target::parse(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_redirect_stays_on_this_server() {
        for (raw, location) in [
            ("/~alice", "/~alice/"),
            ("/~alice/dir?a=b", "/~alice/dir/?a=b"),
            ("//~alice//dir", "/~alice/dir/"),
            ("/~alice/a%0d%0ab", "/~alice/a%0D%0Ab/"),
            ("/~evil.com%2f%2e%2e", ""),
        ] {
            assert_eq!(Target::parse(raw).unwrap().with_slash().unwrap_or_default(), location, "{raw}");
        }
    }
}
