//! What `tests/httpd` asks of the example server, asked of it with a thread per connection.

#[path = "../httpd/client.rs"]
mod client;
#[path = "../httpd/isolation.rs"]
mod isolation;
#[path = "../httpd/lifecycle.rs"]
mod lifecycle;
#[path = "../httpd/protocol.rs"]
mod protocol;
#[path = "../httpd/readers.rs"]
mod readers;
#[path = "../httpd/reading.rs"]
mod reading;
#[path = "../httpd/resets.rs"]
mod resets;
#[path = "../httpd/served.rs"]
mod served;
#[path = "../httpd/writing.rs"]
mod writing;

/// The arguments that every server here gets.
const FORM: &[&str] = &["--per-connection", "thread"];
/// What makes it serve one connection at a time.
const ONE_AT_A_TIME: &[&str] = &["--threads", "1"];
