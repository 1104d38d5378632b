/*
 * lwproc: rump_lwproc(3) for C. Virtual processes and lwps inside one host process.
 *
 * Calls that give an int give 0 or an errno value, which is not put into errno.
 */

#ifndef LWPROC_RUMP_RUMP_H
#define LWPROC_RUMP_RUMP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rump/rumpdefs.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A lwp. Not an address but a number that is never used again: a released or invented one is recognized, and fatal where it
 * is switched to.
 */
struct lwp;

/* Credentials. A number too. */
struct kauth_cred;

/* ---- The kernel ---- */

/*
 * Boots the kernel, once: further calls change nothing and succeed. Whatever else is called first boots it too.
 */
int rump_init(void);

/* The version of the library, in NetBSD's form MMmmrrpp00: 0.1.2 is 1000200. */
int rump_getversion(void);
int rump_pub_getversion(void);

/* What becomes of signals. The one that there is is SIGPIPE, beside EPIPE. */
enum rump_sigmodel {
	RUMP_SIGMODEL_PANIC,  /* fatal */
	RUMP_SIGMODEL_IGNORE, /* nothing: so it is unless set */
	RUMP_SIGMODEL_HOST,   /* nothing */
	RUMP_SIGMODEL_RAISE,  /* raised in the host process */
	RUMP_SIGMODEL_RECORD  /* nothing */
};
/* A model that there is not is taken for RUMP_SIGMODEL_IGNORE. */
void rump_boot_setsigmodel(enum rump_sigmodel);

/* There is nothing to schedule: a host thread runs at any time. Both do nothing. */
void rump_schedule(void);
void rump_unschedule(void);

/* ---- Processes and lwps ---- */

#define RUMP_RFFDG 0x01  /* a copy of the descriptor table */
#define RUMP_RFCFDG 0x02 /* an empty descriptor table */
#define RUMP_RFFD_SHARE 0x00
#define RUMP_RFFD_COPY RUMP_RFFDG
#define RUMP_RFFD_CLEAR RUMP_RFCFDG

/*
 * A new process, child of the current one, with one lwp, which is current then.
 * EINVAL: both flags, or another one. EAGAIN: too many processes or lwps.
 */
int rump_pub_lwproc_rfork(int flags);

/*
 * A new lwp in process pid, which is current then.
 * ESRCH: no such process. EBUSY: it is exiting. EAGAIN: too many lwps.
 */
int rump_pub_lwproc_newlwp(pid_t pid);

/*
 * Makes a lwp current; NULL: the implicit context of pid 1. The lwp that was current goes on living.
 * Fatal: it is current already, here or on another host thread, was released, or never was.
 */
void rump_pub_lwproc_switch(struct lwp *);

/*
 * Ends the current lwp, with the last its process; the implicit context is current then.
 * Fatal: in an implicit context.
 */
void rump_pub_lwproc_releaselwp(void);

/* The current lwp; NULL in an implicit context. */
struct lwp *rump_pub_lwproc_curlwp(void);

/*
 * What the current process gives as its pid, and the current lwp as its number, from now on; -1 leaves one as it is. For
 * those who stand in for processes of the host. Nothing is found by these numbers.
 */
void rump_pub_allbetsareoff_setid(pid_t pid, int lid);

/* ---- Credentials ---- */

/* NULL and errno EINVAL: too many groups, or 2^32-1 as a user or group. EFAULT: groups is NULL, and ngroups is not 0. */
struct kauth_cred *rump_pub_cred_create(uid_t uid, gid_t gid, size_t ngroups, gid_t *groups);

/* Fatal: none, or one that was put back already. */
void rump_pub_cred_put(struct kauth_cred *);

/* ---- Files of the host ---- */

/* The first three are alike: a file or device of the host, visible as a regular file. */
enum rump_etfs_type {
	RUMP_ETFS_REG,
	RUMP_ETFS_BLK,
	RUMP_ETFS_CHR,
	RUMP_ETFS_DIR,        /* a directory and what is in it, but for directories */
	RUMP_ETFS_DIR_SUBDIRS /* a directory and all that is below */
};

/* To the end of the file. */
#define RUMP_ETFS_SIZE_ENDOFF ((uint64_t)-1)

/*
 * Makes a file or directory of the host visible at key, an absolute path, as root's, with the host's permissions. It can
 * be written if this host process may. Directories that are missing on the way to key are made, and stay. A directory may
 * be where another one is, which it hides.
 * EINVAL: no absolute path, no such type, or a pipe or socket of the host. EEXIST: something is there. EFAULT: NULL.
 * ENOTDIR, EISDIR: it is no directory, or one, and the type says otherwise. ENOENT, EACCES and others: from the host.
 */
int rump_pub_etfs_register(const char *key, const char *hostpath, enum rump_etfs_type);

/* The size bytes of it that begin at begin, and no more. EINVAL also: of a directory, or more than there is. */
int rump_pub_etfs_register_withsize(const char *key, const char *hostpath, enum rump_etfs_type, uint64_t begin,
    uint64_t size);

/*
 * Takes it away again. A file that is open stays so.
 * ENOENT: nothing was registered at key. EBUSY: a directory, and something there is open or a process's directory.
 */
int rump_pub_etfs_remove(const char *key);

#ifdef __cplusplus
}
#endif

/*
 * Programs that define these before they include this file mean the virtual calls by the plain names.
 */
#ifdef RUMP_SYS_NETWORKING
#define socket(a, b, c) rump_sys_socket(a, b, c)
#define accept(a, b, c) rump_sys_accept(a, b, c)
#define bind(a, b, c) rump_sys_bind(a, b, c)
#define connect(a, b, c) rump_sys_connect(a, b, c)
#define getpeername(a, b, c) rump_sys_getpeername(a, b, c)
#define getsockname(a, b, c) rump_sys_getsockname(a, b, c)
#define listen(a, b) rump_sys_listen(a, b)
#define getsockopt(a, b, c, d, e) rump_sys_getsockopt(a, b, c, d, e)
#define setsockopt(a, b, c, d, e) rump_sys_setsockopt(a, b, c, d, e)
#define shutdown(a, b) rump_sys_shutdown(a, b)
#endif
#ifdef RUMP_SYS_CLOSE
#define close(a) rump_sys_close(a)
#endif
#ifdef RUMP_SYS_OPEN
#define open(...) rump_sys_open(__VA_ARGS__)
#endif
#ifdef RUMP_SYS_READWRITE
#define read(a, b, c) rump_sys_read(a, b, c)
#define readv(a, b, c) rump_sys_readv(a, b, c)
#define pread(a, b, c, d) rump_sys_pread(a, b, c, d)
#define write(a, b, c) rump_sys_write(a, b, c)
#define writev(a, b, c) rump_sys_writev(a, b, c)
#define pwrite(a, b, c, d) rump_sys_pwrite(a, b, c, d)
#endif
#ifdef RUMP_SYS_FILEOPS
#define mkdir(a, b) rump_sys_mkdir(a, b)
#define rmdir(a) rump_sys_rmdir(a)
#define link(a, b) rump_sys_link(a, b)
#define symlink(a, b) rump_sys_symlink(a, b)
#define unlink(a) rump_sys_unlink(a)
#define readlink(a, b, c) rump_sys_readlink(a, b, c)
#define chdir(a) rump_sys_chdir(a)
#define fsync(a) rump_sys_fsync(a)
#define chown(a, b, c) rump_sys_chown(a, b, c)
#define fchown(a, b, c) rump_sys_fchown(a, b, c)
#define lchown(a, b, c) rump_sys_lchown(a, b, c)
#define lseek(a, b, c) rump_sys_lseek(a, b, c)
#define rename(a, b) rump_sys_rename(a, b)
#define truncate(a, b) rump_sys_truncate(a, b)
#define ftruncate(a, b) rump_sys_ftruncate(a, b)
#define umask(a) rump_sys_umask(a)
#define getdents(a, b, c) rump_sys_getdents(a, b, c)
#endif
#ifdef RUMP_SYS_STAT
#define stat(a, b) rump_sys_stat(a, b)
#define fstat(a, b) rump_sys_fstat(a, b)
#define lstat(a, b) rump_sys_lstat(a, b)
#endif
#ifdef RUMP_SYS_PROCOPS
#define getpid() rump_sys_getpid()
#endif

#endif /* LWPROC_RUMP_RUMP_H */
