/* Processes and lwps: what each call answers, and who is current after it. */

#include "cases.h"

#include <limits.h>
#include <stdint.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static struct lwp *
forked(int flags)
{
	IS(rump_pub_lwproc_rfork(flags), 0);
	struct lwp *lwp = rump_pub_lwproc_curlwp();
	CHECK(lwp != NULL);
	return lwp;
}

static int
is_open(int fd)
{
	return rump_sys_fcntl(fd, F_GETFD) != -1;
}

static void
booting_twice_changes_nothing(void)
{
	IS(rump_init(), 0);
	forked(RUMP_RFCFDG);
	IS(rump_sys_getpid(), 2);
	IS(rump_init(), 0);
	IS(rump_sys_getpid(), 2);
}

static void
any_call_boots(void)
{
	forked(0);
	IS(rump_sys_getpid(), 2);
}

static void
version_is_in_netbsds_form(void)
{
	int version = rump_getversion();
	CHECK(version > 0);
	IS(version % 100, 0);
	IS(rump_pub_getversion(), version);
}

static void
scheduling_changes_nothing(void)
{
	rump_schedule();
	CHECK(rump_pub_lwproc_curlwp() == NULL);
	struct lwp *lwp = forked(0);
	rump_unschedule();
	CHECK(rump_pub_lwproc_curlwp() == lwp);
	rump_schedule();
	rump_unschedule();
	CHECK(rump_pub_lwproc_curlwp() == lwp);
}

static void
implicit_context(void)
{
	IS(rump_sys_getpid(), 1);
	IS(rump_sys_getppid(), 0);
	IS(rump_sys_getuid(), 0);
	IS(rump_sys_geteuid(), 0);
	IS(rump_sys_getgid(), 0);
	IS(rump_sys__lwp_self(), 0);
	CHECK(rump_pub_lwproc_curlwp() == NULL);
	CHECK(is_open(0) && is_open(1) && is_open(2));
	CHECK(!is_open(3));
	IS(rump_sys_open("/first", RUMP_O_CREAT | RUMP_O_RDWR, 0644), 3);
}

static void
newlwp_of_0_and_1(void)
{
	for (int pid = 0; pid < 2; pid++) {
		IS(rump_pub_lwproc_newlwp(pid), 0);
		IS(rump_sys_getpid(), pid);
		CHECK(rump_pub_lwproc_curlwp() != NULL);
		CHECK(rump_sys__lwp_self() > 0);
		rump_pub_lwproc_releaselwp();
		CHECK(rump_pub_lwproc_curlwp() == NULL);
		IS(rump_sys_getpid(), 1);
	}
	/* Again, and pid 1 goes on. */
	for (int i = 0; i < 3; i++)
		IS(rump_pub_lwproc_newlwp(1), 0);
	rump_pub_lwproc_releaselwp();
	IS(rump_sys_getpid(), 1);
	CHECK(is_open(0));
}

static void
newlwp_of_an_unknown_pid(void)
{
	const pid_t unknown[] = { 2, 37, -1, -5, INT_MAX, INT_MIN };
	for (int bound = 0; bound < 2; bound++) {
		struct lwp *before = bound ? forked(0) : NULL;
		for (size_t i = (size_t)bound; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
			errno = 77;
			IS(rump_pub_lwproc_newlwp(unknown[i]), ESRCH);
			/* It is an answer, not a system call's error. */
			IS(errno, 77);
			CHECK(rump_pub_lwproc_curlwp() == before);
		}
	}
}

static void
process_0_is_roots_and_has_no_files(void)
{
	IS(rump_sys_setuid(8), 0);
	IS(rump_pub_lwproc_newlwp(0), 0);
	IS(rump_sys_getuid(), 0);
	CHECK(!is_open(0) && !is_open(1) && !is_open(2));
	rump_pub_lwproc_releaselwp();
	IS(rump_sys_getuid(), 8);
}

static void
pids_come_in_turn(void)
{
	const int flags[] = { 0, RUMP_RFFDG, RUMP_RFCFDG };
	for (int i = 0; i < 3; i++) {
		rump_pub_lwproc_switch(NULL);
		forked(flags[i]);
		IS(rump_sys_getpid(), 2 + i);
		IS(rump_sys_getppid(), 1);
	}
	rump_pub_lwproc_releaselwp();
	forked(0);
	IS(rump_sys_getpid(), 5);
}

static void
no_pid_is_given_again_at_once(void)
{
	pid_t last = 0;
	for (int i = 0; i < 5000; i++) {
		forked(RUMP_RFCFDG);
		CHECK(rump_sys_getpid() != last);
		last = rump_sys_getpid();
		rump_pub_lwproc_releaselwp();
	}
}

static void
flags_that_rfork_has_not(void)
{
	const int unknown[] = { RUMP_RFFDG | RUMP_RFCFDG, 4, 5, 0x100, -1, INT_MAX, INT_MIN };
	for (int bound = 0; bound < 2; bound++) {
		struct lwp *before = bound ? forked(0) : NULL;
		for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
			errno = 77;
			IS(rump_pub_lwproc_rfork(unknown[i]), EINVAL);
			IS(errno, 77);
			CHECK(rump_pub_lwproc_curlwp() == before);
		}
	}
	/* Nothing was made of those. */
	forked(0);
	IS(rump_sys_getpid(), 3);
}

static void
flags_have_other_names(void)
{
	IS(RUMP_RFFD_SHARE, 0);
	IS(RUMP_RFFD_COPY, RUMP_RFFDG);
	IS(RUMP_RFFD_CLEAR, RUMP_RFCFDG);
	IS(RUMP_RFFDG, 1);
	IS(RUMP_RFCFDG, 2);
}

static void
the_caller_is_the_parent_and_lives_on(void)
{
	struct lwp *parent = forked(0);
	struct lwp *child = forked(0);
	CHECK(parent != child);
	IS(rump_sys_getpid(), 3);
	IS(rump_sys_getppid(), 2);
	rump_pub_lwproc_switch(parent);
	IS(rump_sys_getpid(), 2);
	rump_pub_lwproc_releaselwp();
	rump_pub_lwproc_switch(child);
	/* The parent is gone. */
	IS(rump_sys_getppid(), 1);
	IS(rump_pub_lwproc_newlwp(2), ESRCH);
}

static void
a_process_goes_with_its_last_lwp(void)
{
	struct lwp *first = forked(0);
	IS(rump_pub_lwproc_newlwp(2), 0);
	struct lwp *second = rump_pub_lwproc_curlwp();
	CHECK(first != second);
	rump_pub_lwproc_releaselwp();
	CHECK(rump_pub_lwproc_curlwp() == NULL);
	IS(rump_sys_getpid(), 1);
	IS(rump_pub_lwproc_newlwp(2), 0);
	rump_pub_lwproc_releaselwp();
	rump_pub_lwproc_switch(first);
	rump_pub_lwproc_releaselwp();
	IS(rump_pub_lwproc_newlwp(2), ESRCH);
}

static void
lwps_have_numbers(void)
{
	forked(0);
	lwpid_t first = rump_sys__lwp_self();
	struct lwp *lwp = rump_pub_lwproc_curlwp();
	IS(rump_pub_lwproc_newlwp(2), 0);
	lwpid_t second = rump_sys__lwp_self();
	CHECK(first > 0 && second > 0 && first != second);
	rump_pub_lwproc_switch(lwp);
	IS(rump_sys__lwp_self(), first);
}

static void
handles_are_not_used_again(void)
{
	enum { MANY = 1000 };
	static struct lwp *seen[MANY];
	for (int i = 0; i < MANY; i++) {
		seen[i] = forked(RUMP_RFCFDG);
		rump_pub_lwproc_releaselwp();
	}
	for (int i = 0; i < MANY; i++)
		for (int j = 0; j < i; j++)
			CHECK(seen[i] != seen[j]);
}

static void
switching_to_none_where_there_is_none(void)
{
	rump_pub_lwproc_switch(NULL);
	CHECK(rump_pub_lwproc_curlwp() == NULL);
	struct lwp *lwp = forked(0);
	rump_pub_lwproc_switch(NULL);
	rump_pub_lwproc_switch(NULL);
	CHECK(rump_pub_lwproc_curlwp() == NULL);
	IS(rump_sys_getpid(), 1);
	rump_pub_lwproc_switch(lwp);
	IS(rump_sys_getpid(), 2);
}

static void
directory_mask_and_user_are_copied(void)
{
	const int flags[] = { 0, RUMP_RFFDG, RUMP_RFCFDG };
	char cwd[16];
	for (int i = 0; i < 3; i++) {
		rump_pub_lwproc_switch(NULL);
		struct lwp *parent = forked(0);
		CHECK(rump_sys_mkdir("/a", 0755) == 0 || errno == EEXIST);
		CHECK(rump_sys_mkdir("/b", 0755) == 0 || errno == EEXIST);
		IS(rump_sys_chdir("/a"), 0);
		rump_sys_umask(027);
		struct lwp *child = forked(flags[i]);
		IS(rump_sys___getcwd(cwd, sizeof(cwd)), 3);
		IS(strcmp(cwd, "/a"), 0);
		IS(rump_sys_umask(077), 027);
		IS(rump_sys_chdir("/b"), 0);
		IS(rump_sys_setgid(9), 0);
		IS(rump_sys_setuid(7), 0);
		rump_pub_lwproc_switch(parent);
		IS(rump_sys___getcwd(cwd, sizeof(cwd)), 3);
		IS(strcmp(cwd, "/a"), 0);
		IS(rump_sys_umask(027), 027);
		IS(rump_sys_getuid(), 0);
		IS(rump_sys_getgid(), 0);
		rump_pub_lwproc_switch(child);
		IS(rump_sys_getuid(), 7);
		/* And inherited again. */
		forked(flags[i]);
		IS(rump_sys_getuid(), 7);
		IS(rump_sys_getgid(), 9);
	}
}

static void
lwps_of_a_process_share_everything(void)
{
	char cwd[16];
	struct lwp *first = forked(0);
	pid_t pid = rump_sys_getpid();
	IS(rump_pub_lwproc_newlwp(pid), 0);
	IS(rump_sys_mkdir("/d", 0777), 0);
	IS(rump_sys_chdir("/d"), 0);
	rump_sys_umask(011);
	IS(rump_sys_open("/d/f", O_CREAT | O_RDWR, 0666), 3);
	IS(rump_sys_setuid(7), 0);
	rump_pub_lwproc_switch(first);
	IS(rump_sys_getuid(), 7);
	IS(rump_sys_umask(0), 011);
	IS(rump_sys___getcwd(cwd, sizeof(cwd)), 3);
	IS(strcmp(cwd, "/d"), 0);
	IS(rump_sys_write(3, "x", 1), 1);
}

static void
a_user_of_process_1_stays_and_is_inherited(void)
{
	IS(rump_sys_setuid(7), 0);
	IS(rump_sys_getuid(), 7);
	forked(0);
	IS(rump_sys_getuid(), 7);
	FAILS(rump_sys_setuid(0), EPERM);
	FAILS(rump_sys_open("/new", O_CREAT | O_RDWR, 0644), EACCES);
}

static void
an_empty_table_is_empty(void)
{
	struct lwp *parent = forked(RUMP_RFCFDG);
	CHECK(!is_open(0) && !is_open(1) && !is_open(2));
	IS(rump_sys_open("/f", O_CREAT | O_RDWR, 0644), 0);
	IS(rump_sys_write(0, "abc", 3), 3);
	struct lwp *child = forked(0);
	rump_pub_lwproc_switch(parent);
	rump_pub_lwproc_releaselwp();
	/* The table was shared, and outlives the process that made it. */
	rump_pub_lwproc_switch(child);
	IS(rump_sys_lseek(0, 0, SEEK_CUR), 3);
	IS(rump_sys_close(0), 0);
}

static void
a_shared_table_is_seen_both_ways(void)
{
	struct lwp *parent = forked(RUMP_RFCFDG);
	IS(rump_sys_open("/p", O_CREAT | O_RDWR, 0644), 0);
	forked(0);
	IS(rump_sys_open("/c", O_CREAT | O_RDWR, 0644), 1);
	IS(rump_sys_close(0), 0);
	rump_pub_lwproc_releaselwp();
	rump_pub_lwproc_switch(parent);
	/* The child's close and open are seen; its end closed nothing. */
	CHECK(!is_open(0));
	CHECK(is_open(1));
}

static void
release_closes(void)
{
	int ends[2];
	char byte;
	IS(rump_sys_pipe(ends), 0);
	forked(RUMP_RFFDG);
	rump_pub_lwproc_switch(NULL);
	IS(rump_sys_close(ends[1]), 0);
	/* The child has the writing end still. */
	IS(rump_sys_fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	FAILS(rump_sys_read(ends[0], &byte, 1), EAGAIN);
	IS(rump_pub_lwproc_newlwp(2), 0);
	rump_pub_lwproc_releaselwp();
	FAILS(rump_sys_read(ends[0], &byte, 1), EAGAIN);
}

static void
the_last_release_is_a_pipes_end(void)
{
	int ends[2];
	char byte;
	IS(rump_sys_pipe(ends), 0);
	struct lwp *child = forked(RUMP_RFFDG);
	rump_pub_lwproc_switch(NULL);
	IS(rump_sys_close(ends[1]), 0);
	rump_pub_lwproc_switch(child);
	rump_pub_lwproc_releaselwp();
	IS(rump_sys_read(ends[0], &byte, 1), 0);
}

static void
too_many_processes_or_lwps(void)
{
	struct rlimit limit = { 4, 4 };
	forked(0);
	IS(rump_sys_setrlimit(RUMP_RLIMIT_NTHR, &limit), 0);
	IS(rump_sys_setuid(7), 0);
	int made = 0, error;
	while ((error = rump_pub_lwproc_newlwp(2)) == 0) {
		made++;
		CHECK(made < 100);
	}
	IS(error, EAGAIN);
	CHECK(made > 0);
	/* The one made last is current still. */
	IS(rump_sys_getpid(), 2);

	IS(rump_sys_setrlimit(RLIMIT_NPROC, &limit), 0);
	made = 0;
	while ((error = rump_pub_lwproc_rfork(RUMP_RFCFDG)) == 0) {
		made++;
		CHECK(made < 100);
	}
	IS(error, EAGAIN);
	CHECK(made > 0);
	pid_t last = rump_sys_getpid();
	CHECK(last > 2);
	rump_pub_lwproc_releaselwp();
	IS(rump_pub_lwproc_newlwp(last), ESRCH);
}

static void
other_numbers_can_be_gone_by(void)
{
	struct lwp *lwp = forked(0);
	rump_pub_allbetsareoff_setid(5000, 77);
	IS(rump_sys_getpid(), 5000);
	IS(rump_sys__lwp_self(), 77);
	/* -1 leaves one as it is. */
	rump_pub_allbetsareoff_setid(-1, 78);
	IS(rump_sys_getpid(), 5000);
	IS(rump_sys__lwp_self(), 78);
	rump_pub_allbetsareoff_setid(5001, -1);
	IS(rump_sys_getpid(), 5001);
	IS(rump_sys__lwp_self(), 78);
	/* Nothing is found by them. */
	IS(rump_pub_lwproc_newlwp(5001), ESRCH);
	IS(rump_pub_lwproc_newlwp(2), 0);
	IS(rump_sys_getpid(), 5001);
	CHECK(rump_sys__lwp_self() != 78);
	/* Children have their own. */
	forked(0);
	IS(rump_sys_getpid(), 3);
	rump_pub_lwproc_switch(lwp);
	IS(rump_sys__lwp_self(), 78);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(booting_twice_changes_nothing),
		CASE(any_call_boots),
		CASE(version_is_in_netbsds_form),
		CASE(scheduling_changes_nothing),
		CASE(implicit_context),
		CASE(newlwp_of_0_and_1),
		CASE(newlwp_of_an_unknown_pid),
		CASE(process_0_is_roots_and_has_no_files),
		CASE(pids_come_in_turn),
		CASE(no_pid_is_given_again_at_once),
		CASE(flags_that_rfork_has_not),
		CASE(flags_have_other_names),
		CASE(the_caller_is_the_parent_and_lives_on),
		CASE(a_process_goes_with_its_last_lwp),
		CASE(lwps_have_numbers),
		CASE(handles_are_not_used_again),
		CASE(switching_to_none_where_there_is_none),
		CASE(directory_mask_and_user_are_copied),
		CASE(lwps_of_a_process_share_everything),
		CASE(a_user_of_process_1_stays_and_is_inherited),
		CASE(an_empty_table_is_empty),
		CASE(a_shared_table_is_seen_both_ways),
		CASE(release_closes),
		CASE(the_last_release_is_a_pipes_end),
		CASE(too_many_processes_or_lwps),
		CASE(other_numbers_can_be_gone_by),
	};
	return CASES(cases);
}
