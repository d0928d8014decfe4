/* relay_beside.c: see relay_beside.h. People use the functions of the schema, as the commands do. */
#include "e2e/relay_beside.h"

#include "support/postgres.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MS 40
/* The longest back-off of a paused topic, and what waits behind it. */
#define SETTLE_MS 120000
#define LARGE_BYTES 32000
#define REPLAYED_MOST 2500

static int
draw(struct beside *beside, int below)
{
    return rand_r(&beside->random) % below;
}

/* A topic with one of these settings has none of the others: events of a day to come are refused as large ones are. */
static void
take(struct beside *beside, bool less)
{
    const char *name = less ? "max.message.bytes" : "message.timestamp.after.max.ms";
    if (beside->takes_less != less)
        broker_configure_topic(beside->story->broker, beside->refusing, name,
                               less ? "20000" : "9223372036854775807");
    beside->takes_less = less;
}

void
beside_begin(struct beside *beside, struct story *story, bool denies)
{
    *beside = (struct beside){.story = story,
                              .admin = story_admin(story),
                              .refusing = story->topics[0],
                              .paused = story->topics[1],
                              .denies = denies,
                              .random = story->seed + 1};
    postgres_exec(beside->admin, "create table load.replayed (number bigint, id bigint);"
                                 " create table load.seen (kind text, number bigint, id bigint)");
    take(beside, true);
}

void
beside_end(struct beside *beside)
{
    PQfinish(beside->admin);
}

/* ---- events ---- */

/* Of a key that the load uses, so that others come behind it. */
static void
emit(struct beside *beside, const char *created_at, int size)
{
    postgres_exec(beside->admin,
                  "insert into outbox.event (created_at, topic, key, payload) select %s, '%s',"
                  " convert_to('key-%d', 'UTF8'), convert_to(repeat(md5('%d'), %d), 'UTF8')",
                  created_at, beside->refusing, 2 + 2 * draw(beside, 99), draw(beside, 1000), size / 32);
}

/* ---- what people ask for ---- */

static void
pause_topic(struct beside *beside)
{
    if (beside->denies && !beside->denied && draw(beside, 2) == 0) {
        broker_deny(beside->story->broker, beside->paused, "WRITE");
        beside->denied = true;
        beside->denials++;
        return;
    }
    beside->pauses +=
        (int)postgres_int(beside->admin, "select outbox.pause('main', '%s')::int", beside->paused);
}

static void
resume_topic(struct beside *beside)
{
    if (beside->denied)
        broker_allow(beside->story->broker, beside->paused);
    beside->denied = false;
    (void)postgres_int(beside->admin, "select outbox.resume('main', '%s')::int", beside->paused);
}

static void
retry_all(struct beside *beside)
{
    (void)postgres_int(beside->admin,
                       "select count(outbox.dead_retry('main', event_id)) from outbox.dead_letter");
}

/* Whatever else was refused may be in Kafka all the same, at least once: refused when it was to be sent again. */
static void
discard_impossible(struct beside *beside)
{
    (void)postgres_int(beside->admin, "select count(outbox.dead_discard('main', event_id, 'no such time'))"
                                      " from outbox.dead_letter where created_at < '1970-01-01'");
}

static int64_t
newest_confirmed(struct beside *beside)
{
    return postgres_int(beside->admin,
                        "select hi_id from outbox.journal where relay = 'main' and seq ="
                        " (select max(confirmed_seq) from outbox.journal where relay = 'main')");
}

/* Remembers which of them have to come: those that are confirmed, wait nowhere, and are refused by nobody. Rate 0: any. */
static void
ask_replay(struct beside *beside, int64_t first, int64_t last, int rate)
{
    postgres_exec(
        beside->admin,
        "with asked as materialized (select outbox.replay('main', %" PRId64 ", %" PRId64
        ", null, null, null, null, nullif(%d, 0)) as number),"
        " tick as materialized (select c.snapshot from outbox.journal n join outbox.journal c on c.relay = "
        "n.relay"
        "   and c.seq = n.confirmed_seq where n.relay = 'main' order by n.seq desc limit 1)"
        " insert into load.replayed select asked.number, e.id from asked, tick, outbox.event e"
        "  where e.topic = '%s' and e.id between %" PRId64 " and %" PRId64
        "  and pg_visible_in_snapshot(e.xid, tick.snapshot) and coalesce(octet_length(e.payload), 0) < 1000"
        "  and e.created_at between '1970-01-01' and clock_timestamp() + interval '10 minutes'"
        "  and not exists (select from outbox.held_event h where h.event_id = e.id)"
        "  and not exists (select from outbox.dead_letter l where l.event_id = e.id)",
        first > 0 ? first : 1, last > 0 ? last : 1, rate, beside->refusing, first, last);
}

static void
replay(struct beside *beside)
{
    int64_t first = newest_confirmed(beside) - draw(beside, REPLAYED_MOST);
    ask_replay(beside, first, first + draw(beside, REPLAYED_MOST), 0);
}

void
beside_replay(struct beside *beside, int64_t ids, int rate)
{
    int64_t newest = newest_confirmed(beside);
    ask_replay(beside, newest - ids + 1, newest, rate);
}

/* ---- one thing at a time ---- */

static void
take_less(struct beside *beside)
{
    take(beside, true);
}

static void
take_all(struct beside *beside)
{
    take(beside, false);
}

static void
emit_large(struct beside *beside)
{
    emit(beside, "clock_timestamp()", LARGE_BYTES);
}

void
beside_refuse(struct beside *beside)
{
    emit_large(beside);
}

static void
emit_early(struct beside *beside)
{
    emit(beside, "clock_timestamp() + interval '2 days'", 64);
}

void
beside_refuse_for_good(struct beside *beside)
{
    emit(beside, "timestamptz '1969-07-20 20:17:40+00'", 64);
}

/* Seldom too early: Kafka itself refuses that, and exactly once a relay looks for what was refused for some seconds. The others are
 * refused before they are sent. */
static const struct {
    int weight;
    void (*act)(struct beside *beside);
} acts[] = {{20, pause_topic},
            {30, resume_topic},
            {10, take_less},
            {10, take_all},
            {40, emit_large},
            {1, emit_early},
            {5, beside_refuse_for_good},
            {20, discard_impossible},
            {10, replay},
            {54, retry_all}};
enum { ACTS = sizeof acts / sizeof *acts };

void
beside_turn(struct beside *beside)
{
    int64_t until_us = wait_deadline_us(TURN_MS);
    int weights = 0;
    size_t at = 0;
    for (size_t i = 0; i < ACTS; i++)
        weights += acts[i].weight;
    for (int drawn = draw(beside, weights); drawn >= acts[at].weight; at++)
        drawn -= acts[at].weight;
    acts[at].act(beside);
    while (wait_turn(until_us))
        ;
}

static bool
nothing_waits(struct beside *beside)
{
    discard_impossible(beside);
    return expected_nothing_waits(beside->admin) &&
           postgres_int(beside->admin, "select count(*) from outbox.request where done_at is null") == 0;
}

void
beside_settle(struct beside *beside)
{
    take_all(beside);
    resume_topic(beside);
    wait_for(nothing_waits(beside), SETTLE_MS);
}

/* ---- the judgement ---- */

/* Into load.seen, a line each. */
static void
note_record(PGconn *admin, const struct record *record, const char *kind)
{
    const struct record_header *id = record_header(record, "id"), *replay = record_header(record, "replay");
    if (id == NULL || (replay == NULL && strcmp(kind, "replay") == 0))
        return;
    char *line = must_format("%s\t%s\t%s\n", kind, replay != NULL ? replay->value.data : "0", id->value.data);
    CHECK(PQputCopyData(admin, line, (int)strlen(line)) == 1);
    free(line);
}

static void
note_records(struct beside *beside, const char *const *topics, const char *kind)
{
    struct records records = {0};
    consumer_read_all(&records, broker_bootstrap(beside->story->broker), topics, true);
    PQclear(PQexec(beside->admin, "copy load.seen from stdin"));
    for (size_t i = 0; i < records.count; i++)
        note_record(beside->admin, &records.list[i], kind);
    CHECK(PQputCopyEnd(beside->admin, NULL) == 1);
    for (PGresult *result; (result = PQgetResult(beside->admin)) != NULL; PQclear(result))
        CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
    records_free(&records);
}

/* Of this kind, and carried out, even if what waited behind the dead letter was refused. */
static int64_t
done(struct beside *beside, const char *kind)
{
    return postgres_int(
        beside->admin,
        "select count(*) from outbox.request where kind = '%s' and (outcome = 'done' or outcome like"
        " 'event %% was refused%%' and outcome not like 'event ' || event_id || ' was refused%%')",
        kind);
}

/* Of each event as many copies as were made. */
#define COPIES                                                                                               \
    "(select event_id, count(*) from outbox.request where kind = 'copy' and outcome = 'done' group by 1) d " \
    "(id, asked)"                                                                                            \
    " full join (select id, count(*) from load.seen where kind = 'copy' group by 1) s (id, seen) using (id)"

/* For people: which copies, and what became of what was asked for. */
static void
print_odd_copies(PGconn *admin)
{
    char *odd = postgres_text(
        admin,
        "select string_agg(format('copy of event %%s: %%s in Kafka; request %%s, asked %%s, ended %%s: %%s',"
        " id, coalesce(seen, 0), r.number, r.asked_at, r.done_at, r.outcome), E'\\n') from " COPIES
        " left join outbox.request r on r.kind = 'copy' and r.event_id = id"
        " where coalesce(seen, 0) <> coalesce(asked, 0)");
    if (odd != NULL)
        fprintf(stderr, "%s\n", odd);
    free(odd);
}

struct beside_verdict
beside_judge(struct beside *beside)
{
    PGconn *admin = beside->admin;
    note_records(beside, beside->story->topics, "replay");
    note_records(beside, (const char *[]){beside->story->copies, NULL}, "copy");
    struct beside_verdict verdict = {
        .retries = done(beside, "retry"),
        .in_vain = postgres_int(admin, "select count(*) from outbox.request where kind = 'retry' and"
                                       " outcome like 'event ' || event_id || ' was refused%%'"),
        .discards = done(beside, "discard"),
        .copies = done(beside, "copy"),
        .copies_lost = postgres_int(
            admin, "select coalesce(sum(greatest(asked - coalesce(seen, 0), 0)), 0) from " COPIES),
        .copies_twice =
            postgres_int(admin, "select coalesce(sum(greatest(seen - asked, 0)), 0) from " COPIES),
        .uncopied = postgres_int(
            admin, "select count(*) from (select event_id from outbox.request where event_id is not null"
                   " group by event_id having count(*) filter (where kind = 'copy') = 0"
                   " or count(*) filter (where kind = 'copy' and outcome = 'done') > 1) letter"),
        .replays = done(beside, "replay"),
        .replayed = postgres_int(admin, "select count(*) from load.seen where kind = 'replay'"),
        .replayed_lost =
            postgres_int(admin, "select count(*) from (select number, id from load.replayed except"
                                " select number, id from load.seen where kind = 'replay') missing"),
        .replayed_twice = postgres_int(
            admin, "select count(*) - count(distinct (number, id)) from load.seen where kind = 'replay'"),
        .strange = postgres_int(
            admin,
            "select count(*) from load.seen s where not exists (select from outbox.request r where"
            " case s.kind when 'copy' then r.kind = 'copy' and r.event_id = s.id"
            " else r.kind = 'replay' and r.number = s.number and s.id between r.first_id and r.last_id end)"),
    };
    print_odd_copies(admin);
    cr_expect_eq(verdict.copies_lost, 0);
    cr_expect_eq(verdict.uncopied, 0);
    cr_expect_eq(verdict.replayed_lost, 0);
    cr_expect_eq(verdict.strange, 0);
    if (beside->story->exact) {
        cr_expect_eq(verdict.copies_twice, 0);
        cr_expect_eq(verdict.replayed_twice, 0);
    }
    return verdict;
}
