/* relay_story.c: the stage of the relay's end-to-end stories (relay_story.h). Disturbs nothing by itself. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/evidence.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A JVM that was paused, a recovery of Postgres and a backlog of a minute fit in. */
#define CONFIRM_MS 60000
#define LEAD_MS 20000
#define END_MS 30000
#define PROGRESS_MS 60000
#define FAULT_MS 40000

/* Of a cluster: a coordinator of transactions that is killed has a successor. */
#define TRANSACTIONS_REPLICATED                                                                              \
    "transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\n"

static void
draw_seed(struct story *story)
{
    const char *given = getenv("OUTBOXD_TEST_SEED");
    story->seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_wall_us();
    fprintf(stderr, "story: OUTBOXD_TEST_SEED=%u\n", story->seed);
    story->load_options.seed = story->seed;
}

static struct broker *
open_broker(const struct story_options *options, const struct fproxy *proxy)
{
    struct broker_options own = {.version = options->kafka,
                                 .properties = options->properties,
                                 .proxied = proxy != NULL ? fproxy_kafka_ports(proxy) : NULL};
    if (options->brokers > 1 && options->properties == NULL)
        own.properties = TRANSACTIONS_REPLICATED;
    if (proxy != NULL || options->brokers > 1)
        return broker_start_cluster(options->brokers > 1 ? options->brokers : 1, &own);
    if (options->network != NULL)
        return broker_start(&(struct broker_options){.host = network_address(options->network)});
    if (options->own_broker || options->kafka != NULL || options->properties != NULL)
        return broker_start(&own);
    return broker_shared();
}

static struct postgres *
open_postgres(const struct story_options *options)
{
    if (options->xids_left > 0) {
        struct postgres *late = postgres_start(NULL);
        postgres_near_wraparound(late, options->epoch, options->xids_left);
        return late;
    }
    if (options->network == NULL)
        return options->own_postgres || options->standby != STORY_ALONE ? postgres_start(options->settings)
                                                                        : postgres_shared();
    struct postgres *postgres = postgres_start("listen_addresses = '*'");
    char *addresses = must_format("%s/30", network_address(options->network));
    postgres_trust(postgres, addresses);
    free(addresses);
    return postgres;
}

static void
create_topics(struct story *story, bool replicated)
{
    static const char *const names[STORY_TOPICS] = {"order", "invoice"};
    static const char *const configs[] = {"min.insync.replicas", "2", NULL};
    for (int i = 0; i < STORY_TOPICS; i++) {
        story->topics[i] = broker_topic_name(story->broker, names[i]);
        broker_create_topic(story->broker, story->topics[i], STORY_PARTITIONS, replicated ? configs : NULL);
    }
}

/* Takes whatever other topics refuse. */
static void
create_topic_of_copies(struct story *story)
{
    story->copies =
        broker_new_topic(story->broker, "copies", 1,
                         (const char *[]){"message.timestamp.after.max.ms", "9223372036854775807", NULL});
}

static void
open_standby(struct story *story, enum story_standby kind)
{
    if (kind == STORY_ALONE)
        return;
    story->standby = postgres_start_standby(story->postgres, "second");
    if (kind == STORY_SYNC)
        postgres_wait_for_standby(story->postgres, "second");
}

static const char *
conninfo(struct story *story, const char *user)
{
    if (story->standby != NULL)
        return postgres_conninfo_of_both(story->postgres, story->standby, story->database, user);
    return postgres_conninfo(story->postgres, story->database, user);
}

void
story_fail_over(struct story *story)
{
    struct postgres *promoted = story->standby;
    postgres_promote(promoted);
    story->standby = story->postgres;
    story->postgres = promoted;
}

/* Position topic and transactional.id go by the source, so each story on a shared broker has its own. */
static void
be_exact(struct story *story)
{
    char *topic = must_format("outboxd-position-%s-" DAEMON_RELAY, story->database);
    story->exact = true;
    story->source = story->database;
    broker_create_topic(story->broker, topic, 1, (const char *[]){"cleanup.policy", "compact", NULL});
    free(topic);
}

static struct daemon *
start_relay(struct story *story, const char *database, pid_t network)
{
    char *lease = must_format("lease=%dms", story->lease_ms),
         *source = must_format("source=%s", story->source),
         *copies = must_format("dead_letter/topic=%s", story->copies ? story->copies : "null");
    const char *delivery = story->exact ? "delivery=exactly-once" : "delivery=at-least-once";
    const char *overrides[STORY_OVERRIDES + 5] = {lease, source, copies, delivery}, **last = overrides + 4;
    for (const char *const *more = story->overrides; more != NULL && *more != NULL; more++) {
        CHECK(last < overrides + 4 + STORY_OVERRIDES);
        *last++ = *more;
    }
    const char *bootstrap =
        story->proxy != NULL ? fproxy_bootstrap(story->proxy) : broker_bootstrap(story->broker);
    struct daemon *relay = daemon_start(&(struct daemon_options){
        .conninfo = database, .bootstrap = bootstrap, .overrides = overrides, .network = network});
    free(lease);
    free(source);
    free(copies);
    return relay;
}

struct daemon *
story_start_relay(struct story *story)
{
    const char *database = story->proxy != NULL
                               ? fproxy_conninfo(story->proxy, story->database, POSTGRES_RELAY)
                               : conninfo(story, POSTGRES_RELAY);
    return start_relay(story, database, 0);
}

struct daemon *
story_start_relay_at(struct story *story, struct postgres *postgres)
{
    return start_relay(story, postgres_conninfo(postgres, story->database, POSTGRES_RELAY), 0);
}

struct daemon *
story_start_remote_relay(struct story *story, const struct network *network)
{
    char *remote = must_format("host=%s port=%d dbname=%s user=%s", network_address(network),
                               postgres_port(story->postgres), story->database, POSTGRES_RELAY);
    struct daemon *relay = start_relay(story, remote, network_pid(network));
    free(remote);
    return relay;
}

PGconn *
story_admin(struct story *story)
{
    return postgres_open(story->postgres, story->database, POSTGRES_ADMIN);
}

void
story_begin(struct story *story, const struct story_options *options)
{
    static const struct story_options none;
    options = options ? options : &none;
    *story = (struct story){.lease_ms = options->lease_ms > 0 ? options->lease_ms : STORY_LEASE_MS,
                            .overrides = options->overrides,
                            .source = DAEMON_SOURCE};
    draw_seed(story);
    story->postgres = open_postgres(options);
    if (options->proxied)
        story->proxy = fproxy_new(options->brokers > 1 ? options->brokers : 1);
    story->broker = open_broker(options, story->proxy);
    if (options->proxied)
        fproxy_start(story->proxy, story->broker, story->postgres, story->seed);
    story->database = postgres_create_outbox(story->postgres);
    create_topics(story, options->brokers > 1);
    if (options->exact)
        be_exact(story);
    if (options->copies)
        create_topic_of_copies(story);
    PGconn *admin = story_admin(story);
    load_prepare(admin);
    PQfinish(admin);
    open_standby(story, options->standby);
    story->load_options.admin = conninfo(story, POSTGRES_ADMIN);
    story->load_options.writer = conninfo(story, POSTGRES_WRITER);
    story->load_options.topics = story->topics;
    story->load_options.writers = options->writers;
    story->load_options.keys = options->keys;
    story->load_options.pause_us = options->pause_us;
    story->relay = story_start_relay(story);
    story_await_lead(story->relay);
}

void
story_start_load(struct story *story)
{
    story->load = load_start(&story->load_options);
}

void
story_await_events(struct story *story, uint64_t events)
{
    uint64_t enough = load_committed_events(story->load) + events;
    wait_for(load_committed_events(story->load) >= enough, PROGRESS_MS);
}

int
story_draw(struct story *story, int limit)
{
    return rand_r(&story->seed) % limit;
}

void
story_await_moment(struct story *story, int from_ms, int to_ms)
{
    int64_t moment_us =
        clock_monotonic_us() + INT64_C(1000) * (from_ms + story_draw(story, to_ms - from_ms + 1));
    while (wait_turn(moment_us))
        ;
}

void
story_await_lead(const struct daemon *relay)
{
    wait_for(daemon_metric(relay, "outbox_leader") == 1, LEAD_MS);
}

void
story_await_epoch(const struct daemon *relay, double epoch)
{
    wait_for(daemon_metric(relay, "outbox_leader") == 1 && daemon_metric(relay, "outbox_epoch") > epoch,
             LEAD_MS);
}

int64_t
story_newest_epoch(struct story *story)
{
    PGconn *admin = story_admin(story);
    int64_t epoch = postgres_int(admin, "select max(epoch) from outbox.journal where relay = 'main'");
    PQfinish(admin);
    return epoch;
}

void
story_inflict(struct story *story, const char *rule, int faults)
{
    int number = fproxy_rule(story->proxy, "%s", rule);
    char *line = must_format(" rule=%d\n", number);
    char *clear = must_format("clear %d", number);
    for (int64_t end_us = wait_deadline_us(FAULT_MS); fproxy_faults(story->proxy, line) < faults;)
        wait_turn_or_fail(end_us, rule, __FILE__, __LINE__);
    free(fproxy_command(story->proxy, clear));
    free(clear), free(line);
}

void
story_release(struct story *story)
{
    cr_expect_eq(fproxy_faults(story->proxy, "action=released"), 0, "it was not held all the while");
    char *released = fproxy_command(story->proxy, "release");
    cr_expect_str_eq(released, "ok 1\n");
    free(released);
    wait_for(fproxy_faults(story->proxy, "action=released") == 1, FAULT_MS);
}

double
story_instances(const struct story *story)
{
    return daemon_metric(story->relay, "outbox_producer_instances_total");
}

int64_t
story_records(const struct story *story)
{
    int64_t records = 0;
    for (int i = 0; i < STORY_TOPICS; i++)
        records += consumer_count(broker_bootstrap(story->broker), story->topics[i]);
    return records;
}

/* True when a confirmed tick's snapshot sees the transaction. */
static bool
transaction_confirmed(PGconn *admin, int64_t xid)
{
    return postgres_int(admin,
                        "select count(*) from outbox.journal tick, (select confirmed_seq from outbox.journal"
                        " where relay = 'main' order by seq desc limit 1) newest"
                        " where tick.relay = 'main' and tick.seq <= newest.confirmed_seq"
                        " and pg_visible_in_snapshot('%" PRId64 "'::xid8, tick.snapshot)",
                        xid) > 0;
}

/* The last event of all: a tick that has it has everything that had committed before. */
void
story_await_confirmed(struct story *story)
{
    PGconn *admin = story_admin(story);
    int64_t xid = postgres_int(admin,
                               "insert into outbox.event (topic, payload) values ('%s', 'the last one')"
                               " returning xid::text::bigint",
                               story->topics[0]);
    wait_for(transaction_confirmed(admin, xid), CONFIRM_MS);
    wait_for(postgres_int(admin, "select count(*) from outbox.paused_topic") == 0, CONFIRM_MS);
    PQfinish(admin);
}

void
story_stop_load(struct story *story)
{
    struct load_totals totals = load_stop(story->load);
    story->load = NULL;
    load_totals_print(&totals, stderr);
}

void
story_expect_end(struct daemon *relay, int exit_code, const char *cause, const char *cure)
{
    int got = daemon_wait_exit(relay, END_MS);
    char *log = daemon_log(relay);
    cr_assert_eq(got, exit_code, "exit code %d:\n%s", got, log);
    cr_assert_not_null(strstr(log, cause), "\"%s\" is not named:\n%s", cause, log);
    cr_assert_not_null(strstr(log, cure), "\"%s\" is not named:\n%s", cure, log);
    free(log);
}

void
story_finish(struct story *story, struct daemon *relay)
{
    if (story->load != NULL)
        story_stop_load(story);
    story_await_confirmed(story);
    int exit_code = daemon_terminate(relay);
    cr_assert_eq(exit_code, 0, "the relay ended with %d", exit_code);
}

void
story_end(struct story *story)
{
    daemon_free(story->relay);
    fproxy_free(story->proxy);
    postgres_free(story->standby);
    postgres_free(story->postgres);
    broker_free(story->broker);
}
