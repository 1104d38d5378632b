/* Reading and writing: offsets, positions, vectors, lengths, and lists of names. */

#include "cases.h"

#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static char text[] = "0123456789";

/* A new process with one file, at descriptor 0, that has ten digits in it; the offset is behind them. */
static void
begin(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	IS(rump_sys_open("/f", O_CREAT | O_RDWR, 0644), 0);
	IS(rump_sys_write(0, text, 10), 10);
}

static void
offsets(void)
{
	char buf[16];
	begin();
	IS(rump_sys_read(0, buf, sizeof(buf)), 0);
	IS(rump_sys_lseek(0, 2, SEEK_SET), 2);
	IS(rump_sys_read(0, buf, 3), 3);
	IS(memcmp(buf, "234", 3), 0);
	IS(rump_sys_lseek(0, 1, SEEK_CUR), 6);
	IS(rump_sys_lseek(0, -1, SEEK_END), 9);
	IS(rump_sys_read(0, buf, sizeof(buf)), 1);
	IS(rump_sys_lseek(0, 100, SEEK_END), 110);
	IS(rump_sys_read(0, buf, sizeof(buf)), 0);
	FAILS(rump_sys_lseek(0, -1, SEEK_SET), EINVAL);
	FAILS(rump_sys_lseek(0, -200, SEEK_CUR), EINVAL);
	FAILS(rump_sys_lseek(0, 0, 99), EINVAL);
	FAILS(rump_sys_lseek(9, 0, SEEK_SET), EBADF);
	IS(rump_sys_lseek(0, 0, SEEK_CUR), 110);
}

static void
positions(void)
{
	char buf[16];
	begin();
	IS(rump_sys_pread(0, buf, 4, 3), 4);
	IS(memcmp(buf, "3456", 4), 0);
	IS(rump_sys_pwrite(0, "ab", 2, 8), 2);
	IS(rump_sys_pread(0, buf, sizeof(buf), 7), 3);
	IS(memcmp(buf, "7ab", 3), 0);
	/* The offset is where it was. */
	IS(rump_sys_lseek(0, 0, SEEK_CUR), 10);
	FAILS(rump_sys_pread(0, buf, 1, -1), EINVAL);
	FAILS(rump_sys_pwrite(0, buf, 1, -1), EINVAL);
	FAILS(rump_sys_pread(9, buf, 1, 0), EBADF);
	FAILS(rump_sys_pwrite(9, buf, 1, 0), EBADF);
}

static void
vectors(void)
{
	char one[3], two[4];
	struct iovec parts[3];
	static struct iovec many[2000];
	begin();
	IS(rump_sys_lseek(0, 0, SEEK_SET), 0);
	parts[0].iov_base = one;
	parts[0].iov_len = sizeof(one);
	parts[1].iov_base = NULL;
	parts[1].iov_len = 0;
	parts[2].iov_base = two;
	parts[2].iov_len = sizeof(two);
	IS(rump_sys_readv(0, parts, 3), 7);
	IS(memcmp(one, "012", 3), 0);
	IS(memcmp(two, "3456", 4), 0);
	IS(rump_sys_writev(0, parts, 3), 7);
	IS(rump_sys_lseek(0, 0, SEEK_CUR), 14);
	IS(rump_sys_readv(0, NULL, 0), 0);
	FAILS(rump_sys_readv(0, parts, -1), EINVAL);
	FAILS(rump_sys_writev(0, parts, -1), EINVAL);
	FAILS(rump_sys_readv(0, many, 2000), EINVAL);
	FAILS(rump_sys_readv(0, NULL, 1), EFAULT);
	parts[1].iov_len = 1;
	FAILS(rump_sys_writev(0, parts, 3), EFAULT);
	parts[1].iov_base = two;
	parts[1].iov_len = SIZE_MAX;
	FAILS(rump_sys_writev(0, parts, 3), EINVAL);
	FAILS(rump_sys_readv(9, parts, 1), EBADF);
	FAILS(rump_sys_writev(9, parts, 1), EBADF);
}

static void
ways_to_open(void)
{
	char buf[4];
	begin();
	IS(rump_sys_open("/f", O_RDONLY), 1);
	IS(rump_sys_open("/f", O_WRONLY), 2);
	FAILS(rump_sys_write(1, "x", 1), EBADF);
	FAILS(rump_sys_ftruncate(1, 0), EINVAL);
	FAILS(rump_sys_read(2, buf, 1), EBADF);
	FAILS(rump_sys_read(9, buf, 1), EBADF);
	FAILS(rump_sys_write(9, buf, 1), EBADF);
	IS(rump_sys_open("/f", O_WRONLY | O_APPEND), 3);
	IS(rump_sys_write(3, "end", 3), 3);
	IS(rump_sys_lseek(3, 0, SEEK_CUR), 13);
	IS(rump_sys_open("/", O_RDONLY), 4);
	FAILS(rump_sys_read(4, buf, 1), EISDIR);
}

static void
null_and_nothing(void)
{
	begin();
	FAILS(rump_sys_read(0, NULL, 1), EFAULT);
	FAILS(rump_sys_write(0, NULL, 1), EFAULT);
	FAILS(rump_sys_pread(0, NULL, 1, 0), EFAULT);
	FAILS(rump_sys_pwrite(0, NULL, 1, 0), EFAULT);
	IS(rump_sys_read(0, NULL, 0), 0);
	IS(rump_sys_write(0, NULL, 0), 0);
	IS(rump_sys_lseek(0, 0, SEEK_CUR), 10);
}

static void
lengths(void)
{
	struct stat stat;
	char buf[16];
	begin();
	IS(rump_sys_ftruncate(0, 4), 0);
	IS(rump_sys_fstat(0, &stat), 0);
	IS(stat.st_size, 4);
	IS(rump_sys_ftruncate(0, 8), 0);
	IS(rump_sys_pread(0, buf, sizeof(buf), 0), 8);
	IS(memcmp(buf, "0123\0\0\0\0", 8), 0);
	FAILS(rump_sys_ftruncate(0, -1), EINVAL);
	FAILS(rump_sys_ftruncate(9, 0), EBADF);
	IS(rump_sys_truncate("/f", 2), 0);
	IS(rump_sys_stat("/f", &stat), 0);
	IS(stat.st_size, 2);
	FAILS(rump_sys_truncate("/f", -1), EINVAL);
	FAILS(rump_sys_truncate("/", 0), EISDIR);
	FAILS(rump_sys_truncate("/none", 0), ENOENT);
	FAILS(rump_sys_truncate(NULL, 0), EFAULT);
	/* A file that no memory could hold is an error, and no end of the host process. */
	IS(rump_sys_ftruncate(0, INT64_MAX), -1);
	CHECK(errno == EFBIG || errno == ENOSPC);
	IS(rump_sys_pwrite(0, "x", 1, INT64_MAX - 1), -1);
	CHECK(errno == EFBIG || errno == ENOSPC);
	IS(rump_sys_fstat(0, &stat), 0);
	IS(stat.st_size, 2);
}

static void
syncing(void)
{
	begin();
	IS(rump_sys_fsync(0), 0);
	IS(rump_sys_fdatasync(0), 0);
	FAILS(rump_sys_fsync(9), EBADF);
	FAILS(rump_sys_fdatasync(9), EBADF);
}

/* Lists descriptor `fd` from its offset on, with room for `len` bytes a call; gives how many names begin with "e". */
static int
count_entries(int fd, size_t len)
{
	static char buf[65536];
	int got, found = 0;
	while ((got = rump_sys_getdents(fd, buf, len)) > 0) {
		CHECK((size_t)got <= len);
		for (int at = 0; at < got;) {
			const struct dirent *entry = (const struct dirent *)(const void *)(buf + at);
			CHECK(entry->d_reclen > 0 && at + entry->d_reclen <= got);
			CHECK(entry->d_ino != 0);
			CHECK(strlen(entry->d_name) + offsetof(struct dirent, d_name) < entry->d_reclen);
			if (entry->d_name[0] == 'e') {
				IS(entry->d_type, strcmp(entry->d_name, "edir") == 0 ? DT_DIR : DT_REG);
				found++;
			} else {
				CHECK(strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
				IS(entry->d_type, DT_DIR);
			}
			at += entry->d_reclen;
		}
	}
	IS(got, 0);
	return found;
}

static void
listing(void)
{
	char name[32], buf[512];
	begin();
	IS(rump_sys_mkdir("/d", 0755), 0);
	IS(rump_sys_mkdir("/d/edir", 0755), 0);
	for (int i = 0; i < 99; i++) {
		snprintf(name, sizeof(name), "/d/e%d", i);
		IS(rump_sys_close(rump_sys_open(name, O_CREAT | O_RDWR, 0644)), 0);
	}
	IS(rump_sys_open("/d", O_RDONLY | O_DIRECTORY), 1);
	IS(count_entries(1, 65536), 100);
	IS(count_entries(1, 65536), 0);
	/* From the beginning, in small pieces. */
	IS(rump_sys_lseek(1, 0, SEEK_SET), 0);
	IS(count_entries(1, 64), 100);
	IS(rump_sys_lseek(1, 0, SEEK_SET), 0);
	FAILS(rump_sys_getdents(1, buf, 4), EINVAL);
	FAILS(rump_sys_getdents(1, NULL, 512), EFAULT);
	FAILS(rump_sys_getdents(0, buf, sizeof(buf)), ENOTDIR);
	FAILS(rump_sys_getdents(9, buf, sizeof(buf)), EBADF);
	IS(count_entries(1, 512), 100);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(offsets),
		CASE(positions),
		CASE(vectors),
		CASE(ways_to_open),
		CASE(null_and_nothing),
		CASE(lengths),
		CASE(syncing),
		CASE(listing),
	};
	return CASES(cases);
}
