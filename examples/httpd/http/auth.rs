//! `Authorization: Basic`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

/// The name and password that a request came with.
///
/// Source: RFC 7617.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    name: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// What the field's value says; `None` for other schemes and for nonsense.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = value.split_at(space);
        if !scheme.eq_ignore_ascii_case(b"Basic") {
            return None;
        }
        let mut name = STANDARD.decode(rest.trim_ascii()).ok()?;
        let colon = name.iter().position(|byte| *byte == b':')?;
        let password = name.split_off(colon + 1);
        name.pop();
        Some(Self { name, password })
    }

    /// Whether it is this name and password. How long the answer takes does not tell how much of them was right.
    pub(crate) fn are(&self, name: &str, password: &str) -> bool {
        (self.name.ct_eq(name.as_bytes()) & self.password.ct_eq(password.as_bytes())).into()
    }
}

impl std::fmt::Debug for Credentials {
    /// Never the password: it would end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name.escape_ascii().to_string()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    #[test]
    fn the_right_name_and_password_and_nothing_else() {
        // RFC 7617's own example.
        let aladdin = Credentials::parse(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert!(aladdin.are("Aladdin", "open sesame"));
        for (name, password) in [("aladdin", "open sesame"), ("Aladdin", "open sesam"), ("", ""), ("Aladdin", "")] {
            assert!(!aladdin.are(name, password), "{name}:{password}");
        }
        // basic, lower case, and a password with colons.
        assert!(Credentials::parse(b"basic YTpiOmM=").unwrap().are("a", "b:c"));
    }

    #[test]
    fn nonsense_is_no_credentials() {
        for value in
            [&b""[..], b"Basic", b"Basic ", b"Basic ====", b"Basic YWJj", b"Bearer YTpi", b"YTpi", b"Basic \xff"]
        {
            assert_eq!(Credentials::parse(value), None, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn debug_output_keeps_the_password() {
        let shown = format!("{:?}", Credentials::parse(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap());
        assert!(shown.contains("Aladdin") && !shown.contains("sesame"), "{shown}");
    }
}
