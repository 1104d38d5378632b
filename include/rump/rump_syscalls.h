/*
 * lwproc: the system calls of virtual processes, for C.
 *
 * Each is what POSIX and the host's manual pages say of the call without the prefix, for the current lwp's process; types,
 * flags and errno numbers are the host's. An error is -1 and errno, unless said otherwise.
 */

#ifndef LWPROC_RUMP_RUMP_SYSCALLS_H
#define LWPROC_RUMP_RUMP_SYSCALLS_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <rump/rumpdefs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The C library hides it in its strict modes. */
struct timespec;

#if !defined(__NetBSD__)
/* The number of a lwp. */
typedef int32_t lwpid_t;
#endif

/* ---- Who ---- */

pid_t rump_sys_getpid(void);
pid_t rump_sys_getppid(void);
/* Unique among the lwps that live; 0 in an implicit context. */
lwpid_t rump_sys__lwp_self(void);
uid_t rump_sys_getuid(void);
uid_t rump_sys_geteuid(void);
gid_t rump_sys_getgid(void);
gid_t rump_sys_getegid(void);
int rump_sys_getgroups(int, gid_t *);
int rump_sys_setuid(uid_t);
int rump_sys_seteuid(uid_t);
int rump_sys_setreuid(uid_t, uid_t);
int rump_sys_setgid(gid_t);
int rump_sys_setegid(gid_t);
int rump_sys_setregid(gid_t, gid_t);
int rump_sys_setgroups(int, const gid_t *);

/* ---- Descriptors ---- */

int rump_sys_open(const char *, int, ... /* mode_t, with O_CREAT */);
int rump_sys_openat(int, const char *, int, ... /* mode_t, with O_CREAT */);
int rump_sys_close(int);
int rump_sys_dup(int);
int rump_sys_dup2(int, int);
int rump_sys_dup3(int, int, int);
/* F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL; others are EINVAL. */
int rump_sys_fcntl(int, int, ... /* int */);
int rump_sys_pipe(int *);
int rump_sys_pipe2(int *, int);
int rump_sys_poll(struct pollfd *, nfds_t, int);

/* ---- Data ---- */

ssize_t rump_sys_read(int, void *, size_t);
ssize_t rump_sys_write(int, const void *, size_t);
ssize_t rump_sys_pread(int, void *, size_t, off_t);
ssize_t rump_sys_pwrite(int, const void *, size_t, off_t);
ssize_t rump_sys_readv(int, const struct iovec *, int);
ssize_t rump_sys_writev(int, const struct iovec *, int);
off_t rump_sys_lseek(int, off_t, int);
int rump_sys_ftruncate(int, off_t);
int rump_sys_fsync(int);
int rump_sys_fdatasync(int);
/* Host's struct dirent, one after the other, d_reclen bytes each. Gives the bytes, 0 at the end. */
int rump_sys_getdents(int, char *, size_t);

/* ---- Names ---- */

int rump_sys_stat(const char *, struct stat *);
int rump_sys_lstat(const char *, struct stat *);
int rump_sys_fstat(int, struct stat *);
int rump_sys_access(const char *, int);
int rump_sys_mkdir(const char *, mode_t);
int rump_sys_rmdir(const char *);
int rump_sys_link(const char *, const char *);
int rump_sys_symlink(const char *, const char *);
ssize_t rump_sys_readlink(const char *, char *, size_t);
int rump_sys_unlink(const char *);
int rump_sys_rename(const char *, const char *);
int rump_sys_truncate(const char *, off_t);
int rump_sys_chmod(const char *, mode_t);
int rump_sys_fchmod(int, mode_t);
int rump_sys_chown(const char *, uid_t, gid_t);
int rump_sys_fchown(int, uid_t, gid_t);
int rump_sys_lchown(const char *, uid_t, gid_t);
/* Flags: none. */
int rump_sys_utimensat(int, const char *, const struct timespec *, int);
int rump_sys_futimens(int, const struct timespec *);
int rump_sys_utimes(const char *, const struct timeval *);
int rump_sys_futimes(int, const struct timeval *);
mode_t rump_sys_umask(mode_t);
int rump_sys_chdir(const char *);
int rump_sys_fchdir(int);
int rump_sys_chroot(const char *);
/* Gives the length of the path with its NUL, and not the buffer as getcwd does. */
int rump_sys___getcwd(char *, size_t);

/* ---- Sockets ---- */

int rump_sys_socket(int, int, int);
int rump_sys_socketpair(int, int, int, int *);
int rump_sys_bind(int, const struct sockaddr *, socklen_t);
int rump_sys_listen(int, int);
int rump_sys_accept(int, struct sockaddr *, socklen_t *);
int rump_sys_connect(int, const struct sockaddr *, socklen_t);
int rump_sys_shutdown(int, int);
int rump_sys_getsockname(int, struct sockaddr *, socklen_t *);
int rump_sys_getpeername(int, struct sockaddr *, socklen_t *);
/* SO_REUSEADDR, SO_KEEPALIVE, SO_SNDBUF, SO_RCVBUF, SO_ERROR, SO_ACCEPTCONN, TCP_NODELAY; others are ENOPROTOOPT. */
int rump_sys_getsockopt(int, int, int, void *, socklen_t *);
int rump_sys_setsockopt(int, int, int, const void *, socklen_t);

/* ---- Time ---- */

/* CLOCK_REALTIME, CLOCK_MONOTONIC; others are EINVAL. */
int rump_sys_clock_gettime(clockid_t, struct timespec *);
int rump_sys_clock_getres(clockid_t, struct timespec *);
int rump_sys_nanosleep(const struct timespec *, struct timespec *);

/* ---- Limits ---- */

/* RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_FSIZE, RUMP_RLIMIT_NTHR; others are EINVAL. There is no SIGXFSZ. */
int rump_sys_getrlimit(int, struct rlimit *);
int rump_sys_setrlimit(int, const struct rlimit *);

/* ---- Calls of lwproc that NetBSD's rump_syscalls.h has not ---- */

int rump_sys_accept4(int, struct sockaddr *, socklen_t *, int);
int rump_sys_gethostname(char *, size_t);
int rump_sys_sethostname(const char *, size_t);
/* The process's name, as ps shows it. The length is that of the buffer; a name that does not fit is ENAMETOOLONG. */
int rump_sys_getprocname(char *, size_t);
int rump_sys_setprocname(const char *);

#ifdef __cplusplus
}
#endif

#endif /* LWPROC_RUMP_RUMP_SYSCALLS_H */
