//! The example server `examples/httpd`, as its clients see it.
//!
//! The program itself is the one that cargo built: `cargo test` builds the examples, `cargo test --test httpd` does not.

mod client;
mod isolation;
mod lifecycle;
mod protocol;
mod reading;
mod served;
mod writing;

/// The server's own unit tests: cargo runs those of an example only where it does not build the example itself.
#[path = "../../examples/httpd/main.rs"]
#[expect(dead_code, reason = "main and what only main uses")]
mod units;
