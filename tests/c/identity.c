/* Who a process is: users, groups, and credentials of their own. */

#include "cases.h"

#include <limits.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

#define NONE ((uid_t)-1)

static void
forked(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
}

static void
root_becomes_another_for_good(void)
{
	forked();
	IS(rump_sys_setgid(9), 0);
	IS(rump_sys_setuid(7), 0);
	IS(rump_sys_getuid(), 7);
	IS(rump_sys_geteuid(), 7);
	IS(rump_sys_getgid(), 9);
	IS(rump_sys_getegid(), 9);
	FAILS(rump_sys_setuid(0), EPERM);
	FAILS(rump_sys_seteuid(0), EPERM);
	FAILS(rump_sys_setgid(0), EPERM);
	FAILS(rump_sys_setegid(0), EPERM);
	FAILS(rump_sys_setreuid(0, 0), EPERM);
	FAILS(rump_sys_setregid(0, 0), EPERM);
	IS(rump_sys_setuid(7), 0);
}

static void
the_effective_user_comes_back(void)
{
	forked();
	IS(rump_sys_seteuid(7), 0);
	IS(rump_sys_getuid(), 0);
	IS(rump_sys_geteuid(), 7);
	FAILS(rump_sys_open("/no", O_CREAT | O_RDWR, 0600), EACCES);
	IS(rump_sys_seteuid(0), 0);
	IS(rump_sys_open("/yes", O_CREAT | O_RDWR, 0600), 0);

	IS(rump_sys_setegid(8), 0);
	IS(rump_sys_getgid(), 0);
	IS(rump_sys_getegid(), 8);
	IS(rump_sys_setegid(0), 0);
}

static void
both_at_once(void)
{
	forked();
	IS(rump_sys_setregid(5, 6), 0);
	IS(rump_sys_getgid(), 5);
	IS(rump_sys_getegid(), 6);
	IS(rump_sys_setreuid(1, 2), 0);
	IS(rump_sys_getuid(), 1);
	IS(rump_sys_geteuid(), 2);
	/* -1 leaves one as it is; a process may exchange its own. */
	IS(rump_sys_setreuid(NONE, 1), 0);
	IS(rump_sys_geteuid(), 1);
	IS(rump_sys_setreuid(1, NONE), 0);
	FAILS(rump_sys_setreuid(3, NONE), EPERM);
}

static void
nobody_is_minus_one(void)
{
	forked();
	FAILS(rump_sys_setuid(NONE), EINVAL);
	FAILS(rump_sys_seteuid(NONE), EINVAL);
	FAILS(rump_sys_setgid((gid_t)-1), EINVAL);
	FAILS(rump_sys_setegid((gid_t)-1), EINVAL);
	IS(rump_sys_getuid(), 0);
}

static void
groups(void)
{
	const gid_t some[] = { 30, 10, 20 };
	gid_t found[32];
	forked();
	IS(rump_sys_getgroups(0, NULL), 0);
	IS(rump_sys_setgroups(3, some), 0);
	IS(rump_sys_getgroups(0, NULL), 3);
	IS(rump_sys_getgroups(32, found), 3);
	for (int i = 0; i < 3; i++) {
		int there = 0;
		for (int j = 0; j < 3; j++)
			there += found[j] == some[i];
		IS(there, 1);
	}
	FAILS(rump_sys_getgroups(2, found), EINVAL);
	FAILS(rump_sys_getgroups(-1, found), EINVAL);
	FAILS(rump_sys_getgroups(3, NULL), EFAULT);
	FAILS(rump_sys_setgroups(-1, some), EINVAL);
	FAILS(rump_sys_setgroups(INT_MAX, some), EINVAL);
	FAILS(rump_sys_setgroups(1, NULL), EFAULT);
	/* A child has them too, and one that is not root cannot set them. */
	forked();
	IS(rump_sys_getgroups(0, NULL), 3);
	IS(rump_sys_setuid(7), 0);
	FAILS(rump_sys_setgroups(0, NULL), EPERM);
	IS(rump_sys_getgroups(0, NULL), 3);
}

static void
a_group_opens_a_file(void)
{
	const gid_t some[] = { 40 };
	forked();
	int fd = rump_sys_open("/shared", O_CREAT | O_RDWR, 0600);
	IS(rump_sys_fchown(fd, 1, 40), 0);
	IS(rump_sys_fchmod(fd, 0640), 0);
	forked();
	IS(rump_sys_setuid(7), 0);
	FAILS(rump_sys_open("/shared", O_RDONLY), EACCES);
	rump_pub_lwproc_releaselwp();
	forked();
	IS(rump_sys_setgroups(1, some), 0);
	IS(rump_sys_setuid(7), 0);
	IS(rump_sys_open("/shared", O_RDONLY), 0);
	FAILS(rump_sys_open("/shared", O_RDWR), EACCES);
}

static void
credentials_are_made_and_put_back(void)
{
	gid_t some[] = { 1, 2, 3 };
	struct kauth_cred *first = rump_pub_cred_create(7, 8, 3, some);
	struct kauth_cred *second = rump_pub_cred_create(7, 8, 0, NULL);
	CHECK(first != NULL && second != NULL && first != second);
	rump_pub_cred_put(first);
	rump_pub_cred_put(second);
	/* Nobody has become somebody else by it. */
	IS(rump_sys_getuid(), 0);
}

static void
credentials_that_there_are_not(void)
{
	static gid_t many[100000];
	errno = 0;
	CHECK(rump_pub_cred_create(NONE, 0, 0, NULL) == NULL);
	IS(errno, EINVAL);
	errno = 0;
	CHECK(rump_pub_cred_create(0, (gid_t)-1, 0, NULL) == NULL);
	IS(errno, EINVAL);
	errno = 0;
	CHECK(rump_pub_cred_create(0, 0, 1, NULL) == NULL);
	IS(errno, EFAULT);
	errno = 0;
	CHECK(rump_pub_cred_create(0, 0, 100000, many) == NULL);
	IS(errno, EINVAL);
	errno = 0;
	CHECK(rump_pub_cred_create(0, 0, (size_t)-1, many) == NULL);
	IS(errno, EINVAL);
	many[0] = (gid_t)-1;
	errno = 0;
	CHECK(rump_pub_cred_create(0, 0, 1, many) == NULL);
	IS(errno, EINVAL);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(root_becomes_another_for_good),
		CASE(the_effective_user_comes_back),
		CASE(both_at_once),
		CASE(nobody_is_minus_one),
		CASE(groups),
		CASE(a_group_opens_a_file),
		CASE(credentials_are_made_and_put_back),
		CASE(credentials_that_there_are_not),
	};
	return CASES(cases);
}
