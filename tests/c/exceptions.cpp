/* Exceptions of C++ in fibers: caught there they are nobody's business; none may leave the function. */

#include "cases.h"

#include <stdexcept>
#include <string>

#include <lwproc.h>
#include <rump/rump_syscalls.h>

static int unwound;

struct Counted {
	~Counted() { unwound++; }
};

static void
spawn(struct lwproc_mux *mux, void (*function)(void *))
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	struct lwp *lwp = rump_pub_lwproc_curlwp();
	rump_pub_lwproc_switch(NULL);
	IS(lwproc_mux_spawn(mux, lwp, function, NULL), 0);
}

static void
throw_deep(int depth)
{
	Counted here;
	lwproc_mux_yield();
	if (depth == 0)
		throw std::runtime_error("pid " + std::to_string(rump_sys_getpid()));
	throw_deep(depth - 1);
}

static void
catch_own(void *)
{
	std::string said;
	for (int i = 0; i < 3; i++) {
		try {
			throw_deep(9);
		} catch (const std::runtime_error &error) {
			/* Nothing that suspends in here: C++ counts the exceptions in hand by host thread. */
			said = error.what();
		}
		lwproc_mux_yield();
		CHECK(said == "pid " + std::to_string(rump_sys_getpid()));
	}
}

static void
caught_in_their_fibers(void)
{
	struct lwproc_mux *mux = lwproc_mux_new(0);
	for (int i = 0; i < 3; i++)
		spawn(mux, catch_own);
	IS(lwproc_mux_run(mux), 0);
	IS(unwound, 90);
	lwproc_mux_free(mux);
}

static void
throw_out(void *)
{
	throw std::runtime_error("nobody catches this");
}

static void
none_leaves_a_fiber(void)
{
	struct lwproc_mux *mux = lwproc_mux_new(0);
	spawn(mux, throw_out);
	lwproc_mux_run(mux);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(caught_in_their_fibers),
		FATAL(none_leaves_a_fiber, "an exception left the function that a fiber ran"),
	};
	return CASES(cases);
}
