/* relay_split.c: two processes of a relay, of which one reaches Postgres only and the other one Kafka only (row 47). Who has the lead
 * has it from Postgres: the other one publishes nothing more. */
#include "e2e/relay_story.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(relay_split, .timeout = 120);

/* A process that reaches Postgres, and no Kafka. */
static struct daemon *
start_without_kafka(struct story *story)
{
    char *lease = must_format("lease=%dms", story->lease_ms),
         *source = must_format("source=%s", story->source),
         *nobody = must_format("127.0.0.1:%d", scratch_port());
    struct daemon *relay = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(story->postgres, story->database, POSTGRES_RELAY),
        .bootstrap = nobody,
        .overrides = (const char *[]){lease, source, story->exact ? "delivery=exactly-once" : NULL, NULL}});
    daemon_wait_ready(relay);
    free(nobody), free(source), free(lease);
    return relay;
}

static struct verdict
split(bool exact)
{
    struct story story;
    story_begin(&story, &(struct story_options){.exact = exact, .proxied = true, .pause_us = 20000});
    story_start_load(&story);
    story_await_events(&story, 300);
    struct daemon *blind = start_without_kafka(&story);
    double epoch = daemon_metric(story.relay, "outbox_epoch");
    fproxy_rule(story.proxy, "postgres startup rst-request");
    fproxy_rule(story.proxy, "postgres * rst-request");
    story_await_epoch(blind, epoch);
    story_await_moment(&story, 1000, 1000); /* what was under way arrives */
    int64_t before = story_records(&story);
    story_await_events(&story, 1000);
    cr_expect_eq(story_records(&story), before, "published without the lead");
    cr_expect_eq(daemon_http(blind, "/health/ready", NULL), 503);
    cr_expect_eq(daemon_http(story.relay, "/health/ready", NULL), 503);
    fproxy_clear(story.proxy);
    cr_assert_eq(daemon_terminate(blind), 0);
    daemon_free(blind);
    story_await_lead(story.relay);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    story_end(&story);
    return verdict;
}

Test(relay_split, who_reaches_kafka_only_publishes_nothing_while_another_leads_that_cannot__P1_P2__row_47)
{
    cr_expect_leq(split(false).duplicate_runs, STORY_STREAMS);
}

Test(relay_split, exactly_once_who_reaches_kafka_only_publishes_nothing_that_counts__P1_P3__row_47)
{
    cr_expect_eq(split(true).duplicates, 0);
}
