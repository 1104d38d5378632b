//! The programs of `tests/c/`: each is a set of cases, and fails if one of them does.

use std::path::PathBuf;
use std::process::Command;

use crate::compiler::{Compiler, is_installed, succeed};
use crate::library::{Linked, root};

/// The programs with that extension: `c` for those that are C99 and C++17 both, `cpp` for those that are C++17 alone.
fn sources(extension: &str) -> Vec<PathBuf> {
    let found = std::fs::read_dir(root().join("tests/c")).unwrap().map(|entry| entry.unwrap().path());
    let mut sources: Vec<_> = found.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    sources.sort();
    assert!(!sources.is_empty());
    sources
}

fn run_all(compiler: Compiler, linked: Linked, extensions: &[&str], run: impl Fn(PathBuf) -> Command) {
    if !compiler.is_installed() {
        return;
    }
    let run = |source: PathBuf| succeed(&mut run(compiler.program(&source, linked)?));
    let failures: Vec<_> =
        extensions.iter().flat_map(|extension| sources(extension)).filter_map(|source| run(source).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn in_c_linked_statically() {
    run_all(Compiler::CC, Linked::Static, &["c"], Command::new);
}

#[test]
fn in_c_with_the_shared_library() {
    run_all(Compiler::CC, Linked::Shared, &["c"], Command::new);
}

#[test]
fn in_cxx() {
    run_all(Compiler::CXX, Linked::Shared, &["c", "cpp"], Command::new);
}

#[test]
fn in_cxx_linked_statically() {
    run_all(Compiler::CXX, Linked::Static, &["cpp"], Command::new);
}

#[test]
fn in_c_by_clang() {
    run_all(Compiler::CLANG, Linked::Shared, &["c"], Command::new);
}

#[test]
fn in_cxx_by_clang() {
    run_all(Compiler::CLANGXX, Linked::Shared, &["c", "cpp"], Command::new);
}

/// Under valgrind, which reports what is read before it is written or beyond its end, and what is lost. What a pointer into
/// the middle leads to is not lost: Rust's maps and shared values are held by such.
fn watched(program: PathBuf) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["-q", "--error-exitcode=9", "--leak-check=full", "--track-fds=no"])
        .args(["--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"])
        .arg(program)
        // Who aborts has not ended what it had.
        .arg("survivors");
    command
}

#[test]
#[ignore = "takes a minute: cargo test --test capi -- --include-ignored"]
fn under_valgrind_linked_statically() {
    if is_installed("valgrind") {
        run_all(Compiler::CC, Linked::Static, &["c"], watched);
    }
}

#[test]
#[ignore = "takes a minute: cargo test --test capi -- --include-ignored"]
fn under_valgrind_with_the_shared_library() {
    if is_installed("valgrind") {
        run_all(Compiler::CC, Linked::Shared, &["c"], watched);
    }
}
