//! A tenant: a process, and who may write in its name.

use lwproc::{Fd, Lwp};
use parking_lot::Mutex;

use super::http::{Refusal, Request, Status};

/// A tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    /// The lwp that keeps the process; connections get their own.
    pub(crate) lwp: Lwp,
    /// Its descriptor of the gate.
    pub(crate) gate: Fd,
    /// Whether it was said to be writable.
    pub(crate) writable: bool,
    pub(crate) password: Option<String>,
    /// Held to look at a file and change it in one step, so that of two writers with the same `If-Match` one fails.
    pub(crate) commit: Mutex<()>,
}

impl Tenant {
    /// Whether anybody may write.
    pub(crate) fn takes_writes(&self) -> bool {
        self.writable && self.password.is_some()
    }

    /// The methods that its files take.
    pub(crate) fn methods(&self) -> &'static str {
        if self.takes_writes() { "GET, HEAD, PUT, DELETE, OPTIONS" } else { "GET, HEAD, OPTIONS" }
    }

    /// Lets a write through, or says why not.
    ///
    /// # Errors
    /// 403: nobody may write, or a page in a browser wants to; pages of all tenants have one origin, so that a page of
    /// one could use the password that the browser keeps for another. 401: not with this name and password.
    pub(crate) fn authorize(&self, request: &Request) -> Result<(), Refusal> {
        let password = match &self.password {
            _ if !self.writable => return Err(Refusal::new(Status::FORBIDDEN, "this tenant is read-only")),
            None => return Err(Refusal::new(Status::FORBIDDEN, "this tenant has no password to write with")),
            Some(_) if request.from_page => {
                return Err(Refusal::new(Status::FORBIDDEN, "pages in a browser may not write"));
            }
            Some(password) => password,
        };
        if request.credentials.as_ref().is_some_and(|given| given.are(&self.name, password)) {
            return Ok(());
        }
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.name);
        Err(Refusal::new(Status::UNAUTHORIZED, "writing takes this tenant's name and password")
            .with("WWW-Authenticate", challenge))
    }
}
