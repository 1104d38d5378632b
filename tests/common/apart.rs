//! Tests that end their host process, or count what all of it has.

use std::process::{Command, Output};

/// Runs `body` in a host process of its own and gives what came of it; `None` there. `test` is the calling test's path.
pub(crate) fn apart(test: &str, body: impl FnOnce()) -> Option<Output> {
    const APART: &str = "LWPROC_APART";
    const BEGUN: &str = "apart: begun";
    if std::env::var(APART).is_ok_and(|now| now == test) {
        println!("{BEGUN}");
        body();
        return None;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(APART, test)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&child.stdout).contains(BEGUN), "{test} is not the test's path: {child:?}");
    Some(child)
}
