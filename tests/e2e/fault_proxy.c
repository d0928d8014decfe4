/* fault_proxy.c: the relay behind the fault proxy: what a network does to requests and answers at the worst moment, each fault counted
 * in the proxy's log. The kit itself is judged here too: a fault that did not happen, or happened once more, fails the test. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(fault_proxy, .timeout = 240);

#define FAULT_MS 40000
/* I6, with `memory` at its default of 64 MiB and events of 60,000 bytes at most */
#define RSS_KIB ((64 + 64) * 1024 + 3 * 64)

/* Of several brokers each leads a third of the partitions, also when it was taken for dead for a moment. */
static void
begin(struct story *story, int brokers)
{
    const char *balanced = "leader.imbalance.check.interval.seconds=5\n"
                           "leader.imbalance.per.broker.percentage=0\n";
    story_begin(story, &(struct story_options){.proxied = true,
                                               .brokers = brokers,
                                               .properties = brokers > 1 ? balanced : NULL,
                                               .keys = 20,
                                               .pause_us = 10000});
    story_start_load(story);
    story_await_events(story, 300);
}

/* From here on nothing is disturbed. */
static void
settle(struct story *story)
{
    fproxy_clear(story->proxy);
    story_await_events(story, 200);
    story_await_confirmed(story);
}

/* Nothing was lost, reordered or changed, and what came twice came as `runs` runs at most. */
static struct verdict
judge(struct story *story, size_t runs)
{
    story_finish(story, story->relay);
    struct verdict verdict = story_judge(story);
    cr_expect_leq(verdict.duplicate_runs, runs, "%zu runs came twice", verdict.duplicate_runs);
    story_end(story);
    return verdict;
}

static struct verdict
end(struct story *story, size_t runs)
{
    settle(story);
    return judge(story, runs);
}

/* Each instance that has ended since there were `before` may have sent again what it had not heard of. */
static void
end_after_instances(struct story *story, double before)
{
    settle(story);
    judge(story, (size_t)(story_instances(story) - before) * STORY_STREAMS);
}

/* ---- Kafka ---- */

/* librdkafka 2.0.2 takes what it hears of later requests for a reason to end the instance; the relay sends what that one did not hear
 * of again. */
Test(fault_proxy, an_answer_to_produce_that_never_comes_loses_nothing__P1_P2_P3__rows_10_16_21)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    story_inflict(&story, "kafka Produce n=3 drop-response", 1);
    wait_for(daemon_log_contains(story.relay, "Timed out ProduceRequest"), FAULT_MS);
    story_await_confirmed(&story);
    cr_expect_eq(fproxy_faults(story.proxy, "kind=Produce n=3 action=drop-response"), 1);
    cr_expect_eq(fproxy_faults(story.proxy, "action="), 1, "another fault than the one of the rule");
    end_after_instances(&story, before);
}

Test(fault_proxy, answers_to_produce_lost_with_their_connection_lose_nothing__P1_P2_P3__row_10)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    story_inflict(&story, "kafka Produce every=10 rst-response", 10);
    story_await_confirmed(&story);
    end_after_instances(&story, before);
}

Test(fault_proxy, connections_that_break_after_64_kib_or_within_a_request_lose_nothing__P1_P2__row_11)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    story_inflict(&story, "kafka * kb=64 rst-request", 5);
    story_inflict(&story, "kafka Produce every=3 cut-request", 3);
    story_inflict(&story, "kafka Produce every=3 cut-response=6", 3);
    story_inflict(&story, "kafka Produce every=3 half-close-request", 2);
    story_inflict(&story, "kafka Produce every=3 half-close-response", 2);
    story_await_confirmed(&story);
    end_after_instances(&story, before);
}

/* The broker knows the sequence of what it gets twice. */
Test(fault_proxy, requests_that_reach_the_broker_twice_are_appended_once__P3__row_10)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "kafka Produce every=3 duplicate", 20);
    cr_expect_eq(end(&story, 0).duplicates, 0);
}

Test(fault_proxy, requests_that_overtake_one_another_are_put_in_order__P1_P2__row_21)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    story_inflict(&story, "kafka Produce every=10 postpone=300", 5);
    /* what is postponed behind a connection that goes meanwhile goes with it */
    wait_for(fproxy_faults(story.proxy, "action=released") >= 1, FAULT_MS);
    story_await_confirmed(&story);
    end_after_instances(&story, before);
}

/* The broker compares what came with its checksum (CRC-32C) and refuses the batch; of the events that are tried again one by one, none is
 * taken for the cause. */
Test(fault_proxy, records_that_change_on_their_way_are_refused_and_sent_again__P1_P2_P5)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    for (int i = 0; i < 10; i++) {
        story_inflict(&story, "kafka Produce n=2 corrupt-request=100", 1);
        story_await_confirmed(&story);
    }
    cr_expect_geq(story_instances(&story), before + 10, "it was not noticed");
    cr_expect_not(daemon_log_contains(story.relay, "dead letter"));
    end_after_instances(&story, before);
}

/* The client has given up and gone, and has sent it again by another connection, when the broker gets it. */
Test(fault_proxy, a_request_that_arrives_when_its_client_has_gone_changes_no_order__P1_P2_P3__row_9)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    story_inflict(&story, "kafka Produce n=5 hold-request", 1);
    wait_for(daemon_log_contains(story.relay, "Timed out ProduceRequest"), FAULT_MS);
    story_await_events(&story, 200);
    story_await_confirmed(&story);
    story_release(&story);
    end_after_instances(&story, before - 1); /* and what came late */
}

Test(fault_proxy, three_lost_requests_for_an_id_of_the_producer_delay_the_start_and_nothing_else__P1__row_13)
{
    struct story story;
    begin(&story, 1);
    cr_assert_eq(daemon_terminate(story.relay), 0);
    int rule = fproxy_rule(story.proxy, "kafka InitProducerId n=1..3 rst-response");
    daemon_again(story.relay);
    wait_for(fproxy_faults(story.proxy, "kind=InitProducerId") == 3, FAULT_MS);
    story_await_confirmed(&story);
    cr_expect_gt(fproxy_seen(story.proxy, rule), 3);
    cr_expect_eq(end(&story, 0).duplicates, 0);
}

/* A backlog of ten megabytes against 64 kB/s: the relay waits within its memory. */
Test(fault_proxy, a_slow_and_distant_broker_costs_time_and_no_memory__P1_P2_I6__row_14)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    free(fproxy_command(story.proxy, "latency kafka 500"));
    int slow = fproxy_rule(story.proxy, "kafka Produce throttle-request=65536");
    PGconn *admin = story_admin(&story);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 20),"
                  " convert_to(repeat('x', 1000), 'UTF8') from generate_series(1, 10000) g",
                  story.topics[0]);
    PQfinish(admin);
    wait_for(daemon_metric(story.relay, "outbox_in_flight_events") > 1000, FAULT_MS);
    story_await_moment(&story, 15000, 15000);
    cr_expect_gt(daemon_metric(story.relay, "outbox_in_flight_events"), 1000, "it was not slow");
    cr_expect_leq(daemon_peak_rss_kib(story.relay), RSS_KIB);
    fprintf(stderr, "proxy: %ld requests at 64 kB/s\n", fproxy_seen(story.proxy, slow));
    free(fproxy_command(story.proxy, "latency kafka 0"));
    fproxy_clear(story.proxy);
    story_await_confirmed(&story);
    end_after_instances(&story, before);
}

Test(fault_proxy, each_of_three_brokers_is_reached_by_a_listener_of_its_own__P1_P2__rows_2_10)
{
    struct story story;
    begin(&story, 3);
    double before = story_instances(&story);
    story_inflict(&story, "kafka Produce listener=1 every=5 rst-response", 2);
    story_inflict(&story, "kafka Produce listener=2 every=5 rst-request", 2);
    story_inflict(&story, "kafka Produce listener=3 every=5 cut-response", 2);
    story_inflict(&story, "kafka * p=0.05 rst-response", 10);
    story_await_confirmed(&story);
    end_after_instances(&story, before);
}

/* ---- Postgres ---- */

/* Done and not heard of: the tick is in the journal, or it is confirmed, and the relay does not know. */
Test(fault_proxy, answers_of_the_journal_lost_with_their_connection_repeat_nothing__P1_P3__row_57)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "postgres outboxd_step every=20 rst-response", 10);
    story_inflict(&story, "postgres outboxd_step every=30 rst-request", 5);
    cr_expect_eq(end(&story, 0).duplicates, 0);
}

Test(fault_proxy, pages_and_connections_that_break_off_in_the_middle_are_begun_again__P1_P2_P3__row_57)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "postgres outboxd_page every=5 cut-response", 5);
    PGconn *admin = story_admin(&story);
    int copies = fproxy_rule(story.proxy, "postgres '*copy (*' n=1..3 cut-response=20000");
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 20),"
                  " convert_to(repeat('x', 100), 'UTF8') from generate_series(1, 5000) g",
                  story.topics[0]);
    PQfinish(admin);
    wait_for(fproxy_faults(story.proxy, "kind=lock") == 3, FAULT_MS);
    cr_expect_geq(fproxy_seen(story.proxy, copies), 3);
    fproxy_rule(story.proxy, "postgres startup n=1..3 rst-response");
    fproxy_rule(story.proxy, "postgres startup n=4..5 cut-response=3");
    free(fproxy_command(story.proxy, "reset"));
    wait_for(fproxy_faults(story.proxy, "kind=startup") == 5, FAULT_MS);
    end(&story, STORY_STREAMS);
}

/* No reset and no answer; less than the lease, so that the lead stays. */
Test(fault_proxy, answers_of_postgres_that_come_late_leave_the_lead_where_it_is__P1_P2__row_57)
{
    struct story story;
    begin(&story, 1);
    double epoch = daemon_metric(story.relay, "outbox_epoch");
    story_inflict(&story, "postgres outboxd_* every=7 delay-response=200", 10);
    story_inflict(&story, "postgres outboxd_* every=11 hold-request=100", 5);
    cr_expect_eq(daemon_metric(story.relay, "outbox_epoch"), epoch);
    cr_expect_eq(end(&story, 0).duplicates, 0);
}

/* ---- rules ---- */

Test(fault_proxy, rules_that_say_nothing_that_can_be_done_are_refused)
{
    static const char *const lines[] = {
        "rule",
        "rule kafka Produce",
        "rule smtp * drop-request",
        "rule kafka Produce n=0 drop-request",
        "rule kafka Produce n=3.. vanish",
        "rule kafka Produce drop-request n=3",
        "rule kafka Produce drop-request=3",
        "rule kafka Produce delay-request",
        "rule kafka Produce p=2 drop-request",
        "rule postgres outboxd_step duplicate",
        "rule postgres outboxd_step corrupt-response",
        "clear 7",
        "hello",
    };
    struct fproxy *proxy = fproxy_new(1);
    struct postgres *postgres = postgres_shared();
    fproxy_start(proxy, NULL, postgres, 1);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char *answer = fproxy_command(proxy, lines[i]);
        cr_expect_eq(strncmp(answer, "error ", 6), 0, "%s: %s", lines[i], answer);
        free(answer);
    }
    int first = fproxy_rule(proxy, "kafka 26 n=3..5 every=2 listener=1 drop-response");
    char *list = fproxy_command(proxy, "list");
    cr_expect_str_eq(list, "1 kafka '26' n=3..5 every=2 p=1 kb=0 listener=1 drop-response=0 seen=0 fired=0\n"
                           "ok 0 connections\n");
    free(list);
    char *cleared = must_format("clear %d", first);
    free(fproxy_command(proxy, cleared));
    cr_expect_eq(fproxy_rule(proxy, "kafka 26 count"), first + 1, "a number was given twice");
    free(cleared);
    fproxy_free(proxy);
    postgres_free(postgres);
}
