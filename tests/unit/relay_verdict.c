/* relay_verdict.c: suspects, the culprit, and when the next attempt is allowed (I2, P5), without any server. */
#include "relay/verdict.h"

#include "base/clock.h"
#include "relay/pipeline.h"

#include <criterion/criterion.h>

static struct verdict verdict;
static struct pipeline pipeline;
static struct topic topic = {.name = (char[]){"t"}};
static struct page *page;

static void
set_up(void)
{
    verdict_init(&verdict, true, 42);
    page = page_new(1);
    for (int i = 0; i < 10; i++) {
        struct event *event = page_add(page);
        event->id = 100 + i;
        event->topic = &topic;
    }
    pipeline_push(&pipeline, page);
}

static void
tear_down(void)
{
    pipeline_clear(&pipeline);
}

static struct outcome
outcome(enum outcome_kind kind)
{
    return (struct outcome){.kind = kind, .code = 10, .name = "MSG_SIZE_TOO_LARGE", .message = "too large"};
}

TestSuite(verdict, .init = set_up, .fini = tear_down);

Test(verdict, a_refused_batch_makes_suspects_and_condemns_nobody)
{
    struct outcome why = outcome(OUTCOME_EVENT);
    cr_assert_eq(verdict_refused(&verdict, &page->events[2], &why, false, 0), VERDICT_NOTHING);
    cr_assert_eq(verdict_refused(&verdict, &page->events[5], &why, false, 0), VERDICT_NOTHING);
    cr_assert_eq(verdict_refused(&verdict, &page->events[3], &why, false, 0), VERDICT_NOTHING);
    cr_assert_not(verdict.trouble.active);
    cr_assert(verdict.suspecting);
    cr_assert(verdict_allows(&verdict, 5, 0));
    cr_assert_not(verdict_allows(&verdict, 6, 0), "nothing after the last suspect until they are settled");
    cr_assert_not(verdict_reached(&verdict, 5));
    cr_assert(verdict.suspecting);
    cr_assert_not(verdict_reached(&verdict, 6));
    cr_assert_not(verdict.suspecting);
}

Test(verdict, I2_an_event_refused_alone_stops_everything_after_it)
{
    struct outcome why = outcome(OUTCOME_EVENT);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, 1000), VERDICT_STUCK);
    cr_assert(verdict.trouble.active);
    cr_assert_eq(verdict.trouble.event_id, 104);
    cr_assert(verdict_allows(&verdict, 3, 1000));
    cr_assert_not(verdict_allows(&verdict, 4, 1000));
    cr_assert_not(verdict_allows(&verdict, 5, INT64_MAX - 1), "never past it, however long it takes");
    int64_t retry = verdict_deadline(&verdict, 1000);
    cr_assert_neq(retry, CLOCK_NEVER);
    cr_assert(verdict_allows(&verdict, 4, retry));
}

Test(verdict, P5_the_same_trouble_is_told_once_and_tried_ever_more_rarely)
{
    struct outcome why = outcome(OUTCOME_EVENT);
    int64_t now = 1000, first = 0, last = 0;
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, now), VERDICT_STUCK);
    first = verdict.trouble.retry_at_us - now;
    for (int i = 0; i < 20; i++) {
        now = verdict.trouble.retry_at_us;
        cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, now), VERDICT_NOTHING);
        last = verdict.trouble.retry_at_us - now;
        cr_assert_gt(last, 0);
    }
    cr_assert_gt(last, first);
}

Test(verdict, the_first_event_in_order_is_the_one_to_be_stuck_at)
{
    struct outcome why = outcome(OUTCOME_EVENT);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, 0), VERDICT_STUCK);
    cr_assert_eq(verdict_refused(&verdict, &page->events[6], &why, true, 0), VERDICT_NOTHING);
    cr_assert_eq(verdict.trouble.event_id, 104);
    cr_assert_eq(verdict_refused(&verdict, &page->events[1], &why, true, 0), VERDICT_STUCK);
    cr_assert_eq(verdict.trouble.event_id, 101);
}

Test(verdict, trouble_heals_when_its_event_is_acknowledged)
{
    struct outcome why = outcome(OUTCOME_EVENT);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, 0), VERDICT_STUCK);
    cr_assert_not(verdict_reached(&verdict, 4));
    cr_assert(verdict_reached(&verdict, 5));
    cr_assert_not(verdict.trouble.active);
    cr_assert(verdict_allows(&verdict, 9, 0));
}

Test(verdict, a_brokers_fault_is_nobodys_trouble_and_only_delays_the_next_instance)
{
    struct outcome why = outcome(OUTCOME_BROKER);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(verdict_refused(&verdict, &page->events[i], &why, false, 1000), VERDICT_NOTHING);
    cr_assert_not(verdict.trouble.active);
    cr_assert_not(verdict.suspecting);
    cr_assert_gt(verdict.start_at_us, 1000);
    cr_assert_leq(verdict.start_at_us, 1000 + 20000,
                  "one failure of many reports is one step of the back-off");
}

Test(verdict, purged_events_are_nobodys_fault)
{
    struct outcome why = outcome(OUTCOME_UNSENT);
    cr_assert_eq(verdict_refused(&verdict, &page->events[0], &why, true, 0), VERDICT_NOTHING);
    cr_assert_not(verdict.trouble.active);
    cr_assert_eq(verdict_deadline(&verdict, 0), CLOCK_NEVER);
}

Test(verdict, P5_what_the_oldest_event_waits_for_is_told_once_and_holds_nothing_back)
{
    struct outcome few = {.kind = OUTCOME_TOPIC, .name = "NOT_ENOUGH_REPLICAS"},
                   none = {.kind = OUTCOME_TOPIC, .name = "LEADER_NOT_AVAILABLE"};
    cr_assert_not(verdict_waits(&verdict, &page->events[2], NULL));
    cr_assert_null(verdict_trouble(&verdict));
    cr_assert(verdict_waits(&verdict, &page->events[2], &few));
    cr_assert_not(verdict_waits(&verdict, &page->events[2], &few));
    cr_assert_eq(verdict_trouble(&verdict)->event_id, 102);
    cr_assert(verdict_allows(&verdict, 9, 0), "librdkafka tries by itself");
    cr_assert(verdict_waits(&verdict, &page->events[2], &none), "another reason is news");
    cr_assert(verdict_waits(&verdict, &page->events[3], &none), "another event is news");
    cr_assert(verdict_waits(&verdict, NULL, NULL), "it is over");
    cr_assert_not(verdict_waits(&verdict, NULL, NULL));
    cr_assert_null(verdict_trouble(&verdict));
}

Test(verdict, P5_what_an_event_waits_for_stands_until_no_event_up_to_it_is_left)
{
    struct outcome few = {.kind = OUTCOME_TOPIC, .name = "NOT_ENOUGH_REPLICAS"};
    cr_assert_not(verdict_still_waits(&verdict, &page->events[2]));
    cr_assert(verdict_waits(&verdict, &page->events[2], &few));
    cr_assert(verdict_still_waits(&verdict, &page->events[0]), "its transaction is sent anew");
    cr_assert(verdict_still_waits(&verdict, &page->events[2]));
    cr_assert_not(verdict_still_waits(&verdict, &page->events[3]));
    cr_assert_not(verdict_still_waits(&verdict, NULL));
}

Test(verdict, P5_what_the_relay_is_stuck_at_comes_before_what_it_waits_for)
{
    struct outcome few = {.kind = OUTCOME_TOPIC, .name = "NOT_ENOUGH_REPLICAS"}, why = outcome(OUTCOME_EVENT);
    cr_assert(verdict_waits(&verdict, &page->events[2], &few));
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, 0), VERDICT_STUCK);
    cr_assert_eq(verdict_trouble(&verdict)->event_id, 104);
}

Test(verdict, P5_another_reason_for_the_same_event_is_told)
{
    struct outcome silent = {.kind = OUTCOME_EVENT, .name = "NO_ANSWER"},
                   few = {.kind = OUTCOME_EVENT, .name = "NOT_ENOUGH_REPLICAS"};
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &silent, true, 0), VERDICT_STUCK);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &few, true, 0), VERDICT_STUCK);
}

Test(verdict, P5_an_event_refused_alone_is_a_dead_letter_unless_the_policy_is_to_stop)
{
    struct outcome why = outcome(OUTCOME_EVENT);
    verdict_init(&verdict, false, 42);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, false, 0), VERDICT_NOTHING);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, 0), VERDICT_DEAD);
    cr_assert_null(verdict_trouble(&verdict));
    cr_assert(verdict_stop(&verdict, &page->events[4], &why, 0), "there may be too many of them");
    cr_assert_not_null(verdict_trouble(&verdict));
}

Test(verdict, P5_a_topic_that_takes_nothing_is_paused_whatever_the_policy_is)
{
    struct outcome why = outcome(OUTCOME_TOPIC);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, false, 0), VERDICT_PAUSE);
    verdict_init(&verdict, false, 42);
    cr_assert_eq(verdict_refused(&verdict, &page->events[4], &why, true, 0), VERDICT_PAUSE);
    cr_assert_null(verdict_trouble(&verdict));
    cr_assert(verdict_allows(&verdict, 9, 0));
}
