/* Descriptors: opening, closing, duplicating, pipes, poll, and what becomes of SIGPIPE. */

#include "cases.h"

#include <limits.h>
#include <time.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static void
begin(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
}

static int
opened(const char *path, int flags)
{
	int fd = rump_sys_open(path, flags, 0644);
	CHECK(fd >= 0);
	return fd;
}

static void
opening(void)
{
	begin();
	IS(opened("/f", O_CREAT | O_RDWR), 0);
	FAILS(rump_sys_open("/f", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
	FAILS(rump_sys_open("/none", O_RDONLY), ENOENT);
	FAILS(rump_sys_open("/f/below", O_RDONLY), ENOTDIR);
	FAILS(rump_sys_open("/f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(rump_sys_open("/", O_RDWR), EISDIR);
	FAILS(rump_sys_open("", O_RDONLY), ENOENT);
	FAILS(rump_sys_open(NULL, O_RDONLY), EFAULT);
	/* Open for reading and writing at once is none of the three ways, and O_PATH is not here. */
	FAILS(rump_sys_open("/f", O_PATH), EINVAL);
	IS(rump_sys_symlink("/f", "/link"), 0);
	FAILS(rump_sys_open("/link", O_RDONLY | O_NOFOLLOW), ELOOP);
	IS(rump_sys_symlink("/loop", "/loop"), 0);
	FAILS(rump_sys_open("/loop", O_RDONLY), ELOOP);
	char name[300];
	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = 0;
	FAILS(rump_sys_open(name, O_CREAT | O_RDWR, 0644), ENAMETOOLONG);

	/* The mode counts with O_CREAT, less the umask. */
	struct stat stat;
	rump_sys_umask(022);
	IS(rump_sys_open("/mode", O_CREAT | O_WRONLY, 0666), 1);
	IS(rump_sys_fstat(1, &stat), 0);
	IS(stat.st_mode, S_IFREG | 0644);
	IS(rump_sys_write(1, "abc", 3), 3);
	IS(opened("/mode", O_WRONLY | O_TRUNC), 2);
	IS(rump_sys_fstat(1, &stat), 0);
	IS(stat.st_size, 0);
}

static void
opening_from_a_directory(void)
{
	begin();
	IS(rump_sys_mkdir("/dir", 0755), 0);
	IS(opened("/dir", O_RDONLY | O_DIRECTORY), 0);
	IS(rump_sys_openat(0, "f", O_CREAT | O_RDWR, 0600), 1);
	IS(rump_sys_access("/dir/f", F_OK), 0);
	IS(rump_sys_openat(AT_FDCWD, "dir/f", O_RDONLY), 2);
	IS(rump_sys_openat(-1, "/dir/f", O_RDONLY), 3);
	FAILS(rump_sys_openat(1, "g", O_RDONLY), ENOTDIR);
	FAILS(rump_sys_openat(99, "f", O_RDONLY), EBADF);
	FAILS(rump_sys_openat(0, NULL, O_RDONLY), EFAULT);
	FAILS(rump_sys_openat(0, "none", O_RDONLY), ENOENT);
}

static void
closing(void)
{
	begin();
	IS(opened("/f", O_CREAT | O_RDWR), 0);
	IS(rump_sys_close(0), 0);
	FAILS(rump_sys_close(0), EBADF);
	FAILS(rump_sys_close(-1), EBADF);
	FAILS(rump_sys_close(INT_MAX), EBADF);
	FAILS(rump_sys_close(INT_MIN), EBADF);
}

static void
duplicating(void)
{
	begin();
	IS(opened("/f", O_CREAT | O_RDWR), 0);
	IS(rump_sys_dup(0), 1);
	IS(rump_sys_write(0, "abc", 3), 3);
	IS(rump_sys_lseek(1, 0, SEEK_CUR), 3);
	IS(rump_sys_dup2(0, 5), 5);
	IS(rump_sys_dup2(0, 5), 5);
	IS(rump_sys_dup2(0, 0), 0);
	IS(rump_sys_close(0), 0);
	FAILS(rump_sys_dup2(0, 0), EBADF);
	/* The lowest one that is free. */
	IS(rump_sys_dup(5), 0);
	FAILS(rump_sys_dup(9), EBADF);
	FAILS(rump_sys_dup(-1), EBADF);
	FAILS(rump_sys_dup2(0, 100000), EBADF);
	FAILS(rump_sys_dup2(0, -1), EBADF);
	FAILS(rump_sys_dup2(9, 1), EBADF);

	IS(rump_sys_dup3(0, 6, O_CLOEXEC), 6);
	IS(rump_sys_fcntl(6, F_GETFD), FD_CLOEXEC);
	IS(rump_sys_dup3(0, 6, 0), 6);
	IS(rump_sys_fcntl(6, F_GETFD), 0);
	FAILS(rump_sys_dup3(0, 0, 0), EINVAL);
	FAILS(rump_sys_dup3(0, 6, O_APPEND), EINVAL);
	FAILS(rump_sys_dup3(9, 6, 0), EBADF);
}

static void
controlling(void)
{
	begin();
	IS(opened("/f", O_CREAT | O_RDWR), 0);
	IS(rump_sys_fcntl(0, F_DUPFD, 10), 10);
	IS(rump_sys_fcntl(0, F_DUPFD, 10), 11);
	IS(rump_sys_fcntl(0, F_GETFD), 0);
	IS(rump_sys_fcntl(0, F_DUPFD_CLOEXEC, 0), 1);
	IS(rump_sys_fcntl(1, F_GETFD), FD_CLOEXEC);
	IS(rump_sys_fcntl(1, F_SETFD, 0), 0);
	IS(rump_sys_fcntl(1, F_GETFD), 0);
	IS(rump_sys_fcntl(0, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR);
	IS(rump_sys_fcntl(0, F_SETFL, O_APPEND | O_NONBLOCK), 0);
	/* The flags are the open file's, which the other descriptors have too. */
	IS(rump_sys_fcntl(10, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND | O_NONBLOCK);
	FAILS(rump_sys_fcntl(0, F_DUPFD, -1), EINVAL);
	FAILS(rump_sys_fcntl(0, F_DUPFD, INT_MAX), EINVAL);
	FAILS(rump_sys_fcntl(0, F_SETLK, 0), EINVAL);
	FAILS(rump_sys_fcntl(0, -1, 0), EINVAL);
	FAILS(rump_sys_fcntl(99, F_GETFD), EBADF);
	FAILS(rump_sys_fcntl(99, F_SETLK, 0), EBADF);
}

static void
too_long(void)
{
	struct rlimit limit = { 3, RLIM_INFINITY }, got;
	begin();
	IS(rump_sys_setrlimit(RLIMIT_FSIZE, &limit), 0);
	IS(rump_sys_getrlimit(RLIMIT_FSIZE, &got), 0);
	IS(got.rlim_cur == 3 && got.rlim_max == RLIM_INFINITY, 1);
	IS(rump_sys_open("/long", O_CREAT | O_RDWR, 0644), 0);
	IS(rump_sys_write(0, "hello", 5), 3);
	FAILS(rump_sys_write(0, "lo", 2), EFBIG);
	FAILS(rump_sys_ftruncate(0, 4), EFBIG);
}

static void
too_many(void)
{
	struct rlimit limit = { 8, 8 };
	begin();
	IS(rump_sys_setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 8; i++)
		IS(rump_sys_open("/f", O_CREAT | O_RDWR, 0644), i);
	int ends[2] = { -7, -8 };
	FAILS(rump_sys_open("/f", O_RDONLY), EMFILE);
	FAILS(rump_sys_open("/new", O_CREAT | O_RDWR, 0644), EMFILE);
	FAILS(rump_sys_access("/new", F_OK), ENOENT);
	FAILS(rump_sys_dup(0), EMFILE);
	FAILS(rump_sys_pipe(ends), EMFILE);
	FAILS(rump_sys_fcntl(0, F_DUPFD, 0), EMFILE);
	FAILS(rump_sys_dup2(0, 8), EBADF);
	/* One is free: not enough for a pipe, and none is lost by trying. */
	IS(rump_sys_close(3), 0);
	FAILS(rump_sys_pipe(ends), EMFILE);
	FAILS(rump_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends), EMFILE);
	IS(ends[0], -7);
	IS(ends[1], -8);
	IS(rump_sys_dup(0), 3);
}

static void
pipes(void)
{
	int ends[2];
	char buf[16];
	struct stat stat;
	begin();
	FAILS(rump_sys_pipe(NULL), EFAULT);
	FAILS(rump_sys_pipe2(NULL, 0), EFAULT);
	FAILS(rump_sys_pipe2(ends, O_APPEND | O_TRUNC), EINVAL);
	IS(rump_sys_pipe(ends), 0);
	IS(ends[0], 0);
	IS(ends[1], 1);
	IS(rump_sys_write(1, "hello", 5), 5);
	IS(rump_sys_read(0, buf, sizeof(buf)), 5);
	IS(memcmp(buf, "hello", 5), 0);
	FAILS(rump_sys_write(0, "x", 1), EBADF);
	FAILS(rump_sys_read(1, buf, 1), EBADF);
	FAILS(rump_sys_lseek(0, 0, SEEK_CUR), ESPIPE);
	FAILS(rump_sys_pread(0, buf, 1, 0), ESPIPE);
	FAILS(rump_sys_pwrite(1, buf, 1, 0), ESPIPE);
	IS(rump_sys_fstat(0, &stat), 0);
	CHECK(S_ISFIFO(stat.st_mode));

	IS(rump_sys_pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	IS(rump_sys_fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	FAILS(rump_sys_read(ends[0], buf, 1), EAGAIN);
	static char page[65536];
	ssize_t all = 0, put;
	while ((put = rump_sys_write(ends[1], page, sizeof(page))) > 0)
		all += put;
	IS(put, -1);
	IS(errno, EAGAIN);
	CHECK(all >= 4096);
	IS(rump_sys_close(ends[1]), 0);
	while ((put = rump_sys_read(ends[0], page, sizeof(page))) > 0)
		all -= put;
	IS(put, 0);
	IS(all, 0);
}

static int signals;

static void
count_signal(int number)
{
	(void)number;
	signals++;
}

/* Writes to a pipe and a socket that nobody reads, and gives how often that was a signal of the host's. */
static int
break_two(void)
{
	struct iovec part;
	int ends[2];
	part.iov_base = (void *)(size_t)"x";
	part.iov_len = 1;
	signals = 0;
	IS(rump_sys_pipe(ends), 0);
	IS(rump_sys_close(ends[0]), 0);
	FAILS(rump_sys_write(ends[1], "x", 1), EPIPE);
	FAILS(rump_sys_writev(ends[1], &part, 1), EPIPE);
	IS(rump_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	IS(rump_sys_close(ends[0]), 0);
	FAILS(rump_sys_write(ends[1], "x", 1), EPIPE);
	return signals;
}

static void
broken_pipes_by_default(void)
{
	/* A signal of the host's would end this one. */
	signal(SIGPIPE, SIG_DFL);
	begin();
	break_two();
}

static void
broken_pipes_and_signal_models(void)
{
	signal(SIGPIPE, count_signal);
	begin();
	rump_boot_setsigmodel(RUMP_SIGMODEL_IGNORE);
	IS(break_two(), 0);
	rump_boot_setsigmodel(RUMP_SIGMODEL_HOST);
	IS(break_two(), 0);
	rump_boot_setsigmodel(RUMP_SIGMODEL_RECORD);
	IS(break_two(), 0);
	rump_boot_setsigmodel((enum rump_sigmodel)7);
	IS(break_two(), 0);
	rump_boot_setsigmodel(RUMP_SIGMODEL_RAISE);
	IS(break_two(), 3);
}

static void
polling(void)
{
	int ends[2];
	struct pollfd fds[3];
	begin();
	IS(rump_sys_pipe(ends), 0);
	memset(fds, 0, sizeof(fds));
	fds[0].fd = ends[0];
	fds[0].events = POLLIN;
	fds[1].fd = ends[1];
	fds[1].events = POLLOUT;
	fds[2].fd = -1;
	fds[2].revents = 77;
	IS(rump_sys_poll(fds, 3, 0), 1);
	IS(fds[0].revents, 0);
	IS(fds[1].revents, POLLOUT);
	IS(fds[2].revents, 0);
	IS(rump_sys_write(ends[1], "x", 1), 1);
	IS(rump_sys_poll(fds, 2, -1), 2);
	IS(fds[0].revents, POLLIN);
	fds[2].fd = 99;
	IS(rump_sys_poll(fds, 3, 0), 3);
	IS(fds[2].revents, POLLNVAL);
	IS(rump_sys_close(ends[1]), 0);
	IS(rump_sys_poll(fds, 1, -1), 1);
	CHECK(fds[0].revents & POLLHUP);

	/* Nothing at all is a way to sleep. */
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	IS(rump_sys_poll(NULL, 0, 10), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 10000000L);
	FAILS(rump_sys_poll(NULL, 1, 0), EFAULT);
	FAILS(rump_sys_poll(fds, (nfds_t)-1, 0), EINVAL);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(opening),
		CASE(opening_from_a_directory),
		CASE(closing),
		CASE(duplicating),
		CASE(controlling),
		CASE(too_long),
		CASE(too_many),
		CASE(pipes),
		CASE(broken_pipes_by_default),
		CASE(broken_pipes_and_signal_models),
		CASE(polling),
	};
	return CASES(cases);
}
