//! What safe programs may do to a multiplexer, in any order: nothing that was released is ever current, no panic ends
//! another's task, and what is killed or cancelled ends.
//!
//! Each runs in a host process of its own, since what goes wrong here may abort, or hang.

mod held;
mod killed;
mod panics;

use std::any::type_name_of_val;
use std::thread;
use std::time::Duration;

use crate::apart::apart;

/// Runs `body`, a closure of the calling test, in a host process of its own, which ends even where that hangs.
fn bounded(body: impl FnOnce()) {
    let closure = type_name_of_val(&body);
    let test = closure.trim_start_matches("mux::").trim_end_matches("::{{closure}}");
    let watched = || {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(60));
            eprintln!("it hangs");
            std::process::exit(1);
        });
        body();
    };
    let Some(child) = apart(test, watched) else { return };
    let (said, reported) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{}\n{said}\n{reported}", child.status);
}
