//! The first page: who is served.

use std::fmt::Write;

use super::super::http::{Form, Response, Status};
use super::{Escaped, either, html, plain};

/// A tenant, as the first page shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served<'a> {
    pub(crate) name: &'a str,
    /// Whether it takes writes from those who know its password.
    pub(crate) writable: bool,
}

impl Served<'_> {
    fn access(self) -> &'static str {
        if self.writable { "read, write with password" } else { "read only" }
    }
}

/// The list of tenants. Tells nothing of what they hold.
pub(crate) fn tenants<'a, F>(served: impl Iterator<Item = Served<'a>> + Clone, form: Form) -> Response<F> {
    either(
        form,
        || {
            let mut rows = String::new();
            for tenant in served.clone() {
                let name = Escaped(tenant.name);
                let _ = writeln!(
                    rows,
                    "<tr><th scope=\"row\" class=\"name\"><a href=\"/~{name}/\">{name}</a></th><td class=\"dim\">{}</td></tr>",
                    tenant.access()
                );
            }
            let main = format!(
                "<h1>Tenants</h1>\n<p>Each is a process of its own, with its own user, root directory and descriptors.</p>\n\
                 <div class=\"card\"><table>\n<caption>Tenants of this server</caption>\n<thead><tr><th scope=\"col\">Name</th>\
                 <th scope=\"col\">Access</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
            );
            html(Status::OK, "Tenants", &main)
        },
        || {
            let mut text = String::new();
            for tenant in served.clone() {
                let _ = writeln!(text, "/~{}/  {}", tenant.name, tenant.access());
            }
            plain(Status::OK, text)
        },
    )
}
