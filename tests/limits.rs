//! Limits: what fits exactly, what one more answers, and what a limit lowered below use does.

use lwproc::sys::{self, Fcntl};
use lwproc::{
    Console, Errno, FdInherit, File, Kernel, Lwp, OPEN_MAX, OpenFlags, Pid, ProcOptions, Resource, Result, Rlimit,
};

struct Nothing;

impl File for Nothing {}

fn install() -> Result<i32> {
    sys::install(Nothing, OpenFlags::RDWR)
}

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

fn limited(resource: Resource, limit: u64) -> ProcOptions {
    ProcOptions::new().limit(resource, Rlimit::both(limit))
}

/// How many `make` yields before it answers an errno; they are kept till then.
fn until_error<T>(make: impl FnMut() -> Result<T>) -> (usize, Errno) {
    let mut made = Vec::new();
    for each in std::iter::repeat_with(make) {
        match each {
            Ok(one) => made.push(one),
            Err(errno) => return (made.len(), errno),
        }
    }
    unreachable!()
}

#[test]
fn a_kernel_has_as_many_processes_as_it_may_and_one_that_ends_makes_room() {
    for limit in [0, 1, 7] {
        let kernel = Kernel::builder().console(Console::null()).max_procs(limit).boot().unwrap();
        for _ in 0..2 {
            let made = until_error(|| kernel.spawn(ProcOptions::new()));
            assert_eq!(made, (limit as usize, Errno::EAGAIN));
            assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
        }
        assert_eq!(kernel.rfork(FdInherit::Clean), if limit == 0 { Err(Errno::EAGAIN) } else { Ok(()) });
        assert_eq!(kernel.curlwp().is_some(), limit != 0, "an rfork that failed leaves the context");
    }
}

#[test]
fn a_kernel_has_as_many_lwps_as_it_may() {
    let kernel = Kernel::builder().console(Console::null()).max_lwps(5).boot().unwrap();
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    assert_eq!(until_error(|| lwp.newlwp()), (4, Errno::EAGAIN));
    let others: Vec<Lwp> = (0..4).map(|_| lwp.newlwp().unwrap()).collect();
    assert_eq!(kernel.rfork(FdInherit::Clean), Err(Errno::EAGAIN));
    assert_eq!(kernel.newlwp(Pid::INIT), Err(Errno::EAGAIN));
    assert_eq!((kernel.curlwp(), kernel.usage().procs, kernel.usage().lwps), (None, 1, 5));
    // Implicit contexts are none of them.
    std::thread::scope(|scope| scope.spawn(|| kernel.enter(|| assert_eq!(sys::getpid(), Pid::INIT))).join().unwrap());
    drop(others);
    kernel.rfork(FdInherit::Clean).unwrap();
    kernel.releaselwp();
}

#[test]
fn limits_beyond_what_a_kernel_can_have_are_cut_to_that() {
    let kernel = Kernel::builder().console(Console::null()).max_procs(u32::MAX).max_lwps(u32::MAX).boot().unwrap();
    drop(kernel.spawn(ProcOptions::new()).unwrap());
    let boot = |limit| Kernel::builder().console(Console::null()).limit(Resource::NoFile, limit).boot().map(drop);
    assert_eq!(boot(Rlimit { soft: 4, hard: 3 }), Err(Errno::EINVAL));
    assert_eq!(boot(Rlimit::both(OPEN_MAX as u64 + 1)), Err(Errno::EINVAL));
    assert_eq!(boot(Rlimit::both(2)), Err(Errno::EMFILE), "the console takes three");
    assert_eq!(boot(Rlimit::both(3)), Ok(()));
    assert_eq!(boot(Rlimit::both(Rlimit::INFINITY)), Ok(()));
}

#[test]
fn a_user_has_as_many_processes_as_its_limit_says_and_root_as_many_as_it_likes() {
    let kernel = boot();
    let of = |uid, limit| limited(Resource::NProc, limit).uid(uid);
    for limit in [0, 1, 5] {
        assert_eq!(until_error(|| kernel.spawn(of(7, limit))), (limit as usize, Errno::EAGAIN));
    }
    let five: Vec<Lwp> = (0..5).map(|_| kernel.spawn(of(7, 5)).unwrap()).collect();
    assert_eq!(kernel.spawn(of(7, 5)).unwrap_err(), Errno::EAGAIN);
    kernel.spawn(of(7, 6)).unwrap();
    kernel.spawn(of(8, 1)).unwrap();
    kernel.spawn(of(0, 0)).unwrap();
    drop(five);
    kernel.spawn(of(7, 1)).unwrap();
    assert_eq!(kernel.usage().procs, 0);
}

#[test]
fn a_limit_on_processes_is_inherited_and_holds_for_rfork() {
    let kernel = boot();
    let first = kernel.spawn(limited(Resource::NProc, 2).uid(7)).unwrap();
    kernel.switch(Some(first.id()));
    kernel.rfork(FdInherit::Clean).unwrap();
    let second = kernel.curlwp();
    assert_eq!(sys::getrlimit(Resource::NProc), Rlimit::both(2));
    assert_eq!(kernel.rfork(FdInherit::Clean), Err(Errno::EAGAIN));
    assert_eq!(kernel.curlwp(), second);
    assert_eq!(sys::setrlimit(Resource::NProc, Rlimit::both(3)), Err(Errno::EPERM));
    kernel.releaselwp();
    kernel.switch(Some(first.id()));
    kernel.rfork(FdInherit::Clean).unwrap();
    kernel.releaselwp();
}

#[test]
fn setuid_moves_a_process_from_one_users_count_to_anothers() {
    let kernel = boot();
    let mut moved = kernel.spawn(ProcOptions::new()).unwrap();
    let of_seven = || kernel.spawn(limited(Resource::NProc, 1).uid(7)).map(drop);
    of_seven().unwrap();
    // The effective user does not count, the real one does.
    moved.enter(|| sys::seteuid(7)).unwrap();
    of_seven().unwrap();
    moved.enter(|| sys::seteuid(0).and_then(|()| sys::setuid(7))).unwrap();
    assert_eq!(of_seven(), Err(Errno::EAGAIN));
    // As many as the user has already, by setuid: that never fails for the count.
    let mut second = kernel.spawn(limited(Resource::NProc, 1)).unwrap();
    second.enter(|| sys::setuid(7)).unwrap();
    drop(moved);
    assert_eq!(of_seven(), Err(Errno::EAGAIN));
    drop(second);
    of_seven().unwrap();
}

#[test]
fn a_process_has_as_many_lwps_as_its_limit_says() {
    let kernel = boot();
    let mut lwp = kernel.spawn(limited(Resource::NThr, 3)).unwrap();
    assert_eq!(until_error(|| lwp.newlwp()), (2, Errno::EAGAIN));
    let others = [lwp.newlwp().unwrap(), lwp.newlwp().unwrap()];
    // Lowered below use: what there is stays, nothing comes.
    lwp.enter(|| sys::setrlimit(Resource::NThr, Rlimit { soft: 1, hard: 3 })).unwrap();
    assert_eq!(kernel.newlwp(lwp.pid()), Err(Errno::EAGAIN));
    drop(others);
    assert_eq!(kernel.newlwp(lwp.pid()), Err(Errno::EAGAIN));
    lwp.enter(|| sys::setrlimit(Resource::NThr, Rlimit { soft: 2, hard: 3 })).unwrap();
    drop(lwp.newlwp().unwrap());
}

#[test]
fn descriptors_end_exactly_at_the_limit() {
    let kernel = boot();
    for limit in [0, 1, 16, 17, 48] {
        let mut lwp = kernel.spawn(limited(Resource::NoFile, limit)).unwrap();
        lwp.enter(|| {
            assert_eq!(until_error(install), (limit as usize, Errno::EMFILE));
            let limit = limit as i32;
            assert_eq!(sys::pipe(), Err(Errno::EMFILE), "nothing is left, and nothing was taken");
            if limit == 0 {
                return;
            }
            assert_eq!(sys::dup(0), Err(Errno::EMFILE));
            assert_eq!(sys::fcntl(0, Fcntl::DupFd(0)), Err(Errno::EMFILE));
            assert_eq!(sys::fcntl(0, Fcntl::DupFd(limit)), Err(Errno::EINVAL));
            assert_eq!(sys::fcntl(0, Fcntl::DupFd(-1)), Err(Errno::EINVAL));
            assert_eq!(sys::dup2(0, limit), Err(Errno::EBADF));
            assert_eq!(sys::dup2(0, limit - 1), Ok(limit - 1));
            sys::close(limit - 1).unwrap();
            assert_eq!(sys::pipe(), Err(Errno::EMFILE), "one number is not enough");
            if limit > 1 {
                assert_eq!(sys::dup(0), Ok(limit - 1), "and the failed pipe gave it back");
            }
        });
    }
}

#[test]
fn a_limit_lowered_below_use_leaves_what_is_open() {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    for fd in 0..20 {
        assert_eq!(install(), Ok(fd));
    }
    sys::setrlimit(Resource::NoFile, Rlimit { soft: 10, hard: 20 }).unwrap();
    assert_eq!(sys::fcntl(19, Fcntl::GetFd), Ok(0));
    assert_eq!(sys::dup2(19, 19), Ok(19), "it is open, so there is nothing to do");
    assert_eq!(sys::dup2(19, 18), Err(Errno::EBADF));
    assert_eq!(install(), Err(Errno::EMFILE));
    sys::close(15).unwrap();
    assert_eq!(install(), Err(Errno::EMFILE));
    sys::close(3).unwrap();
    assert_eq!(sys::dup(19), Ok(3));
    kernel.rfork(FdInherit::Copy).unwrap();
    assert_eq!(sys::fcntl(19, Fcntl::GetFd), Ok(0), "the child has them too");
    assert_eq!(sys::dup(19), Err(Errno::EMFILE));
    sys::setrlimit(Resource::NoFile, Rlimit { soft: 20, hard: 20 }).unwrap();
    assert_eq!(install(), Ok(15));
}

#[test]
fn the_highest_number_of_all_can_be_had_and_no_higher_one() {
    let kernel = boot();
    let mut lwp = kernel.spawn(limited(Resource::NoFile, Rlimit::INFINITY)).unwrap();
    lwp.enter(|| {
        assert_eq!(sys::getrlimit(Resource::NoFile), Rlimit::both(OPEN_MAX as u64));
        assert_eq!(install(), Ok(0));
        let last = OPEN_MAX as i32 - 1;
        assert_eq!(sys::dup2(0, last), Ok(last));
        assert_eq!(sys::fcntl(0, Fcntl::DupFd(last)), Err(Errno::EMFILE));
        assert_eq!(sys::dup2(0, last + 1), Err(Errno::EBADF));
        assert_eq!(sys::dup2(0, i32::MAX), Err(Errno::EBADF));
        assert_eq!(sys::fcntl(0, Fcntl::DupFd(last + 1)), Err(Errno::EINVAL));
        assert_eq!(sys::dup(last), Ok(1));
        sys::close(last).unwrap();
        assert_eq!(sys::fcntl(0, Fcntl::DupFd(last)), Ok(last));
        assert_eq!(sys::close(last + 1), Err(Errno::EBADF));
    });
}
