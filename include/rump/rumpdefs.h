/*
 * lwproc: constants under the names that rump kernels have for them. All are the host's.
 */

#ifndef LWPROC_RUMP_RUMPDEFS_H
#define LWPROC_RUMP_RUMPDEFS_H

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RUMP_O_RDONLY O_RDONLY
#define RUMP_O_WRONLY O_WRONLY
#define RUMP_O_RDWR O_RDWR
#define RUMP_O_ACCMODE O_ACCMODE
#define RUMP_O_CREAT O_CREAT
#define RUMP_O_EXCL O_EXCL
#define RUMP_O_NOCTTY O_NOCTTY
#define RUMP_O_TRUNC O_TRUNC
#define RUMP_O_APPEND O_APPEND
#define RUMP_O_NONBLOCK O_NONBLOCK
/* In the compiler's strict modes the C library has these under other names. */
#if defined(O_DIRECTORY) || !defined(__O_DIRECTORY)
#define RUMP_O_DIRECTORY O_DIRECTORY
#define RUMP_O_NOFOLLOW O_NOFOLLOW
#define RUMP_O_CLOEXEC O_CLOEXEC
#else
#define RUMP_O_DIRECTORY __O_DIRECTORY
#define RUMP_O_NOFOLLOW __O_NOFOLLOW
#define RUMP_O_CLOEXEC __O_CLOEXEC
#endif

#define RUMP_AF_UNSPEC AF_UNSPEC
#define RUMP_AF_LOCAL AF_UNIX
#define RUMP_AF_UNIX AF_UNIX
#define RUMP_AF_INET AF_INET
#define RUMP_AF_INET6 AF_INET6
#define RUMP_PF_UNSPEC RUMP_AF_UNSPEC
#define RUMP_PF_LOCAL RUMP_AF_LOCAL
#define RUMP_PF_UNIX RUMP_AF_UNIX
#define RUMP_PF_INET RUMP_AF_INET
#define RUMP_PF_INET6 RUMP_AF_INET6

#define RUMP_SOCK_STREAM SOCK_STREAM
#define RUMP_SOCK_DGRAM SOCK_DGRAM
#define RUMP_SOCK_CLOEXEC RUMP_O_CLOEXEC
#define RUMP_SOCK_NONBLOCK RUMP_O_NONBLOCK

#define RUMP_SOL_SOCKET SOL_SOCKET
#define RUMP_SO_ACCEPTCONN SO_ACCEPTCONN
#define RUMP_SO_ERROR SO_ERROR
#define RUMP_SO_KEEPALIVE SO_KEEPALIVE
#define RUMP_SO_RCVBUF SO_RCVBUF
#define RUMP_SO_REUSEADDR SO_REUSEADDR
#define RUMP_SO_SNDBUF SO_SNDBUF

/* The limit on lwps of a process, for which the host has no number. */
#define RUMP_RLIMIT_NTHR 256

#endif /* LWPROC_RUMP_RUMPDEFS_H */
