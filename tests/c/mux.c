/* The multiplexer: fibers of C that block, each on its own; what is wrong; and ends in any order. */

#include "cases.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include <lwproc.h>
#include <rump/rump_syscalls.h>

/* A lwp in a new process, which nobody has current. */
static struct lwp *
spare(int flags)
{
	struct lwp *before = rump_pub_lwproc_curlwp();
	IS(rump_pub_lwproc_rfork(flags), 0);
	struct lwp *lwp = rump_pub_lwproc_curlwp();
	rump_pub_lwproc_switch(before);
	return lwp;
}

static struct lwproc_mux *
made(void)
{
	struct lwproc_mux *mux = lwproc_mux_new(0);
	CHECK(mux != NULL);
	return mux;
}

/* Whether a process is there. */
static int
lives(pid_t pid)
{
	struct lwp *before = rump_pub_lwproc_curlwp();
	if (rump_pub_lwproc_newlwp(pid) != 0)
		return 0;
	rump_pub_lwproc_releaselwp();
	if (before != NULL)
		rump_pub_lwproc_switch(before);
	return 1;
}

static int count;

static void
note(void *lwp)
{
	CHECK(rump_pub_lwproc_curlwp() == (struct lwp *)lwp);
	CHECK(rump_sys_getpid() > 1);
	count++;
}

static void
fibers_run_and_their_lwps_go(void)
{
	struct lwproc_mux *mux = made();
	for (int i = 0; i < 100; i++) {
		struct lwp *lwp = spare(RUMP_RFCFDG);
		IS(lwproc_mux_spawn(mux, lwp, note, lwp), 0);
	}
	IS(count, 0);
	CHECK(lives(2) && lives(101));
	IS(lwproc_mux_run(mux), 0);
	IS(count, 100);
	for (pid_t pid = 2; pid < 102; pid++)
		CHECK(!lives(pid));
	/* Nothing is left to run: at once. */
	IS(lwproc_mux_run(mux), 0);
	lwproc_mux_free(mux);
}

static char order[16];

static void
take_turns(void *letter)
{
	for (int i = 0; i < 3; i++) {
		strncat(order, (const char *)letter, 1);
		lwproc_mux_yield();
	}
}

static void
yields_take_turns(void)
{
	static char a[] = "a", b[] = "b";
	struct lwproc_mux *mux = made();
	IS(lwproc_mux_spawn(mux, spare(0), take_turns, a), 0);
	IS(lwproc_mux_spawn(mux, spare(0), take_turns, b), 0);
	IS(lwproc_mux_run(mux), 0);
	IS(strcmp(order, "ababab"), 0);
	lwproc_mux_free(mux);
	/* Outside of fibers other host threads go first, if there are any. */
	lwproc_mux_yield();
}

static int ends[2];

static void
read_one(void *unused)
{
	char byte;
	(void)unused;
	/* Waits, and the writer runs meanwhile. */
	IS(rump_sys_read(ends[0], &byte, 1), 1);
	strcat(order, "r");
	CHECK(byte == 'x');
}

static void
write_one(void *unused)
{
	(void)unused;
	strcat(order, "w");
	IS(rump_sys_write(ends[1], "x", 1), 1);
}

static void
blocking_calls_suspend_one_fiber(void)
{
	struct lwproc_mux *mux = made();
	IS(rump_sys_pipe(ends), 0);
	IS(lwproc_mux_spawn(mux, spare(0), read_one, NULL), 0);
	IS(lwproc_mux_spawn(mux, spare(0), write_one, NULL), 0);
	IS(lwproc_mux_run(mux), 0);
	IS(strcmp(order, "wr"), 0);
	lwproc_mux_free(mux);
}

static void
sleep_a_little(void *unused)
{
	struct timespec time = { 0, 50000000 };
	(void)unused;
	strcat(order, "a");
	IS(lwproc_mux_sleep(&time), 0);
	strcat(order, "c");
	time.tv_nsec = 1000000000;
	IS(lwproc_mux_sleep(&time), EINVAL);
	time.tv_nsec = -1;
	IS(lwproc_mux_sleep(&time), EINVAL);
	IS(lwproc_mux_sleep(NULL), EFAULT);
}

static void
be_awake(void *unused)
{
	(void)unused;
	strcat(order, "b");
}

static void
sleep_suspends_one_fiber(void)
{
	struct timespec before, after;
	struct lwproc_mux *mux = made();
	IS(lwproc_mux_spawn(mux, spare(0), sleep_a_little, NULL), 0);
	IS(lwproc_mux_spawn(mux, spare(0), be_awake, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	IS(lwproc_mux_run(mux), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	IS(strcmp(order, "abc"), 0);
	CHECK((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 50000000L);
	lwproc_mux_free(mux);
	/* The host thread itself sleeps as well. */
	sleep_a_little(NULL);
}

static struct lwproc_mux *the;

static void
spawn_another(void *left)
{
	int *number = (int *)left;
	count++;
	if (--*number > 0)
		IS(lwproc_mux_spawn(the, spare(RUMP_RFCFDG), spawn_another, number), 0);
}

static void
fibers_spawn_fibers(void)
{
	int left = 50;
	the = made();
	IS(lwproc_mux_spawn(the, spare(0), spawn_another, &left), 0);
	IS(lwproc_mux_run(the), 0);
	IS(count, 50);
	lwproc_mux_free(the);
}

static void
run_within(void *other)
{
	IS(lwproc_mux_run(the), EDEADLK);
	IS(lwproc_mux_run((struct lwproc_mux *)other), EDEADLK);
	count++;
}

static void *
run_elsewhere(void *unused)
{
	(void)unused;
	IS(lwproc_mux_run(the), EPERM);
	return NULL;
}

static void
runs_that_cannot_be(void)
{
	pthread_t thread;
	struct lwproc_mux *other = made();
	the = made();
	IS(lwproc_mux_run(NULL), EFAULT);
	IS(lwproc_mux_spawn(the, spare(0), run_within, other), 0);
	IS(lwproc_mux_run(the), 0);
	IS(count, 1);
	CHECK(pthread_create(&thread, NULL, run_elsewhere, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	lwproc_mux_free(other);
	lwproc_mux_free(the);
}

static void
spawns_that_cannot_be(void)
{
	struct lwproc_mux *mux = made();
	struct lwp *lwp = spare(0), *released = spare(0);
	IS(lwproc_mux_spawn(NULL, lwp, note, NULL), EFAULT);
	IS(lwproc_mux_spawn(mux, lwp, NULL, NULL), EFAULT);
	IS(lwproc_mux_spawn(mux, NULL, note, NULL), EINVAL);
	IS(lwproc_mux_spawn(mux, (struct lwp *)(uintptr_t)0x1234, note, NULL), ESRCH);
	rump_pub_lwproc_switch(released);
	IS(lwproc_mux_spawn(mux, released, note, NULL), EBUSY);
	rump_pub_lwproc_releaselwp();
	IS(lwproc_mux_spawn(mux, released, note, NULL), ESRCH);
	/* Each was the caller's as before. */
	rump_pub_lwproc_switch(lwp);
	IS(rump_sys_getpid(), 2);
	rump_pub_lwproc_switch(NULL);
	IS(lwproc_mux_spawn(mux, lwp, note, lwp), 0);
	/* Now it is the multiplexer's, and runs for all others. */
	IS(lwproc_mux_spawn(mux, lwp, note, lwp), EBUSY);
	IS(lwproc_mux_run(mux), 0);
	IS(count, 1);
	lwproc_mux_free(mux);
}

static void
sizes_of_stacks(void)
{
	const size_t absurd[] = { 1, SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 60 };
	for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		errno = 0;
		CHECK(lwproc_mux_new(absurd[i]) == NULL);
		CHECK(errno == EINVAL || errno == ENOMEM);
	}
	struct lwproc_mux *mux = lwproc_mux_new(1 << 20);
	CHECK(mux != NULL);
	lwproc_mux_free(mux);
}

static void
use_much(void *unused)
{
	volatile char buf[900000];
	(void)unused;
	for (size_t i = 0; i < sizeof(buf); i += 512)
		buf[i] = (char)i;
	count += buf[512] == 0;
}

static void
a_large_stack_is_there(void)
{
	struct lwproc_mux *mux = lwproc_mux_new(1 << 20);
	IS(lwproc_mux_spawn(mux, spare(0), use_much, NULL), 0);
	IS(lwproc_mux_run(mux), 0);
	IS(count, 1);
	lwproc_mux_free(mux);
}

static volatile int depth;

static int
recurse(int more)
{
	volatile char frame[256];
	frame[0] = (char)more;
	depth++;
	return depth < INT_MAX ? recurse(more + 1) + frame[0] : frame[0];
}

static void
go_too_deep(void *unused)
{
	(void)unused;
	count = recurse(0);
}

static void
a_stack_that_is_too_small(void)
{
	struct lwproc_mux *mux = made();
	IS(lwproc_mux_spawn(mux, spare(0), go_too_deep, NULL), 0);
	lwproc_mux_run(mux);
}

static void
stop_after(void *unused)
{
	(void)unused;
	lwproc_mux_stop(the);
	lwproc_mux_yield();
	count++;
}

static void
a_stop_leaves_fibers_for_the_next_run(void)
{
	the = made();
	IS(lwproc_mux_spawn(the, spare(0), stop_after, NULL), 0);
	IS(lwproc_mux_run(the), 0);
	IS(count, 0);
	IS(lwproc_mux_run(the), 0);
	IS(count, 1);
	lwproc_mux_stop(NULL);
	/* One that comes before a run ends that one. */
	lwproc_mux_stop(the);
	IS(lwproc_mux_spawn(the, spare(0), stop_after, NULL), 0);
	IS(lwproc_mux_run(the), 0);
	IS(count, 1);
	lwproc_mux_free(the);
}

static void *
stop_elsewhere(void *unused)
{
	struct timespec time = { 0, 5000000 };
	(void)unused;
	nanosleep(&time, NULL);
	lwproc_mux_stop(the);
	return NULL;
}

static void
wait_for_ever(void *unused)
{
	const struct timespec time = { 100, 0 };
	char byte;
	(void)unused;
	/* Until the multiplexer is freed. */
	FAILS(rump_sys_read(ends[0], &byte, 1), EINTR);
	IS(lwproc_mux_sleep(&time), EINTR);
	count++;
}

static void
never(void *unused)
{
	(void)unused;
	failed(__FILE__, __LINE__, "a fiber began in a multiplexer that was freed");
}

static void
freed_with_fibers(void)
{
	pthread_t thread;
	IS(rump_sys_pipe(ends), 0);
	the = made();
	IS(lwproc_mux_spawn(the, spare(0), wait_for_ever, NULL), 0);
	CHECK(pthread_create(&thread, NULL, stop_elsewhere, NULL) == 0);
	IS(lwproc_mux_run(the), 0);
	CHECK(pthread_join(thread, NULL) == 0);
	IS(lwproc_mux_spawn(the, spare(0), never, NULL), 0);
	CHECK(lives(2) && lives(3));
	lwproc_mux_free(the);
	IS(count, 1);
	CHECK(!lives(2) && !lives(3));
}

static void
freed_unused(void)
{
	lwproc_mux_free(NULL);
	lwproc_mux_free(made());
	/* Two, in the order that they were made in and the other one; within a lwp, which stays current. */
	IS(rump_pub_lwproc_rfork(0), 0);
	struct lwp *lwp = rump_pub_lwproc_curlwp();
	struct lwproc_mux *first = made(), *second = made();
	lwproc_mux_free(first);
	lwproc_mux_free(second);
	first = made();
	second = made();
	IS(lwproc_mux_spawn(first, spare(0), never, NULL), 0);
	IS(lwproc_mux_spawn(second, spare(0), never, NULL), 0);
	lwproc_mux_free(second);
	lwproc_mux_free(first);
	CHECK(rump_pub_lwproc_curlwp() == lwp);
}

static void
the_runners_own_lwp_stays(void)
{
	IS(rump_pub_lwproc_rfork(0), 0);
	struct lwp *own = rump_pub_lwproc_curlwp();
	struct lwproc_mux *mux = made();
	struct lwp *lwp = spare(0);
	IS(lwproc_mux_spawn(mux, lwp, note, lwp), 0);
	IS(lwproc_mux_run(mux), 0);
	IS(count, 1);
	CHECK(rump_pub_lwproc_curlwp() == own);
	IS(rump_sys_getpid(), 2);
	lwproc_mux_free(mux);
}

static void
errno_of_a_fiber(void *fd)
{
	int number = *(int *)fd;
	for (int i = 0; i < 10; i++) {
		errno = number;
		rump_sys_close(number);
		IS(errno, EBADF);
		lwproc_mux_yield();
	}
	count++;
}

static void
calls_in_fibers_say_why(void)
{
	int one = 100, other = 101;
	struct lwproc_mux *mux = made();
	IS(lwproc_mux_spawn(mux, spare(0), errno_of_a_fiber, &one), 0);
	IS(lwproc_mux_spawn(mux, spare(0), errno_of_a_fiber, &other), 0);
	IS(lwproc_mux_run(mux), 0);
	IS(count, 2);
	lwproc_mux_free(mux);
}

static void
free_within(void *unused)
{
	(void)unused;
	lwproc_mux_free(the);
}

static void
freed_in_its_fiber(void)
{
	the = made();
	IS(lwproc_mux_spawn(the, spare(0), free_within, NULL), 0);
	lwproc_mux_run(the);
}

static void *
free_there(void *unused)
{
	(void)unused;
	lwproc_mux_free(the);
	return NULL;
}

static void
freed_on_another_thread(void)
{
	pthread_t thread;
	the = made();
	CHECK(pthread_create(&thread, NULL, free_there, NULL) == 0);
	pthread_join(thread, NULL);
}

static struct lwp *fibers;

static void
take_its_lwp(void *unused)
{
	(void)unused;
	rump_pub_lwproc_switch(fibers);
}

static void
a_fibers_lwp_taken_by_its_runner(void)
{
	the = made();
	fibers = spare(0);
	IS(lwproc_mux_spawn(the, fibers, note, fibers), 0);
	take_its_lwp(NULL);
}

static void
a_fibers_lwp_taken_by_itself(void)
{
	the = made();
	fibers = spare(0);
	IS(lwproc_mux_spawn(the, fibers, take_its_lwp, NULL), 0);
	lwproc_mux_run(the);
}

/* ---- From other host threads ---- */

enum { THREADS = 4, SPAWNS = 200 };

static void *
spawn_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < SPAWNS; i++) {
		struct lwp *lwp = spare(RUMP_RFCFDG);
		IS(lwproc_mux_spawn(the, lwp, note, lwp), 0);
	}
	return NULL;
}

static void
join_all(void *threads)
{
	/* A fiber that keeps the multiplexer running until all were spawned. */
	struct timespec time = { 0, 1000000 };
	pthread_t *each = (pthread_t *)threads;
	for (int i = 0; i < THREADS; i++)
		while (pthread_tryjoin_np(each[i], NULL) != 0)
			IS(lwproc_mux_sleep(&time), 0);
}

static void
other_threads_spawn(void)
{
	pthread_t threads[THREADS];
	the = made();
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, spawn_many, NULL) == 0);
	IS(lwproc_mux_spawn(the, spare(0), join_all, threads), 0);
	IS(lwproc_mux_run(the), 0);
	IS(count, THREADS * SPAWNS);
	lwproc_mux_free(the);
}

/* ---- A server of fibers ---- */

enum { CLIENTS = 50 };

static struct sockaddr_in address;
static struct sockaddr *place = (struct sockaddr *)(void *)&address;

static void
serve_one(void *connection)
{
	char buf[64];
	ssize_t got;
	int fd = (int)(intptr_t)connection;
	/* The descriptor came with the table that the acceptor shares. */
	while ((got = rump_sys_read(fd, buf, sizeof(buf))) > 0)
		IS(rump_sys_write(fd, buf, (size_t)got), got);
	IS(got, 0);
	IS(rump_sys_close(fd), 0);
}

static void
accept_all(void *listening)
{
	for (int i = 0; i < CLIENTS; i++) {
		int fd = rump_sys_accept((int)(intptr_t)listening, NULL, NULL);
		CHECK(fd >= 0);
		struct lwp *own = rump_pub_lwproc_curlwp();
		CHECK(own != NULL);
		IS(rump_pub_lwproc_rfork(RUMP_RFFD_SHARE), 0);
		struct lwp *handler = rump_pub_lwproc_curlwp();
		rump_pub_lwproc_switch(own);
		IS(lwproc_mux_spawn(the, handler, serve_one, (void *)(intptr_t)fd), 0);
	}
	IS(rump_sys_close((int)(intptr_t)listening), 0);
}

static void
be_a_client(void *number)
{
	char sent[32], got[32];
	int fd = rump_sys_socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	IS(rump_sys_connect(fd, place, sizeof(address)), 0);
	for (int i = 0; i < 5; i++) {
		int len = snprintf(sent, sizeof(sent), "%d of %d", i, (int)(intptr_t)number);
		IS(rump_sys_write(fd, sent, (size_t)len), len);
		IS(rump_sys_read(fd, got, sizeof(got)), len);
		IS(memcmp(sent, got, (size_t)len), 0);
	}
	IS(rump_sys_close(fd), 0);
	count++;
}

static void
an_echo_server_and_its_clients(void)
{
	socklen_t len = sizeof(address);
	the = made();
	IS(rump_pub_lwproc_rfork(RUMP_RFFD_CLEAR), 0);
	struct lwp *server = rump_pub_lwproc_curlwp();
	int fd = rump_sys_socket(AF_INET, SOCK_STREAM, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	IS(rump_sys_bind(fd, place, sizeof(address)), 0);
	IS(rump_sys_listen(fd, CLIENTS), 0);
	IS(rump_sys_getsockname(fd, place, &len), 0);
	rump_pub_lwproc_switch(NULL);
	IS(lwproc_mux_spawn(the, server, accept_all, (void *)(intptr_t)fd), 0);
	for (int i = 0; i < CLIENTS; i++)
		IS(lwproc_mux_spawn(the, spare(RUMP_RFCFDG), be_a_client, (void *)(intptr_t)i), 0);
	IS(lwproc_mux_run(the), 0);
	IS(count, CLIENTS);
	lwproc_mux_free(the);
	/* Of the server, its handlers and the clients none is left. */
	for (pid_t pid = 2; pid < 2 + 2 * CLIENTS + 1; pid++)
		CHECK(!lives(pid));
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(fibers_run_and_their_lwps_go),
		CASE(yields_take_turns),
		CASE(blocking_calls_suspend_one_fiber),
		CASE(sleep_suspends_one_fiber),
		CASE(fibers_spawn_fibers),
		CASE(runs_that_cannot_be),
		CASE(spawns_that_cannot_be),
		CASE(sizes_of_stacks),
		CASE(a_large_stack_is_there),
		FATAL(a_stack_that_is_too_small, "stack"),
		CASE(a_stop_leaves_fibers_for_the_next_run),
		CASE(freed_with_fibers),
		CASE(freed_unused),
		CASE(the_runners_own_lwp_stays),
		CASE(calls_in_fibers_say_why),
		FATAL(freed_in_its_fiber, "lwproc_mux_free in a fiber"),
		FATAL(freed_on_another_thread, "lwproc_mux_free on another host thread"),
		FATAL(a_fibers_lwp_taken_by_its_runner, "already running, in pid 2"),
		FATAL(a_fibers_lwp_taken_by_itself, "already running, in pid 2"),
		CASE(other_threads_spawn),
		CASE(an_echo_server_and_its_clients),
	};
	return CASES(cases);
}
