/* Files and directories of the host, made visible at keys. */

#include "cases.h"

#include <fcntl.h>
#include <ftw.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static char dir[64];

static int
take_away(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
	(void)stat;
	(void)kind;
	(void)where;
	return remove(path);
}

static void
clean(void)
{
	nftw(dir, take_away, 8, FTW_DEPTH | FTW_PHYS);
}

/* A path on the host, good until the next but three. */
static const char *
host(const char *name)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* A directory of the host: file, with ten digits; sub/deep, with four letters; fifo. */
static void
begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lwproc-etfs-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	atexit(clean);
	int fd = open(host("file"), O_CREAT | O_RDWR, 0640);
	CHECK(write(fd, "0123456789", 10) == 10);
	close(fd);
	CHECK(mkdir(host("sub"), 0755) == 0);
	fd = open(host("sub/deep"), O_CREAT | O_RDWR, 0644);
	CHECK(write(fd, "deep", 4) == 4);
	close(fd);
	CHECK(mkfifo(host("fifo"), 0600) == 0);
	IS(rump_init(), 0);
}

static void
holds(const char *path, const char *expected)
{
	char buf[64];
	int fd = rump_sys_open(path, O_RDONLY);
	CHECK(fd >= 0);
	ssize_t len = rump_sys_read(fd, buf, sizeof(buf));
	IS(len, strlen(expected));
	IS(memcmp(buf, expected, (size_t)len), 0);
	IS(rump_sys_close(fd), 0);
}

static void
a_file(void)
{
	const enum rump_etfs_type kinds[] = { RUMP_ETFS_REG, RUMP_ETFS_BLK, RUMP_ETFS_CHR };
	struct stat stat;
	char buf[16];
	begin();
	for (int i = 0; i < 3; i++) {
		IS(rump_pub_etfs_register("/dev/data", host("file"), kinds[i]), 0);
		IS(rump_sys_stat("/dev/data", &stat), 0);
		CHECK(S_ISREG(stat.st_mode));
		IS(stat.st_uid, 0);
		holds("/dev/data", "0123456789");
		IS(rump_pub_etfs_remove("/dev/data"), 0);
		FAILS(rump_sys_stat("/dev/data", &stat), ENOENT);
	}
	IS(rump_pub_etfs_register("/data", host("file"), RUMP_ETFS_REG), 0);
	IS(rump_sys_stat("/data", &stat), 0);
	IS(stat.st_mode, S_IFREG | 0640);
	int fd = rump_sys_open("/data", O_RDWR);
	IS(rump_sys_pwrite(fd, "ab", 2, 4), 2);
	int real = open(host("file"), O_RDONLY);
	CHECK(pread(real, buf, 10, 0) == 10 && memcmp(buf, "0123ab6789", 10) == 0);
	close(real);
	/* One that is open stays so. */
	IS(rump_pub_etfs_remove("/data"), 0);
	IS(rump_sys_pread(fd, buf, 10, 0), 10);
	FAILS(rump_sys_open("/data", O_RDONLY), ENOENT);
	IS(rump_pub_etfs_remove("/data"), ENOENT);
}

static void
directories_on_the_way(void)
{
	begin();
	IS(rump_pub_etfs_register("/a/b/c", host("file"), RUMP_ETFS_REG), 0);
	holds("/a/b/c", "0123456789");
	IS(rump_pub_etfs_remove("/a/b/c"), 0);
	IS(rump_sys_access("/a/b", F_OK), 0);
}

static void
a_part_of_a_file(void)
{
	struct stat stat;
	char buf[16];
	begin();
	IS(rump_pub_etfs_register_withsize("/part", host("file"), RUMP_ETFS_BLK, 2, 5), 0);
	holds("/part", "23456");
	IS(rump_sys_stat("/part", &stat), 0);
	IS(stat.st_size, 5);
	int fd = rump_sys_open("/part", O_RDWR);
	IS(rump_sys_pwrite(fd, "xyz", 3, 3), 2);
	IS(rump_sys_pread(fd, buf, sizeof(buf), 3), 2);
	IS(memcmp(buf, "xy", 2), 0);
	IS(rump_pub_etfs_register_withsize("/rest", host("file"), RUMP_ETFS_REG, 8, RUMP_ETFS_SIZE_ENDOFF), 0);
	holds("/rest", "89");
	IS(rump_pub_etfs_register_withsize("/all", host("file"), RUMP_ETFS_REG, 0, RUMP_ETFS_SIZE_ENDOFF), 0);
	holds("/all", "01234xy789");
	IS(rump_pub_etfs_register_withsize("/more", host("file"), RUMP_ETFS_REG, 8, 3), EINVAL);
	IS(rump_pub_etfs_register_withsize("/more", host("file"), RUMP_ETFS_REG, 11, RUMP_ETFS_SIZE_ENDOFF), EINVAL);
	IS(rump_pub_etfs_register_withsize("/more", host("file"), RUMP_ETFS_REG, (uint64_t)-2, 4), EINVAL);
	IS(rump_pub_etfs_register_withsize("/more", host("sub"), RUMP_ETFS_DIR, 0, 1), EINVAL);
	FAILS(rump_sys_stat("/more", &stat), ENOENT);
}

static void
a_directory(void)
{
	begin();
	IS(rump_pub_etfs_register("/flat", dir, RUMP_ETFS_DIR), 0);
	holds("/flat/file", "0123456789");
	IS(rump_sys_open("/flat/sub/deep", O_RDONLY), -1);
	IS(rump_pub_etfs_register("/whole", dir, RUMP_ETFS_DIR_SUBDIRS), 0);
	holds("/whole/file", "0123456789");
	holds("/whole/sub/deep", "deep");
	/* What is made there is made on the host. */
	IS(rump_sys_close(rump_sys_open("/whole/sub/new", O_CREAT | O_RDWR, 0644)), 0);
	CHECK(access(host("sub/new"), F_OK) == 0);
	/* And there is no way out. */
	IS(rump_sys_open("/whole/../../etc/passwd", O_RDONLY), -1);
	IS(errno, ENOENT);

	int fd = rump_sys_open("/whole/file", O_RDONLY);
	IS(rump_pub_etfs_remove("/whole"), EBUSY);
	IS(rump_sys_close(fd), 0);
	IS(rump_sys_chdir("/whole/sub"), 0);
	IS(rump_pub_etfs_remove("/whole"), EBUSY);
	IS(rump_sys_chdir("/"), 0);
	IS(rump_pub_etfs_remove("/whole"), 0);
	IS(rump_pub_etfs_remove("/flat"), 0);
	FAILS(rump_sys_access("/whole", F_OK), ENOENT);
	CHECK(access(host("sub/deep"), F_OK) == 0);
}

static void
a_directory_over_another(void)
{
	begin();
	IS(rump_sys_mkdir("/there", 0755), 0);
	IS(rump_sys_close(rump_sys_open("/there/own", O_CREAT | O_RDWR, 0644)), 0);
	IS(rump_pub_etfs_register("/there", dir, RUMP_ETFS_DIR), 0);
	FAILS(rump_sys_access("/there/own", F_OK), ENOENT);
	holds("/there/file", "0123456789");
	IS(rump_pub_etfs_remove("/there"), 0);
	IS(rump_sys_access("/there/own", F_OK), 0);
}

static void
what_cannot_be(void)
{
	begin();
	IS(rump_pub_etfs_register("relative", host("file"), RUMP_ETFS_REG), EINVAL);
	IS(rump_pub_etfs_register("", host("file"), RUMP_ETFS_REG), EINVAL);
	IS(rump_pub_etfs_register(NULL, host("file"), RUMP_ETFS_REG), EFAULT);
	IS(rump_pub_etfs_register("/f", NULL, RUMP_ETFS_REG), EFAULT);
	IS(rump_pub_etfs_register("/f", host("none"), RUMP_ETFS_REG), ENOENT);
	IS(rump_pub_etfs_register("/f", host("none"), RUMP_ETFS_DIR), ENOENT);
	IS(rump_pub_etfs_register("/f", host("file"), (enum rump_etfs_type)7), EINVAL);
	IS(rump_pub_etfs_register("/f", host("fifo"), RUMP_ETFS_REG), EINVAL);
	IS(rump_pub_etfs_register("/f", host("file"), RUMP_ETFS_DIR), ENOTDIR);
	IS(rump_pub_etfs_register("/f", host("sub"), RUMP_ETFS_REG), EISDIR);
	IS(rump_pub_etfs_register("/tmp", host("file"), RUMP_ETFS_REG), EEXIST);
	IS(rump_pub_etfs_register("/f", host("file"), RUMP_ETFS_REG), 0);
	IS(rump_pub_etfs_register("/f", host("file"), RUMP_ETFS_REG), EEXIST);
	IS(rump_pub_etfs_register("/f", host("sub"), RUMP_ETFS_DIR), EEXIST);
	IS(rump_pub_etfs_remove("/none"), ENOENT);
	IS(rump_pub_etfs_remove(NULL), EFAULT);
	holds("/f", "0123456789");
	IS(rump_pub_etfs_remove("/f"), 0);
	/* Nobody takes away what was not registered. */
	IS(rump_pub_etfs_remove("/tmp"), ENOENT);
}

static void
as_another_user(void)
{
	begin();
	IS(rump_pub_etfs_register("/data", host("file"), RUMP_ETFS_REG), 0);
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	IS(rump_sys_setgid(9), 0);
	IS(rump_sys_setuid(7), 0);
	FAILS(rump_sys_open("/data", O_RDONLY), EACCES);
	/* The program as a whole may register, whoever is current. */
	IS(rump_pub_etfs_register("/more", host("sub/deep"), RUMP_ETFS_REG), 0);
	holds("/more", "deep");
	FAILS(rump_sys_open("/more", O_RDWR), EACCES);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(a_file),
		CASE(directories_on_the_way),
		CASE(a_part_of_a_file),
		CASE(a_directory),
		CASE(a_directory_over_another),
		CASE(what_cannot_be),
		CASE(as_another_user),
	};
	return CASES(cases);
}
