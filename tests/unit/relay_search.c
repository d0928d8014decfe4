/* relay_search.c: the search for the event that a batch was refused for (verdict.h), against a broker of a few lines: it refuses
 * a batch that holds a culprit, and nothing behind it in its partition is taken, as the gapless producer promises. Whatever is
 * refused, no innocent is condemned, and a few instances find the culprit (P5, I2). */
#include "relay/pipeline.h"
#include "relay/verdict.h"

#include <criterion/criterion.h>

enum { EVENTS = 8000, FULL_BATCH = 7583, PARTITIONS = 2, INSTANCES = 5, BATCHES = 200 };

static struct verdict verdict;
static struct pipeline pipeline;
static struct topic topic = {.name = (char[]){"t"}};
static struct page *page;
static bool guilty[EVENTS];
static int partitions, instances, batches;

static void
set_up(void)
{
    verdict_init(&verdict, true, 42);
    page = page_new(1);
    for (int i = 0; i < EVENTS; i++) {
        struct event *event = page_add(page);
        event->id = i;
        event->topic = &topic;
    }
    pipeline_push(&pipeline, page);
    partitions = 1;
}

static void
tear_down(void)
{
    for (size_t i = 0; i < page->count; i++)
        page->events[i].state = EVENT_ACKNOWLEDGED;
    pipeline_clear(&pipeline);
}

TestSuite(search, .init = set_up, .fini = tear_down);

/* What the broker does with the events of one partition, which were handed over in batches of `limit`: true when it took all. */
static bool
deliver(struct event **events, size_t count, size_t limit)
{
    static const struct outcome refusal = {.kind = OUTCOME_EVENT, .code = 87, .name = "INVALID_RECORD"},
                                purged = {.kind = OUTCOME_UNSENT};
    bool refused = false;
    for (size_t from = 0, size; from < count; from += size) {
        bool innocent = true;
        size = count - from < limit ? count - from : limit;
        for (size_t i = from; i < from + size; i++)
            innocent = innocent && !guilty[events[i]->id];
        batches += !refused;
        for (size_t i = from; i < from + size; i++) {
            if (innocent && !refused) {
                pipeline_acknowledged(&pipeline, events[i]);
                continue;
            }
            pipeline_returned(&pipeline, events[i]);
            verdict_refused(&verdict, events[i], refused ? &purged : &refusal, limit == 1, 0);
        }
        refused = refused || !innocent;
    }
    return !refused;
}

/* One instance of the producer: everything that may be sent, in order; then what the edge says. True when nothing failed. */
static bool
run_instance(void)
{
    struct event *sent[PARTITIONS][EVENTS], *event;
    size_t counts[PARTITIONS] = {0}, limit = verdict_narrow(&verdict);
    struct pipeline_edge edge;
    bool good = true;
    while ((event = pipeline_next(&pipeline)) != NULL &&
           verdict_allows(&verdict, pipeline_serial(event), 0)) {
        int partition = (int)(event->id % partitions);
        pipeline_sent(&pipeline, event);
        sent[partition][counts[partition]++] = event;
    }
    for (int i = 0; i < partitions; i++)
        good = deliver(sent[i], counts[i], limit > 0 ? limit : FULL_BATCH) && good;
    instances++;
    pipeline_settle(&pipeline, &edge);
    const struct event *oldest = pipeline_oldest(&pipeline);
    verdict_reached(&verdict, oldest != NULL ? pipeline_serial(oldest) : pipeline.next_serial);
    return good;
}

/* Instances until one event is condemned. */
static void
search(void)
{
    instances = batches = 0;
    while (!verdict.trouble.active) {
        run_instance();
        cr_assert_leq(instances, INSTANCES);
    }
    cr_assert_leq(batches, BATCHES);
    cr_assert(guilty[verdict.trouble.event_id], "event %d is innocent", (int)verdict.trouble.event_id);
}

/* The event that the relay is stuck at is the first culprit; all before it is acknowledged, and nothing behind it. */
static void
expect_culprit(int id)
{
    search();
    cr_assert_eq(verdict.trouble.event_id, id);
    cr_assert_eq(pipeline_oldest(&pipeline)->id, id);
    for (int i = id; i < EVENTS; i++)
        cr_assert_eq(page->events[i].state, EVENT_UNSENT, "event %d", i);
}

/* Somebody heals the topic for the event that the relay is stuck at, and its next attempt comes. */
static void
heal(void)
{
    cr_assert(verdict.trouble.active);
    guilty[verdict.trouble.event_id] = false;
    verdict.trouble.retry_at_us = 0;
    cr_assert(run_instance());
    cr_assert_not(verdict.trouble.active);
}

/* What is left goes out, at last in full batches. */
static void
expect_rest(void)
{
    instances = 0;
    while (pipeline.pages > 0) {
        cr_assert(run_instance());
        cr_assert_leq(instances, 3);
    }
    cr_assert_not(verdict.suspecting);
    cr_assert_eq(verdict_narrow(&verdict), 0);
    page = page_new(2); /* for tear_down */
    pipeline_push(&pipeline, page);
}

Test(search, P5_the_first_event_of_a_batch_is_found)
{
    guilty[0] = true;
    expect_culprit(0);
    heal();
    expect_rest();
}

Test(search, P5_an_event_in_the_middle_of_a_batch_is_found)
{
    guilty[5000] = true;
    expect_culprit(5000);
    heal();
    expect_rest();
}

Test(search, P5_the_last_event_of_a_batch_is_found)
{
    guilty[FULL_BATCH - 1] = true;
    expect_culprit(FULL_BATCH - 1);
    heal();
    expect_rest();
}

Test(search, I2_of_two_culprits_the_first_is_found_and_the_other_when_that_one_is_healed)
{
    guilty[1234] = guilty[7000] = true;
    expect_culprit(1234);
    heal();
    expect_culprit(7000);
    heal();
    expect_rest();
}

Test(search, I2_neighbours_are_found_one_after_the_other)
{
    guilty[4711] = guilty[4712] = true;
    expect_culprit(4711);
    heal();
    expect_culprit(4712);
}

Test(search, I2_when_all_are_guilty_the_first_is_found)
{
    for (int i = 0; i < EVENTS; i++)
        guilty[i] = true;
    expect_culprit(0);
}

Test(search, P5_culprits_in_two_partitions_are_found_whatever_comes_first)
{
    partitions = 2;
    guilty[3001] = guilty[6000] = true;
    for (int i = 0; i < 2; i++) {
        search();
        heal();
    }
    expect_rest();
}

/* A topic that is being changed refuses and takes as it likes. */
Test(search, a_refusal_that_does_not_come_again_condemns_nobody)
{
    for (int refusals = 1; refusals < 4; refusals++) {
        guilty[5000] = true;
        for (int i = 0; i < refusals; i++)
            cr_assert_not(run_instance());
        guilty[5000] = false;
        cr_assert(verdict.suspecting);
        cr_assert_not(verdict.trouble.active);
        cr_assert(run_instance(), "the suspects are taken");
        cr_assert_not(verdict.suspecting);
        tear_down();
        set_up();
    }
}

/* Refused together in many partitions, they are more than a batch holds: the limit must fall all the same. */
Test(search, the_limit_falls_with_every_refusal_down_to_one)
{
    static const struct outcome refusal = {.kind = OUTCOME_EVENT};
    size_t limit = SIZE_MAX;
    for (int i = 0; limit > 1; i++) {
        for (int j = 0; j < EVENTS; j++)
            cr_assert_eq(verdict_refused(&verdict, &page->events[j], &refusal, false, 0), VERDICT_NOTHING);
        size_t next = verdict_narrow(&verdict);
        cr_assert_lt(next, limit);
        cr_assert_lt(i, INSTANCES);
        limit = next;
    }
    cr_assert_eq(limit, 1);
    cr_assert_eq(verdict_narrow(&verdict), 1, "an instance that ends for another reason changes nothing");
}
