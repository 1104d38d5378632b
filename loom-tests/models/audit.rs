//! The audit: which orderings no model needs. Such a one is too strong, or a model is missing.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::{
    Model, blocking, claim, ends, fds, guards, halt, herd, lwps, mux, newlwp, numbers, procs, segments, switch, tasks,
    wait,
};
use crate::sync::fault::{Fault, Half, Site, sites};

const MODELS: [Model; 64] = [
    segments::GROWTH,
    segments::INDICES,
    segments::LIMIT,
    claim::TWO,
    claim::THREE,
    claim::GO,
    claim::GIVE_UP,
    lwps::REUSE,
    lwps::WALK,
    procs::LOOKUP,
    procs::WALK,
    newlwp::NEWLWP,
    switch::SWITCH,
    switch::THREAD_END,
    tasks::TURNS,
    tasks::AWAY,
    tasks::ELSEWHERE,
    tasks::RELEASE,
    fds::CLOSE,
    fds::TWO_CLOSE,
    fds::REPLACE,
    fds::REPLACE_CLOSE,
    fds::OPEN,
    fds::OPEN_CLOSE,
    fds::OPEN_REPLACE,
    fds::FLAGS,
    fds::GROWTH,
    fds::COPY,
    fds::LATE,
    fds::LATE_REPLACE,
    numbers::TAKE,
    numbers::HINT,
    numbers::NUMBERS,
    ends::SHARE,
    ends::ALONE,
    ends::DETACH,
    ends::HANDLES,
    wait::PARK,
    wait::CHANGE,
    wait::KILL,
    wait::KILL_RELEASE,
    wait::FUTURE,
    wait::KILL_FUTURE,
    herd::TWO,
    herd::GIVE_UP,
    herd::AGAIN,
    herd::PIPE,
    herd::PIPE_AT_ONCE,
    halt::HALT,
    mux::INBOX,
    mux::STOP,
    mux::ENQUEUED,
    mux::CLOSE,
    mux::JOIN,
    guards::CHANGE,
    guards::OWN,
    blocking::MUTEX,
    blocking::LOCK_GIVEN_UP,
    blocking::CONDITION,
    blocking::CHANNEL,
    blocking::RENDEZVOUS,
    blocking::UNASKED,
    blocking::RECEIVE_GIVEN_UP,
    blocking::CLOSE,
];

/// What `one` is to break, and by which models to look at it: file, line, half, numbers of models.
const TASK: &str = "LWPROC_AUDIT";

#[test]
#[ignore = "takes minutes, and reports instead of judging"]
fn audit() {
    let mut users: BTreeMap<Site, Vec<usize>> = BTreeMap::new();
    for (number, model) in MODELS.iter().enumerate() {
        for site in sites(|| model.check()) {
            users.entry(site).or_default().push(number);
        }
    }
    let this = std::env::current_exe().expect("a test has a file");
    for (site, models) in users {
        let needs = models.iter().find(|number| {
            // A model that fails may take its process with it.
            let one = Command::new(&this)
                .args(["loom_models::audit::one", "--exact", "--ignored"])
                .env(TASK, format!("{},{},{:?},{number}", site.file, site.line, site.half))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            !one.expect("a test can be run again").success()
        });
        let needs = needs.map_or("NO MODEL NEEDS IT", |number| MODELS[*number].name);
        println!("{}:{} {:?}: {needs}", site.file, site.line, site.half);
    }
}

#[test]
#[ignore = "a part of the audit"]
fn one() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [file, line, half, number] = task.split(',').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let half = [Half::Release, Half::Acquire, Half::Fence].into_iter().find(|known| format!("{known:?}") == half);
    let site = Site { file: file.to_owned().leak(), line: line.parse().unwrap(), half: half.unwrap() };
    let _armed = Fault::Site(site).arm();
    MODELS[number.parse::<usize>().unwrap()].check();
}
