/* Files by name: what is made, moved and taken away, whose it is, and where a process works. */

#include "cases.h"

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static void
begin(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	rump_sys_umask(0);
}

static void
make(const char *path)
{
	IS(rump_sys_close(rump_sys_open(path, O_CREAT | O_EXCL | O_RDWR, 0644)), 0);
}

static void
directories(void)
{
	struct stat stat;
	begin();
	IS(rump_sys_mkdir("/d", 0751), 0);
	IS(rump_sys_stat("/d", &stat), 0);
	IS(stat.st_mode, S_IFDIR | 0751);
	FAILS(rump_sys_mkdir("/d", 0755), EEXIST);
	FAILS(rump_sys_mkdir("/none/d", 0755), ENOENT);
	FAILS(rump_sys_mkdir(NULL, 0755), EFAULT);
	make("/d/f");
	FAILS(rump_sys_rmdir("/d"), ENOTEMPTY);
	FAILS(rump_sys_rmdir("/d/f"), ENOTDIR);
	FAILS(rump_sys_unlink("/d"), EISDIR);
	IS(rump_sys_unlink("/d/f"), 0);
	IS(rump_sys_rmdir("/d"), 0);
	FAILS(rump_sys_rmdir("/d"), ENOENT);
	FAILS(rump_sys_rmdir("/"), EBUSY);
	FAILS(rump_sys_rmdir(NULL), EFAULT);
	FAILS(rump_sys_unlink(NULL), EFAULT);
	FAILS(rump_sys_unlink("/none"), ENOENT);
}

static void
links(void)
{
	char buf[16];
	struct stat one, other;
	begin();
	make("/f");
	IS(rump_sys_link("/f", "/g"), 0);
	IS(rump_sys_stat("/f", &one), 0);
	IS(rump_sys_stat("/g", &other), 0);
	IS(one.st_ino, other.st_ino);
	IS(one.st_nlink, 2);
	FAILS(rump_sys_link("/f", "/g"), EEXIST);
	FAILS(rump_sys_link("/none", "/h"), ENOENT);
	FAILS(rump_sys_link("/", "/h"), EPERM);
	FAILS(rump_sys_link(NULL, "/h"), EFAULT);
	FAILS(rump_sys_link("/f", NULL), EFAULT);

	IS(rump_sys_symlink("/f", "/s"), 0);
	FAILS(rump_sys_symlink("/f", "/s"), EEXIST);
	FAILS(rump_sys_symlink(NULL, "/t"), EFAULT);
	FAILS(rump_sys_symlink("/f", NULL), EFAULT);
	memset(buf, '#', sizeof(buf));
	IS(rump_sys_readlink("/s", buf, sizeof(buf)), 2);
	/* No NUL is written. */
	IS(memcmp(buf, "/f#", 3), 0);
	IS(rump_sys_readlink("/s", buf, 1), 1);
	FAILS(rump_sys_readlink("/s", buf, 0), EINVAL);
	FAILS(rump_sys_readlink("/s", NULL, 4), EFAULT);
	FAILS(rump_sys_readlink("/f", buf, sizeof(buf)), EINVAL);
	FAILS(rump_sys_readlink("/none", buf, sizeof(buf)), ENOENT);
	FAILS(rump_sys_readlink(NULL, buf, sizeof(buf)), EFAULT);
	IS(rump_sys_lstat("/s", &one), 0);
	CHECK(S_ISLNK(one.st_mode));
	IS(one.st_size, 2);
	IS(rump_sys_stat("/s", &one), 0);
	CHECK(S_ISREG(one.st_mode));
}

static void
renaming(void)
{
	begin();
	make("/f");
	make("/g");
	IS(rump_sys_mkdir("/d", 0755), 0);
	IS(rump_sys_mkdir("/d/below", 0755), 0);
	IS(rump_sys_rename("/f", "/g"), 0);
	FAILS(rump_sys_access("/f", F_OK), ENOENT);
	IS(rump_sys_rename("/g", "/d/h"), 0);
	FAILS(rump_sys_rename("/d", "/d/below/d"), EINVAL);
	FAILS(rump_sys_rename("/d/h", "/d/below"), EISDIR);
	FAILS(rump_sys_rename("/d/below", "/d/h"), ENOTDIR);
	FAILS(rump_sys_rename("/d/below", "/d"), ENOTEMPTY);
	FAILS(rump_sys_rename("/none", "/x"), ENOENT);
	FAILS(rump_sys_rename(NULL, "/x"), EFAULT);
	FAILS(rump_sys_rename("/d", NULL), EFAULT);
}

static void
what_stat_says(void)
{
	struct stat stat;
	begin();
	make("/f");
	int fd = rump_sys_open("/f", O_RDWR);
	IS(rump_sys_write(fd, "hello", 5), 5);
	memset(&stat, 0xff, sizeof(stat));
	IS(rump_sys_fstat(fd, &stat), 0);
	IS(stat.st_mode, S_IFREG | 0644);
	IS(stat.st_size, 5);
	IS(stat.st_nlink, 1);
	IS(stat.st_uid, 0);
	IS(stat.st_gid, 0);
	CHECK(stat.st_blksize > 0);
	CHECK(stat.st_mtim.tv_sec > 1000000000 && stat.st_mtim.tv_nsec < 1000000000);
	FAILS(rump_sys_stat("/none", &stat), ENOENT);
	FAILS(rump_sys_stat("", &stat), ENOENT);
	FAILS(rump_sys_stat(NULL, &stat), EFAULT);
	FAILS(rump_sys_stat("/f", NULL), EFAULT);
	FAILS(rump_sys_lstat("/f", NULL), EFAULT);
	FAILS(rump_sys_fstat(fd, NULL), EFAULT);
	FAILS(rump_sys_fstat(99, &stat), EBADF);
	FAILS(rump_sys_stat("/f/below", &stat), ENOTDIR);
}

static void
permissions_and_owners(void)
{
	struct stat stat;
	begin();
	make("/f");
	int fd = rump_sys_open("/f", O_RDWR);
	IS(rump_sys_chmod("/f", 0600), 0);
	IS(rump_sys_fchmod(fd, 04711), 0);
	IS(rump_sys_stat("/f", &stat), 0);
	IS(stat.st_mode, S_IFREG | 04711);
	IS(rump_sys_chown("/f", 7, 8), 0);
	IS(rump_sys_fchown(fd, (uid_t)-1, 9), 0);
	IS(rump_sys_stat("/f", &stat), 0);
	IS(stat.st_uid, 7);
	IS(stat.st_gid, 9);
	IS(rump_sys_symlink("/f", "/s"), 0);
	IS(rump_sys_lchown("/s", 5, 6), 0);
	IS(rump_sys_lstat("/s", &stat), 0);
	IS(stat.st_uid, 5);
	IS(rump_sys_stat("/s", &stat), 0);
	IS(stat.st_uid, 7);
	FAILS(rump_sys_chmod("/none", 0), ENOENT);
	FAILS(rump_sys_chmod(NULL, 0), EFAULT);
	FAILS(rump_sys_fchmod(99, 0), EBADF);
	FAILS(rump_sys_chown("/none", 0, 0), ENOENT);
	FAILS(rump_sys_chown(NULL, 0, 0), EFAULT);
	FAILS(rump_sys_lchown(NULL, 0, 0), EFAULT);
	FAILS(rump_sys_fchown(99, 0, 0), EBADF);

	IS(rump_sys_access("/f", R_OK | W_OK), 0);
	FAILS(rump_sys_access("/f", 99), EINVAL);
	FAILS(rump_sys_access("/none", F_OK), ENOENT);
	FAILS(rump_sys_access(NULL, F_OK), EFAULT);
	make("/secret");
	IS(rump_sys_chmod("/secret", 0600), 0);
	IS(rump_sys_chmod("/f", 0644), 0);
	IS(rump_sys_setuid(11), 0);
	FAILS(rump_sys_access("/secret", R_OK), EACCES);
	FAILS(rump_sys_open("/secret", O_RDONLY), EACCES);
	IS(rump_sys_access("/f", R_OK), 0);
	FAILS(rump_sys_access("/f", W_OK), EACCES);
	FAILS(rump_sys_chmod("/f", 0666), EPERM);
	FAILS(rump_sys_chown("/f", 11, 11), EPERM);
	FAILS(rump_sys_unlink("/f"), EACCES);
	FAILS(rump_sys_mkdir("/new", 0755), EACCES);
}

static void
masks(void)
{
	struct stat stat;
	begin();
	IS(rump_sys_umask(0137), 0);
	IS(rump_sys_umask(0137), 0137);
	IS(rump_sys_close(rump_sys_open("/f", O_CREAT | O_RDWR, 0777)), 0);
	IS(rump_sys_stat("/f", &stat), 0);
	IS(stat.st_mode & 07777, 0640);
}

static void
where_a_process_works(void)
{
	char buf[64];
	begin();
	IS(rump_sys___getcwd(buf, sizeof(buf)), 2);
	IS(strcmp(buf, "/"), 0);
	IS(rump_sys_mkdir("/a", 0755), 0);
	IS(rump_sys_mkdir("/a/b", 0755), 0);
	IS(rump_sys_chdir("/a"), 0);
	IS(rump_sys_chdir("b"), 0);
	IS(rump_sys___getcwd(buf, sizeof(buf)), 5);
	IS(strcmp(buf, "/a/b"), 0);
	IS(rump_sys___getcwd(buf, 5), 5);
	FAILS(rump_sys___getcwd(buf, 4), ERANGE);
	FAILS(rump_sys___getcwd(buf, 0), ERANGE);
	FAILS(rump_sys___getcwd(NULL, 64), EFAULT);
	IS(rump_sys___getcwd(buf, (size_t)-1), 5);
	int fd = rump_sys_open("/a", O_RDONLY | O_DIRECTORY);
	IS(rump_sys_fchdir(fd), 0);
	IS(rump_sys___getcwd(buf, sizeof(buf)), 3);
	FAILS(rump_sys_fchdir(99), EBADF);
	make("/f");
	FAILS(rump_sys_chdir("/f"), ENOTDIR);
	FAILS(rump_sys_chdir("/none"), ENOENT);
	FAILS(rump_sys_chdir(NULL), EFAULT);
	FAILS(rump_sys_fchdir(rump_sys_open("/f", O_RDONLY)), ENOTDIR);
}

static void
roots(void)
{
	begin();
	IS(rump_sys_mkdir("/jail", 0755), 0);
	make("/outside");
	make("/jail/inside");
	FAILS(rump_sys_chroot("/none"), ENOENT);
	FAILS(rump_sys_chroot("/outside"), ENOTDIR);
	FAILS(rump_sys_chroot(NULL), EFAULT);
	IS(rump_sys_chroot("/jail"), 0);
	IS(rump_sys_chdir("/"), 0);
	IS(rump_sys_access("/inside", F_OK), 0);
	FAILS(rump_sys_access("/outside", F_OK), ENOENT);
	FAILS(rump_sys_access("/../outside", F_OK), ENOENT);
	/* A child is in it, and who is not root cannot do it again. */
	IS(rump_pub_lwproc_rfork(0), 0);
	FAILS(rump_sys_access("/outside", F_OK), ENOENT);
	IS(rump_sys_setuid(7), 0);
	FAILS(rump_sys_chroot("/"), EPERM);
	rump_pub_lwproc_switch(NULL);
	IS(rump_sys_access("/outside", F_OK), 0);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(directories),
		CASE(links),
		CASE(renaming),
		CASE(what_stat_says),
		CASE(permissions_and_owners),
		CASE(masks),
		CASE(where_a_process_works),
		CASE(roots),
	};
	return CASES(cases);
}
