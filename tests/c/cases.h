/*
 * A program of cases. Each runs in a host process of its own, and so in a kernel of its own. All of it is C99 and C++17.
 *
 *	prog             runs every case
 *	prog survivors   leaves out those that end in an abort
 *	prog NAME        runs one case in this host process
 */

#ifndef CASES_H
#define CASES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct test_case {
	const char *name;
	void (*body)(void);
	const char *report; /* what a fatal case's report says; NULL: the case must come to its end */
};

#define CASE(name) { #name, name, NULL }
#define FATAL(name, report) { #name, name, report }
#define CASES(cases) run_cases(argc, argv, cases, sizeof(cases) / sizeof((cases)[0]))

/* Ends the case unless `what` holds. */
#define CHECK(what) ((what) ? (void)0 : failed(__FILE__, __LINE__, #what))
/* Ends the case unless both are the same number. */
#define IS(found, expected) is(__FILE__, __LINE__, #found, (long long)(found), (long long)(expected))
/* Ends the case unless `call` gives -1 and errno. */
#define FAILS(call, error)                                                                                              \
	do {                                                                                                            \
		errno = 0;                                                                                              \
		IS(call, -1);                                                                                           \
		is(__FILE__, __LINE__, "errno of " #call, errno, error);                                                \
	} while (0)

static inline void
failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	_exit(1);
}

static inline void
is(const char *file, int line, const char *what, long long found, long long expected)
{
	if (found != expected) {
		fprintf(stderr, "%s:%d: %s is %lld, not %lld (errno %d)\n", file, line, what, found, expected, errno);
		_exit(1);
	}
}

/* Runs a case that must abort, with its standard error in `said`. Gives how it ended. */
static inline int
run_fatal(const struct test_case *one, char *said, size_t room)
{
	int ends[2], status;
	size_t len = 0;
	ssize_t got;
	CHECK(pipe(ends) == 0);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		dup2(ends[1], 2);
		close(ends[0]);
		close(ends[1]);
		one->body();
		fprintf(stderr, "%s came to its end\n", one->name);
		_exit(1);
	}
	close(ends[1]);
	while ((got = read(ends[0], said + len, room - 1 - len)) > 0)
		len += (size_t)got;
	said[len] = 0;
	close(ends[0]);
	CHECK(waitpid(child, &status, 0) == child);
	return status;
}

/* Whether `said` is one line, and a report that says `what`. */
static inline int
is_report(const char *said, const char *what)
{
	const char *end = strchr(said, '\n');
	return strncmp(said, "lwproc: fatal: ", 15) == 0 && strstr(said, what) != NULL && end != NULL && end[1] == 0;
}

static inline int
run_case(const struct test_case *one)
{
	int status, good;
	if (one->report != NULL) {
		static char said[4096];
		status = run_fatal(one, said, sizeof(said));
		good = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && is_report(said, one->report);
		if (!good)
			printf("%s", said);
	} else {
		pid_t child = fork();
		if (child == 0) {
			one->body();
			exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child);
		good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	printf("%s %s", good ? "ok    " : "FAILED", one->name);
	if (!good)
		printf(" (wait status %#x)", (unsigned)status);
	printf("\n");
	fflush(stdout);
	return good;
}

static inline int
run_cases(int argc, char **argv, const struct test_case *cases, size_t count)
{
	int survivors = argc > 1 && strcmp(argv[1], "survivors") == 0;
	int failures = 0;
	if (argc > 1 && !survivors) {
		for (size_t i = 0; i < count; i++) {
			if (strcmp(argv[1], cases[i].name) == 0) {
				cases[i].body();
				return 0;
			}
		}
		fprintf(stderr, "no case %s\n", argv[1]);
		return 2;
	}
	for (size_t i = 0; i < count; i++) {
		if (!(survivors && cases[i].report != NULL))
			failures += !run_case(&cases[i]);
	}
	return failures != 0;
}

#endif
