//! The host's compilers, and other tools that may be missing.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::library::{Linked, root};

/// A compiler, for one language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compiler {
    command: &'static str,
    options: &'static [&'static str],
}

impl Compiler {
    /// The one that rustc links with, so that it is there.
    pub(crate) const CC: Self = Self { command: "cc", options: &["-std=c99"] };
    /// With what is the host's and not C's, as people have it who say nothing.
    pub(crate) const GNU: Self = Self { command: "cc", options: &[] };
    pub(crate) const CXX: Self = Self { command: "g++", options: &["-x", "c++", "-std=c++17"] };
    pub(crate) const CLANG: Self = Self { command: "clang", options: &["-std=c99"] };
    pub(crate) const CLANGXX: Self = Self { command: "clang++", options: &["-x", "c++", "-std=c++17"] };

    pub(crate) fn is_installed(self) -> bool {
        is_installed(self.command)
    }

    pub(crate) fn command(self) -> Command {
        let mut command = Command::new(self.command);
        command.args(["-Wall", "-Wextra", "-Werror", "-pedantic"]).args(self.options).arg("-I").arg(include());
        command
    }

    /// Compiles a program and links it; gives where it is.
    ///
    /// # Errors
    /// What the compiler says.
    pub(crate) fn program(self, source: &Path, linked: Linked) -> Result<PathBuf, String> {
        let name = source.file_stem().and_then(OsStr::to_str).unwrap();
        let program = dir().join(format!("{name}-{}-{linked:?}", self.command));
        // `-x` is for sources alone: libraries come after `-x none`.
        let mut command = self.command();
        command.args(["-O1", "-g"]).arg(source).args(["-x", "none"]).arg("-o").arg(&program).args(linked.arguments());
        succeed(&mut command).map(|_| program)
    }
}

/// Whether a command is there; says so if it is not.
pub(crate) fn is_installed(command: &str) -> bool {
    let installed = Command::new(command).arg("--version").output().is_ok();
    if !installed {
        // Past what the test harness catches, which is seen only when a test fails.
        let _ = writeln!(std::io::stderr(), "{command} is not installed: what needs it is passed over");
    }
    installed
}

/// Runs a command that must succeed.
///
/// # Errors
/// What it printed, if it does not.
pub(crate) fn succeed(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?}: {}\n{out}{err}", output.status))
}

/// The headers.
pub(crate) fn include() -> PathBuf {
    root().join("include")
}

/// A directory for what is made here.
pub(crate) fn dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi-programs");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
