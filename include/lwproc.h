/*
 * lwproc: many lwps on one host thread, for C. What is in no rump kernel.
 *
 * A multiplexer runs each lwp as a fiber: ordinary blocking code on a stack of its own. A rump_sys_* call in it that would
 * block suspends the fiber alone, and others go on.
 */

#ifndef LWPROC_H
#define LWPROC_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include <rump/rump.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The C library hides it in its strict modes. */
struct timespec;

struct lwproc_mux;

/*
 * A multiplexer for the calling host thread, whose fibers have stacks of that many bytes; 0: 64 KiB. Only what is touched of
 * a stack takes memory. A fiber that needs more ends the host process with a report.
 * NULL and errno: EINVAL: a size that is too small, or absurd. EMFILE, ENFILE, ENOMEM: the host has no more.
 */
struct lwproc_mux *lwproc_mux_new(size_t stack_size);

/*
 * Hands a lwp, which no host thread has current, to the multiplexer, from any host thread or fiber. It runs
 * function(argument) as a fiber on its own host thread, and releases the lwp when that returns. For all others the lwp is
 * running until then; in the fiber it is current. No exception of C++ may leave the function, and no longjmp: that is fatal,
 * and undefined.
 * Gives 0, or an errno value: then the lwp is the caller's as before. ESRCH: no such lwp. EBUSY: it is running, or
 * a fiber has it that has switched away from it. EINVAL: it is NULL. EFAULT: the multiplexer or the function is. ENOMEM and
 * others: there is no stack. ECANCELED: the multiplexer is being freed. Spawned from another host thread, a fiber for which there is no stack releases its lwp and does not run.
 */
int lwproc_mux_spawn(struct lwproc_mux *, struct lwp *, void (*function)(void *), void *argument);

/*
 * Runs the fibers until all have returned, or lwproc_mux_stop; then those that are left go on when it is called again. The
 * calling host thread's current lwp stays its own meanwhile. Gives 0 or an errno value.
 * EDEADLK: in a fiber. EPERM: on another host thread than the one that made it. EFAULT: NULL. ENOMEM: the host cannot wait.
 */
int lwproc_mux_run(struct lwproc_mux *);

/* Ends lwproc_mux_run, or the next one, after the fiber whose turn it is. From any host thread. NULL: nothing. */
void lwproc_mux_stop(struct lwproc_mux *);

/*
 * Ends the multiplexer. Fibers that have not begun do not run; those that have go on, one after the other, and what would
 * suspend them is EINTR, until they return; one that was told so 64 times is suspended for good. Their lwps are released. No
 * other host thread may use it any more.
 * Fatal: on another host thread than the one that made it, or in a fiber. NULL: nothing.
 */
void lwproc_mux_free(struct lwproc_mux *);

/* Lets other fibers go first. Outside of fibers: other host threads. */
void lwproc_mux_yield(void);

/*
 * Suspends the fiber for that long. Outside of fibers, the host thread sleeps. Gives 0 or an errno value.
 * EINTR: the multiplexer is being freed. EINVAL: no length of time. EFAULT: NULL.
 */
int lwproc_mux_sleep(const struct timespec *);

#ifdef __cplusplus
}
#endif

#endif /* LWPROC_H */
