/* A program that means the virtual calls by their plain names, as some for rump kernels do. */

#include "cases.h"

#include <sys/stat.h>

#define RUMP_SYS_NETWORKING
#define RUMP_SYS_CLOSE
#define RUMP_SYS_OPEN
#define RUMP_SYS_READWRITE
#define RUMP_SYS_FILEOPS
#define RUMP_SYS_STAT
#define RUMP_SYS_PROCOPS
#include <rump/rump_syscalls.h>

#include <rump/rump.h>

/* Each name once; what it stands for is another program's to test. */
static void
names_are_the_virtual_calls(void)
{
	static char buf[1024];
	struct iovec part;
	struct sockaddr_storage address;
	struct sockaddr *place = (struct sockaddr *)(void *)&address;
	struct stat status;
	socklen_t len = sizeof(address);
	int value = 0;
	socklen_t value_len = sizeof(value);
	part.iov_base = buf;
	part.iov_len = 1;

	/* On the host there would be no such directory, and another number for this process. */
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	IS(getpid(), 2);
	IS(mkdir("/plain-names", 0755), 0);
	IS(chdir("/plain-names"), 0);
	IS(umask(0), 022);
	int fd = open("file", O_CREAT | O_RDWR, 0600);
	IS(fd, 0);
	IS(write(fd, "a", 1), 1);
	IS(writev(fd, &part, 1), 1);
	IS(pwrite(fd, "b", 1, 2), 1);
	IS(lseek(fd, 0, SEEK_SET), 0);
	IS(read(fd, buf, 1), 1);
	IS(readv(fd, &part, 1), 1);
	IS(pread(fd, buf, 1, 0), 1);
	IS(fsync(fd), 0);
	IS(fstat(fd, &status), 0);
	IS(status.st_size, 3);
	IS(ftruncate(fd, 1), 0);
	IS(fchown(fd, 1, 1), 0);
	IS(close(fd), 0);
	FAILS(close(fd), EBADF);
	IS(truncate("file", 0), 0);
	IS(chown("file", 2, 2), 0);
	IS(link("file", "other"), 0);
	IS(symlink("file", "link"), 0);
	IS(readlink("link", buf, sizeof(buf)), 4);
	IS(lchown("link", 3, 3), 0);
	IS(lstat("link", &status), 0);
	IS(status.st_uid, 3);
	IS(stat("link", &status), 0);
	IS(status.st_uid, 2);
	IS(rename("other", "third"), 0);
	IS(unlink("third"), 0);
	IS(mkdir("dir", 0700), 0);
	IS(open("dir", O_RDONLY), 0);
	CHECK(getdents(0, buf, sizeof(buf)) > 0);
	IS(rmdir("dir"), 0);

	fd = socket(AF_INET, SOCK_STREAM, 0);
	IS(fd, 1);
	memset(&address, 0, sizeof(address));
	address.ss_family = AF_INET;
	IS(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, value_len), 0);
	IS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &value_len), 0);
	IS(bind(fd, place, 16), 0);
	IS(listen(fd, 1), 0);
	IS(getsockname(fd, place, &len), 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	IS(connect(client, place, 16), 0);
	int accepted = accept(fd, place, &len);
	CHECK(accepted > client);
	IS(getpeername(accepted, place, &len), 0);
	IS(shutdown(accepted, SHUT_RDWR), 0);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(names_are_the_virtual_calls),
	};
	return CASES(cases);
}
