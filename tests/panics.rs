//! Panics of the embedder's in the midst of what changes or ends: each is caught where it occurs, and what must be done is
//! done in spite of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lwproc::local::{self, Inherit};
use lwproc::{Console, Errno, FdInherit, File, Kernel, OpenFlags, ProcOptions, Resource, Rlimit, sys};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// Panics when it is dropped, and counts that.
struct Panics(Arc<AtomicUsize>);

impl File for Panics {}

impl Drop for Panics {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("dropped");
    }
}

/// The same as a local of another type, of which there is one for each number.
struct Numbered<const N: u8>(#[expect(dead_code, reason = "held for its drop")] Panics);

fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn a_file_whose_drop_panics_is_replaced_and_closed_all_the_same() {
    let (kernel, dropped) = (boot(), Arc::new(AtomicUsize::new(0)));
    kernel.enter(|| {
        let [one, two] = [(); 2].map(|()| sys::install(Panics(Arc::clone(&dropped)), OpenFlags::RDWR).unwrap());
        assert!(panics(|| sys::dup2(0, one)));
        assert_eq!((dropped.load(Ordering::Relaxed), sys::dup2(one, one)), (1, Ok(one)));
        assert!(panics(|| sys::close(two)));
        assert_eq!((dropped.load(Ordering::Relaxed), sys::close(two)), (2, Err(Errno::EBADF)));
        assert_eq!(sys::dup(0), Ok(two));
    });
}

#[test]
fn values_that_panic_together_are_dropped_each() {
    let (kernel, dropped) = (boot(), Arc::new(AtomicUsize::new(0)));
    kernel.enter(|| {
        fn set<const N: u8>(dropped: &Arc<AtomicUsize>) {
            local::set(Numbered::<N>(Panics(Arc::clone(dropped))), Inherit::drop());
        }
        set::<0>(&dropped);
        set::<1>(&dropped);
        // It keeps the values that there were, both of which go with it.
        let held = local::get::<Numbered<0>>().unwrap();
        assert!(local::remove::<Numbered<0>>() && local::remove::<Numbered<1>>());
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        assert!(panics(|| drop(held)));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_clone_that_panics_in_rfork_leaves_nothing_counted() {
    struct Clones<const N: u8>(Arc<AtomicUsize>, bool);
    impl<const N: u8> Clone for Clones<N> {
        fn clone(&self) -> Self {
            assert!(N == 0, "a clone's");
            Self(Arc::clone(&self.0), true)
        }
    }
    impl<const N: u8> Drop for Clones<N> {
        fn drop(&mut self) {
            if self.1 {
                self.0.fetch_add(1, Ordering::Relaxed);
                panic!("the drop of a clone that came before");
            }
        }
    }
    let kernel = boot();
    let dropped = Arc::new(AtomicUsize::new(0));
    let options = ProcOptions::new().uid(7).limit(Resource::NProc, Rlimit::both(2));
    let mut parent = kernel.spawn(options).unwrap();
    parent.enter(|| {
        let file = Arc::new(());
        struct Open(#[expect(dead_code, reason = "held")] Arc<()>);
        impl File for Open {}
        sys::install(Open(Arc::clone(&file)), OpenFlags::RDWR).unwrap();
        local::set(Clones::<0>(Arc::clone(&dropped), false), Inherit::clone());
        local::set(Clones::<1>(Arc::clone(&dropped), false), Inherit::clone());
        for fds in [FdInherit::Share, FdInherit::Copy, FdInherit::Clean] {
            assert!(panics(|| kernel.rfork(fds)));
            assert!(panics(|| drop(kernel.spawn(ProcOptions::new().fds(fds)))));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 6);
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (1, 1));
        assert!(local::remove::<Clones<1>>() && local::remove::<Clones<0>>());
        // The user has one process, so there is room for one more and no other.
        let own = kernel.curlwp();
        kernel.rfork(FdInherit::Share).unwrap();
        assert_eq!(kernel.rfork(FdInherit::Share), Err(Errno::EAGAIN));
        kernel.releaselwp();
        kernel.switch(own);
        // And the table one user: it is closed with this process.
        local::on_exit(move |_| assert_eq!(Arc::strong_count(&file), 1));
    });
    drop(parent);
    assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
}

#[test]
fn a_spawn_that_fails_drops_values_and_hooks_each_and_runs_none() {
    let kernel = boot();
    let dropped = Arc::new(AtomicUsize::new(0));
    for path in ["/none", "/dev/null"] {
        let mut options = ProcOptions::new().cwd(path);
        options = options.local(Numbered::<0>(Panics(Arc::clone(&dropped))), Inherit::drop());
        options = options.local(Numbered::<1>(Panics(Arc::clone(&dropped))), Inherit::drop());
        for _ in 0..2 {
            let held = Panics(Arc::clone(&dropped));
            options = options.on_exit(move |_| {
                let _held = held;
                unreachable!("the process never was");
            });
        }
        assert!(panics(|| drop(kernel.spawn(options))));
    }
    assert_eq!((dropped.load(Ordering::Relaxed), kernel.usage().procs, kernel.usage().lwps), (8, 0, 0));
}
