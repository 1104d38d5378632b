/* Clocks, sleep, the times of files; limits; names of the kernel and of processes. */

#include "cases.h"

#include <time.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static void
begin(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
	IS(rump_sys_open("/f", O_CREAT | O_RDWR, 0644), 0);
}

static long long
nanos(struct timespec time)
{
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static struct timespec
at(long long seconds, long nanos)
{
	struct timespec time;
	time.tv_sec = (time_t)seconds;
	time.tv_nsec = nanos;
	return time;
}

static void
clocks(void)
{
	struct timespec before, now, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	IS(rump_sys_clock_gettime(CLOCK_MONOTONIC, &now), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(nanos(before) <= nanos(now) && nanos(now) <= nanos(after));
	clock_gettime(CLOCK_REALTIME, &before);
	IS(rump_sys_clock_gettime(CLOCK_REALTIME, &now), 0);
	CHECK(now.tv_sec - before.tv_sec < 100);
	IS(rump_sys_clock_getres(CLOCK_MONOTONIC, &now), 0);
	CHECK(nanos(now) > 0);
	IS(rump_sys_clock_getres(CLOCK_REALTIME, NULL), 0);
	FAILS(rump_sys_clock_gettime(99, &now), EINVAL);
	FAILS(rump_sys_clock_getres(99, &now), EINVAL);
	FAILS(rump_sys_clock_getres(99, NULL), EINVAL);
	FAILS(rump_sys_clock_gettime(CLOCK_MONOTONIC, NULL), EFAULT);
}

static void
sleeping(void)
{
	struct timespec time = at(0, 2000000), before, after, left = at(5, 5);
	clock_gettime(CLOCK_MONOTONIC, &before);
	IS(rump_sys_nanosleep(&time, &left), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(nanos(after) - nanos(before) >= 2000000);
	/* What is left is said only of a sleep that was cut short. */
	IS(left.tv_sec, 5);
	time = at(0, 0);
	IS(rump_sys_nanosleep(&time, NULL), 0);
	time = at(0, 1000000000);
	FAILS(rump_sys_nanosleep(&time, NULL), EINVAL);
	time = at(0, -1);
	FAILS(rump_sys_nanosleep(&time, NULL), EINVAL);
	time = at(-1, 0);
	FAILS(rump_sys_nanosleep(&time, NULL), EINVAL);
	FAILS(rump_sys_nanosleep(NULL, NULL), EFAULT);
}

static void
times_of_files(void)
{
	struct stat stat;
	struct timespec times[2];
	struct timeval old[2];
	begin();
	times[0] = at(100, 1);
	times[1] = at(200, 2);
	IS(rump_sys_futimens(0, times), 0);
	IS(rump_sys_fstat(0, &stat), 0);
	IS(nanos(stat.st_atim), 100000000001);
	IS(nanos(stat.st_mtim), 200000000002);
	times[0] = at(300, 3);
	times[1] = at(0, UTIME_OMIT);
	IS(rump_sys_utimensat(AT_FDCWD, "/f", times, 0), 0);
	IS(rump_sys_fstat(0, &stat), 0);
	IS(nanos(stat.st_atim), 300000000003);
	IS(nanos(stat.st_mtim), 200000000002);
	times[1] = at(0, UTIME_NOW);
	IS(rump_sys_futimens(0, times), 0);
	IS(rump_sys_fstat(0, &stat), 0);
	CHECK(stat.st_mtim.tv_sec > 1000000000);

	old[0].tv_sec = 7;
	old[0].tv_usec = 8;
	old[1].tv_sec = 9;
	old[1].tv_usec = 999999;
	IS(rump_sys_utimes("/f", old), 0);
	IS(rump_sys_fstat(0, &stat), 0);
	IS(nanos(stat.st_atim), 7000008000);
	IS(nanos(stat.st_mtim), 9999999000);
	old[0].tv_sec = 17;
	IS(rump_sys_futimes(0, old), 0);
	IS(rump_sys_fstat(0, &stat), 0);
	IS(nanos(stat.st_atim), 17000008000);
	/* None is the present. */
	IS(rump_sys_utimes("/f", NULL), 0);
	IS(rump_sys_fstat(0, &stat), 0);
	CHECK(stat.st_atim.tv_sec > 1000000000);

	old[1].tv_usec = 1000000;
	FAILS(rump_sys_utimes("/f", old), EINVAL);
	FAILS(rump_sys_futimes(0, old), EINVAL);
	times[0] = at(0, 1000000000);
	FAILS(rump_sys_futimens(0, times), EINVAL);
	FAILS(rump_sys_utimensat(AT_FDCWD, "/f", times, 0), EINVAL);
	FAILS(rump_sys_utimensat(AT_FDCWD, "/f", NULL, 12345), EINVAL);
	FAILS(rump_sys_utimensat(AT_FDCWD, "/none", NULL, 0), ENOENT);
	FAILS(rump_sys_utimensat(0, "f", NULL, 0), ENOTDIR);
	FAILS(rump_sys_utimensat(99, "f", NULL, 0), EBADF);
	FAILS(rump_sys_utimensat(AT_FDCWD, NULL, NULL, 0), EFAULT);
	FAILS(rump_sys_utimes(NULL, NULL), EFAULT);
	FAILS(rump_sys_utimes("/none", NULL), ENOENT);
	FAILS(rump_sys_futimens(99, NULL), EBADF);
	FAILS(rump_sys_futimes(99, NULL), EBADF);
}

static void
limits(void)
{
	const int all[] = { RLIMIT_NOFILE, RLIMIT_NPROC, RUMP_RLIMIT_NTHR };
	struct rlimit limit, again;
	begin();
	for (int i = 0; i < 3; i++) {
		IS(rump_sys_getrlimit(all[i], &limit), 0);
		CHECK(limit.rlim_cur > 0 && limit.rlim_cur <= limit.rlim_max);
		limit.rlim_cur = limit.rlim_max = 20;
		IS(rump_sys_setrlimit(all[i], &limit), 0);
		IS(rump_sys_getrlimit(all[i], &again), 0);
		IS(again.rlim_cur, 20);
		IS(again.rlim_max, 20);
		limit.rlim_cur = 21;
		FAILS(rump_sys_setrlimit(all[i], &limit), EINVAL);
		FAILS(rump_sys_getrlimit(all[i], NULL), EFAULT);
		FAILS(rump_sys_setrlimit(all[i], NULL), EFAULT);
	}
	FAILS(rump_sys_getrlimit(RLIMIT_CORE, &limit), EINVAL);
	FAILS(rump_sys_setrlimit(-1, &limit), EINVAL);
	/* Who is not root cannot raise what was lowered. A child has its parent's. */
	IS(rump_pub_lwproc_rfork(0), 0);
	IS(rump_sys_setuid(7), 0);
	IS(rump_sys_getrlimit(RLIMIT_NOFILE, &again), 0);
	IS(again.rlim_max, 20);
	limit.rlim_cur = limit.rlim_max = 30;
	FAILS(rump_sys_setrlimit(RLIMIT_NOFILE, &limit), EPERM);
}

static void
names(void)
{
	char buf[64];
	begin();
	IS(rump_sys_sethostname("laboratory.example", 10), 0);
	IS(rump_sys_gethostname(buf, sizeof(buf)), 0);
	IS(strcmp(buf, "laboratory"), 0);
	FAILS(rump_sys_gethostname(buf, 10), ENAMETOOLONG);
	IS(rump_sys_gethostname(buf, 11), 0);
	FAILS(rump_sys_gethostname(NULL, 64), EFAULT);
	FAILS(rump_sys_sethostname(NULL, 3), EFAULT);
	FAILS(rump_sys_sethostname("\xff\xfe", 2), EINVAL);
	IS(rump_sys_setprocname("worker"), 0);
	IS(rump_sys_getprocname(buf, sizeof(buf)), 0);
	IS(strcmp(buf, "worker"), 0);
	FAILS(rump_sys_getprocname(buf, 6), ENAMETOOLONG);
	FAILS(rump_sys_getprocname(NULL, 64), EFAULT);
	FAILS(rump_sys_setprocname(NULL), EFAULT);
	FAILS(rump_sys_setprocname("\xff"), EINVAL);
	IS(rump_sys_setuid(7), 0);
	FAILS(rump_sys_sethostname("mine", 4), EPERM);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(clocks),
		CASE(sleeping),
		CASE(times_of_files),
		CASE(limits),
		CASE(names),
	};
	return CASES(cases);
}
