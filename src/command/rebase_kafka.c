/* rebase_kafka.c: reads from Kafka what consumers know of this outbox, counts and lists what the database has lost of it, and has the
 * relay go on behind it. Called by rebase.c; what follows from what is decided in schema/007_failover.sql. */
#include "command/rebase_kafka.h"

#include "base/clock.h"
#include "command/names.h"
#include "command/progress.h"
#include "command/rebase_print.h"
#include "kafka/position_reader.h"
#include "kafka/published_reader.h"
#include "relay/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A start reads the position in milliseconds. */
#define POSITION_PATIENCE_US (INT64_C(60) * 1000000)
/* Kafka ends an open transaction of a relay that died after 30 s, and may take some more to notice. */
#define RECORDS_PATIENCE_US (INT64_C(90) * 1000000)

/* ---- the position ---- */

/* How far the position in Kafka and the journal agree; seq -1: nowhere. */
static bool
find_common(struct rebase *rebase, const struct settings *settings, const struct position_found *found,
            struct journal_position *common, struct error *error)
{
    struct record record;
    struct error unreadable;
    bool ours = found->text != NULL && record_parse(&record, found->text, &unreadable) &&
                (found->cluster[0] == '\0' || record.cluster[0] == '\0' ||
                 strcmp(found->cluster, record.cluster) == 0);
    *common = (struct journal_position){.seq = -1};
    if (!ours)
        return true;
    const struct rebase_history history = {record.chain.names, record.chain.count, record.aside};
    if (!rebase_common(rebase, settings->relay, &history, &common->seq, error))
        return false;
    if (common->seq == record.chain.names[0].seq)
        *common = record.at;
    return true;
}

static bool
read_position(struct rebase *rebase, const struct settings *settings, struct journal_position *common,
              struct error *error)
{
    char topic[POSITION_TOPIC_SIZE];
    struct position_found found;
    struct outcome why;
    rd_kafka_conf_t *conf = position_reader_conf(settings, error);
    if (conf == NULL)
        return false;
    position_topic(settings, topic);
    bool good = position_read(conf, topic, clock_monotonic_us() + POSITION_PATIENCE_US, &found, &why);
    bool missing = !good && strstr(why.name, "UNKNOWN_TOPIC") != NULL;
    if (!good && !missing)
        return error_set(error, ERROR_UNUSABLE, "cannot read the position: %s: %s", why.name, why.message);
    good = find_common(rebase, settings, &found, common, error);
    free(found.text);
    return good;
}

/* ---- the records ---- */

struct reading {
    struct rebase *rebase;
    const struct rebase_wish *wish;
    struct rebase_report *report;
    struct progress *progress;
    size_t topics;
};

static struct rebase_place
place_of(const struct published *record)
{
    struct rebase_place place = {.id = record->id, .offset = record->offset, .partition = record->partition};
    snprintf(place.topic, sizeof place.topic, "%s", record->topic);
    return place;
}

/* Whoever may write into the topic says what stands in the headers. */
static bool
take(void *context, const struct published *record, struct error *error)
{
    const struct reading *reading = context;
    struct rebase_report *report = reading->report;
    int64_t most = reading->wish->highest_id;
    if (record->id == 0 || (most > 0 && record->id > most)) {
        if (report->strange++ == 0)
            report->first = place_of(record);
        return true;
    }
    if (record->id > report->highest.id)
        report->highest = place_of(record);
    return rebase_kafka_add(reading->rebase, record, error);
}

static void
tell(void *context, const char *topic, int32_t partition)
{
    const struct reading *reading = context;
    if (topic == NULL)
        progress_change(reading->progress, "reading %zu topics from Kafka", reading->topics);
    else
        progress_change(reading->progress, "waiting for a transaction in %s[%d]", topic, (int)partition);
}

static bool
read_topics(struct rebase *rebase, const struct rebase_wish *wish, const struct topic_names *topics,
            const int64_t *since_ms, struct rebase_report *report, struct error *error)
{
    struct reading reading = {.rebase = rebase, .wish = wish, .report = report, .topics = topics->count};
    const struct published_reading wanted = {.topics = topics->list,
                                             .count = topics->count,
                                             .since_ms = since_ms,
                                             .patience_us = RECORDS_PATIENCE_US,
                                             .sink = take,
                                             .listener = tell,
                                             .context = &reading};
    reading.progress = progress_begin("rebase", "reading %zu topics from Kafka", topics->count);
    bool good = rebase_kafka_begin(rebase, error) && published_read(wish->settings, &wanted, error);
    progress_end(reading.progress);
    return good || error_prefix(error, "nothing was changed");
}

/* A retry has published events with times of their own: where some are put aside, it is read from before them. */
static int64_t *
choose_since(const struct topic_names *topics, const struct rebase_topic *here, size_t count,
             int64_t since_ms)
{
    int64_t *chosen = must_calloc(topics->count, sizeof *chosen);
    for (size_t i = 0; i < topics->count; i++) {
        chosen[i] = since_ms;
        for (size_t j = 0; j < count; j++)
            if (strcmp(topics->list[i], here[j].name) == 0 && here[j].since_ms > 0 &&
                here[j].since_ms < since_ms)
                chosen[i] = here[j].since_ms;
    }
    return chosen;
}

static bool
read_records(struct rebase *rebase, const struct rebase_wish *wish, struct rebase_report *report,
             struct error *error)
{
    const struct settings *settings = wish->settings;
    struct rebase_topic *here = NULL;
    size_t count = 0;
    if (!rebase_topics(rebase, wish->position ? settings->relay : NULL, &here, &count, error))
        return false;
    char **names = must_calloc(count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = here[i].name;
    /* of other topics, whoever they belong to, nothing is read */
    struct topic_names topics = {0};
    topic_names_select(&topics, (const char *const *)settings->topics, settings->topics_count, names, count);
    topic_names_select(&topics, wish->topics.texts, wish->topics.count, names, count);
    int64_t *since_ms = choose_since(&topics, here, count, report->since_ms);
    bool good = read_topics(rebase, wish, &topics, since_ms, report, error) &&
                rebase_kafka_judge(rebase, &report->found, error);
    report->topics = topics.count;
    free(since_ms);
    free(topics.list);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    free(here);
    return good;
}

/* Whoever decides needs all that is not confirmed, and may look further back. */
static bool
find_since(struct rebase *rebase, const struct rebase_wish *wish, int64_t *since_ms, struct error *error)
{
    int64_t given_ms = wish->since_us / 1000;
    if (wish->back_us > 0)
        given_ms = (clock_wall_us() - wish->back_us) / 1000;
    *since_ms = given_ms;
    if (given_ms > 0 && !wish->position)
        return true;
    if (!rebase_since(rebase, wish->settings->relay, wish->position, since_ms, error))
        return false;
    if (given_ms > 0 && (given_ms < *since_ms || *since_ms == 0))
        *since_ms = given_ms;
    return *since_ms > 0 ||
           error_set(error, ERROR_USAGE,
                     "--since is missing: the journal of relay \"%s\" does not remember when; "
                     "give a time before what happened",
                     wish->settings->relay);
}

/* ---- what is done ---- */

/* An id that is forged or broken would use up those that are left. */
static bool
judge_highest(const struct rebase_wish *wish, const struct rebase_report *report, struct error *error)
{
    const struct rebase_place *highest = &report->highest;
    int64_t sequence = report->found.sequence;
    if (wish->highest_id > 0)
        return wish->highest_id >= sequence ||
               error_set(error, ERROR_USAGE,
                         "--highest-id: this database has given out ids up to %" PRId64
                         " itself; nothing was changed",
                         sequence);
    return highest->id - sequence <= REBASE_IDS_AT_ONCE ||
           error_set(error, ERROR_UNUSABLE,
                     "nothing was changed: the id sequence is at %" PRId64 ", and a record in topic %s, "
                     "partition %d, at offset %" PRId64 " says that it is event %" PRId64
                     ". If that is an event of this outbox, say so with --highest-id %" PRId64
                     "; if not, give the largest id that one has had, %" PRId64
                     " at least: records with larger ones count for nothing then",
                     sequence, highest->topic, (int)highest->partition, highest->offset, highest->id,
                     highest->id, sequence);
}

static bool
agree(const struct rebase_wish *wish, const char *question, struct error *error)
{
    return command_confirm_on(wish->json ? stderr : stdout, "rebase", question, wish->yes, error);
}

static bool
decide(struct rebase *rebase, const struct rebase_wish *wish, struct rebase_report *report,
       const struct journal_position *common, struct error *error)
{
    const char *relay = wish->settings->relay;
    int64_t highest = report->found.highest;
    if (wish->position)
        return agree(wish, "Is the journal right?", error) &&
               rebase_position_run(rebase, relay, &report->position, *common, highest, command_waits,
                                   "rebase", &report->done, error);
    if (highest <= report->found.sequence)
        return true;
    return agree(wish, "Move the id sequence?", error) && rebase_pass_ids(rebase, highest, error);
}

bool
rebase_with_kafka(struct rebase *rebase, const struct rebase_wish *wish, struct error *error)
{
    const struct settings *settings = wish->settings;
    struct rebase_report report = {.relay = settings->relay, .source = settings->source, .json = wish->json};
    struct journal_position common = {.seq = -1};
    if (!rebase_position_look(rebase, settings->relay, &report.position, error))
        return false;
    if (!report.position.known)
        return error_set(error, ERROR_UNUSABLE,
                         "there is no living relay \"%s\" with a journal: see outboxd relay list, and rebase "
                         "without --position",
                         settings->relay);
    report.decides = wish->position;
    if (!find_since(rebase, wish, &report.since_ms, error))
        return false;
    if (wish->position && report.position.exact && !read_position(rebase, settings, &common, error))
        return false;
    if (!read_records(rebase, wish, &report, error))
        return false;
    if (wish->position &&
        !rebase_position_plan(rebase, settings->relay, common, report.found.highest, &report.plan, error))
        return false;
    report.asks =
        !wish->dry_run && !wish->yes && (wish->position || report.found.highest > report.found.sequence);
    if (!rebase_print_found(rebase, &report, error) || !judge_highest(wish, &report, error))
        return false;
    if (!wish->dry_run && !decide(rebase, wish, &report, &common, error))
        return false;
    rebase_print_done(&report, wish->dry_run);
    return true;
}
