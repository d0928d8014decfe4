/* replay.c: `outboxd replay`: has a relay publish again what it has published, lists the replays and ends one. Called by main. Its
 * options are parsed in replay_options.c; the leader does the work. */
#include "command/replay_options.h"

#include "command/asking.h"
#include "command/print.h"
#include "command/progress.h"
#include "command/replay_print.h"
#include "command/tail_print.h"
#include "config/units.h"
#include "event/topic.h"
#include "postgres/pauses.h"
#include "postgres/retained.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct replay {
    struct asking asking;
    const struct replay_options *options;
    struct retained_bounds bounds;
    struct retained_wish wish;
    int64_t events; /* that are to be sent */
    /* what came of it */
    int64_t sent, refused;
    bool done, uncounted;
};

/* ---- what is to be sent ---- */

static int64_t
moment_of(const struct replay_moment *moment, int64_t now_us)
{
    return moment->back_us > 0 ? now_us - moment->back_us : moment->at_us;
}

/* Slots were emptied: what is asked for may begin before what is there. */
static void
warn_of_gap(const struct replay *replay, int64_t since_us)
{
    const struct retained_bounds *bounds = &replay->bounds;
    char oldest[TAIL_PRINT_TIME], retention[UNITS_TEXT];
    if (bounds->oldest_id == 0) {
        fprintf(stderr, "outboxd replay: no event is retained: the outbox is empty\n");
        return;
    }
    tail_print_time(oldest, bounds->oldest_us, false);
    units_format_duration(replay->asking.relay->retention_us, retention);
    if (replay->options->first_id > 0 ? replay->options->first_id < bounds->oldest_id
                                      : bounds->oldest_id > 1 && since_us < bounds->oldest_us)
        fprintf(stderr,
                "outboxd replay: events before id %" PRId64
                ", created %s, are no longer retained and cannot be sent (retention %s)\n",
                bounds->oldest_id, oldest, retention);
}

static bool
find_meant(struct replay *replay, struct error *error)
{
    const struct replay_options *options = replay->options;
    struct retained_wish *wish = &replay->wish;
    *wish = (struct retained_wish){.relay = replay->asking.settings->relay,
                                   .first_id = options->first_id,
                                   .last_id = options->last_id,
                                   .since_us = moment_of(&options->since, replay->bounds.now_us),
                                   .until_us = moment_of(&options->until, replay->bounds.now_us),
                                   .key = options->key};
    if (wish->until_us > 0 && wish->until_us <= wish->since_us)
        return error_set(error, ERROR_USAGE, "--until is not after --since");
    warn_of_gap(replay, wish->since_us);
    return retained_narrow(replay->asking.session, &replay->bounds, wish, error);
}

/* Topics outside the pattern are not meant at all. */
static void
choose(struct replay *replay, struct retained *retained, const struct pauses *pauses, enum replay_part *parts)
{
    const char *relay = replay->asking.settings->relay;
    char every[] = "*",
         *pattern = replay->options->topic != NULL ? must_strdup(replay->options->topic) : NULL;
    struct topic_table *meant = topic_table_new((char *[]){pattern != NULL ? pattern : every}, 1);
    size_t kept = 0;
    for (size_t i = 0; i < retained->count; i++) {
        struct retained_topic topic = retained->topics[i];
        if (!topic_intern(meant, topic.name, strlen(topic.name))->selected) {
            free(topic.name);
            continue;
        }
        parts[kept] = !asking_selects(&replay->asking, topic.name)     ? REPLAY_UNSELECTED
                      : pauses_find(pauses, relay, topic.name) != NULL ? REPLAY_PAUSED
                                                                       : REPLAY_SENT;
        retained->topics[kept++] = topic;
    }
    retained->count = kept;
    topic_table_free(meant);
    free(pattern);
}

static bool
plan(struct replay *replay, struct error *error)
{
    struct retained retained = {0};
    struct pauses pauses = {0};
    struct session *session = replay->asking.session;
    struct progress *progress = progress_begin("replay", "counting events");
    bool good = find_meant(replay, error) && retained_count(session, &replay->wish, &retained, error) &&
                pauses_read(session, &pauses, error);
    progress_end(progress);
    if (good) {
        enum replay_part *parts = must_calloc(retained.count, sizeof *parts);
        choose(replay, &retained, &pauses, parts);
        replay->events = replay_print_plan(&retained, parts, replay->asking.settings->relay, stdout);
        free(parts);
    }
    pauses_free(&pauses);
    retained_free(&retained);
    return good;
}

/* ---- having it sent ---- */

static void
print_ended(void *context, const struct request *request)
{
    struct replay *replay = context;
    replay->done = strcmp(request->outcome, "done") == 0;
    replay->sent = request->events;
    replay->refused = request->refused;
    replay->uncounted = request->uncounted;
    printf("replay %" PRId64 ": ", request->number);
    print_text(stdout, request->outcome);
    printf(", %s%" PRId64 " event%s sent again", request->uncounted ? "at least " : "", request->events,
           request->events == 1 ? "" : "s");
    if (request->refused > 0)
        printf(", %" PRId64 " refused", request->refused);
    putchar('\n');
}

static bool
await(struct replay *replay, int64_t number, struct error *error)
{
    char *cancels = must_format("`outboxd replay --cancel %" PRId64 "` ends it", number);
    struct asking_wait wait = {.numbers = &number,
                               .count = 1,
                               .events = replay->events,
                               .cancels = cancels,
                               .ended = print_ended,
                               .context = replay};
    bool good = asking_await(&replay->asking, &wait, error);
    free(cancels);
    if (good && !replay->done)
        return error_set(error, ERROR_UNUSABLE, "replay %" PRId64 " ended before it was done", number);
    if (good && replay->refused > 0)
        return error_set(error, ERROR_UNUSABLE,
                         "Kafka refused %" PRId64
                         " of the events; the relay's log says why; when the cause is gone, ask again",
                         replay->refused);
    if (good && replay->sent < replay->events && !replay->uncounted)
        return error_set(
            error, ERROR_UNUSABLE,
            "%" PRId64
            " of the events that were counted were not sent: in between, their slots were emptied, or their "
            "topics are not selected any more",
            replay->events - replay->sent);
    return good;
}

static bool
ask(struct replay *replay, int64_t *number, struct error *error)
{
    const struct retained_wish *meant = &replay->wish;
    char *since = retained_moment(meant->since_us), *until = retained_moment(meant->until_us);
    struct replay_wish wish = {.first_id = meant->first_id,
                               .last_id = meant->last_id,
                               .since = since,
                               .until = until,
                               .topic = replay->options->topic,
                               .key = meant->key,
                               .rate = replay->options->rate};
    bool good = requests_replay(replay->asking.session, replay->asking.settings->relay, &wish, number, error);
    free(since);
    free(until);
    return good;
}

static bool
run(struct replay *replay, struct error *error)
{
    int64_t number;
    if (!retained_prepare(replay->asking.session, &replay->bounds, error) || !plan(replay, error))
        return false;
    if (replay->options->dry_run || replay->events == 0)
        return true;
    if (!command_confirm("replay", "Send them again? Consumers see each of them once more.",
                         replay->options->yes, error) ||
        !ask(replay, &number, error))
        return false;
    if (!replay->options->no_wait)
        return await(replay, number, error);
    printf("asked for: replay %" PRId64 "\n", number);
    asking_warn(&replay->asking);
    return true;
}

/* ---- the replays that there are ---- */

static bool
list(struct replay *replay, struct error *error)
{
    struct requests requests;
    bool good =
        requests_read_replays(replay->asking.session, replay->asking.settings->relay, &requests, error);
    if (good && replay->options->json)
        replay_print_list_json(&requests, stdout);
    else if (good)
        replay_print_list(&requests, stdout);
    requests_free(&requests);
    return good;
}

static bool
cancel(struct replay *replay, struct error *error)
{
    int64_t number = replay->options->cancel;
    if (!requests_cancel(replay->asking.session, replay->asking.settings->relay, number, error))
        return false;
    printf("replay %" PRId64 " is ended: what it has sent stays sent\n", number);
    return true;
}

static bool
act(const struct settings *settings, const struct replay_options *options, struct error *error)
{
    struct replay replay = {.options = options};
    bool good = asking_open(&replay.asking, "replay", settings, options->list, error) &&
                requests_prepare(replay.asking.session, error);
    if (good && options->list)
        good = list(&replay, error);
    else if (good && options->cancel > 0)
        good = cancel(&replay, error);
    else if (good)
        good = run(&replay, error);
    asking_close(&replay.asking);
    if (fflush(stdout) != 0 && good)
        return error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return good;
}

int
command_replay(int argc, char **argv)
{
    struct replay_options options;
    struct settings *settings = NULL;
    struct error error;
    int exit_code;
    if (replay_options_parse(argc, argv, &options, &exit_code) &&
        command_load(options.config, &settings, &exit_code)) {
        exit_code = act(settings, &options, &error) ? 0 : command_failed("replay", &error);
        settings_free(settings);
    }
    free(options.key);
    return exit_code;
}
