/* What comes and goes leaves no memory behind: what is allocated after many rounds is what was after the first ones. */

#include "cases.h"

#include <malloc.h>
#include <pthread.h>

#include <lwproc.h>
#include <rump/rump_syscalls.h>

/* Bytes in use. Under valgrind, which counts by itself, always 0. */
static size_t
used(void)
{
	return mallinfo2().uordblks;
}

/* Ends the case if each round leaves as much as a word behind. */
static void
stays(void (*round)(void), int rounds)
{
	/* Tables find their size, and what waits to be freed its usual number. */
	for (int i = 0; i < rounds; i++)
		round();
	size_t before = used();
	for (int i = 0; i < rounds; i++)
		round();
	size_t after = used();
	if (after > before + (size_t)rounds * sizeof(void *)) {
		fprintf(stderr, "%zu bytes in use, and %zu after %d rounds more\n", before, after, rounds);
		_exit(1);
	}
}

static void
process(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	rump_pub_lwproc_releaselwp();
}

static void
process_with_numbers(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFFDG), 0);
	rump_pub_allbetsareoff_setid(77, 78);
	rump_pub_lwproc_releaselwp();
}

static void
lwp(void)
{
	IS(rump_pub_lwproc_newlwp(1), 0);
	rump_pub_lwproc_releaselwp();
}

static void
file(void)
{
	int fd = rump_sys_open("/growth", O_CREAT | O_RDWR, 0644);
	IS(rump_sys_write(fd, "x", 1), 1);
	IS(rump_sys_close(fd), 0);
	IS(rump_sys_unlink("/growth"), 0);
}

static void
pipe_and_socket(void)
{
	int ends[2];
	IS(rump_sys_pipe(ends), 0);
	IS(rump_sys_write(ends[1], "x", 1), 1);
	IS(rump_sys_close(ends[0]), 0);
	IS(rump_sys_close(ends[1]), 0);
	IS(rump_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	IS(rump_sys_close(ends[0]), 0);
	IS(rump_sys_close(ends[1]), 0);
}

static void
credentials(void)
{
	gid_t groups[] = { 1, 2, 3 };
	rump_pub_cred_put(rump_pub_cred_create(1, 1, 3, groups));
}

static void
key(void)
{
	IS(rump_pub_etfs_register("/key", "/etc/passwd", RUMP_ETFS_REG), 0);
	IS(rump_pub_etfs_remove("/key"), 0);
	IS(rump_pub_etfs_register("/dir", "/etc", RUMP_ETFS_DIR), 0);
	IS(rump_pub_etfs_remove("/dir"), 0);
}

static void *
live(void *unused)
{
	(void)unused;
	IS(rump_sys_getpid(), 1);
	process();
	lwp();
	return NULL;
}

static void
host_thread(void)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, live, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

static struct lwproc_mux *mux;

static void
yield(void *unused)
{
	(void)unused;
	lwproc_mux_yield();
}

static void
fiber(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	struct lwp *own = rump_pub_lwproc_curlwp();
	rump_pub_lwproc_switch(NULL);
	IS(lwproc_mux_spawn(mux, own, yield, NULL), 0);
	IS(lwproc_mux_run(mux), 0);
}

static void
whole_mux(void)
{
	mux = lwproc_mux_new(0);
	CHECK(mux != NULL);
	fiber();
	lwproc_mux_free(mux);
}

static void processes_go(void) { stays(process, 5000); }
static void processes_with_numbers_go(void) { stays(process_with_numbers, 5000); }
static void lwps_go(void) { stays(lwp, 5000); }
static void files_go(void) { stays(file, 5000); }
static void pipes_and_sockets_go(void) { stays(pipe_and_socket, 5000); }
static void credentials_go(void) { stays(credentials, 5000); }
static void keys_go(void) { stays(key, 2000); }
static void host_threads_go(void) { stays(host_thread, 1000); }
static void multiplexers_go(void) { stays(whole_mux, 1000); }

static void
fibers_go(void)
{
	mux = lwproc_mux_new(0);
	stays(fiber, 5000);
	lwproc_mux_free(mux);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(processes_go),
		CASE(processes_with_numbers_go),
		CASE(lwps_go),
		CASE(files_go),
		CASE(pipes_and_sockets_go),
		CASE(credentials_go),
		CASE(keys_go),
		CASE(host_threads_go),
		CASE(fibers_go),
		CASE(multiplexers_go),
	};
	return CASES(cases);
}
