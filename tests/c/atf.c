/*
 * What NetBSD's own test program for lwproc asks, in other words: lwps are made, processes have their credentials, children
 * inherit, many lwps come and go and are collected by themselves, and rfork has three ways with descriptors.
 */

#include "cases.h"

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static void
lwps_are_made(void)
{
	IS(rump_init(), 0);
	IS(rump_pub_lwproc_newlwp(0), 0);
	struct lwp *first = rump_pub_lwproc_curlwp();
	rump_pub_lwproc_switch(NULL);
	IS(rump_pub_lwproc_newlwp(1), 0);
	struct lwp *second = rump_pub_lwproc_curlwp();
	CHECK(first != NULL && second != NULL && first != second);
	IS(rump_pub_lwproc_newlwp(37), ESRCH);
	CHECK(rump_pub_lwproc_curlwp() == second);
	IS(rump_pub_lwproc_rfork(0), 0);
	pid_t pid = rump_sys_getpid();
	CHECK(pid != -1 && pid != 0 && pid != 1);
	rump_pub_lwproc_releaselwp();
	IS(rump_pub_lwproc_newlwp(pid), ESRCH);
}

static void
processes_have_their_credentials(void)
{
	IS(rump_init(), 0);
	IS(rump_pub_lwproc_rfork(0), 0);
	struct lwp *first = rump_pub_lwproc_curlwp();
	IS(rump_pub_lwproc_newlwp(rump_sys_getpid()), 0);
	struct lwp *sibling = rump_pub_lwproc_curlwp();
	rump_pub_lwproc_switch(NULL);
	IS(rump_pub_lwproc_rfork(0), 0);
	struct lwp *other = rump_pub_lwproc_curlwp();

	/* One lwp becomes somebody else: so does its sibling, and nobody in the other process. */
	rump_pub_lwproc_switch(first);
	IS(rump_sys_setuid(22), 0);
	IS(rump_sys_getuid(), 22);
	rump_pub_lwproc_switch(sibling);
	IS(rump_sys_getuid(), 22);
	rump_pub_lwproc_switch(other);
	IS(rump_sys_getuid(), 0);
	rump_pub_lwproc_switch(NULL);
	IS(rump_sys_getuid(), 0);
}

static void
children_inherit(void)
{
	IS(rump_init(), 0);
	IS(rump_pub_lwproc_rfork(0), 0);
	struct lwp *parent = rump_pub_lwproc_curlwp();
	IS(rump_sys_setuid(66), 0);
	IS(rump_pub_lwproc_rfork(0), 0);
	IS(rump_sys_getuid(), 66);
	/* Not from where there is no current lwp: that is process 1's. */
	rump_pub_lwproc_switch(NULL);
	IS(rump_pub_lwproc_rfork(0), 0);
	IS(rump_sys_getuid(), 0);
	/* A new lwp is in its process, whoever makes it. */
	rump_pub_lwproc_switch(parent);
	IS(rump_pub_lwproc_newlwp(1), 0);
	IS(rump_sys_getuid(), 0);
}

static void
many_lwps_are_collected(void)
{
	enum { MANY = 128 };
	static struct lwp *lwps[MANY];
	IS(rump_init(), 0);
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	pid_t pid = rump_sys_getpid();
	lwps[0] = rump_pub_lwproc_curlwp();
	IS(rump_sys_setuid(375), 0);
	for (int i = 1; i < MANY; i++) {
		IS(rump_pub_lwproc_newlwp(pid), 0);
		lwps[i] = rump_pub_lwproc_curlwp();
		IS(rump_sys_getuid(), 375);
	}
	rump_pub_lwproc_switch(NULL);
	IS(rump_sys_getuid(), 0);
	for (int i = 0; i < MANY; i++) {
		/* The process is there as long as one lwp is left. */
		IS(rump_pub_lwproc_newlwp(pid), 0);
		rump_pub_lwproc_releaselwp();
		rump_pub_lwproc_switch(lwps[i]);
		IS(rump_sys_getpid(), pid);
		IS(rump_sys_getuid(), 375);
		rump_pub_lwproc_releaselwp();
		CHECK(rump_pub_lwproc_curlwp() == NULL);
	}
	IS(rump_pub_lwproc_newlwp(pid), ESRCH);
}

static void
release_without_a_lwp(void)
{
	IS(rump_init(), 0);
	rump_pub_lwproc_releaselwp();
}

static void
no_lwp_is_null(void)
{
	IS(rump_init(), 0);
	CHECK(rump_pub_lwproc_curlwp() == NULL);
}

static void
a_switch_to_null_leaves_none(void)
{
	IS(rump_init(), 0);
	IS(rump_pub_lwproc_newlwp(0), 0);
	rump_pub_lwproc_switch(NULL);
	CHECK(rump_pub_lwproc_curlwp() == NULL);
}

static void
null_to_null_is_nothing(void)
{
	IS(rump_init(), 0);
	rump_pub_lwproc_switch(NULL);
	CHECK(rump_pub_lwproc_curlwp() == NULL);
}

static void
rfork_has_three_ways_with_descriptors(void)
{
	static const struct {
		int flags;
		int open, shared;
	} ways[] = { { RUMP_RFFD_SHARE, 1, 1 }, { RUMP_RFFD_COPY, 1, 0 }, { RUMP_RFFD_CLEAR, 0, 0 } };
	struct stat stat;

	IS(rump_init(), 0);
	for (int i = 0; i < 3; i++) {
		rump_pub_lwproc_switch(NULL);
		IS(rump_pub_lwproc_rfork(RUMP_RFFD_CLEAR), 0);
		struct lwp *parent = rump_pub_lwproc_curlwp();
		int fd = rump_sys_open("/file", O_RDWR | O_CREAT, 0777);
		IS(fd, 0);

		IS(rump_pub_lwproc_rfork(ways[i].flags), 0);
		struct lwp *child = rump_pub_lwproc_curlwp();
		if (ways[i].open) {
			IS(rump_sys_fstat(fd, &stat), 0);
			/* An offset belongs to the open file, which a copied table has too. */
			IS(rump_sys_write(fd, "12345", 5), 5);
			rump_pub_lwproc_switch(parent);
			IS(rump_sys_lseek(fd, 0, SEEK_CUR), 5);
			rump_pub_lwproc_switch(child);
		} else {
			FAILS(rump_sys_fstat(fd, &stat), EBADF);
		}

		/* What is opened after is the other's too where the table is shared alone. */
		int second = rump_sys_open("/file", O_RDWR);
		CHECK(second != -1);
		rump_pub_lwproc_switch(parent);
		if (ways[i].shared || second == fd)
			IS(rump_sys_fstat(second, &stat), 0);
		else
			FAILS(rump_sys_fstat(second, &stat), EBADF);
	}
	IS(rump_pub_lwproc_rfork(RUMP_RFFDG | RUMP_RFCFDG), EINVAL);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(lwps_are_made),
		CASE(processes_have_their_credentials),
		CASE(children_inherit),
		CASE(many_lwps_are_collected),
		FATAL(release_without_a_lwp, "releaselwp without a dedicated lwp"),
		CASE(no_lwp_is_null),
		CASE(a_switch_to_null_leaves_none),
		CASE(null_to_null_is_nothing),
		CASE(rfork_has_three_ways_with_descriptors),
	};
	return CASES(cases);
}
