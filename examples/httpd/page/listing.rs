//! Directory listings.

use std::fmt::Write;
use std::time::SystemTime;

use super::super::http::{Resource, Response, Status, Validators, escape};
use super::{Escaped, html, size};

/// A name in a directory, as its listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: Vec<u8>,
    pub(crate) is_directory: bool,
    /// Its length, if it is a regular file.
    pub(crate) size: Option<u64>,
    /// When it was modified, if that could be told.
    pub(crate) modified: Option<SystemTime>,
}

/// The page of a tenant's directory: directories first, then the rest, each by name. `complete`: these are all names.
pub(crate) fn listing<F>(directory: &Resource, mut entries: Vec<Listed>, complete: bool) -> Response<F> {
    entries.sort_unstable_by(|a, b| (!a.is_directory, &a.name).cmp(&(!b.is_directory, &b.name)));
    let Resource::Tenant { name, parts, .. } = directory else { return Response::empty(Status::NOT_FOUND) };
    let (title, trail) = trail(name, parts);
    let mut rows = String::new();
    if !parts.is_empty() {
        rows.push_str(
            "<tr><th scope=\"row\" class=\"name\"><a href=\"../\">Parent directory</a></th><td></td><td></td></tr>\n",
        );
    }
    for entry in &entries {
        let slash = if entry.is_directory { "/" } else { "" };
        let shown = String::from_utf8_lossy(&entry.name);
        let (seconds, minutes) = entry.modified.and_then(date).unwrap_or_default();
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\" class=\"name\"><a href=\"./{}{slash}\">{}{slash}</a></th><td class=\"num dim\">{}</td>\
             <td class=\"dim\"><time datetime=\"{seconds}\">{minutes}</time></td></tr>",
            escape(&entry.name),
            Escaped(&shown),
            entry.size.map(size).unwrap_or_default(),
        );
    }
    let note = match (entries.len(), complete) {
        (0, _) => "<p>This directory is empty.</p>\n".to_owned(),
        (_, true) => String::new(),
        (shown, false) => format!("<p>There are more than these {shown} names.</p>\n"),
    };
    let main = format!(
        "<nav aria-label=\"Path\"><h1>{trail}</h1></nav>\n{note}<div class=\"card\"><table>\n<caption>Files in {title}</caption>\n\
         <thead><tr><th scope=\"col\">Name</th><th scope=\"col\" class=\"num\">Size</th><th scope=\"col\">Modified (UTC)</th></tr>\
         </thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    );
    html(Status::OK, &title, &main)
}

/// The directory's path as text, and as links to each directory on the way.
fn trail(name: &str, parts: &[Vec<u8>]) -> (String, String) {
    let mut title = format!("~{}", Escaped(name));
    // Each link goes up from here, so that it is right whatever `..` the path holds.
    let up = |levels: usize| if levels == 0 { "./".to_owned() } else { "../".repeat(levels) };
    let mut trail = format!("<a href=\"{}\">{title}</a>", up(parts.len()));
    for (at, part) in parts.iter().enumerate() {
        let shown = String::from_utf8_lossy(part);
        let _ = write!(title, "/{}", Escaped(&shown));
        let _ = write!(
            trail,
            "<span class=\"sep\">/</span><a href=\"{}\">{}</a>",
            up(parts.len() - at - 1),
            Escaped(&shown)
        );
    }
    (title, trail)
}

/// A time as ISO 8601, to the second for machines and to the minute for people.
fn date(time: SystemTime) -> Option<(String, String)> {
    // "Sun, 06 Nov 1994 08:49:37 GMT" holds all the parts, and the calendar is worked out in one place.
    let http = Validators::new(0, 0, time).last_modified()?;
    let mut words = http.split(' ').skip(1);
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)? + 1;
    Some((format!("{year}-{month:02}-{day}T{clock}Z"), format!("{year}-{month:02}-{day} {}", &clock[..5])))
}

#[cfg(test)]
mod tests {
    use super::super::super::http::{Content, Resource, Response};
    use super::{Listed, date, listing};
    use std::time::{Duration, SystemTime};

    fn page(parts: &[&str], entries: Vec<Listed>) -> String {
        let parts = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        let directory = Resource::Tenant { name: "alice".into(), parts, slash: true };
        let response: Response<()> = listing(&directory, entries, true);
        let Content::Bytes(bytes) = response.content else { panic!("no bytes") };
        String::from_utf8(bytes).unwrap()
    }

    fn entry(name: &[u8], is_directory: bool) -> Listed {
        Listed { name: name.to_vec(), is_directory, size: (!is_directory).then_some(2048), modified: None }
    }

    #[test]
    fn names_are_escaped_for_the_url_and_for_the_page() {
        let page = page(&["a\"b"], vec![entry(b"<script>.txt", false), entry(b"a b?\xff", true), entry(b"x:y", false)]);
        assert!(page.contains("<a href=\"./%3Cscript%3E.txt\">&lt;script&gt;.txt</a>"), "{page}");
        assert!(page.contains("<a href=\"./a%20b%3F%FF/\">a b?\u{fffd}/</a>"));
        // A colon would make a scheme of the name.
        assert!(page.contains("<a href=\"./x%3Ay\">x:y</a>"));
        assert!(page.contains("Files in ~alice/a&quot;b<") && !page.contains("<script>"));
    }

    #[test]
    fn directories_come_first_and_the_way_up_is_there_below_the_root() {
        let entries = vec![entry(b"b", false), entry(b"a", false), entry(b"z", true)];
        let below = page(&["docs"], entries.clone());
        let at = |text: &str| below.find(text).unwrap_or_else(|| panic!("{text} in {below}"));
        assert!(at("./z/") < at("./a\"") && at("./a\"") < at("./b\"") && at("2.0 KiB") > at("./a\""));
        assert!(below.contains("Parent directory") && below.contains("<a href=\"../\">~alice</a>"));
        assert!(!page(&[], entries).contains("Parent directory"));
        assert!(page(&[], Vec::new()).contains("empty"));
    }

    #[test]
    fn dates_are_iso() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(date(time).unwrap(), ("1994-11-06T08:49:37Z".into(), "1994-11-06 08:49".into()));
    }
}
