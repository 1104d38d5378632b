//! Validators: what tells one version of a file from another.

use std::time::{Duration, SystemTime};

/// The first instant that has five digits in its year: no HTTP date.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

/// A version of a file: its entity tag and when it was last modified.
///
/// Source: RFC 9110, section 8.8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    tag: String,
    modified: SystemTime,
}

impl Validators {
    /// From the file's number, length and time of modification. Another file under the name has another number; a file
    /// written in place has another time.
    pub(crate) fn new(ino: u64, size: u64, modified: SystemTime) -> Self {
        let nanos = modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Self { tag: format!("\"{ino:x}-{size:x}-{nanos:x}\""), modified }
    }

    /// The entity tag, in its quotes. A strong one.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// The time of modification as an HTTP date, which has whole seconds; `None` outside of the years that can be written.
    pub(crate) fn last_modified(&self) -> Option<String> {
        self.seconds().map(httpdate::fmt_http_date)
    }

    fn seconds(&self) -> Option<SystemTime> {
        let since = self.modified.duration_since(SystemTime::UNIX_EPOCH).ok().filter(|since| *since < YEAR_10000)?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
    }

    /// Whether it was modified after `date`, which has whole seconds.
    pub(crate) fn modified_after(&self, date: SystemTime) -> bool {
        self.seconds().is_none_or(|modified| modified > date)
    }

    /// Whether `date` names just this version: the same second, and that second is over.
    pub(crate) fn is_dated(&self, date: SystemTime) -> bool {
        self.seconds() == Some(date) && date.elapsed().is_ok_and(|age| age >= Duration::from_secs(1))
    }

    /// Whether a list of entity tags (or `*`) names this version. A weak tag counts only where `weak` is good enough.
    pub(crate) fn is_among(&self, list: &str, weak: bool) -> bool {
        list.trim() == "*" || tags(list).any(|(is_weak, tag)| tag == self.tag && (weak || !is_weak))
    }
}

/// The entity tags of a list, each with whether it is weak; up to the first thing that is none.
fn tags(mut list: &str) -> impl Iterator<Item = (bool, &str)> {
    std::iter::from_fn(move || {
        list = list.trim_start_matches([' ', '\t', ',']);
        let opaque = list.strip_prefix("W/");
        let tag = opaque.unwrap_or(list);
        let end = tag.strip_prefix('"')?.find('"')? + 2;
        list = &tag[end..];
        Some((opaque.is_some(), &tag[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::Validators;
    use std::time::{Duration, SystemTime};

    fn version() -> Validators {
        Validators::new(0xa, 0xb, SystemTime::UNIX_EPOCH + Duration::new(784_111_777, 5))
    }

    #[test]
    fn lists_of_tags() {
        let version = version();
        let tag = version.tag().to_owned();
        for (list, strong, weak) in [
            (tag.clone(), true, true),
            (format!("\"x,y\" , W/\"z\",{tag}"), true, true),
            (format!("W/{tag}"), false, true),
            ("*".into(), true, true),
            (String::new(), false, false),
            (format!("nonsense, {tag}"), false, false),
            (tag[1..].to_owned(), false, false),
            ("\"".into(), false, false),
        ] {
            assert_eq!(version.is_among(&list, false), strong, "{list}");
            assert_eq!(version.is_among(&list, true), weak, "{list}");
        }
    }

    #[test]
    fn dates_have_whole_seconds() {
        let version = version();
        assert_eq!(version.last_modified().unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        let date = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert!(!version.modified_after(date) && version.is_dated(date));
        assert!(version.modified_after(date - Duration::from_secs(1)));
        assert!(!Validators::new(1, 1, SystemTime::now()).is_dated(SystemTime::now()));
    }

    #[test]
    fn times_that_no_date_can_name_are_left_out() {
        for modified in [SystemTime::UNIX_EPOCH - Duration::from_secs(1), SystemTime::UNIX_EPOCH + super::YEAR_10000] {
            assert_eq!(Validators::new(1, 1, modified).last_modified(), None);
        }
    }
}
