/* relay_asked.c: what the log says of what people have asked for (P5): what it is, how it ends, and what helps where Kafka refuses an event. */
#include "relay_setup.h"

#include <stdlib.h>
#include <string.h>

TestSuite(relay_asked, .timeout = 180);

#define ASK_RETRY                                                                                            \
    "insert into outbox.request (relay, kind, event_id) select 'main', 'retry', event_id from "              \
    "outbox.dead_letter"
#define ASK_REPLAY "insert into outbox.request (relay, kind) values ('main', 'replay')"

/* An event of 50,000 bytes, which the topic takes as long as `limit` allows. */
static struct setup
begin(const char *limit, const char **topic, const char *const *overrides)
{
    struct setup setup = setup_begin();
    *topic = setup_topic(&setup, "sizes", 1, (const char *[]){"max.message.bytes", limit, NULL});
    setup_run(&setup, overrides);
    setup_make_bytes(&setup);
    postgres_exec(setup.admin,
                  "insert into outbox.event (topic, key, payload) values ('%s', 'k', test_bytes(50000, 1))",
                  *topic);
    return setup;
}

/* Somebody asks; the log must have a line with all of these before 20 s are over. */
static void
ask(struct setup *setup, const char *sql, const char *text)
{
    postgres_exec(setup->admin, "%s", sql);
    wait_for(daemon_log_contains(setup->relay, text), 20000);
}

Test(relay_asked, what_a_request_is_and_how_it_ended_is_in_the_log__P5)
{
    const char *topic;
    struct setup setup = begin("20000", &topic, NULL);
    wait_for(daemon_log_contains(setup.relay, "when the cause is gone: outboxd dead retry"), 20000);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.dead_letter") == 1, 10000);
    ask(&setup, ASK_RETRY, "kind=retry outcome=\"event ");
    cr_expect(daemon_log_contains(setup.relay, "refused again: it is a dead letter"));
    cr_expect(daemon_log_contains(setup.relay, "kind=retry event="));
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    ask(&setup, ASK_RETRY, "kind=retry outcome=done");
    ask(&setup, ASK_REPLAY, "kind=replay outcome=done");
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', '%s')::int", topic), 1);
    wait_for(daemon_log_contains(setup.relay, "topic paused by hand"), 10000);
    ask(&setup, ASK_REPLAY, "a request waits for its topic");
    ask(&setup, "select outbox.request_cancel('main', max(number)) from outbox.request",
        "kind=replay outcome=cancelled");
    setup_end(&setup);
}

/* Of a published event there is no dead letter that could be retried. */
Test(relay_asked, an_event_that_a_replay_leaves_out_is_to_be_replayed_again__P5)
{
    const char *topic;
    struct setup setup = begin("100000", &topic, NULL);
    setup_wait_confirmed(&setup, 10000);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "20000");
    ask(&setup, ASK_REPLAY,
        "left out of a replay: Kafka refuses this event; when the cause is gone, ask for the replay again");
    cr_expect_not(daemon_log_contains(setup.relay, "dead retry"));
    setup_end(&setup);
}

/* Nor does the policy `stop` make one. */
Test(relay_asked, what_stops_the_relay_goes_on_by_itself_and_nothing_is_to_be_retried__P5)
{
    const char *topic;
    struct setup setup = begin("20000", &topic, (const char *[]){"dead_letter/policy=stop", NULL});
    wait_for(daemon_log_contains(setup.relay, "it goes on by itself when the cause is gone"), 20000);
    wait_for(postgres_int(setup.admin,
                          "select count(*) from outbox.relay where trouble ->> 'error' is not null") == 1,
             10000);
    struct outboxd_result status =
        outboxd_run((const char *[]){"status", "--config", daemon_config_path(setup.relay), NULL});
    cr_expect(strstr(status.out, "goes on by itself") != NULL, "%s", status.out);
    cr_expect_null(strstr(status.out, "dead retry"), "%s", status.out);
    outboxd_result_free(&status);
    cr_expect_not(daemon_log_contains(setup.relay, "dead retry"));
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}
