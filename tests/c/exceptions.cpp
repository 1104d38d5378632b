/* Exceptions of C++ in fibers: caught there they are nobody's business; none may leave the function. */

#include "cases.h"

#include <exception>
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

static std::string
own(int round)
{
	return std::to_string(rump_sys_getpid()) + " in round " + std::to_string(round);
}

static int rethrown;

/* Handlers within handlers, each of which yields, and then throws again what it has in hand. */
static void
rethrow_own(void *)
{
	for (int i = 0; i < 3; i++) {
		try {
			try {
				throw std::runtime_error(own(i));
			} catch (...) {
				lwproc_mux_yield();
				try {
					throw i;
				} catch (int) {
					lwproc_mux_yield();
				}
				CHECK(std::current_exception() != nullptr);
				throw;
			}
		} catch (const std::runtime_error &error) {
			lwproc_mux_yield();
			CHECK(error.what() == own(i));
		}
		CHECK(std::current_exception() == nullptr);
		lwproc_mux_yield();
		rethrown++;
	}
}

static void
thrown_again_by_who_caught_them(void)
{
	struct lwproc_mux *mux = lwproc_mux_new(0);
	for (int i = 0; i < 5; i++)
		spawn(mux, rethrow_own);
	try {
		throw std::runtime_error("outside");
	} catch (const std::runtime_error &) {
		/* Those who run meanwhile have none in hand. */
		IS(lwproc_mux_run(mux), 0);
		try {
			throw;
		} catch (const std::runtime_error &error) {
			CHECK(error.what() == std::string("outside"));
		}
	}
	IS(rethrown, 15);
	lwproc_mux_free(mux);
}

/* Yields while it is destroyed by an exception on its way. */
struct Yields {
	~Yields()
	{
		IS(std::uncaught_exceptions(), 1);
		lwproc_mux_yield();
		IS(std::uncaught_exceptions(), 1);
	}
};

static void
yield_on_the_way(void *)
{
	for (int i = 0; i < 3; i++) {
		IS(std::uncaught_exceptions(), 0);
		try {
			Yields yields;
			lwproc_mux_yield();
			throw i;
		} catch (int caught) {
			IS(caught, i);
		}
		IS(std::uncaught_exceptions(), 0);
		lwproc_mux_yield();
	}
}

static void
count_none(void *)
{
	for (int i = 0; i < 12; i++) {
		IS(std::uncaught_exceptions(), 0);
		lwproc_mux_yield();
	}
}

static void
on_their_way_in_one_fiber_alone(void)
{
	struct lwproc_mux *mux = lwproc_mux_new(0);
	spawn(mux, yield_on_the_way);
	spawn(mux, count_none);
	spawn(mux, yield_on_the_way);
	IS(lwproc_mux_run(mux), 0);
	IS(std::uncaught_exceptions(), 0);
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
		CASE(thrown_again_by_who_caught_them),
		CASE(on_their_way_in_one_fiber_alone),
		FATAL(none_leaves_a_fiber, "an exception left the function that a fiber ran"),
	};
	return CASES(cases);
}
