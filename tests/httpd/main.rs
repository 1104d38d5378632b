//! The example server `examples/httpd`, as its clients see it: here with a fiber per connection, which is its default.
//! `tests/httpd-threads` runs the same with a thread per connection.
//!
//! The program itself is the one that cargo built: `cargo test` builds the examples, `cargo test --test httpd` does not.

mod client;
mod isolation;
mod lifecycle;
mod many;
mod protocol;
mod readers;
mod reading;
mod resets;
mod served;
mod writing;

/// The arguments that every server here gets.
const FORM: &[&str] = &[];
/// What makes it serve one connection at a time.
const ONE_AT_A_TIME: &[&str] = &["--connections", "1"];

/// The server's own unit tests: cargo runs those of an example only where it does not build the example itself.
#[path = "../../examples/httpd/main.rs"]
#[expect(dead_code, reason = "main and what only main uses")]
mod units;
