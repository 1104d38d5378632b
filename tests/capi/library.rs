//! The libraries that programs are linked with, as cargo builds them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How a program is linked with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Linked {
    Static,
    Shared,
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where both libraries are; built by the first who asks.
pub(crate) fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        // Not the directory that this test was built in: another cargo may work there.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
        let cargo = Command::new(env!("CARGO"))
            .args(["rustc", "--locked", "--lib", "--features", "capi", "--crate-type", "staticlib,cdylib"])
            .arg("--target-dir")
            .arg(&target)
            // Enough for valgrind, and half as large.
            .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
            .current_dir(root())
            .output()
            .unwrap();
        assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
        target.join("debug")
    })
}

impl Linked {
    /// What comes last on the linker's command line, as `include/README.md` says.
    pub(crate) fn arguments(self) -> Vec<String> {
        let dir = dir().display();
        match self {
            Self::Static => vec![format!("{dir}/liblwproc.a"), "-lpthread".into(), "-ldl".into(), "-lm".into()],
            Self::Shared => {
                vec![format!("-L{dir}"), "-llwproc".into(), format!("-Wl,-rpath,{dir}"), "-lpthread".into()]
            }
        }
    }
}
