//! A client's visit: requests in, responses out, from process to process.
//!
//! A connection is open in one process at a time: the front, which accepted it, or the tenant that its present request is
//! about. When the next request is about another, the open file is taken out of the one and put into the other, as host
//! processes do with `SCM_RIGHTS`, and the thread goes on as an lwp of the other. What is read and not yet used stays with
//! the visit.

use std::time::Instant;

use lwproc::{OpenFile, SocketAddress, mux};

use super::connection::{Connection, End};
use super::descriptor::Descriptor;
use super::file::{self, Named};
use super::http::{Body, Form, Framing, Method, Refusal, Request, Resource, Response, Status};
use super::input::Input;
use super::log;
use super::page;
use super::piece::PIECE;
use super::refusal::{Trouble, overloaded};
use super::server::{Place, Server};
use super::tenant::Tenant;
use super::upload;

/// What the server's own pages can be asked.
const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";

/// A client that is being served.
#[derive(Debug)]
pub(crate) struct Visit<'s> {
    server: &'s Server,
    client: SocketAddress,
    /// A request that was read in one process and is to be answered in another.
    pending: Option<Request>,
    /// Requests answered.
    answered: u64,
}

/// How things go on with a connection.
enum Next {
    /// It is over.
    Done,
    /// Its next request is to be answered in this process.
    Move(Place, OpenFile),
}

/// What is done with a connection after a response.
enum After {
    Keep,
    Close,
    /// Close it, though the client may be sending.
    Linger,
}

impl<'s> Visit<'s> {
    pub(crate) fn new(server: &'s Server, client: SocketAddress) -> Self {
        Self { server, client, pending: None, answered: 0 }
    }

    /// Serves the connection to its end. The front is current, and has it open.
    pub(crate) fn run(&mut self, descriptor: Descriptor) {
        let input = &mut Input::default();
        let mut next = self.serve(Place::Front, descriptor, input);
        while let Next::Move(place, file) = next {
            let served = match place {
                Place::Front => Descriptor::import(&file).ok().map(|descriptor| self.serve(place, descriptor, input)),
                Place::Tenant(at) => self.server.tenants[at].lwp.newlwp().ok().and_then(|mut lwp| {
                    lwp.enter(|| Descriptor::import(&file).ok().map(|descriptor| self.serve(place, descriptor, input)))
                }),
            };
            next = served.unwrap_or_else(|| {
                self.turn_away(&file, input);
                Next::Done
            });
        }
    }

    /// The process that is to answer has no descriptor or lwp left: the front does. Others are not concerned.
    #[inline(never)]
    fn turn_away(&mut self, file: &OpenFile, input: &mut Input) {
        let Ok(descriptor) = Descriptor::import(file) else { return };
        let mut connection = self.connection(Place::Front, descriptor, input);
        if let Some(request) = self.pending.take() {
            let response = page::error(overloaded(), request.form);
            let sent = connection.respond(&response, Some("close"), request.method != Method::Head);
            self.log(&request.raw_target, request.method.as_str(), &response, Instant::now());
            if sent.is_ok() {
                connection.linger();
            }
        }
    }

    fn connection<'b>(&self, place: Place, descriptor: Descriptor, input: &'b mut Input) -> Connection<'b>
    where
        's: 'b,
    {
        Connection::new(descriptor, self.server.gate_in(place), &self.server.cut_off, input, self.server.timeouts)
    }

    /// Answers requests in the process that is current, as long as they are for it.
    ///
    /// What waits for requests is kept apart from what answers them, which takes more of the stack.
    fn serve(&mut self, place: Place, descriptor: Descriptor, input: &mut Input) -> Next {
        let mut connection = self.connection(place, descriptor, input);
        loop {
            let request = match self.pending.take().map_or_else(|| self.next_request(&mut connection), Ok) {
                Ok(request) => request,
                Err(trouble) => {
                    self.give_up(trouble, connection);
                    return Next::Done;
                }
            };
            let wanted = self.server.place_of(&request.target.resource);
            if wanted != place {
                self.pending = Some(request);
                return match connection.into_descriptor().export() {
                    Ok(file) => Next::Move(wanted, file),
                    Err(_) => Next::Done,
                };
            }
            match self.answer(place, &request, &mut connection) {
                // A client that asks many things at once is not to keep others waiting.
                After::Keep if connection.has_more() => mux::yield_now(),
                After::Keep => {}
                After::Close => return Next::Done,
                After::Linger => {
                    connection.linger();
                    return Next::Done;
                }
            }
        }
    }

    fn next_request(&self, connection: &mut Connection<'_>) -> Result<Request, Trouble> {
        let timeouts = &self.server.timeouts;
        let patience = if self.answered == 0 { timeouts.head } else { timeouts.idle };
        parse(connection.head(patience)?)
    }

    /// No request could be read. Where the next would start is not known, so this is the end.
    #[inline(never)]
    fn give_up(&mut self, trouble: Trouble, mut connection: Connection<'_>) {
        let refusal = match trouble {
            Trouble::Refused(refusal) => refusal,
            Trouble::Over(End::TimedOut) => timed_out(),
            Trouble::Over(End::Closed | End::Stopped) => return,
        };
        let response = page::error(refusal, Form::default());
        let sent = connection.respond(&response, Some("close"), true);
        self.log("-", "-", &response, Instant::now());
        if sent.is_ok() {
            connection.linger();
        }
    }

    #[inline(never)]
    fn answer(&mut self, place: Place, request: &Request, connection: &mut Connection<'_>) -> After {
        let started = Instant::now();
        let mut body = Body::new(request.framing, self.server.max_body);
        let (response, broken) = match self.respond(place, request, connection, &mut body) {
            Ok(response) => (response, false),
            Err(Trouble::Refused(refusal)) => (page::error(refusal, request.form), false),
            Err(Trouble::Over(End::TimedOut)) => (page::error(timed_out(), request.form), true),
            Err(Trouble::Over(End::Closed | End::Stopped)) => return After::Close,
        };
        self.answered += 1;
        // The rest of a body must be read before the next request can. A client that waits to be told to send it may
        // never do so.
        let rest = body.as_ref().ok().and_then(Body::left);
        let readable = rest == Some(0) || rest.is_some_and(|rest| rest <= PIECE as u64 && !request.expects_continue);
        let keep = request.keep_alive && readable && !broken && !self.server.is_stopping();
        let field = match (keep, request.minor) {
            (false, _) => Some("close"),
            (true, 0) => Some("keep-alive"),
            (true, _) => None,
        };
        let sent = connection.respond(&response, field, request.method != Method::Head);
        self.log(&request.raw_target, request.method.as_str(), &response, started);
        match (sent, body) {
            (Err(_), _) => After::Close,
            (Ok(()), Ok(mut body)) if keep => match connection.discard(&mut body) {
                Ok(()) => After::Keep,
                Err(_) => After::Close,
            },
            _ if rest == Some(0) && !request.keep_alive => After::Close,
            _ => After::Linger,
        }
    }

    fn respond(
        &self,
        place: Place,
        request: &Request,
        connection: &mut Connection<'_>,
        body: &mut Result<Body, Refusal>,
    ) -> Result<Response<Descriptor>, Trouble> {
        match place {
            Place::Tenant(at) => respond_for(self.server, &self.server.tenants[at], request, connection, body),
            Place::Front => Ok(self.respond_for_server(request)?),
        }
    }

    fn respond_for_server(&self, request: &Request) -> Result<Response<Descriptor>, Refusal> {
        let resource = &request.target.resource;
        if matches!(resource, Resource::Nothing | Resource::Tenant { .. }) {
            return Err(Refusal::new(Status::NOT_FOUND, "there is nothing here"));
        }
        match &request.method {
            Method::Options => Ok(Response::empty(Status::NO_CONTENT).with("Allow", PAGE_METHODS)),
            Method::Get | Method::Head => match resource {
                Resource::Tenants => Ok(self.server.tenants_page(request.form)),
                Resource::Processes => Ok(self.server.processes_page(request.form)),
                _ => Err(Refusal::bad("the request target is for OPTIONS alone")),
            },
            method => Err(not_allowed(method, PAGE_METHODS)),
        }
    }

    fn log(&self, target: &str, method: &str, response: &Response<Descriptor>, started: Instant) {
        self.server.count_request();
        if !self.server.log {
            return;
        }
        let client = match &self.client {
            SocketAddress::Inet(address) => address.to_string(),
            _ => "-".to_owned(),
        };
        log::line(&format!(
            "{client} {method} {} {} {} {:.1}ms",
            target.escape_debug(),
            response.status.code(),
            response.length().unwrap_or(0),
            started.elapsed().as_secs_f64() * 1e3
        ));
    }
}

#[inline(never)]
fn parse(head: &[u8]) -> Result<Request, Trouble> {
    Ok(Request::parse(head)?)
}

/// A request about a tenant's file, with the tenant current.
fn respond_for(
    server: &Server,
    tenant: &Tenant,
    request: &Request,
    connection: &mut Connection<'_>,
    body: &mut Result<Body, Refusal>,
) -> Result<Response<Descriptor>, Trouble> {
    if request.method.is_write() {
        tenant.authorize(request)?;
    }
    let named = Named::of(&request.target.resource)?;
    match &request.method {
        Method::Get | Method::Head => file::read(request, &named),
        Method::Put if request.framing == Framing::Empty => {
            Err(Refusal::new(Status::LENGTH_REQUIRED, "PUT takes Content-Length, or chunks").into())
        }
        Method::Put => {
            let body = body.as_mut().map_err(|refusal| refusal.clone())?;
            upload::store(server, connection, request, body, tenant, &named)
        }
        Method::Delete => file::delete(tenant, &request.conditions, &named),
        Method::Options => Ok(Response::empty(Status::NO_CONTENT).with("Allow", tenant.methods())),
        method @ Method::Other(_) => Err(not_allowed(method, tenant.methods()).into()),
    }
}

fn not_allowed(method: &Method, methods: &'static str) -> Refusal {
    if !method.is_known() {
        return Refusal::new(Status::NOT_IMPLEMENTED, "this server does not know the method");
    }
    Refusal::new(Status::METHOD_NOT_ALLOWED, "this cannot be done here").with("Allow", methods)
}

fn timed_out() -> Refusal {
    Refusal::new(Status::REQUEST_TIMEOUT, "the request did not come in time")
}
