//! The end of a process: what runs, in which order, in which context, and what a panic in it changes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use lwproc::local::{self, Inherit};
use lwproc::{Console, Errno, Fd, FdInherit, File, Kernel, OpenFlags, Pid, ProcOptions, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Runs a closure when it is dropped: as a file, at its last close; as a local, at the end of its process.
struct OnDrop<F: FnMut() + Send + Sync + 'static>(F);

impl<F: FnMut() + Send + Sync + 'static> File for OnDrop<F> {}

impl<F: FnMut() + Send + Sync + 'static> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn install(on_drop: impl FnMut() + Send + Sync + 'static) -> Fd {
    sys::install(OnDrop(on_drop), OpenFlags::RDWR).unwrap()
}

/// A key for a local: each type is one.
struct Local<const KEY: u8, F: FnMut() + Send + Sync + 'static>(OnDrop<F>);

fn set_local<const KEY: u8>(on_drop: impl FnMut() + Send + Sync + 'static) {
    local::set(Local::<KEY, _>(OnDrop(on_drop)), Inherit::drop());
}

fn panics(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    payload.downcast_ref::<&str>().map(|text| text.to_string()).expect("a text")
}

#[test]
fn descriptors_close_then_hooks_run_last_first_then_locals_drop_all_before_the_call_returns() {
    let (kernel, log) = (boot(), Log::default());
    kernel.rfork(FdInherit::Clean).unwrap();
    let pid = sys::getpid();
    let lwp = kernel.curlwp();
    let noted = |what: &'static str| {
        let (log, kernel) = (log.clone(), kernel.clone());
        move || {
            let attached = kernel.newlwp(pid);
            log.note(format!("{what}: pid {}, current {}, {attached:?}", sys::getpid(), kernel.curlwp() == lwp));
        }
    };
    install(noted("first file"));
    install(noted("second file"));
    set_local::<0>(noted("local"));
    let (first, second) = (noted("first hook"), noted("second hook"));
    local::on_exit(move |_| first());
    local::on_exit(move |ended| {
        assert_eq!(ended, pid);
        second();
    });
    kernel.releaselwp();
    let order = ["first file", "second file", "second hook", "first hook", "local"];
    assert_eq!(log.take(), order.map(|what| format!("{what}: pid 2, current true, Err(EBUSY)")));
    assert_eq!((kernel.newlwp(pid), kernel.curlwp(), kernel.usage().procs), (Err(Errno::ESRCH), None, 0));
}

#[test]
fn only_the_last_lwp_ends_the_process() {
    let (kernel, log) = (boot(), Log::default());
    let mut first = kernel.spawn(ProcOptions::new()).unwrap();
    let second = first.newlwp().unwrap();
    let closed = log.clone();
    first.enter(|| install(move || closed.note("closed")));
    drop(first);
    assert!(log.take().is_empty());
    drop(second);
    assert_eq!(log.take(), ["closed"]);
}

#[test]
fn a_panic_in_a_file_a_hook_or_a_local_goes_on_when_all_the_rest_is_done() {
    for culprit in 0..3 {
        let (kernel, log) = (boot(), Log::default());
        kernel.rfork(FdInherit::Clean).unwrap();
        let noted = |index: u8, what: &'static str| {
            let log = log.clone();
            move || {
                log.note(what);
                assert!(index != culprit, "as it was told");
            }
        };
        install(noted(0, "file"));
        install(noted(9, "other file"));
        set_local::<0>(noted(2, "local"));
        set_local::<1>(noted(9, "other local"));
        let (hook, other) = (noted(1, "hook"), noted(9, "other hook"));
        local::on_exit(move |_| other());
        local::on_exit(move |_| hook());
        assert_eq!(panics(|| kernel.releaselwp()), "as it was told");
        assert_eq!(log.take(), ["file", "other file", "hook", "other hook", "local", "other local"]);
        assert_eq!((kernel.curlwp(), kernel.usage().procs, kernel.usage().lwps), (None, 0, 0));
    }
}

#[test]
fn of_many_panics_the_first_goes_on() {
    let kernel = boot();
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let mut lwp = lwp;
    lwp.enter(|| {
        install(|| panic!("first"));
        install(|| panic!("second"));
        local::on_exit(|_| panic!("third"));
        local::on_exit(|_| std::panic::panic_any(OnDrop(|| panic!("a payload's"))));
        set_local::<0>(|| panic!("fourth"));
        set_local::<1>(|| panic!("fifth"));
    });
    assert_eq!(panics(|| drop(lwp)), "first");
    assert_eq!(kernel.usage().procs, 0);
}

#[test]
fn a_process_that_ends_while_its_thread_panics_adds_no_panic_to_that() {
    let kernel = boot();
    let mut lwp = kernel.spawn(ProcOptions::new()).unwrap();
    lwp.enter(|| install(|| panic!("in a file")));
    let text = panics(|| {
        let _lwp = lwp;
        panic!("outside");
    });
    assert_eq!((text.as_str(), kernel.usage().procs), ("outside", 0));
}

#[test]
fn what_hooks_open_and_set_goes_with_the_process() {
    let (kernel, log) = (boot(), Log::default());
    kernel.rfork(FdInherit::Clean).unwrap();
    let later = log.clone();
    local::on_exit(move |_| {
        let (file, value, hook) = (later.clone(), later.clone(), later.clone());
        install(move || file.note("file of the hook"));
        set_local::<0>(move || value.note("local of the hook"));
        local::on_exit(move |_| hook.note("hook of the hook"));
    });
    kernel.releaselwp();
    assert_eq!(log.take(), ["hook of the hook", "file of the hook", "local of the hook"]);
}

/// Its memory is freed when nobody looks at it, by whatever thread comes by: the embedder's drops must not be in it.
#[test]
fn what_drops_leave_in_a_dying_process_is_dropped_before_the_call_returns() {
    let (kernel, log) = (boot(), Log::default());
    kernel.rfork(FdInherit::Clean).unwrap();
    install(|| {});
    let reopened = log.clone();
    // The closing walk is past number 0 when this one takes it.
    install(move || {
        let again = reopened.clone();
        assert_eq!(install(move || again.note("file of a file")), 0);
    });
    kernel.releaselwp();
    assert_eq!(log.take(), ["file of a file"]);

    kernel.rfork(FdInherit::Clean).unwrap();
    let noted = log.clone();
    set_local::<0>(move || {
        let (value, hook, file) = (
            noted.clone(),
            OnDrop({
                let noted = noted.clone();
                move || noted.note("hook of a local, dropped")
            }),
            noted.clone(),
        );
        set_local::<1>(move || value.note("local of a local"));
        local::on_exit(move |_| drop(hook));
        install(move || file.note("file of a local"));
    });
    kernel.releaselwp();
    assert_eq!(log.take(), ["hook of a local, dropped", "file of a local", "local of a local"]);
}

#[test]
fn a_shared_table_stays_open_until_its_last_process_ends() {
    let (kernel, log) = (boot(), Log::default());
    kernel.rfork(FdInherit::Clean).unwrap();
    let parent = kernel.curlwp();
    let closed = log.clone();
    let fd = install(move || closed.note(format!("closed in pid {}", sys::getpid())));
    kernel.rfork(FdInherit::Share).unwrap();
    let child = kernel.curlwp();
    kernel.switch(parent);
    kernel.releaselwp();
    assert!(log.take().is_empty());
    kernel.switch(child);
    assert_eq!(sys::dup(fd), Ok(1));
    kernel.releaselwp();
    assert_eq!(log.take(), ["closed in pid 3"]);
}

#[test]
fn code_that_runs_at_the_end_may_make_any_call() {
    let (kernel, log) = (boot(), Log::default());
    let other = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let everything = {
        let (kernel, other, log) = (kernel.clone(), other.clone(), log.clone());
        move || {
            let mut lwp = kernel.spawn(ProcOptions::new().name("made at the end")).unwrap();
            assert_eq!(lwp.enter(sys::procname), "made at the end");
            drop(lwp);
            let own = kernel.curlwp();
            kernel.rfork(FdInherit::Copy).unwrap();
            kernel.releaselwp();
            other.rfork(FdInherit::Clean).unwrap();
            other.releaselwp();
            other.enter(|| assert_eq!(sys::getpid(), Pid::INIT));
            kernel.switch(own);
            assert_eq!(kernel.ps().iter().count(), 3);
            log.note("done");
        }
    };
    install(everything.clone());
    set_local::<0>(everything.clone());
    local::on_exit(move |_| everything());
    kernel.releaselwp();
    assert_eq!(log.take(), ["done"; 3]);
    assert_eq!((kernel.usage().procs, other.usage().procs), (0, 0));
}

#[test]
fn rfork_shares_clones_or_drops_each_local_as_its_rule_says() {
    #[derive(Clone, Debug, PartialEq)]
    struct Cloned(Arc<()>);
    struct Shared(Arc<()>);
    struct Dropped;
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let counted = Arc::new(());
    local::set(Cloned(Arc::clone(&counted)), Inherit::clone());
    local::set(Shared(Arc::clone(&counted)), Inherit::share());
    local::set(Dropped, Inherit::drop());
    let parent = kernel.curlwp();
    kernel.rfork(FdInherit::Clean).unwrap();
    assert_eq!(Arc::strong_count(&counted), 4);
    assert!(local::get::<Cloned>().is_some() && local::get::<Shared>().is_some() && local::get::<Dropped>().is_none());
    assert!(local::remove::<Cloned>() && !local::remove::<Cloned>());
    assert!(local::get::<Cloned>().is_none());
    kernel.releaselwp();
    kernel.switch(parent);
    assert_eq!(*local::get::<Cloned>().unwrap(), Cloned(Arc::clone(&counted)));
    let held = local::get::<Shared>().unwrap();
    kernel.releaselwp();
    assert_eq!(Arc::strong_count(&held.0), 3, "held, the values outlive the process");
    drop(held);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn a_clone_on_rfork_may_make_any_call_and_its_panic_leaves_the_context_as_it_was() {
    struct Clones(Arc<dyn Fn() + Send + Sync>);
    impl Clone for Clones {
        fn clone(&self) -> Self {
            (self.0)();
            Self(Arc::clone(&self.0))
        }
    }
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let lwp = kernel.curlwp();
    local::set(Clones(Arc::new(|| panic!("a clone's"))), Inherit::clone());
    assert_eq!(panics(|| kernel.rfork(FdInherit::Copy).unwrap()), "a clone's");
    assert_eq!((kernel.curlwp(), kernel.usage().procs), (lwp, 1));

    // Its parent ends while it is being born: then it is pid 1's.
    let ends = kernel.clone();
    local::set(Clones(Arc::new(move || ends.releaselwp())), Inherit::clone());
    kernel.rfork(FdInherit::Share).unwrap();
    assert_eq!((sys::getppid(), kernel.usage().procs), (Pid::INIT, 1));
    kernel.releaselwp();
    assert_eq!(kernel.usage().procs, 0);
}
