//! The C interface: what `include/rump/rump.h`, `include/rump/rump_syscalls.h` and `include/lwproc.h` declare.
//!
//! It is there with the feature `capi`, for programs that are written for rump kernels; `include/README.md` is their guide:
//!
//! ```text
//! cargo rustc --release --lib --features capi --crate-type staticlib
//! cc prog.c -Iinclude target/release/liblwproc.a -lpthread -ldl -lm
//! ```
//!
//! Every entry is the Rust call of the same name, in the [default kernel](crate::Kernel::global), behind one boundary
//! (`boundary.rs`): arguments are taken as C has them (`memory.rs`), results become what C expects (`answer.rs`), and no
//! panic passes. The headers say what each does; here is only how it becomes one of the library's.
//!
//! A null pointer where there must be none is `EFAULT`. A pointer that is neither null nor good is undefined behaviour, as
//! anywhere in C: that is what "as the header says" means in the safety sections here.

mod address;
mod answer;
mod boot;
mod boundary;
mod cred;
mod data;
mod descriptors;
mod dirents;
mod etfs;
mod host;
mod identity;
mod lwproc;
mod memory;
mod mux;
mod names;
mod open;
mod poll;
mod rlimits;
mod setid;
mod sigmodel;
mod socket;
mod sockopt;
mod stat;
mod time;

pub use boot::{rump_getversion, rump_init, rump_pub_getversion, rump_schedule, rump_unschedule};
pub use cred::{rump_pub_cred_create, rump_pub_cred_put};
pub use data::{
    rump_sys_fdatasync, rump_sys_fsync, rump_sys_ftruncate, rump_sys_lseek, rump_sys_pread, rump_sys_pwrite,
    rump_sys_read, rump_sys_readv, rump_sys_write, rump_sys_writev,
};
pub use descriptors::{
    rump_sys_close, rump_sys_dup, rump_sys_dup2, rump_sys_dup3, rump_sys_fcntl, rump_sys_pipe, rump_sys_pipe2,
};
pub use dirents::rump_sys_getdents;
pub use etfs::{rump_pub_etfs_register, rump_pub_etfs_register_withsize, rump_pub_etfs_remove};
pub use host::{rump_sys_gethostname, rump_sys_getprocname, rump_sys_sethostname, rump_sys_setprocname};
pub use identity::{
    rump_sys__lwp_self, rump_sys_getegid, rump_sys_geteuid, rump_sys_getgid, rump_sys_getgroups, rump_sys_getpid,
    rump_sys_getppid, rump_sys_getuid, rump_sys_setegid, rump_sys_seteuid, rump_sys_setgid, rump_sys_setgroups,
    rump_sys_setregid, rump_sys_setreuid, rump_sys_setuid,
};
pub use lwproc::{
    lwp, rump_pub_lwproc_curlwp, rump_pub_lwproc_newlwp, rump_pub_lwproc_releaselwp, rump_pub_lwproc_rfork,
    rump_pub_lwproc_switch,
};
pub use mux::{
    lwproc_mux, lwproc_mux_free, lwproc_mux_new, lwproc_mux_run, lwproc_mux_sleep, lwproc_mux_spawn, lwproc_mux_stop,
    lwproc_mux_yield,
};
pub use names::{
    rump_sys___getcwd, rump_sys_access, rump_sys_chdir, rump_sys_chmod, rump_sys_chown, rump_sys_chroot,
    rump_sys_fchdir, rump_sys_fchmod, rump_sys_fchown, rump_sys_lchown, rump_sys_link, rump_sys_mkdir,
    rump_sys_readlink, rump_sys_rename, rump_sys_rmdir, rump_sys_symlink, rump_sys_truncate, rump_sys_umask,
    rump_sys_unlink,
};
pub use open::{rump_sys_open, rump_sys_openat};
pub use poll::rump_sys_poll;
pub use rlimits::{rump_sys_getrlimit, rump_sys_setrlimit};
pub use setid::rump_pub_allbetsareoff_setid;
pub use sigmodel::rump_boot_setsigmodel;
pub use socket::{
    rump_sys_accept, rump_sys_accept4, rump_sys_bind, rump_sys_connect, rump_sys_getpeername, rump_sys_getsockname,
    rump_sys_listen, rump_sys_shutdown, rump_sys_socket, rump_sys_socketpair,
};
pub use sockopt::{rump_sys_getsockopt, rump_sys_setsockopt};
pub use stat::{rump_sys_fstat, rump_sys_lstat, rump_sys_stat};
pub use time::{
    rump_sys_clock_getres, rump_sys_clock_gettime, rump_sys_futimens, rump_sys_futimes, rump_sys_nanosleep,
    rump_sys_utimensat, rump_sys_utimes,
};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("in the C interface a lwp's handle has 64 bits, and so must a pointer have");
