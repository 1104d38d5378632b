//! Error pages.

use super::super::http::{Form, Refusal, Response};
use super::{Escaped, either, html, plain};

/// A refusal as a response.
pub(crate) fn error<F>(refusal: Refusal, form: Form) -> Response<F> {
    let (status, reason) = (refusal.status(), refusal.reason().to_owned());
    let mut response = either(
        form,
        || {
            let reason = Escaped(&reason);
            html(status, &status.to_string(), &format!("<h1>{status}</h1>\n<p>{reason}.</p>\n"))
        },
        || plain(status, format!("{status}: {reason}\n")),
    );
    response.fields.extend(refusal.into_fields());
    response
}
