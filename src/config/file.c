/* file.c: opens without waiting, looks at what was opened (never at the path again: it could be exchanged
 * meanwhile), reads it within a bound. Called by settings and secrets. */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
refuse_size(size_t size_most, struct error *error)
{
    return error_set(error, ERROR_CONFIG, "is larger than %zu KiB", size_most / 1024);
}

static bool
check_kind(const struct stat *status, size_t size_most, struct error *error)
{
    if (S_ISDIR(status->st_mode))
        return error_set(error, ERROR_CONFIG, "is a directory, not a file");
    if (!S_ISREG(status->st_mode))
        return error_set(error, ERROR_CONFIG, "is not a regular file");
    if ((uintmax_t)status->st_size > size_most)
        return refuse_size(size_most, error);
    return true;
}

/* One byte more than allowed is asked for: a file may grow behind fstat, and those in /proc have no size at
 * all. */
static bool
read_all(struct file *file, int fd, size_t size_most, struct error *error)
{
    size_t room = size_most + 1;
    file->bytes = must_alloc(room + 1);
    while (file->size < room) {
        ssize_t got = read(fd, file->bytes + file->size, room - file->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(error, ERROR_CONFIG, "cannot be read: %s", strerror(errno));
        if (got == 0)
            break;
        file->size += (size_t)got;
    }
    file->bytes[file->size] = '\0';
    return file->size <= size_most || refuse_size(size_most, error);
}

bool
file_load(struct file *file, const char *path, enum file_links links, size_t size_most, struct error *error)
{
    bool loaded = false;
    struct stat status;
    *file = (struct file){0};
    /* O_NONBLOCK: opening a FIFO for reading would wait for a writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
                            (links == FILE_LINKS_REFUSED ? O_NOFOLLOW : 0));
    if (fd < 0 && errno == ELOOP && links == FILE_LINKS_REFUSED)
        return error_set(error, ERROR_CONFIG, "is a symbolic link; name the file that it points to");
    if (fd < 0)
        return error_set(error, ERROR_CONFIG, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, &status) != 0) {
        error_set(error, ERROR_CONFIG, "cannot be examined: %s", strerror(errno));
        goto out;
    }
    file->mode = status.st_mode;
    file->owner = status.st_uid;
    if (!check_kind(&status, size_most, error) || !read_all(file, fd, size_most, error))
        goto out;
    loaded = true;
out:
    close(fd);
    if (!loaded)
        file_wipe(file);
    return loaded;
}

void
file_wipe(struct file *file)
{
    if (file->bytes != NULL)
        explicit_bzero(file->bytes, file->size);
    free(file->bytes);
    *file = (struct file){0};
}
