/* dead_ask.c: asks the leader of a relay, by way of the database, to retry or to discard dead letters, and says what came of each.
 * Called by dead.c. */
#include "command/dead_ask.h"

#include "command/print.h"
#include "postgres/dead.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many in one transaction. */
#define ASKED_AT_ONCE 1000

struct asked {
    struct asking *asking;
    bool discard;
    struct dead_meant meant; /* those that are dead letters */
    int64_t *ids;            /* what is asked for, also of what is none; each once */
    size_t id_count;
    int64_t *numbers; /* of the requests */
    size_t count;
    size_t absent; /* no such dead letter */
    size_t others; /* something else is under way */
    size_t done, refused;
};

/* ---- asking ---- */

static bool
note_absent(struct asked *asked, int64_t id, struct error *error)
{
    struct dead_absence absence;
    bool good =
        dead_read_absence(asked->asking->session, asked->asking->settings->relay, id, &absence, error);
    if (good && absence.holder > 0) {
        printf("%" PRId64 "  no dead letter: it is held behind dead letter %" PRId64 "\n", id,
               absence.holder);
    } else if (good && absence.discarded_by != NULL) {
        printf("%" PRId64 "  no dead letter any more: it was discarded, %s, by ", id, absence.discarded_at);
        print_text(stdout, absence.discarded_by);
        putchar('\n');
    } else if (good) {
        printf("%" PRId64 "  no such dead letter\n", id);
    }
    dead_absence_free(&absence);
    asked->absent++;
    return good;
}

static bool
note(struct asked *asked, int64_t id, int64_t number, int64_t before, char before_kind, struct error *error)
{
    bool same = before_kind == (asked->discard ? 'd' : 'r');
    if (number == 0 && before == 0)
        return note_absent(asked, id, error);
    if (number == 0 && !same) {
        printf("%" PRId64 "  a %s is under way, request %" PRId64 "\n", id,
               asked->discard ? "retry" : "discard", before);
        asked->others++;
        return true;
    }
    asked->numbers[asked->count++] = number > 0 ? number : before;
    return true;
}

static int
compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Sorts them and leaves each once; returns how many are left. */
static size_t
sort_once(int64_t *list, size_t count)
{
    size_t kept = 0;
    qsort(list, count, sizeof *list, compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || list[i] != list[kept - 1])
            list[kept++] = list[i];
    return kept;
}

static bool
ask_all(struct asked *asked, const char *reason, struct error *error)
{
    int64_t numbers[ASKED_AT_ONCE], before[ASKED_AT_ONCE];
    char kinds[ASKED_AT_ONCE];
    asked->numbers = must_calloc(asked->id_count, sizeof *asked->numbers);
    for (size_t at = 0; at < asked->id_count; at += ASKED_AT_ONCE) {
        size_t left = asked->id_count - at, count = left < ASKED_AT_ONCE ? left : ASKED_AT_ONCE;
        if (!dead_ask(asked->asking->session, asked->asking->settings->relay, asked->ids + at, count, reason,
                      numbers, before, kinds, error))
            return false;
        for (size_t i = 0; i < count; i++)
            if (!note(asked, asked->ids[at + i], numbers[i], before[i], kinds[i], error))
                return false;
    }
    asked->count = sort_once(asked->numbers, asked->count);
    return true;
}

/* ---- what came of it ---- */

/* It ended before all was done: what is in the database now says how far it came. */
static void
print_broken_off(struct asked *asked, const struct request *request)
{
    struct dead_letter letter;
    struct error error;
    bool there = dead_read_letter(asked->asking->session, asked->asking->settings->relay, request->event_id,
                                  &letter, &error);
    const char *outcome = request->outcome;
    char of_event[40];
    int prefix = snprintf(of_event, sizeof of_event, "event %" PRId64 " ", request->event_id);
    if (strncmp(outcome, of_event, (size_t)prefix) == 0)
        outcome += prefix; /* the line begins with it */
    bool discarded = there && letter.discarded_by != NULL, waits = there && !discarded;
    printf("%" PRId64 "  ", request->event_id);
    if (discarded)
        fputs("discarded; behind it, ", stdout);
    else if (!there && request->events > 0)
        fputs("published; behind it, ", stdout);
    print_text(stdout, outcome);
    if (waits) {
        fputs("; it stays a dead letter: ", stdout);
        print_text(stdout, letter.message);
    }
    putchar('\n');
    dead_letter_free(&letter);
}

static void
print_ended(void *context, const struct request *request)
{
    struct asked *asked = context;
    if (strcmp(request->outcome, "done") != 0) {
        asked->refused++;
        print_broken_off(asked, request);
        return;
    }
    asked->done++;
    int64_t behind = request->events - (asked->discard ? 0 : 1);
    printf("%" PRId64 "  %s", request->event_id, asked->discard ? "discarded" : "published");
    if (request->uncounted)
        fputs(", and what was held behind it", stdout);
    else if (behind > 0)
        printf(", and %" PRId64 " event%s that %s held behind it", behind, behind == 1 ? "" : "s",
               behind == 1 ? "was" : "were");
    putchar('\n');
}

static bool
judge(const struct asked *asked, struct error *error)
{
    size_t failed = asked->refused + asked->others;
    if (failed > 0)
        return error_set(error, ERROR_UNUSABLE,
                         "not all is done: %zu of %zu; `outboxd dead list` shows what waits",
                         failed + asked->absent, asked->count + asked->others + asked->absent);
    if (asked->absent > 0)
        return error_set(error, ERROR_USAGE, "%zu of %zu are no dead letters of relay \"%s\"", asked->absent,
                         asked->count + asked->absent, asked->asking->settings->relay);
    return true;
}

/* ---- the two actions ---- */

/* Which ones are meant, and about how many events are published for them. */
static bool
find_meant(struct asked *asked, const struct dead_options *options, int64_t *events, struct error *error)
{
    struct session *session = asked->asking->session;
    const char *relay = asked->asking->settings->relay;
    bool good = options->all
                    ? dead_find_all(session, relay, options->topic, &asked->meant, error)
                    : dead_find_ids(session, relay, options->ids, options->id_count, &asked->meant, error);
    asked->ids = options->all ? asked->meant.ids : options->ids;
    /* once published, the first of two would leave the second for absent */
    asked->id_count = sort_once(asked->ids, options->all ? asked->meant.count : options->id_count);
    *events = asked->meant.held + (asked->discard ? 0 : (int64_t)asked->meant.count);
    return good;
}

static bool
agree(const struct asked *asked, int64_t events, const struct dead_options *options, struct error *error)
{
    size_t present = asked->meant.count;
    bool one = present == 1;
    if (!asked->discard || present == 0)
        return true;
    printf("%zu event%s will never be published; %" PRId64 " that %s held behind %s will be\n", present,
           one ? "" : "s", events, events == 1 ? "is" : "are", one ? "it" : "them");
    return command_confirm("dead discard", "Discard?", options->yes, error);
}

static bool
await(struct asked *asked, int64_t events, const struct dead_options *options, struct error *error)
{
    struct asking_wait wait = {.numbers = asked->numbers,
                               .count = asked->count,
                               .events = events,
                               .ended = print_ended,
                               .context = asked};
    if (options->no_wait) {
        printf("asked for: %zu %s%s\n", asked->count, asked->discard ? "discard" : "retr",
               asked->discard ? (asked->count == 1 ? "" : "s") : (asked->count == 1 ? "y" : "ies"));
        asking_warn(asked->asking);
    } else if (!asking_await(asked->asking, &wait, error)) {
        return false;
    }
    return judge(asked, error);
}

bool
dead_ask_leader(struct asking *asking, const struct dead_options *options, struct error *error)
{
    struct asked asked = {.asking = asking, .discard = options->action == DEAD_DISCARD};
    int64_t events = 0;
    bool good = find_meant(&asked, options, &events, error);
    if (good && asked.id_count == 0)
        printf("no dead letters\n");
    else if (good)
        good = agree(&asked, events, options, error) && ask_all(&asked, options->reason, error) &&
               await(&asked, events, options, error);
    free(asked.numbers);
    dead_meant_free(&asked.meant);
    return good;
}
