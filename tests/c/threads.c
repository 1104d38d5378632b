/* Host threads: whose the current lwp is, who may take one, and what is left when a thread ends. */

#include "cases.h"

#include <pthread.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static pthread_t
started(void *(*body)(void *), void *argument)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, body, argument) == 0);
	return thread;
}

static void *
joined(pthread_t thread)
{
	void *result;
	CHECK(pthread_join(thread, &result) == 0);
	return result;
}

static struct lwp *
forked(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	return rump_pub_lwproc_curlwp();
}

static void *
is_implicit(void *unused)
{
	(void)unused;
	CHECK(rump_pub_lwproc_curlwp() == NULL);
	IS(rump_sys_getpid(), 1);
	IS(rump_sys_getppid(), 0);
	return NULL;
}

static void
a_new_thread_is_implicit(void)
{
	struct lwp *lwp = forked();
	joined(started(is_implicit, NULL));
	CHECK(rump_pub_lwproc_curlwp() == lwp);
}

static void *
let_go(void *unused)
{
	(void)unused;
	struct lwp *lwp = forked();
	rump_pub_lwproc_switch(NULL);
	return lwp;
}

static void *
end_bound(void *unused)
{
	(void)unused;
	return forked();
}

static void
lwps_outlive_their_thread(void)
{
	struct lwp *lwp = (struct lwp *)joined(started(let_go, NULL));
	rump_pub_lwproc_switch(lwp);
	IS(rump_sys_getpid(), 2);
	rump_pub_lwproc_releaselwp();
	IS(rump_pub_lwproc_newlwp(2), ESRCH);
}

static void
a_thread_that_ends_bound_lets_go(void)
{
	struct lwp *lwp = (struct lwp *)joined(started(end_bound, NULL));
	rump_pub_lwproc_switch(lwp);
	IS(rump_sys_getpid(), 2);
	rump_pub_lwproc_releaselwp();
}

static pthread_key_t key;
static struct lwp *in_destructor;
static pid_t pid_in_destructor;

static void
destroy(void *unused)
{
	(void)unused;
	/* Other destructors may have run before, the library's among them: any context will do, and nothing breaks. */
	in_destructor = rump_pub_lwproc_curlwp();
	pid_in_destructor = rump_sys_getpid();
}

static void *
end_with_destructor(void *unused)
{
	(void)unused;
	struct lwp *lwp = forked();
	CHECK(pthread_setspecific(key, lwp) == 0);
	return lwp;
}

static void
calls_in_a_thread_that_ends(void)
{
	CHECK(pthread_key_create(&key, destroy) == 0);
	struct lwp *lwp = (struct lwp *)joined(started(end_with_destructor, NULL));
	if (in_destructor == NULL) {
		IS(pid_in_destructor, 1);
	} else {
		CHECK(in_destructor == lwp);
		IS(pid_in_destructor, 2);
	}
	rump_pub_lwproc_switch(lwp);
	rump_pub_lwproc_releaselwp();
}

enum { THREADS = 8, ROUNDS = 2000 };

static void *
live(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		struct lwp *first = forked();
		pid_t pid = rump_sys_getpid();
		CHECK(pid > 1);
		IS(rump_sys_getppid(), 1);
		IS(rump_pub_lwproc_newlwp(pid), 0);
		IS(rump_sys_getpid(), pid);
		rump_pub_lwproc_releaselwp();
		rump_pub_lwproc_switch(first);
		rump_pub_lwproc_releaselwp();
		IS(rump_pub_lwproc_newlwp(pid), ESRCH);
	}
	return NULL;
}

static void
many_threads_make_and_release(void)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		threads[i] = started(live, NULL);
	for (int i = 0; i < THREADS; i++)
		joined(threads[i]);
	/* Nothing is left of them. */
	for (pid_t pid = 2; pid < 2 + THREADS * ROUNDS; pid++)
		IS(rump_pub_lwproc_newlwp(pid), ESRCH);
}

/* A lwp goes round: each thread waits for it, takes it, counts in its process's file and lets go. */
static struct lwp *baton;
static int turn;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;

static void *
pass_on(void *number)
{
	int own = *(int *)number;
	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&lock);
		while (turn % THREADS != own)
			pthread_cond_wait(&turned, &lock);
		pthread_mutex_unlock(&lock);
		rump_pub_lwproc_switch(baton);
		IS(rump_sys_getpid(), 2);
		IS(rump_sys_write(0, "x", 1), 1);
		rump_pub_lwproc_switch(NULL);
		CHECK(rump_pub_lwproc_curlwp() == NULL);
		pthread_mutex_lock(&lock);
		turn++;
		pthread_cond_broadcast(&turned);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void
a_lwp_goes_from_thread_to_thread(void)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];
	baton = forked();
	IS(rump_sys_open("/count", O_CREAT | O_RDWR, 0600), 0);
	rump_pub_lwproc_switch(NULL);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		threads[i] = started(pass_on, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++)
		joined(threads[i]);
	rump_pub_lwproc_switch(baton);
	IS(rump_sys_lseek(0, 0, SEEK_CUR), THREADS * 50);
}

static pthread_barrier_t start;

static void *
take(void *lwp)
{
	pthread_barrier_wait(&start);
	rump_pub_lwproc_switch((struct lwp *)lwp);
	/* Long enough for the other one to try. */
	pause();
	return NULL;
}

static void
two_threads_take_one_lwp(void)
{
	struct lwp *lwp = forked();
	rump_pub_lwproc_switch(NULL);
	CHECK(pthread_barrier_init(&start, NULL, 2) == 0);
	started(take, lwp);
	joined(started(take, lwp));
}

static void *
echo(void *ends)
{
	const int *fds = (const int *)ends;
	char byte;
	while (rump_sys_read(fds[0], &byte, 1) == 1)
		IS(rump_sys_write(fds[3], &byte, 1), 1);
	return NULL;
}

static void
threads_wait_for_each_other_in_calls(void)
{
	int ends[4];
	char byte;
	IS(rump_sys_pipe(ends), 0);
	IS(rump_sys_pipe(ends + 2), 0);
	pthread_t thread = started(echo, ends);
	for (int i = 0; i < 200; i++) {
		IS(rump_sys_write(ends[1], "x", 1), 1);
		IS(rump_sys_read(ends[2], &byte, 1), 1);
	}
	IS(rump_sys_close(ends[1]), 0);
	joined(thread);
}

static void *
fail_often(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		FAILS(rump_sys_close(-1), EBADF);
	}
	return NULL;
}

static void
errno_is_the_threads_own(void)
{
	pthread_t thread = started(fail_often, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		FAILS(rump_sys_chdir("/none"), ENOENT);
	}
	joined(thread);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(a_new_thread_is_implicit),
		CASE(lwps_outlive_their_thread),
		CASE(a_thread_that_ends_bound_lets_go),
		CASE(calls_in_a_thread_that_ends),
		CASE(many_threads_make_and_release),
		CASE(a_lwp_goes_from_thread_to_thread),
		FATAL(two_threads_take_one_lwp, "already running, in pid 2, on host thread"),
		CASE(threads_wait_for_each_other_in_calls),
		CASE(errno_is_the_threads_own),
	};
	return CASES(cases);
}
