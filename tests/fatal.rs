//! Fatal errors: each in a host process of its own, which must abort and say who did what; and through a hook that panics,
//! which must leave the caller's context as it was.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use lwproc::local;
use lwproc::{
    Console, Fatal, FatalKind, FdInherit, File, Kernel, LwpId, OpenFlags, Pid, ProcOptions, SwitchError, sys,
};

const SIGABRT: i32 = 6;

/// What the host calls the calling thread.
fn host_thread() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// A misuse: sets the stage, says who is current, and commits it.
type Misuse = fn(&Kernel, Stage<'_>);
/// Called when the stage is set, right before the misuse, with the lwp that is meant.
type Stage<'s> = &'s dyn Fn(Option<LwpId>);

/// Every misuse, what the report says of it, and whether a dedicated lwp is current then.
const MISUSES: [(&str, Misuse, &str, bool); 12] = [
    ("release_nothing", release_nothing, "releaselwp without a dedicated lwp", false),
    ("release_twice", release_twice, "releaselwp without a dedicated lwp", false),
    ("release_in_another_kernel", release_in_another_kernel, "releaselwp without a dedicated lwp", true),
    ("switch_to_current", switch_to_current, "already running, in pid 2, on host thread", true),
    ("switch_to_running", switch_to_running, "already running, in pid 3, on host thread", true),
    ("switch_to_one_put_aside", switch_to_one_put_aside, "already running, in pid 2, on host thread", false),
    ("switch_to_released", switch_to_released, "no such lwp", true),
    ("switch_to_invented", switch_to_invented, "no such lwp", true),
    ("switch_to_foreign", switch_to_foreign, "the lwp is another kernel's", true),
    ("enter_released", enter_released, "no such lwp", false),
    ("enter_one_that_runs", enter_one_that_runs, "already running, in pid 2, on host thread", false),
    ("release_while_ending", release_while_ending, "releaselwp by a lwp that is being released", true),
];

fn release_nothing(kernel: &Kernel, stage: Stage<'_>) {
    kernel.enter(|| {
        stage(None);
        kernel.releaselwp();
    });
}

fn release_twice(kernel: &Kernel, stage: Stage<'_>) {
    kernel.rfork(FdInherit::Clean).unwrap();
    kernel.releaselwp();
    stage(None);
    kernel.releaselwp();
}

fn release_in_another_kernel(kernel: &Kernel, stage: Stage<'_>) {
    let other = Kernel::builder().console(Console::null()).boot().unwrap();
    other.rfork(FdInherit::Clean).unwrap();
    stage(None);
    kernel.releaselwp();
}

fn switch_to_current(kernel: &Kernel, stage: Stage<'_>) {
    kernel.rfork(FdInherit::Clean).unwrap();
    let current = kernel.curlwp();
    stage(current);
    kernel.switch(current);
}

fn switch_to_running(kernel: &Kernel, stage: Stage<'_>) {
    kernel.rfork(FdInherit::Clean).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            kernel.rfork(FdInherit::Clean).unwrap();
            tell.send(kernel.curlwp()).unwrap();
            // Runs until the other thread is done, whatever that comes to.
            let _ = ended.recv();
        });
        let _end = end;
        let running = told.recv().unwrap();
        stage(running);
        kernel.switch(running);
    });
}

fn switch_to_one_put_aside(kernel: &Kernel, stage: Stage<'_>) {
    kernel.rfork(FdInherit::Clean).unwrap();
    let aside = kernel.curlwp();
    kernel.enter(|| {
        stage(aside);
        kernel.switch(aside);
    });
}

fn switch_to_released(kernel: &Kernel, stage: Stage<'_>) {
    kernel.rfork(FdInherit::Clean).unwrap();
    let released = kernel.curlwp();
    kernel.releaselwp();
    // In the same slot or not: another one.
    kernel.rfork(FdInherit::Clean).unwrap();
    stage(released);
    kernel.switch(released);
}

fn switch_to_invented(kernel: &Kernel, stage: Stage<'_>) {
    kernel.rfork(FdInherit::Clean).unwrap();
    let invented = Some(LwpId::from_raw(kernel.id(), 0xdead_beef_dead_beef));
    stage(invented);
    kernel.switch(invented);
}

fn switch_to_foreign(kernel: &Kernel, stage: Stage<'_>) {
    let other = Kernel::builder().console(Console::null()).boot().unwrap();
    let lwp = other.spawn(ProcOptions::new()).unwrap();
    kernel.rfork(FdInherit::Clean).unwrap();
    stage(Some(lwp.id()));
    kernel.switch(Some(lwp.id()));
}

fn enter_released(kernel: &Kernel, stage: Stage<'_>) {
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    kernel.switch(Some(lwp.id()));
    kernel.releaselwp();
    stage(Some(lwp.id()));
    lwp.enter(|| unreachable!("a released lwp was entered"));
}

fn enter_one_that_runs(kernel: &Kernel, stage: Stage<'_>) {
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let id = lwp.id();
    kernel.switch(Some(id));
    kernel.enter(|| {
        stage(Some(id));
        lwp.enter(|| unreachable!("a lwp that runs was entered"));
    });
}

struct Releases(Kernel);

impl File for Releases {}

impl Drop for Releases {
    fn drop(&mut self) {
        self.0.releaselwp();
    }
}

fn release_while_ending(kernel: &Kernel, stage: Stage<'_>) {
    kernel.rfork(FdInherit::Clean).unwrap();
    let current = kernel.curlwp();
    sys::install(Releases(kernel.clone()), OpenFlags::RDWR).unwrap();
    stage(current);
    kernel.releaselwp();
}

/// Not a test of its own: what the child processes of the next one run.
#[test]
fn misuse() {
    let Ok(name) = std::env::var("LWPROC_MISUSE") else { return };
    let (.., misuse, _, _) = MISUSES.into_iter().find(|(known, ..)| *known == name).unwrap();
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    misuse(&kernel, &|meant| {
        let current = kernel.curlwp().map(|lwp| format!("in lwp {lwp} of pid {}", sys::getpid()));
        eprintln!("kernel {}, host thread {}", kernel.id(), host_thread());
        eprintln!("{}", current.unwrap_or_default());
        eprintln!("{}", meant.map(|lwp| format!("{lwp:?}")).unwrap_or_default());
    });
    println!("it went on");
}

#[test]
fn each_misuse_aborts_the_host_process_and_names_process_lwp_and_host_thread() {
    for (name, _, what, dedicated) in MISUSES {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "misuse", "--nocapture"])
            .env("LWPROC_MISUSE", name)
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&child.stderr).into_owned();
        assert_eq!(child.status.signal(), Some(SIGABRT), "{name}: {} {report}", child.status);
        assert!(!String::from_utf8_lossy(&child.stdout).contains("it went on"), "{name}");
        let mut lines = report.lines();
        let [at, current, meant] = std::array::from_fn(|_| lines.next().unwrap().to_owned());
        let fatal = lines.next().unwrap_or_else(|| panic!("{name}: no report"));
        assert!(fatal.starts_with("lwproc: fatal: ") && fatal.contains(what), "{name}: {fatal}");
        assert!(fatal.contains(&at), "{name}: {fatal} does not say {at}");
        match (dedicated, name) {
            (true, "release_in_another_kernel") => assert!(fatal.contains("of pid 2)"), "{name}: {fatal}"),
            (true, _) => assert!(fatal.contains(&current) && !current.is_empty(), "{name}: {fatal}"),
            (false, _) => assert!(fatal.contains("in an implicit context"), "{name}: {fatal}"),
        }
        if fatal.contains("switch to") {
            assert!(fatal.contains(&meant) && !meant.is_empty(), "{name}: {fatal} does not say {meant}");
        }
        if what.contains("host thread") && name != "switch_to_running" {
            let at = at.rsplit(' ').next().unwrap().to_owned();
            assert!(fatal.contains(&format!("{what} {at}")), "{name}: {fatal} does not say that {at} runs it");
        }
    }
}

/// A kernel whose fatal errors are panics, and what they said.
fn forgiving() -> (Kernel, Arc<Mutex<Vec<Fatal>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let hook = move |fatal: &Fatal| {
        noted.lock().unwrap().push(fatal.clone());
        panic!("{fatal}");
    };
    (Kernel::builder().console(Console::null()).on_fatal(hook).boot().unwrap(), seen)
}

#[test]
fn where_the_hook_panics_the_context_is_as_it_was_and_all_goes_on() {
    for (name, misuse, what, _) in MISUSES {
        let (kernel, seen) = forgiving();
        thread::scope(|scope| {
            let kernel = &kernel;
            scope.spawn(move || {
                let before = Mutex::new(None);
                let misused = catch_unwind(AssertUnwindSafe(|| {
                    misuse(kernel, &|_| *before.lock().unwrap() = Some((kernel.curlwp(), sys::getpid())));
                }));
                assert!(misused.is_err(), "{name}");
                let (lwp, pid) = before.into_inner().unwrap().unwrap();
                let nested = ["release_nothing", "switch_to_one_put_aside"].contains(&name);
                if name == "release_while_ending" {
                    assert_eq!((kernel.curlwp(), sys::getpid(), kernel.usage().procs), (None, Pid::INIT, 0), "ended");
                } else if !nested {
                    assert_eq!((kernel.curlwp(), sys::getpid()), (lwp, pid), "{name}");
                }
                // Nothing is stuck: what is current can be let go of and run again.
                if let Some(lwp) = kernel.curlwp() {
                    kernel.switch(None);
                    kernel.switch(Some(lwp));
                    kernel.releaselwp();
                }
            });
        });
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "{name}");
        assert!(seen[0].to_string().contains(what), "{name}: {}", seen[0]);
        assert_eq!(seen[0].kernel, kernel.id());
    }
}

#[test]
fn a_report_has_the_facts_in_its_fields() {
    let (kernel, seen) = forgiving();
    kernel.rfork(FdInherit::Clean).unwrap();
    let lwp = kernel.curlwp().unwrap();
    catch_unwind(AssertUnwindSafe(|| kernel.switch(Some(lwp)))).unwrap_err();
    let fatal = seen.lock().unwrap().pop().unwrap();
    let pid = Pid::from_raw(2);
    assert_eq!(fatal.current, Some((pid, lwp)));
    assert_eq!(fatal.host, host_thread());
    let error = SwitchError::Running { pid, host: host_thread() };
    assert_eq!(fatal.kind, FatalKind::Switch { to: lwp, error });
    kernel.releaselwp();
}

#[test]
fn leaving_a_lwp_that_is_being_released_is_fatal_and_coming_back_is_not() {
    let (kernel, seen) = forgiving();
    let there_and_back = kernel.clone();
    kernel.rfork(FdInherit::Clean).unwrap();
    local::on_exit(move |_| {
        let own = there_and_back.curlwp();
        there_and_back.switch(None);
        there_and_back.switch(own);
    });
    kernel.releaselwp();
    assert!(seen.lock().unwrap().is_empty());

    let leaves = kernel.clone();
    kernel.rfork(FdInherit::Clean).unwrap();
    let lost = kernel.curlwp();
    local::on_exit(move |_| leaves.switch(None));
    catch_unwind(AssertUnwindSafe(|| kernel.releaselwp())).unwrap_err();
    assert_eq!(seen.lock().unwrap().pop().unwrap().kind, FatalKind::LeftWhileEnding);
    // It is dead, though it can be switched to: nothing but letting go is left.
    kernel.switch(lost);
    catch_unwind(AssertUnwindSafe(|| kernel.releaselwp())).unwrap_err();
    assert_eq!(seen.lock().unwrap().pop().unwrap().kind, FatalKind::AlreadyEnding);
    assert_eq!(kernel.newlwp(Pid::from_raw(3)), Err(lwproc::Errno::ESRCH));
    kernel.switch(None);
    // The kernel halts over it.
    drop(kernel);
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn every_invented_id_is_told_from_a_living_one() {
    let kernel = Kernel::builder().console(Console::null()).boot().unwrap();
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let raw = lwp.id().raw();
    assert_eq!(LwpId::from_raw(kernel.id(), raw), lwp.id());
    for bit in 0..64 {
        let invented = LwpId::from_raw(kernel.id(), raw ^ 1 << bit);
        assert_eq!(kernel.try_switch(Some(invented)), Err(SwitchError::Stale), "{invented:?}");
    }
    for raw in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 0xff_ffff] {
        let invented = LwpId::from_raw(kernel.id(), raw);
        assert_eq!(kernel.try_switch(Some(invented)), Err(SwitchError::Stale), "{invented:?}");
    }
    let elsewhere = LwpId::from_raw(kernel.id().checked_add(1).unwrap(), raw);
    assert_eq!(kernel.try_switch(Some(elsewhere)), Err(SwitchError::Foreign));
    assert_eq!(kernel.curlwp(), None);
}
