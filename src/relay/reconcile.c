/* reconcile.c: see reconcile.h. Called by exact.c before anything is published by a new instance of the producer, and by `check`. */
#include "relay/reconcile.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* As it is to be typed, but for the administrator: the relay's own role may not change what is published. Of relay and configuration. */
#define REBASE "`outboxd rebase --position %s --conninfo ADMIN --config %s`"

static bool
is_this_database(const struct reconcile_facts *facts)
{
    const struct journal_place *there = &facts->kafka->place, *here = &facts->row->here;
    return there->sysid == here->sysid && there->dbid == here->dbid;
}

static bool
is_this_cluster(const struct reconcile_facts *facts)
{
    return facts->cluster[0] == '\0' || facts->kafka->cluster[0] == '\0' ||
           strcmp(facts->cluster, facts->kafka->cluster) == 0;
}

static bool
has(const struct reconcile_facts *facts, struct journal_name name)
{
    for (size_t i = 0; i < facts->known.count; i++)
        if (facts->known.names[i].seq == name.seq && facts->known.names[i].nonce == name.nonce)
            return true;
    return false;
}

/* The position relies on a row that this journal never had. Those before the confirmed one may have been trimmed; in a journal that has lost it the
 * confirmed one is before it, for nobody gets any further who does not know the position. */
static bool
lacks_aside(const struct reconcile_facts *facts)
{
    struct journal_name aside = facts->kafka->aside;
    return aside.seq > 0 && aside.seq >= facts->confirmed.seq && !has(facts, aside);
}

/* The journal of a quiet relay is trimmed up to the newest rows, but the newest one remembers the position it has seen. */
static bool
is_known(const struct reconcile_facts *facts)
{
    const struct record *kafka = facts->kafka;
    const struct journal_exact *seen = &facts->row->exact;
    bool remembered =
        record_compare(kafka->at, seen->position) == 0 && kafka->chain.names[0].nonce == seen->nonce;
    return remembered || has(facts, kafka->chain.names[0]);
}

/* Of the same history up to where a standby was promoted, and nothing after it: whoever publishes there has said so in Kafka. */
static bool
is_older_timeline(const struct reconcile_facts *facts)
{
    return facts->kafka != NULL && is_this_database(facts) &&
           facts->kafka->place.timeline > facts->row->here.timeline;
}

static struct journal_name
newest_common(const struct reconcile_facts *facts)
{
    for (size_t i = 0; i < facts->kafka->chain.count; i++)
        if (has(facts, facts->kafka->chain.names[i]))
            return facts->kafka->chain.names[i];
    return (struct journal_name){.seq = -1};
}

/* After a rebase the journal still has the ticks of the place before, or remembers the last position there. */
static bool
is_foreign(const struct reconcile_facts *facts)
{
    if (facts->kafka == NULL)
        return false;
    return !is_this_cluster(facts) || (!is_this_database(facts) && !is_known(facts));
}

/* The row of a rebase confirms what is in the journal alone. What Kafka had beyond that, of the stream or of a topic that was catching up, is in
 * its unconfirmed rest. */
static bool
was_rebased(const struct reconcile_facts *facts)
{
    const struct journal_row *row = facts->row;
    bool further = record_compare(facts->kafka->at, row->exact.position) > 0 &&
                   record_compare(facts->kafka->at, row->confirmed) < 0;
    return facts->known.rebased && (further || !facts->known.sides);
}

static void
say_foreign(const struct reconcile_facts *facts, struct reconciled *result)
{
    const struct journal_place *there = &facts->kafka->place, *here = &facts->row->here;
    result->verdict = RECONCILE_FOREIGN;
    if (!is_this_cluster(facts))
        snprintf(result->why, sizeof result->why,
                 "the position in Kafka was written in another Kafka cluster (%s; this is %s): a copied "
                 "topic says "
                 "nothing about what this cluster has; run " REBASE,
                 facts->kafka->cluster, facts->cluster, facts->relay, facts->config);
    else
        snprintf(result->why, sizeof result->why,
                 "the position in Kafka is of another database (system identifier %" PRId64
                 ", database %" PRId64 "; this is %" PRId64 ", %" PRId64
                 "): two outboxes share the names of source and relay, choose others; or, if this is that "
                 "database "
                 "restored, run " REBASE,
                 there->sysid, there->dbid, here->sysid, here->dbid, facts->relay, facts->config);
}

/* Not even an operator's word makes that topic ours. */
static bool
is_namesakes(const struct reconcile_facts *facts)
{
    return facts->kafka != NULL && strcmp(facts->kafka->relay, facts->relay) != 0;
}

static void
say_namesake(const struct reconcile_facts *facts, struct reconciled *result)
{
    result->verdict = RECONCILE_FOREIGN;
    snprintf(result->why, sizeof result->why,
             "the position in Kafka is of the relay %s, this one is %s: joined by a hyphen, source and relay "
             "are the same for both, and they would fence each other; choose another source for one of them",
             facts->kafka->relay, facts->relay);
}

/* Work beside the stream leaves the position as it is; the count of the transactions tells. Another process's are counted anew. */
static bool
is_before_our_last(const struct reconcile_facts *facts)
{
    return facts->last != NULL && facts->kafka->epoch == facts->last->epoch &&
           facts->kafka->commit < facts->last->commit;
}

static void
say_kafka_lost(const struct reconcile_facts *facts, struct reconciled *result)
{
    const struct journal_position *seen = &facts->row->exact.position;
    result->verdict = RECONCILE_KAFKA_LOST;
    if (facts->kafka == NULL)
        snprintf(
            result->why, sizeof result->why,
            "Kafka has no position although up to tick %" PRId64 ", id %" PRId64
            " was committed there: its position topic was emptied, or this is another cluster; run " REBASE,
            seen->seq, seen->id, facts->relay, facts->config);
    else if (record_compare(facts->kafka->at, *seen) < 0)
        snprintf(result->why, sizeof result->why,
                 "Kafka says tick %" PRId64 ", id %" PRId64 " although tick %" PRId64 ", id %" PRId64
                 " was committed there: it has lost events; run " REBASE,
                 facts->kafka->at.seq, facts->kafka->at.id, seen->seq, seen->id, facts->relay, facts->config);
    else
        snprintf(result->why, sizeof result->why,
                 "Kafka says transaction %" PRId64 " of epoch %" PRId64 " although transaction %" PRId64
                 " was committed there: it has lost events; run " REBASE,
                 facts->kafka->commit, facts->kafka->epoch, facts->last->commit, facts->relay, facts->config);
}

static void
say_postgres_lost(const struct reconcile_facts *facts, struct reconciled *result)
{
    result->verdict = RECONCILE_POSTGRES_LOST;
    result->common = newest_common(facts);
    snprintf(result->why, sizeof result->why,
             "Kafka has events up to tick %" PRId64 ", id %" PRId64
             " which this database does not know: it has lost what was committed (a promoted asynchronous "
             "standby, a "
             "restored backup); run " REBASE,
             facts->kafka->at.seq, facts->kafka->at.id, facts->relay, facts->config);
}

static void
say_aside_lost(const struct reconcile_facts *facts, struct reconciled *result)
{
    result->verdict = RECONCILE_POSTGRES_LOST;
    result->common = newest_common(facts);
    snprintf(result->why, sizeof result->why,
             "the position in Kafka has passed dead letters, held events or paused topics that row %" PRId64
             " of the journal wrote down, and this database does not have that row: it has lost what was "
             "committed (a "
             "promoted asynchronous standby, a restored backup); run " REBASE,
             facts->kafka->aside.seq, facts->relay, facts->config);
}

static void
say_older_timeline(const struct reconcile_facts *facts, struct reconciled *result)
{
    result->verdict = RECONCILE_POSTGRES_LOST;
    result->common = newest_common(facts);
    snprintf(
        result->why, sizeof result->why,
        "Kafka has a position of timeline %d, this server is on timeline %d: an old primary that came "
        "back beside the one that was promoted, where a relay has led since; stop this server; or, if it "
        "is to be the primary again, run " REBASE,
        facts->kafka->place.timeline, facts->row->here.timeline, facts->relay, facts->config);
}

static void
say_rebased(const struct reconcile_facts *facts, struct reconciled *result)
{
    result->verdict = RECONCILE_REBASED;
    snprintf(result->why, sizeof result->why,
             "the journal was rebased while Kafka had events up to tick %" PRId64 ", id %" PRId64
             " of which it did not know: a relay that was killed, or a journal that was lost; run " REBASE
             ", which finds out which they are",
             facts->kafka->at.seq, facts->kafka->at.id, facts->relay, facts->config);
}

/* An operator says that the journal is right. Where Kafka has been in ticks that it knows, it has them for certain: they are not repeated,
 * even when this journal, a standby's or a backup's, has not heard of all the confirmations; unless some of them were put aside in a row that is
 * lost. */
static struct journal_position
agreed(const struct reconcile_facts *facts)
{
    const struct record *kafka = facts->kafka;
    if (kafka == NULL || !is_this_cluster(facts) || lacks_aside(facts))
        return facts->confirmed;
    struct journal_name common = newest_common(facts);
    bool whole = common.seq == kafka->chain.names[0].seq;
    struct journal_position shared = whole ? kafka->at : (struct journal_position){.seq = common.seq};
    return record_compare(shared, facts->confirmed) > 0 ? shared : facts->confirmed;
}

/* Where the journal delivered at least once, it never is behind Kafka, unless it lost rows, or was rebased in between. One that was lost as a
 * whole begins anew with any number, and confirms nothing of what Kafka has. */
static void
begin_exactly_once(const struct reconcile_facts *facts, struct reconciled *result)
{
    bool beyond = facts->kafka != NULL && record_compare(facts->kafka->at, facts->confirmed) > 0;
    bool unknown = facts->kafka != NULL && !is_known(facts);
    if (unknown && beyond) {
        say_postgres_lost(facts, result);
    } else if (beyond && lacks_aside(facts)) {
        say_aside_lost(facts, result);
    } else if (unknown && facts->known.rebased) {
        say_rebased(facts, result);
    } else {
        result->verdict = RECONCILE_BASE;
        result->start = beyond ? facts->kafka->at : facts->confirmed;
    }
}

bool
reconcile_is_anew(const struct journal_exact *journal)
{
    return journal->on && journal->position.seq == JOURNAL_EXACT_ANEW;
}

void
reconcile(const struct reconcile_facts *facts, struct reconciled *result)
{
    const struct record *kafka = facts->kafka;
    *result = (struct reconciled){.common = {.seq = -1}};
    if (is_namesakes(facts)) {
        say_namesake(facts, result);
    } else if (reconcile_is_anew(&facts->row->exact)) {
        result->verdict = RECONCILE_BASE;
        result->start = agreed(facts);
    } else if (is_foreign(facts)) {
        say_foreign(facts, result);
    } else if (is_older_timeline(facts)) {
        say_older_timeline(facts, result);
    } else if (!facts->row->exact.on) {
        begin_exactly_once(facts, result);
    } else if (kafka == NULL || record_compare(kafka->at, facts->row->exact.position) < 0 ||
               is_before_our_last(facts)) {
        say_kafka_lost(facts, result);
    } else if (!is_known(facts)) {
        say_postgres_lost(facts, result);
    } else if (lacks_aside(facts)) {
        say_aside_lost(facts, result);
    } else if (was_rebased(facts)) {
        say_rebased(facts, result);
    } else {
        result->verdict = RECONCILE_GO_ON;
        result->start = record_compare(kafka->at, facts->confirmed) > 0 ? kafka->at : facts->confirmed;
    }
}

bool
reconcile_allows(const struct reconciled *result, struct error *error)
{
    switch (result->verdict) {
    case RECONCILE_GO_ON:
    case RECONCILE_BASE:
        return true;
    case RECONCILE_KAFKA_LOST:
    case RECONCILE_POSTGRES_LOST:
    case RECONCILE_REBASED:
        break;
    case RECONCILE_FOREIGN:
        return error_set(error, ERROR_CONFIG, "%s", result->why);
    }
    return error_set(error, ERROR_INTERNAL, "%s", result->why);
}
