/* relay_broker.c: P1, P2 and P3 when the broker is killed, hangs, or is away for longer than the relay's time-outs; P5: what
 * can be seen meanwhile. */
#include "e2e/relay_setup.h"
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_broker, .timeout = 240);

/* Longer than one request may take (socket.timeout.ms, 10 s): requests are given up and repeated while the broker still
 * has the first copies in its socket, and appends them with nobody listening to the answer. */
#define PAUSE_MS 15000
/* Longer than every time-out that an event in flight could meet: four requests, the 30 s of librdkafka's default
 * transaction and metadata time-outs, and the 20 s of a clean stop. No event may expire at all: message.timeout.ms is as
 * large as it gets, because an expired message would be overtaken by the next one of its key. */
#define OUTAGE_MS 45000
/* I6, with `memory` at its default of 64 MiB and events of 60,000 bytes at most */
#define RSS_KIB ((64 + 64) * 1024 + 3 * 64)

Test(relay_broker, nothing_is_lost_or_reordered_when_the_broker_is_killed_under_load_twice__P1_P2__row_1)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_broker = true, .keys = 20});
    story_start_load(&story);
    for (int i = 0; i < 2; i++) {
        story_await_events(&story, 1000);
        story_await_moment(&story, 0, 500);
        broker_kill(story.broker);
        story_await_moment(&story, 0, 500);
        broker_up(story.broker);
    }
    story_await_events(&story, 1000);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_leq(verdict.duplicate_runs, 2 * STORY_STREAMS);
    story_end(&story);
}

Test(relay_broker,
     nothing_is_lost_or_reordered_when_the_broker_hangs_and_then_is_away_for_45_s__P1_P2__rows_2_3_10)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_broker = true, .keys = 20, .pause_us = 50000});
    story_start_load(&story);
    story_await_events(&story, 1000);
    broker_pause(story.broker);
    story_await_moment(&story, PAUSE_MS, PAUSE_MS);
    broker_continue(story.broker);
    story_await_confirmed(&story);
    broker_stop(story.broker);
    story_await_moment(&story, OUTAGE_MS, OUTAGE_MS);
    cr_expect_leq(daemon_peak_rss_kib(story.relay), RSS_KIB, "the outage filled the memory: %ld KiB",
                  daemon_peak_rss_kib(story.relay));
    broker_up(story.broker);
    story_await_events(&story, 500);
    story_await_confirmed(&story);
    cr_expect_not(daemon_log_contains(story.relay, "Message timed out"), "an event expired");
    cr_expect_not(daemon_log_contains(story.relay, "no acknowledgement for"), "patience has ended");
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_leq(verdict.duplicate_runs, 2 * STORY_STREAMS);
    story_end(&story);
}

Test(relay_broker, a_second_sigterm_ends_a_stop_that_waits_for_the_broker_and_loses_nothing__P1__row_48)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_broker = true});
    story_start_load(&story);
    story_await_events(&story, 500);
    /* its topics are known by now: whatever is committed later is handed over, whether or not the broker answers */
    wait_for(daemon_metric(story.relay, "outbox_publish_latency_seconds_count") > 300, 20000);
    broker_pause(story.broker);
    story_await_moment(&story, 1500, 1500); /* answers that were under way have come, and are counted */
    wait_for(daemon_metric(story.relay, "outbox_in_flight_events") > 0, 20000);
    kill(daemon_pid(story.relay), SIGTERM);
    wait_for(daemon_log_contains(story.relay, "to=draining"), 10000);
    cr_expect(daemon_running(story.relay), "it did not wait for what is in flight");
    int64_t asked_us = clock_monotonic_us();
    cr_expect_eq(daemon_terminate(story.relay), 0);
    cr_expect_lt((double)(clock_monotonic_us() - asked_us), 4000000 * wait_patience(),
                 "asked twice, it still waited");
    cr_expect(daemon_log_contains(story.relay, "as asked twice"), "it had nothing to wait for");
    broker_continue(story.broker);
    daemon_again(story.relay);
    story_finish(&story, story.relay);
    cr_expect_leq(story_judge(&story).duplicate_runs, STORY_STREAMS);
    story_end(&story);
}

/* ---- what can be seen ---- */

static bool
http_says(const struct setup *setup, const char *path, int status, const char *text)
{
    char *body = NULL;
    bool says = daemon_http(setup->relay, path, &body) == status && strstr(body, text) != NULL;
    free(body);
    return says;
}

/* `outboxd status`, which knows the database only. */
static bool
status_says(const struct setup *setup, const char *verdict, const char *text)
{
    struct outboxd_result result =
        outboxd_run((const char *[]){"status", "--json", "--config", daemon_config_path(setup->relay), NULL});
    char *line = must_format("\n  \"verdict\": \"%s\",\n", verdict);
    bool says = strstr(result.out, line) != NULL && strstr(result.out, text) != NULL;
    free(line);
    outboxd_result_free(&result);
    return says;
}

/* With its address and the reason of the connection, in each place that a person or a machine looks at. */
static void
expect_named(struct setup *setup, const char *broker)
{
    char *refused = must_format("%s: Connect to ipv4#%s failed: Connection refused", broker, broker);
    wait_for(http_says(setup, "/health/ready", 503, "Kafka does not answer since "), 3000);
    wait_for(http_says(setup, "/health/ready", 503, refused), 2000);
    cr_expect(http_says(setup, "/status.json", 200, refused));
    cr_expect(http_says(setup, "/", 200, refused));
    wait_for(status_says(setup, "kafka away", refused), 8000);
    free(refused);
}

Test(relay_broker,
     a_broker_that_is_away_is_named_with_its_reason_whether_events_wait_or_not_until_it_is_back__P5)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "orders", 2, NULL);
    setup_run(&setup, NULL);
    for (int round = 0; round < 2; round++) {
        postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
        setup_wait_confirmed(&setup, 20000);
        broker_kill(setup.broker);
        if (round == 1)
            postgres_exec(setup.app, "select outbox.emit('%s', 'k', '2')", topic);
        expect_named(&setup, broker_bootstrap(setup.broker));
        broker_up(setup.broker);
        wait_for(http_says(&setup, "/health/ready", 200, "true"), 20000);
        wait_for(status_says(&setup, "ok", "\"kafka_away\": null"), 20000);
    }
    cr_expect(daemon_log_contains(setup.relay, "Kafka answers again"));
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(relay_broker, a_leader_that_has_never_reached_kafka_is_not_ready_and_gets_ready_when_it_does__P5)
{
    struct broker *broker = broker_start(NULL);
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    broker_kill(broker);
    setup_start(&setup, NULL);
    wait_for(daemon_log_contains(setup.relay, "to=leading"), 10000);
    cr_expect_neq(daemon_http(setup.relay, "/health/ready", NULL), 200);
    expect_named(&setup, broker_bootstrap(broker));
    broker_up(broker);
    wait_for(http_says(&setup, "/health/ready", 200, "true"), 20000);
    wait_for(status_says(&setup, "ok", "\"kafka_away\": null"), 10000);
    setup_end(&setup);
}

/* Brokers end connections that are idle (after 10 minutes, unless they are told otherwise), also the only one that there is. */
Test(relay_broker, a_broker_that_ends_idle_connections_is_not_called_away__P5)
{
    struct broker *broker =
        broker_start(&(struct broker_options){.properties = "connections.max.idle.ms=2000\n"});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    setup_run(&setup, NULL);
    wait_for(daemon_log_contains(setup.relay, "Disconnected"), 20000);
    for (int64_t end_us = clock_monotonic_us() + 15000000; wait_turn(end_us);)
        cr_assert_eq(daemon_http(setup.relay, "/health/ready", NULL), 200);
    cr_expect_not(daemon_log_contains(setup.relay, "Kafka does not answer"));
    setup_end(&setup);
}

/* A standby does not talk to Kafka before it leads: whether it could is not known. */
Test(relay_broker, a_standby_stays_ready_while_the_broker_is_away__P5)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    setup_run(&setup, NULL);
    struct daemon *standby = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(setup.postgres, setup.database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(setup.broker)});
    daemon_wait_ready(standby);
    broker_kill(setup.broker);
    expect_named(&setup, broker_bootstrap(setup.broker));
    cr_expect_eq(daemon_http(standby, "/health/ready", NULL), 200);
    daemon_free(standby);
    setup_end(&setup);
}

Test(relay_broker, a_bootstrap_server_without_address_or_broker_is_passed_over__row_17)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    char *servers = must_format("kafka/bootstrap.servers=\"no-such-host.invalid:9092,127.0.0.1:%d,%s\"",
                                scratch_port(), broker_bootstrap(setup.broker));
    setup_run(&setup, (const char *[]){servers, NULL});
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_expect_all_once(&setup, 10000);
    free(servers);
    setup_end(&setup);
}
