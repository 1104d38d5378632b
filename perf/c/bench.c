/*
 * What the entries for C cost, as ratios to F: the bare claim, which is a compare-exchange on a cell, a thread-local write and
 * a Release store to the cell before. See perf/README.md.
 *
 * Operations take turns in batches; a time is the median over the rounds, a ratio the median of the rounds' ratios.
 */

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lwproc.h>
#include <rump/rump.h>
#include <rump/rump_syscalls.h>

#define ROUNDS 101
#define BATCH_NS 400000.0
#define FIBERS 1000
#define AT_ONCE 64

static void
must(int error, const char *what)
{
	if (error != 0)
		errx(1, "%s: %s", what, strerror(error));
}

static void
came(ssize_t answer, const char *what)
{
	if (answer == -1)
		err(1, "%s", what);
}

/* ---- What all begin with ---- */

static struct lwp *lwps[2];
static int pipes[2], file;
static struct lwproc_mux *mux;

static struct lwp *
forked(int flags)
{
	must(rump_pub_lwproc_rfork(flags), "rfork");
	return rump_pub_lwproc_curlwp();
}

static void
prepare(void)
{
	must(rump_init(), "rump_init");
	lwps[0] = forked(RUMP_RFFD_CLEAR);
	lwps[1] = forked(RUMP_RFFD_CLEAR);
	came(rump_sys_pipe(pipes), "pipe");
	came(file = rump_sys_open("/file", RUMP_O_RDWR | RUMP_O_CREAT, 0600), "open");
	for (int i = 0; i < 4096; i++)
		came(rump_sys_write(file, "x", 1), "write");
	if ((mux = lwproc_mux_new(0)) == NULL)
		err(1, "lwproc_mux_new");
}

/* ---- Operations: each does it so many times, with lwps[1] current before and after ---- */

static _Alignas(64) uint64_t cells[2][8];
static __thread uint64_t *claimed;

static void
bare_claims(long times)
{
	for (long i = 0; i < times; i++) {
		uint64_t *cell = cells[i % 2], idle = 0, *old;
		if (!__atomic_compare_exchange_n(cell, &idle, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			errx(1, "the cell runs");
		old = claimed;
		claimed = cell;
		if (old != NULL)
			__atomic_store_n(old, 0, __ATOMIC_RELEASE);
	}
	/* The next batch begins with the cell that comes next. */
	__atomic_store_n(claimed, 0, __ATOMIC_RELEASE);
	claimed = NULL;
}

static void
calls(long times)
{
	while (times-- > 0)
		rump_schedule();
}

static void
switches(long times)
{
	for (long i = 0; i < times; i++)
		rump_pub_lwproc_switch(lwps[i % 2]);
	if (times % 2 == 1)
		rump_pub_lwproc_switch(lwps[1]);
}

static void
curlwps(long times)
{
	while (times-- > 0)
		if (rump_pub_lwproc_curlwp() != lwps[1])
			errx(1, "curlwp");
}

static void
pids(long times)
{
	while (times-- > 0)
		if (rump_sys_getpid() != 3)
			errx(1, "getpid");
}

static void
implicit_pids(long times)
{
	rump_pub_lwproc_switch(NULL);
	while (times-- > 0)
		if (rump_sys_getpid() != 1)
			errx(1, "getpid");
	rump_pub_lwproc_switch(lwps[1]);
}

static void
newlwps(long times)
{
	while (times-- > 0) {
		must(rump_pub_lwproc_newlwp(3), "newlwp");
		rump_pub_lwproc_releaselwp();
	}
	rump_pub_lwproc_switch(lwps[1]);
}

static void
rforks(long times)
{
	while (times-- > 0) {
		must(rump_pub_lwproc_rfork(RUMP_RFFD_CLEAR), "rfork");
		rump_pub_lwproc_releaselwp();
	}
	rump_pub_lwproc_switch(lwps[1]);
}

static void
dups(long times)
{
	while (times-- > 0)
		came(rump_sys_close(rump_sys_dup(pipes[0])), "dup and close");
}

static void
bytes(long times)
{
	char byte = 0;
	while (times-- > 0)
		if (rump_sys_write(pipes[1], &byte, 1) != 1 || rump_sys_read(pipes[0], &byte, 1) != 1)
			err(1, "pipe");
}

static void
reads(long times)
{
	char byte;
	for (long i = 0; i < times; i++) {
		if (i % 4096 == 0)
			came(rump_sys_lseek(file, 0, SEEK_SET), "lseek");
		if (rump_sys_read(file, &byte, 1) != 1)
			err(1, "read");
	}
}

static void
opens(long times)
{
	while (times-- > 0)
		came(rump_sys_close(rump_sys_open("/file", RUMP_O_RDONLY)), "open and close");
}

static struct lwp *
spare(void)
{
	must(rump_pub_lwproc_newlwp(3), "newlwp");
	return rump_pub_lwproc_curlwp();
}

static void
yield_often(void *times)
{
	for (long i = *(long *)times; i > 0; i--)
		lwproc_mux_yield();
}

/* Among so many fibers; they are spawned and ended too, which many turns make little of. */
static void
yields(long times)
{
	long each = times / FIBERS + 1;
	struct lwp *fibers[FIBERS];
	for (int i = 0; i < FIBERS; i++)
		fibers[i] = spare();
	rump_pub_lwproc_switch(lwps[1]);
	for (int i = 0; i < FIBERS; i++)
		must(lwproc_mux_spawn(mux, fibers[i], yield_often, &each), "lwproc_mux_spawn");
	must(lwproc_mux_run(mux), "lwproc_mux_run");
}

static void
do_nothing(void *unused)
{
	(void)unused;
}

static void
spawns(long times)
{
	struct lwp *fibers[AT_ONCE];
	for (long left = times; left > 0; left -= AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++)
			fibers[i] = spare();
		rump_pub_lwproc_switch(lwps[1]);
		for (int i = 0; i < AT_ONCE; i++)
			must(lwproc_mux_spawn(mux, fibers[i], do_nothing, NULL), "lwproc_mux_spawn");
		must(lwproc_mux_run(mux), "lwproc_mux_run");
	}
}

/* ---- Measuring ---- */

static struct operation {
	const char *name;
	void (*run)(long);
	long least; /* so that what stands around them counts for little */
	long times;
	double samples[ROUNDS];
} operations[] = {
	{ "F", bare_claims, 1000, 0, { 0 } },
	{ "empty call", calls, 1000, 0, { 0 } },
	{ "switch, 2 lwps of 2 processes", switches, 1000, 0, { 0 } },
	{ "curlwp", curlwps, 1000, 0, { 0 } },
	{ "getpid", pids, 1000, 0, { 0 } },
	{ "getpid, implicit", implicit_pids, 1000, 0, { 0 } },
	{ "newlwp + release", newlwps, 1000, 0, { 0 } },
	{ "rfork(Clean) + release", rforks, 1000, 0, { 0 } },
	{ "dup + close", dups, 1000, 0, { 0 } },
	{ "pipe: write 1 byte + read 1 byte", bytes, 1000, 0, { 0 } },
	{ "read 1 byte from a memory file", reads, 1000, 0, { 0 } },
	{ "open + close of a file in the root", opens, 1000, 0, { 0 } },
	{ "yield in a function, 1,000 fibers", yields, 400L * FIBERS, 0, { 0 } },
	{ "spawn + finish of a fiber", spawns, 1024, 0, { 0 } },
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static double
taken(const struct operation *operation)
{
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	operation->run(operation->times);
	clock_gettime(CLOCK_MONOTONIC, &after);
	return (double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double
median(const double *values, int count)
{
	double sorted[ROUNDS];
	memcpy(sorted, values, (size_t)count * sizeof(*values));
	qsort(sorted, (size_t)count, sizeof(*sorted), by_value);
	return sorted[count / 2];
}

int
main(int argc, char **argv)
{
	int rounds = argc > 1 && strcmp(argv[1], "--quick") == 0 ? 1 : ROUNDS;

	prepare();
	for (size_t i = 0; i < OPERATIONS; i++)
		for (operations[i].times = operations[i].least; rounds > 1 && taken(&operations[i]) < BATCH_NS;)
			operations[i].times *= 2;
	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < OPERATIONS; i++)
			operations[i].samples[round] = taken(&operations[i]) / (double)operations[i].times;
	for (size_t i = 0; i < OPERATIONS; i++) {
		double ratios[ROUNDS];
		for (int round = 0; round < rounds; round++)
			ratios[round] = operations[i].samples[round] / operations[0].samples[round];
		printf("%s|%.2f|%.2f\n", operations[i].name, median(operations[i].samples, rounds), median(ratios, rounds));
	}
	lwproc_mux_free(mux);
	return 0;
}
