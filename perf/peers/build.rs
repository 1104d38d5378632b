//! Builds the part in C++ where boost.fiber is installed.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=cpp/boost.cc");
    let found =
        ["/usr/include", "/usr/local/include"].iter().any(|dir| Path::new(dir).join("boost/fiber/all.hpp").exists());
    if !found {
        println!("cargo::warning=boost.fiber is not installed (Debian: libboost-fiber-dev): left out");
        return;
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .define("NDEBUG", None)
        .file("cpp/boost.cc")
        .compile("peers_boost");
    println!("cargo::rustc-link-lib=boost_fiber");
    println!("cargo::rustc-link-lib=boost_context");
    println!("cargo::rustc-cfg=boost_fiber");
}
