/* Misuse: each aborts, and one line on standard error says what it was. */

#include "cases.h"

#include <pthread.h>
#include <stdint.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static struct lwp *
forked(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	return rump_pub_lwproc_curlwp();
}

static struct lwp *
invented(uint64_t number)
{
	return (struct lwp *)(uintptr_t)number;
}

static void
release_in_an_implicit_context(void)
{
	IS(rump_init(), 0);
	rump_pub_lwproc_releaselwp();
}

static void
release_before_anything(void)
{
	rump_pub_lwproc_releaselwp();
}

static void
release_twice(void)
{
	forked();
	rump_pub_lwproc_releaselwp();
	rump_pub_lwproc_releaselwp();
}

static void
release_after_letting_go(void)
{
	forked();
	rump_pub_lwproc_switch(NULL);
	rump_pub_lwproc_releaselwp();
}

static void
switch_to_the_current_lwp(void)
{
	rump_pub_lwproc_switch(forked());
}

static struct lwp *elsewhere;
static int ready[2];

static void *
run_elsewhere(void *unused)
{
	(void)unused;
	elsewhere = forked();
	CHECK(write(ready[1], "", 1) == 1);
	pause();
	return NULL;
}

static void
switch_to_one_that_runs_elsewhere(void)
{
	pthread_t thread;
	char byte;
	forked();
	CHECK(pipe(ready) == 0);
	CHECK(pthread_create(&thread, NULL, run_elsewhere, NULL) == 0);
	CHECK(read(ready[0], &byte, 1) == 1);
	rump_pub_lwproc_switch(elsewhere);
}

static void
switch_to_a_released_lwp(void)
{
	struct lwp *lwp = forked();
	rump_pub_lwproc_releaselwp();
	rump_pub_lwproc_switch(lwp);
}

static void
switch_to_a_released_lwp_whose_place_is_taken(void)
{
	struct lwp *lwp = forked();
	rump_pub_lwproc_releaselwp();
	for (int i = 0; i < 4; i++)
		forked();
	rump_pub_lwproc_switch(lwp);
}

static void
switch_to_a_released_lwp_of_a_living_process(void)
{
	forked();
	IS(rump_pub_lwproc_newlwp(2), 0);
	struct lwp *lwp = rump_pub_lwproc_curlwp();
	rump_pub_lwproc_releaselwp();
	rump_pub_lwproc_switch(lwp);
}

static void
switch_to_an_address(void)
{
	static int thing;
	rump_pub_lwproc_switch((struct lwp *)(void *)&thing);
}

static void
switch_to_1(void)
{
	rump_pub_lwproc_switch(invented(1));
}

static void
switch_to_all_ones(void)
{
	rump_pub_lwproc_switch(invented(UINT64_MAX));
}

static void
switch_to_one_bit_off(void)
{
	struct lwp *lwp = forked();
	rump_pub_lwproc_switch(NULL);
	rump_pub_lwproc_switch(invented((uint64_t)(uintptr_t)lwp ^ 1));
}

static void
put_no_credentials(void)
{
	rump_pub_cred_put(NULL);
}

static void
put_credentials_twice(void)
{
	struct kauth_cred *cred = rump_pub_cred_create(1, 1, 0, NULL);
	CHECK(cred != NULL);
	rump_pub_cred_put(cred);
	rump_pub_cred_put(cred);
}

static void
put_invented_credentials(void)
{
	static int thing;
	rump_pub_cred_put((struct kauth_cred *)(void *)&thing);
}

static void
write_to_a_broken_pipe_where_signals_panic(void)
{
	int ends[2];
	rump_boot_setsigmodel(RUMP_SIGMODEL_PANIC);
	IS(rump_init(), 0);
	IS(rump_sys_pipe(ends), 0);
	IS(rump_sys_close(ends[0]), 0);
	rump_sys_write(ends[1], "x", 1);
}

static void
with_standard_error_closed(void)
{
	/* Nobody can be told; it is an abort all the same. What the case says is said here. */
	CHECK(write(2, "lwproc: fatal: unsaid\n", 22) == 22);
	close(2);
	rump_pub_lwproc_releaselwp();
}

int
main(int argc, char **argv)
{
	static const char *nothing = "releaselwp without a dedicated lwp";
	static const char *none = "no such lwp";
	static const char *no_cred = "rump_pub_cred_put of no credentials";
	const struct test_case cases[] = {
		FATAL(release_in_an_implicit_context, nothing),
		FATAL(release_before_anything, nothing),
		FATAL(release_twice, nothing),
		FATAL(release_after_letting_go, nothing),
		FATAL(switch_to_the_current_lwp, "already running, in pid 2, on host thread"),
		FATAL(switch_to_one_that_runs_elsewhere, "already running, in pid 3, on host thread"),
		FATAL(switch_to_a_released_lwp, none),
		FATAL(switch_to_a_released_lwp_whose_place_is_taken, none),
		FATAL(switch_to_a_released_lwp_of_a_living_process, none),
		FATAL(switch_to_an_address, none),
		FATAL(switch_to_1, none),
		FATAL(switch_to_all_ones, none),
		FATAL(switch_to_one_bit_off, none),
		FATAL(put_no_credentials, no_cred),
		FATAL(put_credentials_twice, no_cred),
		FATAL(put_invented_credentials, no_cred),
		FATAL(write_to_a_broken_pipe_where_signals_panic, "SIGPIPE"),
		FATAL(with_standard_error_closed, "unsaid"),
	};
	return CASES(cases);
}
