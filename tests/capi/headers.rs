//! The headers by themselves.

use std::fs;

use crate::compiler::{Compiler, dir, include, succeed};

/// Every header, as programs include it.
pub(crate) fn headers() -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![include()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "h") {
                found.push(path.strip_prefix(include()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// Each twice, and each before each other one.
fn orders() -> Vec<[String; 2]> {
    let headers = headers();
    headers.iter().flat_map(|first| headers.iter().map(move |second| [first.clone(), second.clone()])).collect()
}

#[test]
fn can_be_included_alone_and_in_any_order() {
    // Strict modes hide much of the host's own headers.
    const DIALECTS: [(Compiler, &[&str]); 8] = [
        (Compiler::CC, &["-Wstrict-prototypes"]),
        (Compiler::CC, &["-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64"]),
        (Compiler::CC, &["-std=gnu11", "-Wconversion"]),
        (Compiler::CXX, &["-Wconversion"]),
        (Compiler::CLANG, &["-Wstrict-prototypes"]),
        (Compiler::CLANG, &["-std=gnu11", "-Wconversion"]),
        (Compiler::CLANGXX, &["-Wconversion"]),
        (Compiler::CLANGXX, &["-std=gnu++20"]),
    ];
    let installed: Vec<_> = DIALECTS.into_iter().filter(|(compiler, _)| compiler.is_installed()).collect();
    for [first, second] in orders() {
        let source = dir().join("order.c");
        fs::write(&source, format!("#include <{first}>\n#include <{second}>\ntypedef int nothing;\n")).unwrap();
        for (compiler, options) in &installed {
            let mut command = compiler.command();
            succeed(command.args(*options).arg("-fsyntax-only").arg(&source)).unwrap();
        }
    }
}

#[test]
fn cost_nothing_but_names() {
    // Nothing in them is defined: two units that include all of them can be linked.
    let (one, other) = (dir().join("one.c"), dir().join("other.c"));
    let all: String = headers().iter().map(|header| format!("#include <{header}>\n")).collect();
    fs::write(&one, &all).unwrap();
    fs::write(&other, format!("{all}int main(void) {{ return 0; }}\n")).unwrap();
    let program = dir().join("units");
    succeed(Compiler::CC.command().arg(&one).arg(&other).arg("-o").arg(&program)).unwrap();
}
