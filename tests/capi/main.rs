//! The C interface, as C and C++ programs see it: they are compiled against `include/`, linked with the library as a static
//! and as a shared one, and run.
//!
//! What needs a tool that is not installed says so on standard error and is passed over. Under valgrind it takes minutes:
//! `cargo test --test capi -- --include-ignored`.

#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod compiler;
mod guide;
mod headers;
mod library;
mod programs;
mod symbols;
