/* scratch_disk.c: a small disk for tests of a full one (scratch.h). */
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

char *
scratch_small_disk(const char *size)
{
    if (unshare(CLONE_NEWNS) != 0)
        return NULL;
    char *directory = scratch_directory("disk"), *option = must_format("size=%s", size);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", directory, "tmpfs", 0, option) != 0)
        test_fail("%s: %s", directory, strerror(errno));
    free(option);
    return directory;
}

void
scratch_fill_disk(const char *path)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        test_fail("%s: %s", path, strerror(errno));
    while (write(fd, block, sizeof block) > 0)
        ;
    if (errno != ENOSPC)
        test_fail("%s: %s", path, strerror(errno));
    close(fd);
}
