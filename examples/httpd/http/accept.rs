//! `Accept`: whether the reader is a browser or a terminal.

/// The form in which a page is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// For a browser.
    Html,
    /// For a terminal; also for those who accept anything.
    #[default]
    Plain,
}

impl Form {
    /// HTML for those who name it and like it at least as well as plain text.
    ///
    /// Source: RFC 9110, section 12.5.1.
    pub(crate) fn wanted(accept: &str) -> Self {
        let (mut html, mut plain) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            if kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml") {
                html = f32::max(html, weight);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                plain = f32::max(plain, weight);
            }
        }
        if html > 0.0 && html >= plain { Self::Html } else { Self::Plain }
    }
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn browsers_get_html_and_terminals_text() {
        let firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, form) in [
            (firefox, Form::Html),
            ("*/*", Form::Plain),
            ("", Form::Plain),
            ("text/plain, text/html;q=0.5", Form::Plain),
            ("text/html; q=0", Form::Plain),
            ("TEXT/HTML;level=1;q=0.7", Form::Html),
            ("text/html;q=nonsense", Form::Plain),
        ] {
            assert_eq!(Form::wanted(accept), form, "{accept}");
        }
    }
}
