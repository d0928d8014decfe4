/* check_position.c: compares the position in Kafka with the journal, as relay/exact.c does it at each start, and takes nothing. Called
 * by check.c when everything else was looked at.
 *
 * A relay that leads meanwhile moves both. It is not taken for one that has lost something, because of the order: what the journal has
 * seen committed is asked for before the position is read, and which ticks it knows afterwards. */
#include "command/check_position.h"

#include "base/clock.h"
#include "command/progress.h"
#include "kafka/position_reader.h"
#include "postgres/oneshot.h"
#include "relay/reconcile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct comparison {
    const struct settings *settings;
    struct session *session;
    char topic[POSITION_TOPIC_SIZE];
    struct journal_row row;
    struct position_found found;
    struct record record;
    bool found_any; /* `record` is what was found */
};

/* Of a relay that has never run there is none: it will begin at the beginning. */
static bool
read_row(struct comparison *comparison, const struct inspect_facts *facts, struct error *error)
{
    struct session *session = comparison->session;
    comparison->row.here = (struct journal_place){facts->sysid, facts->timeline, facts->dbid};
    journal_ask_prepare(session, clock_monotonic_us());
    if (!oneshot_await(session, error) || !journal_read_prepare(session, error))
        return false;
    if (facts->relay_count == 0)
        return true;
    journal_ask_newest(session, comparison->settings->relay, clock_monotonic_us());
    return oneshot_await(session, error) && journal_read_newest(session, &comparison->row, error);
}

/* A topic that is missing is said elsewhere, and has no position when it is made; nor does this say again what is wrong with one, or
 * with its brokers (no code of Kafka's). What time may mend a relay waits for. */
static bool
read_position(struct comparison *comparison, int timeout_ms, struct findings *findings)
{
    struct error error;
    struct outcome why;
    rd_kafka_conf_t *conf = position_reader_conf(comparison->settings, &error);
    CHECK(conf != NULL); /* the configuration was taken */
    struct progress *progress = progress_begin("check", "reading topic %s", comparison->topic);
    bool read = position_read(conf, comparison->topic, clock_monotonic_us() + (int64_t)timeout_ms * 1000,
                              &comparison->found, &why);
    progress_end(progress);
    if (read || why.code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return true;
    if (why.kind != OUTCOME_TOPIC)
        findings_add(findings, FINDING_WARNING, ERROR_NONE,
                     "check again; if it stays so, look into the brokers' logs",
                     "the position could not be read from Kafka: %s: %s", why.name, why.message);
    else if (why.code != 0)
        findings_add(findings, FINDING_ERROR, ERROR_UNUSABLE, "docs/operations.md, \"Exactly once\"",
                     "cannot deliver exactly once: %s: %s", why.name, why.message);
    return false;
}

static bool
parse(struct comparison *comparison, struct error *error)
{
    comparison->found_any = comparison->found.text != NULL;
    if (!comparison->found_any || record_parse(&comparison->record, comparison->found.text, error))
        return true;
    comparison->found_any = false;
    return reconcile_is_anew(&comparison->row.exact) || error_prefix(error, "topic %s", comparison->topic);
}

static bool
compare(struct comparison *comparison, struct reconciled *result, struct error *error)
{
    char seqs[RECORD_SEQS_SIZE], sides[RECORD_SEQS_SIZE];
    struct reconcile_facts facts = {.relay = comparison->settings->relay,
                                    .config = comparison->settings->file,
                                    .kafka = comparison->found_any ? &comparison->record : NULL,
                                    .cluster = comparison->found.cluster,
                                    .row = &comparison->row,
                                    .confirmed = comparison->row.confirmed};
    record_seqs(facts.kafka, facts.confirmed, seqs);
    record_side_numbers(facts.kafka, sides);
    journal_ask_names(comparison->session, facts.relay, seqs, sides, clock_monotonic_us());
    if (!oneshot_await(comparison->session, error) ||
        !journal_read_names(comparison->session, &facts.known, error))
        return false;
    reconcile(&facts, result);
    free(facts.known.names);
    return reconcile_allows(result, error);
}

static void
judge(struct comparison *comparison, struct findings *findings)
{
    struct error error;
    struct reconciled result;
    if (parse(comparison, &error) && compare(comparison, &result, &error))
        findings_ok(findings,
                    "the journal and the position in Kafka agree: published up to tick %" PRId64
                    ", id %" PRId64,
                    result.start.seq, result.start.id);
    else
        findings_add(findings, FINDING_ERROR, error.kind, "docs/operations.md, \"Exactly once\"", "%s",
                     error.message);
}

static bool
is_exact(const struct comparison *comparison)
{
    return comparison->settings->delivery == DELIVERY_EXACTLY_ONCE ||
           (comparison->row.exact.on && !reconcile_is_anew(&comparison->row.exact));
}

void
check_position(const struct settings *settings, const struct inspect_facts *facts, int timeout_ms,
               struct findings *findings)
{
    struct comparison comparison = {.settings = settings};
    struct error error;
    position_topic(settings, comparison.topic);
    if (!oneshot_open(&comparison.session, settings, &error) || !read_row(&comparison, facts, &error))
        findings_add(findings, FINDING_ERROR, error.kind, "see the server's log", "%s", error.message);
    else if (is_exact(&comparison) && read_position(&comparison, timeout_ms, findings))
        judge(&comparison, findings);
    free(comparison.found.text);
    journal_row_clear(&comparison.row);
    session_free(comparison.session);
}
