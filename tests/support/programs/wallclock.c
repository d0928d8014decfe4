/* wallclock.c: a shared object, loaded before the C library, that shows its process another time of day: the real one plus the
 * microseconds in the first eight bytes of the file $WALLCLOCK, read at each call, so that the test can set the clock while the
 * process runs. CLOCK_MONOTONIC is left alone, as by settimeofday(2). (libfaketime does not start together with jemalloc.)
 *
 * Waits until a moment of the day, as librdkafka's threads do, end by the clock that is shown: a clock that is set back makes them
 * longer, one that is set forward ends them. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS (10 * INT64_C(1000000)) /* how soon a wait notices that the clock was set */

typedef int timed_wait(cnd_t *restrict, mtx_t *restrict, const struct timespec *restrict);

static const _Atomic int64_t *offset_us;
static timed_wait *real_timed_wait;

__attribute__((constructor)) static void
open_clock(void)
{
    *(void **)&real_timed_wait = dlsym(RTLD_NEXT, "cnd_timedwait"); /* as its manual page says */
    const char *path = getenv("WALLCLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof *offset_us, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    offset_us = page != MAP_FAILED ? page : NULL;
    if (fd >= 0)
        close(fd);
}

static int64_t
real_ns(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t
shown_ns(void)
{
    return real_ns() + (offset_us != NULL ? *offset_us * 1000 : 0);
}

static struct timespec
as_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = as_timespec(shown_ns());
    return 0;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int64_t ns = shown_ns();
    (void)zone;
    *now = (struct timeval){.tv_sec = ns / 1000000000, .tv_usec = ns % 1000000000 / 1000};
    return 0;
}

time_t
time(time_t *now)
{
    time_t seconds = shown_ns() / 1000000000;
    if (now != NULL)
        *now = seconds;
    return seconds;
}

int
timespec_get(struct timespec *now, int base)
{
    *now = as_timespec(shown_ns());
    return base;
}

int
cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    int64_t until_ns = until->tv_sec * INT64_C(1000000000) + until->tv_nsec;
    for (int64_t left_ns; (left_ns = until_ns - shown_ns()) > 0;) {
        struct timespec slice = as_timespec(real_ns() + (left_ns < SLICE_NS ? left_ns : SLICE_NS));
        int ended = real_timed_wait(condition, mutex, &slice);
        if (ended != thrd_timedout)
            return ended;
    }
    return thrd_timedout;
}
