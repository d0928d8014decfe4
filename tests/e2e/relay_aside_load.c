/* relay_aside_load.c: a process takes the lead where there are many dead letters (P5): what it has to know of them is read in pieces and nobody
 * takes the lead from it meanwhile, however long that takes; which keys they hold it knows by their digests before it sends anything (I2). And
 * a retry of many held events lets those of others pass. */
#include "e2e/relay_story.h"

#include "support/wait.h"

#include <criterion/criterion.h>

TestSuite(relay_aside_load, .timeout = 120);

enum { HOLDING = 20000, SKIPPED = 20000, PIECE_MS = 200, HELD = 20000, PAGES_MOST = 200 };
/* A piece is a small part of it, so that its size is no matter of luck. */
#define UNTROUBLED_LEASE_MS (100 * PIECE_MS)
#define FIRST_ID INT64_C(4000000000)

static void
insert_letters(struct story *story, PGconn *admin)
{
    postgres_exec(
        admin,
        "insert into outbox.dead_letter (relay, event_id, tick, hold, topic, key, created_at, error, "
        "message) select 'main', %ld + i, 1, case when i <= %d then %ld + i end, '%s', "
        "convert_to(repeat('long', 30) || i, 'UTF8'), now(), 'MSG_SIZE_TOO_LARGE', 'too large'"
        " from generate_series(1, %d) i",
        (long)FIRST_ID, HOLDING, (long)FIRST_ID, story->topics[0], HOLDING + SKIPPED);
}

static void
emit(struct story *story, PGconn *admin, int number)
{
    postgres_exec(admin, "select outbox.emit('%s', repeat('long', 30) || %d, '1')", story->topics[0], number);
}

/* Longer than its lease, which is a second, because each piece takes a while. */
static void
take_over(bool exact)
{
    struct story story;
    int piece_ms = (int)(PIECE_MS * wait_patience());
    story_begin(&story,
                &(struct story_options){.proxied = true, .exact = exact, .lease_ms = STORY_LONG_LEASE_MS});
    PGconn *admin = story_admin(&story);
    emit(&story, admin, 0);
    story_await_confirmed(&story);
    insert_letters(&story, admin);
    int slow = fproxy_rule(story.proxy, "postgres outboxd_holds delay-response=%d", piece_ms),
        ahead = fproxy_rule(story.proxy, "postgres outboxd_ahead count");
    struct daemon *next = story_start_relay(&story);
    daemon_wait_ready(next);
    daemon_kill(story.relay);
    emit(&story, admin, HOLDING / 2);
    emit(&story, admin, HOLDING + SKIPPED / 2);
    story_await_lead(next);
    double epoch = daemon_metric(next, "outbox_epoch");
    daemon_again(story.relay);
    story_await_confirmed(&story);
    cr_expect_gt(fproxy_fired(story.proxy, slow) * piece_ms, story.lease_ms);
    cr_expect_eq(fproxy_seen(story.proxy, ahead), 1, "nothing is ahead: there is one piece");
    cr_expect_eq(daemon_metric(next, "outbox_epoch"), epoch, "another process has led meanwhile");
    story_await_lead(next);
    cr_expect_eq(postgres_int(admin, "select hold from outbox.held_event"), FIRST_ID + HOLDING / 2);
    wait_for(daemon_metric(next, "outbox_dead_letters") == HOLDING + SKIPPED, DAEMON_COUNTED_MS);
    wait_for(daemon_metric(next, "outbox_held_events") == 1, DAEMON_COUNTED_MS);
    PQfinish(admin);
    daemon_free(next);
    story_end(&story);
}

Test(relay_aside_load, with_many_dead_letters_the_lead_is_kept_while_they_are_read__P5_I2)
{
    take_over(false);
}

Test(relay_aside_load, with_many_dead_letters_the_lead_is_kept_while_they_are_read_exactly_once__P5_I2)
{
    take_over(true);
}

static int64_t
held(PGconn *admin)
{
    return postgres_int(admin, "select count(*) from outbox.held_event");
}

/* Each page of the retry takes a while, and there are many. */
static void
retry_many(bool exact)
{
    struct story story;
    story_begin(&story,
                &(struct story_options){.proxied = true, .exact = exact, .lease_ms = UNTROUBLED_LEASE_MS});
    PGconn *admin = story_admin(&story);
    broker_configure_topic(story.broker, story.topics[0], "max.message.bytes", "20000");
    postgres_exec(
        admin,
        "insert into outbox.event (topic, key, payload) select '%s', 'sick', convert_to(repeat('x', "
        "case i when 0 then 50000 else 1 end), 'UTF8') from generate_series(0, %d) i",
        story.topics[0], HELD);
    wait_for(held(admin) == HELD, 30000);
    story_await_confirmed(&story);
    broker_configure_topic(story.broker, story.topics[0], "max.message.bytes", "100000");
    int pages = fproxy_rule(story.proxy, "postgres outboxd_held delay-response=%d", PIECE_MS);
    cr_assert_gt(postgres_int(admin, "select outbox.dead_retry('main', event_id) from outbox.dead_letter"),
                 0);
    wait_for(held(admin) < HELD, 20000);
    int passed = 0;
    for (int i = 0; i < 3; i++) {
        emit(&story, admin, i);
        story_await_confirmed(&story);
        passed += held(admin) > 0;
    }
    cr_expect_gt(passed, 0, "what was held came first, all of it");
    wait_for(held(admin) == 0, 60000);
    cr_expect_lt(fproxy_fired(story.proxy, pages), PAGES_MOST);
    wait_for(postgres_int(admin, "select count(*) from outbox.dead_letter") == 0, 20000);
    PQfinish(admin);
    story_end(&story);
}

Test(relay_aside_load, events_of_others_pass_while_many_that_were_held_are_retried__P5)
{
    retry_many(false);
}

Test(relay_aside_load, events_of_others_pass_while_many_that_were_held_are_retried_exactly_once__P5)
{
    retry_many(true);
}
