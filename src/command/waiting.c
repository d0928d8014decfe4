/* waiting.c: waits until a relay's leader has done what was asked for, and says how far it is. Called by dead and replay
 * through asking.h. */
#include "command/asking.h"

#include "base/clock.h"
#include "base/signals.h"
#include "command/print.h"
#include "command/progress.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* People see no difference to at once; a look takes a tenth of a millisecond of the server. */
#define LOOK_MS 100
/* The registry and the journal, less often. */
#define LEADER_US (INT64_C(1) * 1000000)
/* A takeover takes the lease and less than a second. */
#define TAKEOVER_US (INT64_C(2) * 1000000)
/* They are done in the order of their numbers, several at a time: those behind have not begun. */
#define LOOKED_AT 1000
/* Of the bar; with the rest of the line it fits into a progress. */
#define BAR 14

struct waiter {
    struct asking *asking;
    const struct asking_wait *wait;
    struct progress *progress;
    int64_t *open; /* the numbers of those that have not ended */
    size_t count;
    int64_t events;    /* of those that have ended */
    int64_t done;      /* of all */
    int64_t begun_us;  /* clock_monotonic_us() */
    int64_t looked_us; /* for the leader */
    int64_t leader_us; /* when there was one */
    bool told;         /* that there is none, or that it is paused */
    char topic[400];   /* that the first one of them that waits waits for, and why; "": none does */
};

/* Lines of its own on the terminal on which the progress is. */
static void
tell_ended(struct waiter *waiter, const struct requests *requests)
{
    progress_end(waiter->progress);
    for (size_t i = 0; i < requests->count; i++)
        if (requests->list[i].done_at != NULL)
            waiter->wait->ended(waiter->wait->context, &requests->list[i]);
    fflush(stdout);
    waiter->progress = progress_begin(waiter->asking->command, "waiting");
}

/* "topic mail, at event 4711: PAUSED" */
static void
note_wait(struct waiter *waiter, const struct request_wait *wait)
{
    if (wait->topic != NULL && waiter->topic[0] == '\0')
        snprintf(waiter->topic, sizeof waiter->topic, "topic %s, at event %" PRId64 ": %s", wait->topic,
                 wait->event_id, wait->error);
}

/* Those that have ended go. */
static bool
look(struct waiter *waiter, struct error *error)
{
    size_t looked = waiter->count < LOOKED_AT ? waiter->count : LOOKED_AT, kept = 0;
    struct requests requests;
    bool good = requests_read_numbers(waiter->asking->session, waiter->asking->settings->relay, waiter->open,
                                      looked, &requests, error);
    waiter->done = waiter->events;
    waiter->topic[0] = '\0';
    for (size_t i = 0; good && i < requests.count; i++) {
        const struct request *request = &requests.list[i];
        waiter->done += request->events;
        note_wait(waiter, &request->wait);
        if (request->done_at == NULL)
            waiter->open[kept++] = request->number;
        else
            waiter->events += request->events;
    }
    if (good && kept < looked)
        tell_ended(waiter, &requests);
    if (good) {
        memmove(waiter->open + kept, waiter->open + looked, (waiter->count - looked) * sizeof *waiter->open);
        waiter->count -= looked - kept;
    }
    requests_free(&requests);
    return good;
}

/* "[#######-------] 50 %, 12 thousand/s, 3.2 min left" */
static void
show(const struct waiter *waiter)
{
    int64_t most = waiter->wait->events, done = waiter->done,
            took_us = clock_monotonic_us() - waiter->begun_us;
    char bar[BAR + 1] = "", rate[PRINT_SIZE], left[PRINT_SIZE];
    if (waiter->topic[0] != '\0') {
        progress_change(waiter->progress, "waiting for %s", waiter->topic);
        return;
    }
    if (done == 0 || took_us <= 0) {
        progress_change(waiter->progress, "waiting for relay %s to begin", waiter->asking->settings->relay);
        return;
    }
    double per_us = (double)done / (double)took_us;
    print_count((int64_t)(per_us * 1e6), rate);
    if (most <= 0 || done > most) {
        progress_change(waiter->progress, "%" PRId64 " event%s, %s/s", done, done == 1 ? "" : "s", rate);
        return;
    }
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)((double)done / (double)most * BAR) ? '#' : '-';
    progress_change(waiter->progress, "[%s] %" PRId64 " %%, %s/s, %s left", bar,
                    (int64_t)(100.0 * (double)done / (double)most), rate,
                    print_age((int64_t)((double)(most - done) / per_us), left));
}

/* A line of its own beside the progress. */
static void
tell(struct waiter *waiter)
{
    progress_end(waiter->progress);
    asking_warn(waiter->asking);
    waiter->progress = progress_begin(waiter->asking->command, "waiting");
    waiter->told = true;
}

/* False when there is no leader for longer than a takeover takes. */
static bool
look_for_leader(struct waiter *waiter, struct error *error)
{
    struct asking *asking = waiter->asking;
    int64_t now_us = clock_monotonic_us();
    char why[256];
    if (now_us - waiter->looked_us < LEADER_US)
        return true;
    waiter->looked_us = now_us;
    if (!asking_refresh(asking, error))
        return false;
    if (asking_leads(asking, why)) {
        waiter->leader_us = now_us;
        if (asking->relay->paused && !waiter->told)
            tell(waiter);
        return true;
    }
    if (now_us - waiter->leader_us < asking->settings->lease_us + TAKEOVER_US)
        return true;
    return error_set(error, ERROR_UNUSABLE,
                     "%s: what was asked for stays, and is done when `outboxd run` leads it again", why);
}

/* Until the next look; false when somebody wants an end. */
static bool
sleep_on(const struct waiter *waiter, int signal_fd, struct error *error)
{
    struct pollfd signal = {.fd = signal_fd, .events = POLLIN};
    const char *cancels = waiter->wait->cancels;
    if (poll(&signal, 1, LOOK_MS) <= 0)
        return true;
    return error_set(error, ERROR_UNUSABLE, "no longer waiting: what was asked for goes on%s%s",
                     cancels != NULL ? "; " : "", cancels != NULL ? cancels : "");
}

bool
asking_await(struct asking *asking, const struct asking_wait *wait, struct error *error)
{
    int64_t now_us = clock_monotonic_us();
    struct waiter waiter = {
        .asking = asking, .wait = wait, .count = wait->count, .begun_us = now_us, .leader_us = now_us};
    int signal_fd;
    if (wait->count == 0)
        return true;
    if (!signals_open(&signal_fd, error))
        return false;
    waiter.open = must_calloc(wait->count, sizeof *waiter.open);
    memcpy(waiter.open, wait->numbers, wait->count * sizeof *waiter.open);
    waiter.progress =
        progress_begin(asking->command, "waiting for relay %s to begin", asking->settings->relay);
    char why[256];
    if (!asking_leads(asking, why))
        tell(&waiter);
    bool good = look(&waiter, error);
    while (good && waiter.count > 0) {
        show(&waiter);
        good = sleep_on(&waiter, signal_fd, error) && look_for_leader(&waiter, error) && look(&waiter, error);
    }
    progress_end(waiter.progress);
    signals_close(signal_fd);
    free(waiter.open);
    return good;
}
