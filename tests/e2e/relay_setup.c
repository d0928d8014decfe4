/* relay_setup.c: see relay_setup.h. Called from the tests only; every failure here ends the test. */
#include "relay_setup.h"

#include "support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_MS 30000

struct setup
setup_begin_in(struct postgres *postgres, struct broker *broker, const char *database)
{
    return (struct setup){.postgres = postgres,
                          .broker = broker,
                          .database = database,
                          .source = DAEMON_SOURCE,
                          .admin = postgres_open(postgres, database, POSTGRES_ADMIN),
                          .app = postgres_open(postgres, database, POSTGRES_WRITER)};
}

struct setup
setup_begin_on(struct postgres *postgres, struct broker *broker)
{
    return setup_begin_in(postgres, broker, postgres_create_outbox(postgres));
}

struct setup
setup_begin(void)
{
    return setup_begin_on(postgres_shared(), broker_shared());
}

const char *
setup_missing_topic(struct setup *setup, const char *name)
{
    cr_assert_lt(setup->topic_count, SETUP_TOPICS);
    return setup->topics[setup->topic_count++] = broker_topic_name(setup->broker, name);
}

const char *
setup_topic(struct setup *setup, const char *name, int partitions, const char *const *configs)
{
    const char *topic = setup_missing_topic(setup, name);
    broker_create_topic(setup->broker, topic, partitions, configs);
    return topic;
}

static const char *const *
overrides_of(struct setup *setup, const char *delivery)
{
    static char source[300];
    static const char *overrides[] = {source, NULL, NULL};
    setup->source = setup->database;
    snprintf(source, sizeof source, "source=%s", setup->source);
    overrides[1] = delivery;
    return overrides;
}

const char *const *
setup_exact(struct setup *setup, bool create)
{
    snprintf(setup->position, sizeof setup->position, "outboxd-position-%s-" DAEMON_RELAY, setup->database);
    if (create)
        broker_create_topic(setup->broker, setup->position, 1,
                            (const char *[]){"cleanup.policy", "compact", NULL});
    return overrides_of(setup, "delivery=exactly-once");
}

const char *const *
setup_inexact(struct setup *setup)
{
    return overrides_of(setup, "delivery=at-least-once");
}

const char *const *
setup_and(const char *const *overrides, const char *one)
{
    static const char *all[16];
    size_t count = 0;
    for (; overrides != NULL && overrides[count] != NULL; count++)
        all[count] = overrides[count];
    CHECK(count + 2 <= sizeof all / sizeof *all);
    all[count] = one;
    all[count + 1] = NULL;
    return all;
}

void
setup_start(struct setup *setup, const char *const *overrides)
{
    struct daemon_options options = {
        .conninfo = postgres_conninfo(setup->postgres, setup->database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(setup->broker),
        .overrides = overrides,
    };
    daemon_free(setup->relay);
    setup->relay = daemon_start(&options);
}

void
setup_run(struct setup *setup, const char *const *overrides)
{
    setup_start(setup, overrides);
    daemon_wait_ready(setup->relay);
}

void
setup_expect_end(struct setup *setup, int exit_code, const char *cause, const char *cure)
{
    int got = daemon_wait_exit(setup->relay, EXIT_MS);
    char *log = daemon_log(setup->relay);
    cr_assert_eq(got, exit_code, "exit code %d instead of %d:\n%s", got, exit_code, log);
    cr_assert_not_null(strstr(log, cause), "\"%s\" is not named:\n%s", cause, log);
    cr_assert(cure == NULL || strstr(log, cure) != NULL, "\"%s\" is not named:\n%s", cure, log);
    free(log);
}

void
setup_expect_refusal(struct setup *setup, const char *const *overrides, int exit_code, const char *cause,
                     const char *cure)
{
    setup_start(setup, overrides);
    setup_expect_end(setup, exit_code, cause, cure);
}

void
setup_expect_check(const struct setup *setup, const char *flag, int exit_code, const char *text,
                   const char *cure)
{
    const char *config = daemon_config_path(setup->relay);
    struct outboxd_result check = outboxd_run((const char *[]){"check", "--config", config, flag, NULL});
    cr_expect(check.exit_code == exit_code && strstr(check.out, text) != NULL &&
                  strstr(check.out, cure) != NULL,
              "%d: %s%s", check.exit_code, check.out, check.err);
    outboxd_result_free(&check);
}

void
setup_rebase(struct setup *setup, const char *option, const char *out)
{
    const char *admin = postgres_conninfo(setup->postgres, setup->database, POSTGRES_ADMIN);
    struct outboxd_result result =
        setup->relay != NULL && option != NULL && strncmp(option, "--position", 10) == 0
            ? outboxd_run((const char *[]){"rebase", "--config", daemon_config_path(setup->relay),
                                           "--conninfo", admin, "--yes", option, NULL})
            : outboxd_run((const char *[]){"rebase", "--conninfo", admin, "--yes", option, NULL});
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    cr_assert_not_null(strstr(result.out, out), "\"%s\" is not in: %s", out, result.out);
    outboxd_result_free(&result);
}

void
setup_hold_confirmations(struct setup *setup)
{
    postgres_exec(
        setup->admin,
        "create function public.hold() returns trigger language plpgsql as $$ declare l outbox.journal; begin"
        " select * into l from outbox.journal j where j.relay = new.relay order by j.seq desc limit 1;"
        " new.confirmed_seq := l.confirmed_seq; new.confirmed_id := l.confirmed_id; new.exact_seq := "
        "l.exact_seq;"
        " new.exact_id := l.exact_id; new.exact_nonce := l.exact_nonce; return new; end $$;"
        "create trigger hold before insert on outbox.journal for each row execute function public.hold()");
}

void
setup_kill_unconfirmed(struct setup *setup)
{
    daemon_kill(setup->relay);
    wait_for(postgres_int(setup->admin,
                          "select count(*) from pg_stat_activity where datname = current_database() and "
                          "usename = '" POSTGRES_RELAY "'") == 0,
             20000); /* what it has asked for may still be carried out */
    postgres_exec(setup->admin, "drop trigger hold on outbox.journal; drop function public.hold()");
    cr_assert(!setup_confirmed(setup), "the journal knows of everything");
}

bool
setup_confirmed(struct setup *setup)
{
    return expected_is_confirmed(setup->admin);
}

void
setup_wait_confirmed(struct setup *setup, int timeout_ms)
{
    int64_t deadline_us = wait_deadline_us(timeout_ms);
    while (!setup_confirmed(setup)) {
        bool running = daemon_running(setup->relay);
        if (running && wait_turn(deadline_us))
            continue;
        char *log = daemon_log(setup->relay);
        size_t size = strlen(log);
        test_fail("not everything is confirmed after %d ms (%lld records); the relay %s; its log ends:\n%s",
                  timeout_ms, (long long)setup_count(setup), running ? "runs" : "has ended",
                  log + (size > 4000 ? size - 4000 : 0));
    }
}

int64_t
setup_count(const struct setup *setup)
{
    int64_t count = 0;
    for (size_t i = 0; i < setup->topic_count; i++)
        count += consumer_count(broker_bootstrap(setup->broker), setup->topics[i]);
    return count;
}

/* Topic by topic: promises hold within one, and only one fits into memory in the larger stories. */
struct verdict
setup_compare(struct setup *setup, const char *aside)
{
    struct verdict sum = {0};
    for (size_t i = 0; i < setup->topic_count; i++) {
        struct expected_events events = {0};
        char *query =
            must_format("select id, xid::text, null::bigint, null::text, topic, key, payload, headers::text,"
                        " (extract(epoch from created_at) * 1000000)::bigint"
                        " from outbox.event e where topic = '%s'"
                        " and not exists (select from outbox.%s a where a.event_id = e.id) order by id",
                        setup->topics[i], aside);
        expected_read(&events, setup->admin, query);
        struct verdict verdict = checker_compare(&events, broker_bootstrap(setup->broker),
                                                 (const char *[]){setup->topics[i], NULL}, setup->source);
        if (!verdict_clean(&verdict))
            memcpy(sum.examples, verdict.examples, sizeof sum.examples);
        sum.expected += verdict.expected;
        sum.records += verdict.records;
        sum.lost += verdict.lost;
        sum.phantom += verdict.phantom;
        sum.reordered += verdict.reordered;
        sum.changed += verdict.changed;
        sum.duplicates += verdict.duplicates;
        sum.duplicate_runs += verdict.duplicate_runs;
        expected_free(&events);
        free(query);
    }
    cr_assert_gt(sum.expected, 0, "a story without an event proves nothing");
    return sum;
}

struct verdict
setup_judge(struct setup *setup)
{
    struct verdict verdict = setup_compare(setup, "discarded");
    cr_assert(verdict_clean(&verdict), "lost %zu, phantom %zu, reordered %zu, changed %zu: %s", verdict.lost,
              verdict.phantom, verdict.reordered, verdict.changed, verdict.examples);
    return verdict;
}

void
setup_expect_all_once(struct setup *setup, int timeout_ms)
{
    setup_wait_confirmed(setup, timeout_ms);
    /* what a topic that takes nothing for a moment has kept waiting counts as confirmed */
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.paused_topic") == 0, timeout_ms);
    struct verdict verdict = setup_judge(setup);
    cr_assert_eq(verdict.duplicates, 0, "%zu events came twice, although nothing was disturbed",
                 verdict.duplicates);
}

void
setup_expect_all_once_over_kills(struct setup *setup, const char *topic)
{
    enum { EVENTS = 3000, KILLS = 3 };
    daemon_wait_ready(setup->relay);
    for (int64_t count = 0, i = 0; i < KILLS; i++) {
        postgres_exec(setup->app,
                      "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 50), 'x'"
                      " from generate_series(1, %d) g",
                      topic, EVENTS);
        wait_for(setup_count(setup) > count + EVENTS / 10, 20000);
        daemon_kill(setup->relay);
        count = setup_count(setup);
        cr_expect_lt(count, EVENTS * (i + 1), "it was killed too late");
        daemon_again(setup->relay);
    }
    setup_expect_all_once(setup, 40000);
}

void
setup_expect_memory(const struct setup *setup, long memory_kib, long largest_event_kib)
{
    long peak_kib = daemon_peak_rss_kib(setup->relay);
    cr_assert_gt(peak_kib, 0);
    cr_assert_leq(peak_kib, 64L * 1024 + memory_kib + 3 * largest_event_kib, "VmHWM is %ld KiB", peak_kib);
}

void
setup_end(struct setup *setup)
{
    if (setup->relay != NULL && daemon_running(setup->relay)) {
        int exit_code = daemon_terminate(setup->relay);
        cr_assert_eq(exit_code, 0, "the relay ended with %d when it was asked to stop", exit_code);
    }
    daemon_free(setup->relay);
    PQfinish(setup->app);
    PQfinish(setup->admin);
    broker_free(setup->broker);
    postgres_free(setup->postgres);
}

void
setup_make_bytes(struct setup *setup)
{
    postgres_exec(setup->admin,
                  "create table test_pool (pool bytea);"
                  " alter table test_pool alter column pool set storage external;"
                  " insert into test_pool select decode(string_agg(md5(i::text), ''), 'hex') from "
                  "generate_series(1, 80000) i;"
                  " create function test_bytes(size int, n bigint) returns bytea language sql stable as"
                  " 'select substring(pool from (n * 7919 %% 100000)::int + 1 for size) from test_pool'");
}
