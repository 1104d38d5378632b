//! `Range`: which part of a file is asked for.

/// The part of a file to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it: what was asked for is no single range of bytes, and is ignored.
    Whole,
    /// `length` bytes, at least one, from `first` on.
    Part { first: u64, length: u64 },
    /// 416: nothing of what was asked for is there.
    Unsatisfiable,
}

impl Extent {
    /// What a `Range` field asks for of a file of `size` bytes.
    ///
    /// Source: RFC 9110, section 14.1.2.
    pub(crate) fn of(range: &str, size: u64) -> Self {
        let Some((unit, set)) = range.split_once('=') else { return Self::Whole };
        let Some((first, last)) = set.trim().split_once('-') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        match (position(first), position(last)) {
            (Some(first), None) if last.is_empty() => Self::between(first, u64::MAX, size),
            (Some(first), Some(last)) if first <= last => Self::between(first, last, size),
            (None, Some(suffix)) if first.is_empty() => {
                if suffix == 0 {
                    Self::Unsatisfiable
                } else if size == 0 {
                    // The last bytes of nothing are all of it, and 206 has no way to say so.
                    Self::Whole
                } else {
                    Self::between(size.saturating_sub(suffix), u64::MAX, size)
                }
            }
            _ => Self::Whole,
        }
    }

    fn between(first: u64, last: u64, size: u64) -> Self {
        if first >= size {
            return Self::Unsatisfiable;
        }
        Self::Part { first, length: last.min(size - 1) - first + 1 }
    }
}

/// Digits as a number; one that is too large for a file is as good as the largest.
fn position(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Extent;

    #[test]
    fn ranges_of_ten_bytes() {
        let part = |first, length| Extent::Part { first, length };
        for (range, extent) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=2-4", part(2, 3)),
            ("bytes=9-99", part(9, 1)),
            ("bytes=5-", part(5, 5)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("Bytes = 1-2", part(1, 2)),
            ("bytes=0-99999999999999999999999", part(0, 10)),
            ("bytes=10-", Extent::Unsatisfiable),
            ("bytes=10-20", Extent::Unsatisfiable),
            ("bytes=-0", Extent::Unsatisfiable),
            ("bytes=99999999999999999999999-", Extent::Unsatisfiable),
            ("bytes=4-2", Extent::Whole),
            ("bytes=0-1,3-4", Extent::Whole),
            ("bytes=", Extent::Whole),
            ("bytes=-", Extent::Whole),
            ("bytes=a-b", Extent::Whole),
            ("bytes=+1-2", Extent::Whole),
            ("bytes=--1", Extent::Whole),
            ("lines=1-2", Extent::Whole),
            ("", Extent::Whole),
        ] {
            assert_eq!(Extent::of(range, 10), extent, "{range}");
        }
        assert_eq!(Extent::of("bytes=0-", 0), Extent::Unsatisfiable);
        assert_eq!(Extent::of("bytes=-1", 0), Extent::Whole);
        assert_eq!(Extent::of("bytes=-0", 0), Extent::Unsatisfiable);
    }
}
