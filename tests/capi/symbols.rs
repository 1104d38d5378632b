//! What the shared library exports: what the headers declare, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::compiler::{Compiler, dir, is_installed, succeed};
use crate::headers::headers;
use crate::library;

/// The functions that the headers declare: what comes before a parenthesis once the compiler has taken comments and macros
/// away.
fn declared() -> BTreeSet<String> {
    let source = dir().join("all.c");
    let all: String = headers().iter().map(|header| format!("#include <{header}>\n")).collect();
    fs::write(&source, all).unwrap();
    let output = succeed(Compiler::CC.command().args(["-E", "-P"]).arg(&source)).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let before = text.match_indices('(').map(|(at, _)| text[..at].trim_end());
    let names = before.map(|text| text.rsplit(|c: char| !is_name(c)).next().unwrap_or_default());
    names.filter(|name| name.starts_with("rump_") || name.starts_with("lwproc_")).map(str::to_owned).collect()
}

#[test]
fn are_those_of_the_headers() {
    if !is_installed("nm") {
        return;
    }
    let library = library::dir().join("liblwproc.so");
    let output = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(library)).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<_> = text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    let declared = declared();
    assert!(declared.contains("rump_pub_lwproc_rfork") && declared.contains("rump_sys_open"), "{declared:?}");
    let missing: Vec<_> = declared.difference(&exported).collect();
    let surplus: Vec<_> = exported.difference(&declared).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "not exported: {missing:?}; not declared: {surplus:?}");
}
