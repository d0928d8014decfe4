/* tail.c: `outboxd tail`: prints events of the outbox, and with -f those that become visible. A thread asks Postgres and prints;
 * the main one waits for its end, a signal, or the end of whoever reads. Which events, and in which order, is said in
 * postgres/tail.h. Reads only. */
#include "command/tail_options.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/signals.h"
#include "command/progress.h"
#include "command/tail_print.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* People see no difference to at once; an idle look costs the server a tenth of a millisecond. */
#define FOLLOW_MS 100
/* After the first failure, and at most. */
#define RETRY_FIRST_US (INT64_C(100) * 1000)
#define RETRY_LAST_US (INT64_C(5) * 1000000)
/* Who was asked to end may finish its line, unless its reader or Postgres keeps it. */
#define GRACE_MS 500
/* Of a key and of a payload: more than a line of any terminal shows; and everything (16 MiB is the most). */
#define LINE_BYTES 16384
#define ALL_BYTES (1 << 30)

struct work {
    struct tail_options options;
    struct settings *settings;
    struct tail *tail;
    struct tail_print print;
    int stop_fd, ended_fd; /* eventfd(2): asked to stop; has ended */
    int exit_code;
};

/* Waits for that long, or until it was asked to stop: true. */
static bool
is_stopping(const struct work *work, int64_t wait_ms)
{
    struct pollfd stop = {.fd = work->stop_fd, .events = POLLIN};
    return poll(&stop, 1, (int)wait_ms) > 0;
}

static void
say(const char *what, const char *why)
{
    fprintf(stderr, "outboxd tail: %s%s\n", what, why);
}

static void
fit_terminal(struct tail_print *print)
{
    struct winsize size;
    print->width = ioctl(print->fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static bool
print_page(struct work *work, const struct page *page, struct error *error)
{
    struct tail_print *print = &work->print;
    bool good = true;
    fit_terminal(print);
    for (size_t i = 0; good && i < page->count && !is_stopping(work, 0); i++)
        good = tail_print_event(print, &page->events[i]);
    return (tail_print_flush(print) && good) ||
           error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(print->failed));
}

static bool
print_tick(struct work *work, struct error *error)
{
    struct page *page = NULL;
    do {
        page_free(page);
        page = NULL;
        if (is_stopping(work, 0))
            return true;
        if (!tail_read(work->tail, &page, error))
            return false;
    } while (page != NULL && print_page(work, page, error));
    bool good = page == NULL;
    page_free(page);
    return good;
}

static bool
begin(struct work *work, struct error *error)
{
    struct progress *progress = work->options.json ? NULL : progress_begin("tail", "asking Postgres");
    bool good = tail_connect(work->tail, error);
    progress_end(progress);
    return good;
}

/* One round: the rest of a tick, if one was broken off, and the next one. */
static bool
go_on(struct work *work, bool *reconnected, struct error *error)
{
    if (!tail_is_connected(work->tail)) {
        if (!tail_connect(work->tail, error))
            return false;
        *reconnected = true;
        if (tail_was_promoted(work->tail))
            say("a standby was promoted: events of transactions whose numbers the former primary had used up "
                "alone are not shown; start anew to see all",
                "");
    }
    if (!print_tick(work, error))
        return false;
    return is_stopping(work, 0) || (tail_poll(work->tail, error) && print_tick(work, error));
}

/* Until it is asked to stop; false for what does not heal by itself. */
static bool
follow(struct work *work, struct error *error)
{
    struct backoff backoff = backoff_make(RETRY_FIRST_US, RETRY_LAST_US, (uint64_t)clock_monotonic_us());
    bool troubled = false, reconnected = false;
    int64_t wait_ms = 0;
    while (!is_stopping(work, wait_ms)) {
        bool good = go_on(work, &reconnected, error);
        wait_ms = FOLLOW_MS;
        if (good) {
            if (reconnected)
                say("connected again; the last events from before may have come twice", "");
            else if (troubled)
                say("going on", "");
            troubled = reconnected = false;
            backoff_reset(&backoff);
            continue;
        }
        if (error->kind != ERROR_RETRY)
            return false;
        if (!troubled)
            say("trying again: ", error->message);
        troubled = true;
        wait_ms = backoff_next_us(&backoff) / 1000;
    }
    return true;
}

static void *
do_work(void *context)
{
    struct work *work = context;
    struct error error = {0};
    bool good =
        begin(work, &error) && (work->options.follow ? follow(work, &error) : print_tick(work, &error));
    bool unread = work->print.failed == EPIPE;
    work->exit_code = good || unread ? 0 : command_failed("tail", &error);
    CHECK(eventfd_write(work->ended_fd, 1) == 0);
    return NULL;
}

/* Until the work has ended: true. False: somebody wants an end, and it has not come in time. */
static bool
wait_for_end(const struct work *work, int signal_fd)
{
    struct pollfd wakers[] = {{.fd = work->ended_fd, .events = POLLIN},
                              {.fd = signal_fd, .events = POLLIN},
                              {.fd = STDOUT_FILENO}}; /* POLLERR, POLLHUP: nobody reads any more */
    while (poll(wakers, 3, -1) <= 0)
        ;
    if (wakers[0].revents == 0)
        CHECK(eventfd_write(work->stop_fd, 1) == 0);
    return poll(wakers, 1, GRACE_MS) > 0;
}

static int
run(struct work *work)
{
    struct error error;
    pthread_t thread;
    int signal_fd;
    if (!signals_open(&signal_fd, &error))
        return command_failed("tail", &error);
    work->stop_fd = eventfd(0, EFD_CLOEXEC);
    work->ended_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(work->stop_fd >= 0 && work->ended_fd >= 0);
    CHECK(pthread_create(&thread, NULL, do_work, work) == 0);
    /* it hangs in a write or in a connection: what libraries do at exit() must not wait for it, nor pull away what it uses */
    if (!wait_for_end(work, signal_fd))
        _exit(0);
    CHECK(pthread_join(thread, NULL) == 0);
    close(work->ended_fd);
    close(work->stop_fd);
    signals_close(signal_fd);
    return work->exit_code;
}

int
command_tail(int argc, char **argv)
{
    struct work *work = must_calloc(1, sizeof *work);
    struct tail_options *options = &work->options;
    int exit_code;
    if (tail_options_parse(argc, argv, options, &exit_code) &&
        command_load(options->config, &work->settings, &exit_code)) {
        work->print.fd = STDOUT_FILENO;
        work->print.json = options->json;
        options->wish.topics = (char *const *)options->topics.texts;
        options->wish.topic_count = options->topics.count;
        options->wish.bytes = !options->json && isatty(STDOUT_FILENO) ? LINE_BYTES : ALL_BYTES;
        work->tail = tail_new(work->settings, &options->wish);
        exit_code = run(work);
        tail_free(work->tail);
        settings_free(work->settings);
    }
    free(options->topics.texts);
    free(work);
    return exit_code;
}
