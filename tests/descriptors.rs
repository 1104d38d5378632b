//! Descriptors across processes, and what a close may do. Their numbers: see `fd_model.rs`.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lwproc::sys::{self, Fcntl};
use lwproc::{Console, Errno, Fd, FdFlags, FdInherit, File, Kernel, OpenFlags, ProcOptions};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

/// Runs a closure at its last close.
struct OnClose<F: FnMut() + Send + Sync + 'static>(F);

impl<F: FnMut() + Send + Sync + 'static> File for OnClose<F> {}

impl<F: FnMut() + Send + Sync + 'static> Drop for OnClose<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn install(on_close: impl FnMut() + Send + Sync + 'static) -> Fd {
    sys::install(OnClose(on_close), OpenFlags::RDWR).unwrap()
}

/// A descriptor, and how often its file has closed.
fn counted() -> (Fd, Arc<AtomicUsize>) {
    let closes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closes);
    (install(move || _ = count.fetch_add(1, Ordering::Relaxed)), closes)
}

#[test]
fn numbers_that_are_not_open_are_ebadf_everywhere() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let (open, _) = counted();
    sys::close(open).unwrap();
    for fd in [-1, i32::MIN, i32::MAX, open, 15, 16, 100_000] {
        assert_eq!(sys::close(fd), Err(Errno::EBADF), "{fd}");
        assert_eq!(sys::dup(fd), Err(Errno::EBADF), "{fd}");
        assert_eq!(sys::dup2(fd, 3), Err(Errno::EBADF), "{fd}");
        assert_eq!(sys::dup2(fd, fd), Err(Errno::EBADF), "{fd}");
        assert_eq!(sys::dup3(fd, 3, OpenFlags::CLOEXEC), Err(Errno::EBADF), "{fd}");
        assert_eq!(sys::export(fd).unwrap_err(), Errno::EBADF, "{fd}");
        let calls = [
            Fcntl::DupFd(0),
            Fcntl::DupFd(-1),
            Fcntl::DupFdCloexec(0),
            Fcntl::GetFd,
            Fcntl::SetFd(FdFlags::CLOEXEC),
            Fcntl::GetFl,
            Fcntl::SetFl(OpenFlags::APPEND),
        ];
        for call in calls {
            assert_eq!(sys::fcntl(fd, call), Err(Errno::EBADF), "{fd} {call:?}");
        }
    }
    assert_eq!(kernel.ps().iter().last().unwrap().fds, 0);
}

#[test]
fn pid_1_has_the_console_and_a_clean_child_has_nothing() {
    let kernel = boot();
    kernel.enter(|| {
        let modes = [0, 1, 2].map(|fd| sys::fcntl(fd, Fcntl::GetFl).unwrap() as u32);
        assert_eq!(modes, [OpenFlags::RDONLY, OpenFlags::WRONLY, OpenFlags::WRONLY].map(|mode| mode.bits()));
        assert_eq!(counted().0, 3);
    });
    kernel.rfork(FdInherit::Clean).unwrap();
    assert_eq!(sys::dup(0), Err(Errno::EBADF));
    assert_eq!(counted().0, 0);
}

#[test]
fn a_shared_table_is_seen_both_ways_and_outlives_each_of_its_processes() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let parent = kernel.curlwp();
    let (fd, closes) = counted();
    kernel.rfork(FdInherit::Share).unwrap();
    let child = kernel.curlwp();
    let (of_child, _) = counted();
    sys::close(fd).unwrap();
    assert_eq!(closes.load(Ordering::Relaxed), 1);
    kernel.switch(parent);
    assert_eq!((sys::dup(fd), sys::fcntl(of_child, Fcntl::GetFd)), (Err(Errno::EBADF), Ok(0)));
    kernel.switch(child);
    kernel.releaselwp();
    kernel.switch(parent);
    assert_eq!(sys::fcntl(of_child, Fcntl::GetFd), Ok(0), "the child is gone, its file is not");
    kernel.releaselwp();
}

#[test]
fn a_copied_table_goes_its_own_way_with_the_same_open_files() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let parent = kernel.curlwp();
    let (fd, closes) = counted();
    sys::fcntl(fd, Fcntl::SetFd(FdFlags::CLOEXEC)).unwrap();
    kernel.rfork(FdInherit::Copy).unwrap();
    let child = kernel.curlwp();
    assert_eq!(sys::fcntl(fd, Fcntl::GetFd), Ok(1));
    // The descriptor's flags are its own, the file's status is shared.
    sys::fcntl(fd, Fcntl::SetFd(FdFlags::empty())).unwrap();
    sys::fcntl(fd, Fcntl::SetFl(OpenFlags::APPEND)).unwrap();
    counted();
    kernel.switch(parent);
    assert_eq!(sys::fcntl(fd, Fcntl::GetFd), Ok(1));
    assert_eq!(sys::fcntl(fd, Fcntl::GetFl), Ok((OpenFlags::RDWR | OpenFlags::APPEND).bits() as i32));
    assert_eq!(sys::dup(fd + 1), Err(Errno::EBADF));
    sys::close(fd).unwrap();
    assert_eq!(closes.load(Ordering::Relaxed), 0);
    kernel.switch(child);
    kernel.releaselwp();
    assert_eq!(closes.load(Ordering::Relaxed), 1, "the last of both closes it");
    kernel.switch(parent);
    kernel.releaselwp();
}

#[test]
fn a_copy_of_a_table_with_gaps_has_the_same_gaps() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let (fd, _) = counted();
    for to in [5, 16, 31, 40, 500] {
        sys::dup2(fd, to).unwrap();
    }
    kernel.rfork(FdInherit::Copy).unwrap();
    let open: Vec<Fd> = (0..600).filter(|fd| sys::fcntl(*fd, Fcntl::GetFd).is_ok()).collect();
    assert_eq!(open, [0, 5, 16, 31, 40, 500]);
    let taken: Vec<Fd> = (0..5).map(|_| sys::dup(0).unwrap()).collect();
    assert_eq!(taken, [1, 2, 3, 4, 6]);
}

#[test]
fn an_open_file_goes_to_another_process_and_closes_with_its_last_holder() {
    let (kernel, other) = (boot(), boot());
    let mut alice = kernel.spawn(ProcOptions::new()).unwrap();
    let mut bob = other.spawn(ProcOptions::new()).unwrap();
    let (fd, closes) = alice.enter(counted);
    let passed = alice.enter(|| sys::export(fd)).unwrap();
    drop(alice);
    let fd = bob.enter(|| sys::import(&passed, OpenFlags::CLOEXEC)).unwrap();
    assert_eq!(bob.enter(|| sys::fcntl(fd, Fcntl::GetFd)), Ok(1));
    assert_eq!(bob.enter(|| sys::fcntl(fd, Fcntl::SetFl(OpenFlags::NONBLOCK))), Ok(0));
    assert!(passed.flags().contains(OpenFlags::NONBLOCK));
    drop(bob);
    assert_eq!(closes.load(Ordering::Relaxed), 0);
    drop(passed.clone());
    drop(passed);
    assert_eq!(closes.load(Ordering::Relaxed), 1);
}

#[test]
fn an_embedders_file_is_found_behind_its_descriptor() {
    struct Named(&'static str);
    impl File for Named {}
    boot().enter(|| {
        let fd = sys::install(Named("alice"), OpenFlags::RDWR).unwrap();
        let open = sys::export(sys::dup(fd).unwrap()).unwrap();
        assert_eq!((open.file() as &dyn Any).downcast_ref::<Named>().unwrap().0, "alice");
    });
}

#[test]
fn a_close_may_open_close_duplicate_fork_and_leave() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let home = kernel.curlwp();
    let own = kernel.clone();
    let fd = install(move || {
        // Its number is free already.
        assert_eq!(sys::dup(0), Err(Errno::EBADF));
        let (again, closes) = counted();
        assert_eq!(again, 0);
        assert_eq!(sys::dup2(again, 1), Ok(1));
        own.rfork(FdInherit::Copy).unwrap();
        sys::close(again).unwrap();
        own.releaselwp();
        own.switch(home);
        sys::close(0).unwrap();
        assert_eq!(closes.load(Ordering::Relaxed), 0);
        sys::close(1).unwrap();
        assert_eq!(closes.load(Ordering::Relaxed), 1);
        // And goes away for good: the call returns in another context.
        own.releaselwp();
    });
    assert_eq!((fd, sys::close(fd)), (0, Ok(())));
    assert_eq!((kernel.curlwp(), kernel.usage().procs), (None, 0));
}

#[test]
fn a_close_within_dup2_runs_with_the_new_file_in_place() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let own = kernel.clone();
    let replaced = install(move || {
        sys::fcntl(0, Fcntl::SetFl(OpenFlags::APPEND)).unwrap();
        own.switch(None);
    });
    let lwp = kernel.curlwp();
    let (new, _) = counted();
    assert_eq!(sys::dup2(new, replaced), Ok(replaced));
    assert_eq!(kernel.curlwp(), None);
    kernel.switch(lwp);
    let append = (OpenFlags::RDWR | OpenFlags::APPEND).bits() as i32;
    assert_eq!([replaced, new].map(|fd| sys::fcntl(fd, Fcntl::GetFl)), [Ok(append); 2]);
    kernel.releaselwp();
}

#[test]
fn a_panic_in_a_close_leaves_the_descriptor_closed() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let fd = install(|| panic!("in a close"));
    let other = install(|| panic!("in a dup2"));
    let (fine, closes) = counted();
    std::panic::catch_unwind(|| sys::close(fd)).unwrap_err();
    assert_eq!(sys::close(fd), Err(Errno::EBADF));
    std::panic::catch_unwind(|| sys::dup2(fine, other)).unwrap_err();
    sys::close(fine).unwrap();
    assert_eq!(closes.load(Ordering::Relaxed), 0);
    sys::close(other).unwrap();
    assert_eq!(closes.load(Ordering::Relaxed), 1);
    kernel.releaselwp();
}

#[test]
fn a_file_that_is_refused_a_number_closes_and_may_do_so_with_calls_of_its_own() {
    let kernel = boot();
    let none = lwproc::Rlimit::both(0);
    let mut lwp = kernel.spawn(ProcOptions::new().limit(lwproc::Resource::NoFile, none)).unwrap();
    let closes = Arc::new(AtomicUsize::new(0));
    let (count, own) = (Arc::clone(&closes), kernel.clone());
    lwp.enter(|| {
        let refused = sys::install(
            OnClose(move || {
                count.fetch_add(1, Ordering::Relaxed);
                own.switch(None);
            }),
            OpenFlags::RDWR,
        );
        assert_eq!((refused, kernel.curlwp()), (Err(Errno::EMFILE), None));
    });
    assert_eq!(closes.load(Ordering::Relaxed), 1);
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    boot().enter(|| {
        assert_eq!(sys::dup3(0, 0, OpenFlags::empty()), Err(Errno::EINVAL));
        assert_eq!(sys::dup3(0, 5, OpenFlags::NONBLOCK), Err(Errno::EINVAL));
        assert_eq!(sys::pipe2(OpenFlags::APPEND), Err(Errno::EINVAL));
        let (reader, writer) = sys::pipe2(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).unwrap();
        assert_eq!((reader, writer), (3, 4));
        assert_eq!([reader, writer].map(|fd| sys::fcntl(fd, Fcntl::GetFd)), [Ok(1); 2]);
        let status = [OpenFlags::RDONLY, OpenFlags::WRONLY].map(|mode| Ok((mode | OpenFlags::NONBLOCK).bits() as i32));
        assert_eq!([reader, writer].map(|fd| sys::fcntl(fd, Fcntl::GetFl)), status);
    });
}
