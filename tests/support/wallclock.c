/* wallclock.c: a file with the offset that programs/wallclock.c reads, and the environment that makes processes load it
 * (wallclock.h). */
#include "support/wallclock.h"

#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct wallclock {
    char *path;
    _Atomic int64_t *ahead_us;
};

struct wallclock *
wallclock_new(void)
{
    struct wallclock *clock = must_calloc(1, sizeof *clock);
    char *directory = scratch_directory("clock");
    clock->path = must_format("%s/ahead", directory);
    int fd = open(clock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    void *page = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof *clock->ahead_us) == 0)
        page = mmap(NULL, sizeof *clock->ahead_us, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        test_fail("%s: %s", clock->path, strerror(errno));
    close(fd);
    clock->ahead_us = page;
    free(directory);
    return clock;
}

void
wallclock_free(struct wallclock *clock)
{
    munmap(clock->ahead_us, sizeof *clock->ahead_us);
    free(clock->path);
    free(clock);
}

void
wallclock_set(struct wallclock *clock, int64_t ahead_s)
{
    *clock->ahead_us = ahead_s * 1000000;
}

void
wallclock_show(const struct wallclock *clock)
{
    char program[4096], *slash;
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    program[size > 0 ? size : 0] = '\0';
    if (clock == NULL) {
        unsetenv("LD_PRELOAD");
        return;
    }
    if ((slash = strrchr(program, '/')) == NULL)
        test_fail("/proc/self/exe: %s", strerror(errno));
    char *library = must_format("%.*s/wallclock.so", (int)(slash - program), program);
    if (access(library, R_OK) != 0)
        test_fail("%s: %s; make it", library, strerror(errno));
    setenv("LD_PRELOAD", library, 1);
    setenv("WALLCLOCK", clock->path, 1);
    free(library);
}
