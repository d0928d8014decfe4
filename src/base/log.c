/* log.c: renders a line into a buffer, then hands it to standard error with one system call that cannot wait.
 * Called from every thread; must never block, fail or end the process: publishing matters more than a line
 * about it. */
#include "base/log.h"

#include "base/clock.h"
#include "base/log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic int current_level = LOG_LEVEL_INFO;
static _Atomic int current_format = LOG_FORMAT_TEXT;
static _Atomic uint64_t dropped;

/* Where lines go, and what the mutex guards. It is held for rendering and for one call that does not wait. */
static struct {
    pthread_mutex_t mutex;
    bool chosen; /* fd and is_socket are set */
    int fd;      /* standard error, or a private non-blocking way to it */
    bool is_socket;
    bool torn;           /* the last write stopped in the middle of a line */
    uint64_t unreported; /* lines dropped since the last one that got through */
    struct log_line line;
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void
log_configure(enum log_level level, enum log_format format)
{
    atomic_store(&current_level, (int)level);
    atomic_store(&current_format, (int)format);
}

bool
log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

uint64_t
log_dropped(void)
{
    return atomic_load(&dropped);
}

void
log_guard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            return;
}

/* O_NONBLOCK belongs to the open file, which a shell or a supervisor may share with us, so it is not set on
 * fd 2: a pipe or terminal is opened again through /proc. A regular file keeps its shared offset and never
 * waits for a reader; a socket (journald's) takes MSG_DONTWAIT. */
static void
choose_sink(void)
{
    struct stat status;
    sink.chosen = true;
    sink.fd = STDERR_FILENO;
    if (fstat(STDERR_FILENO, &status) != 0)
        return;
    sink.is_socket = S_ISSOCK(status.st_mode);
    bool writable = (fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE) != O_RDONLY; /* see log_guard_descriptors() */
    if (writable && (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))) {
        int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0)
            sink.fd = fd;
    }
}

/* True when the whole of `bytes` went out. Asking poll first keeps a dead reader from raising SIGPIPE, and
 * stands in for O_NONBLOCK where the pipe may not be opened again (it belongs to another user): a pipe that
 * is ready takes PIPE_BUF bytes, and a line is no longer than that. */
static bool
write_now(const char *bytes, size_t size, bool *torn)
{
    struct pollfd ready = {.fd = sink.fd, .events = POLLOUT};
    *torn = false;
    if (poll(&ready, 1, 0) != 1 || ready.revents != POLLOUT)
        return false;
    ssize_t written = sink.is_socket ? send(sink.fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                     : write(sink.fd, bytes, size);
    *torn = written > 0 && (size_t)written < size;
    return written == (ssize_t)size;
}

void
log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if (!log_enabled(level))
        return;
    int errno_before = errno;
    int64_t now_us = clock_wall_us();
    pthread_mutex_lock(&sink.mutex);
    if (!sink.chosen)
        choose_sink();
    struct log_entry entry = {now_us, level, message, fields, sink.unreported};
    log_line_render(&sink.line, (enum log_format)atomic_load(&current_format), &entry);
    /* The byte before the line is a line feed, to end what a torn write left. */
    const char *bytes = sink.line.bytes + (sink.torn ? 0 : 1);
    size_t size = sink.line.size - (sink.torn ? 0 : 1);
    bool torn;
    if (write_now(bytes, size, &torn)) {
        sink.unreported = 0;
        sink.torn = false;
    } else {
        sink.torn = sink.torn || torn;
        sink.unreported++;
        atomic_fetch_add(&dropped, 1);
    }
    pthread_mutex_unlock(&sink.mutex);
    errno = errno_before;
}
