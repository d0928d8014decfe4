/* progress.c: a thread that looks at the clock. Called by the commands around what may take long; touches nothing but
 * standard error. */
#include "command/progress.h"

#include "base/clock.h"
#include "command/print.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* On a terminal: before anybody wonders, after what is over at once; then the seconds. */
#define TERMINAL_FIRST_US (INT64_C(200) * 1000)
#define TERMINAL_NEXT_US (INT64_C(1) * 1000000)
/* In a log one line tells that it is slow; some more that it is not dead. */
#define LINE_FIRST_US (INT64_C(1) * 1000000)
#define LINE_NEXT_US (INT64_C(5) * 1000000)

/* Beside "outboxd check: " and the seconds, a text of this size fits on one line of 80 columns. */
#define SHOWN_MOST 52

struct progress {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    bool terminal, shown;
    int64_t started_us;
    const char *command;
    char *what;
};

/* To the erase-to-end-of-line of every terminal there is. */
static void
erase(const struct progress *progress)
{
    if (progress->terminal && progress->shown)
        fputs("\r\033[K", stderr);
}

static void
show(struct progress *progress)
{
    int64_t seconds = (clock_monotonic_us() - progress->started_us) / 1000000;
    erase(progress);
    fprintf(stderr, "outboxd %s: ", progress->command);
    print_text(stderr, progress->what);
    fputs(" ..", stderr);
    if (seconds > 0)
        fprintf(stderr, " %lld s", (long long)seconds);
    if (!progress->terminal)
        fputc('\n', stderr);
    fflush(stderr);
    progress->shown = true;
}

static void
wait_until_us(struct progress *progress, int64_t due_us)
{
    struct timespec due = {.tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000};
    while (!progress->over && clock_monotonic_us() < due_us)
        pthread_cond_timedwait(&progress->changed, &progress->lock, &due);
}

static void *
watch(void *context)
{
    struct progress *progress = context;
    int64_t next_us = progress->terminal ? TERMINAL_NEXT_US : LINE_NEXT_US;
    int64_t due_us = progress->started_us + (progress->terminal ? TERMINAL_FIRST_US : LINE_FIRST_US);
    pthread_mutex_lock(&progress->lock);
    for (;;) {
        wait_until_us(progress, due_us);
        if (progress->over)
            break;
        show(progress);
        due_us = progress->started_us + ((due_us - progress->started_us) / next_us + 1) * next_us;
    }
    pthread_mutex_unlock(&progress->lock);
    return NULL;
}

static void set_what(struct progress *progress, const char *what, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* In place of what was said before. */
static void
set_what(struct progress *progress, const char *what, va_list arguments)
{
    free(progress->what);
    CHECK(vasprintf(&progress->what, what, arguments) >= 0);
    if (strlen(progress->what) > SHOWN_MOST)
        memcpy(progress->what + SHOWN_MOST - 3, "...", 4);
}

struct progress *
progress_begin(const char *command, const char *what, ...)
{
    struct progress *progress = must_calloc(1, sizeof *progress);
    pthread_condattr_t attributes;
    va_list arguments;
    progress->command = command;
    va_start(arguments, what);
    set_what(progress, what, arguments);
    va_end(arguments);
    progress->terminal = isatty(STDERR_FILENO);
    progress->started_us = clock_monotonic_us();
    pthread_mutex_init(&progress->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&progress->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    CHECK(pthread_create(&progress->thread, NULL, watch, progress) == 0);
    return progress;
}

void
progress_change(struct progress *progress, const char *what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    pthread_mutex_lock(&progress->lock);
    set_what(progress, what, arguments);
    pthread_mutex_unlock(&progress->lock);
    va_end(arguments);
}

void
progress_end(struct progress *progress)
{
    if (progress == NULL)
        return;
    pthread_mutex_lock(&progress->lock);
    progress->over = true;
    pthread_cond_signal(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
    pthread_join(progress->thread, NULL);
    erase(progress);
    pthread_cond_destroy(&progress->changed);
    pthread_mutex_destroy(&progress->lock);
    free(progress->what);
    free(progress);
}
