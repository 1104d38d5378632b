//! Preconditions.

use std::time::SystemTime;

use super::method::Method;
use super::tag::Validators;

/// The conditions that a request came with, as far as they are valid: an invalid date is no condition.
///
/// Source: RFC 9110, section 13.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<SystemTime>,
    pub(crate) if_unmodified_since: Option<SystemTime>,
    pub(crate) if_range: Option<String>,
}

/// What the conditions say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Do it.
    Perform,
    /// 304: the client has this version.
    NotModified,
    /// 412: the file is not what the client thinks it is.
    Failed,
}

impl Conditions {
    /// Judges a request on what is there now, `None` where there is nothing.
    ///
    /// Source: RFC 9110, section 13.2.2, which gives the order.
    pub(crate) fn judge(&self, method: &Method, current: Option<&Validators>) -> Verdict {
        if let Some(list) = &self.if_match {
            if !current.is_some_and(|current| current.is_among(list, false)) {
                return Verdict::Failed;
            }
        } else if let (Some(date), Some(current)) = (self.if_unmodified_since, current)
            && current.modified_after(date)
        {
            return Verdict::Failed;
        }
        let unchanged = match (&self.if_none_match, self.if_modified_since, current) {
            (_, _, None) => false,
            (Some(list), _, Some(current)) => current.is_among(list, true),
            (None, Some(date), Some(current)) => method.is_read() && !current.modified_after(date),
            (None, None, Some(_)) => false,
        };
        match unchanged {
            false => Verdict::Perform,
            true if method.is_read() => Verdict::NotModified,
            true => Verdict::Failed,
        }
    }

    /// Whether a range is still wanted: `If-Range` asks for the whole file where it has changed.
    pub(crate) fn range_holds(&self, current: &Validators) -> bool {
        match &self.if_range {
            None => true,
            Some(tag) if tag.contains('"') => current.is_among(tag, false),
            Some(date) => httpdate::parse_http_date(date).is_ok_and(|date| current.is_dated(date)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{method::Method, tag::Validators};
    use super::{Conditions, Verdict};
    use std::time::{Duration, SystemTime};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_table_of_verdicts() {
        let current = Validators::new(1, 2, at(1000));
        let tag = || Some(current.tag().to_owned());
        let other = || Some("\"other\"".to_owned());
        let any = || Some("*".to_owned());
        let none = Conditions::default;
        use Method::{Get, Put};
        use Verdict::{Failed, NotModified, Perform};
        for (conditions, method, exists, verdict) in [
            (none(), Get, true, Perform),
            (Conditions { if_none_match: tag(), ..none() }, Get, true, NotModified),
            (Conditions { if_none_match: tag(), ..none() }, Put, true, Failed),
            (Conditions { if_none_match: any(), ..none() }, Put, true, Failed),
            (Conditions { if_none_match: any(), ..none() }, Put, false, Perform),
            (Conditions { if_none_match: other(), ..none() }, Get, true, Perform),
            // If-None-Match makes If-Modified-Since count for nothing.
            (Conditions { if_none_match: other(), if_modified_since: Some(at(2000)), ..none() }, Get, true, Perform),
            (Conditions { if_modified_since: Some(at(1000)), ..none() }, Get, true, NotModified),
            (Conditions { if_modified_since: Some(at(999)), ..none() }, Get, true, Perform),
            (Conditions { if_modified_since: Some(at(1000)), ..none() }, Put, true, Perform),
            (Conditions { if_match: tag(), ..none() }, Put, true, Perform),
            (Conditions { if_match: other(), ..none() }, Put, true, Failed),
            (Conditions { if_match: any(), ..none() }, Put, true, Perform),
            (Conditions { if_match: any(), ..none() }, Put, false, Failed),
            (Conditions { if_match: other(), ..none() }, Get, true, Failed),
            (Conditions { if_unmodified_since: Some(at(999)), ..none() }, Put, true, Failed),
            (Conditions { if_unmodified_since: Some(at(1000)), ..none() }, Put, true, Perform),
            (Conditions { if_unmodified_since: Some(at(999)), ..none() }, Put, false, Perform),
            // If-Match makes If-Unmodified-Since count for nothing.
            (Conditions { if_match: tag(), if_unmodified_since: Some(at(999)), ..none() }, Put, true, Perform),
        ] {
            assert_eq!(
                conditions.judge(&method, exists.then_some(&current)),
                verdict,
                "{method} {exists} {conditions:?}"
            );
        }
    }

    #[test]
    fn if_range_holds_for_this_version_alone() {
        let current = Validators::new(1, 2, at(784_111_777));
        for (if_range, holds) in [
            (None, true),
            (Some(current.tag().to_owned()), true),
            (Some(format!("W/{}", current.tag())), false),
            (Some("\"other\"".into()), false),
            (Some("*".into()), false),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT".into()), true),
            (Some("Sun, 06 Nov 1994 08:49:38 GMT".into()), false),
            (Some("soon".into()), false),
        ] {
            let conditions = Conditions { if_range, ..Conditions::default() };
            assert_eq!(conditions.range_holds(&current), holds, "{conditions:?}");
        }
    }
}
