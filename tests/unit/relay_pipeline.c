/* relay_pipeline.c: the edge of what is confirmed and the order of sending (I1, I2), without any server. */
#include "relay/pipeline.h"

#include "base/error.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct pipeline pipeline;
static struct pipeline_edge edge;

static struct page *
make_page(int64_t tick_seq, int64_t first_id, size_t count, bool last_of_tick)
{
    struct page *page = page_new(tick_seq);
    for (size_t i = 0; i < count; i++) {
        struct event *event = page_add(page);
        event->id = first_id + (int64_t)i;
        event->payload_size = 100;
        page->cost += event_cost(event);
    }
    page->last_id = first_id + (int64_t)count - 1;
    page->last_of_tick = last_of_tick;
    return page;
}

static struct event *
send_next(void)
{
    struct event *event = pipeline_next(&pipeline);
    cr_assert(event != NULL);
    pipeline_sent(&pipeline, event);
    return event;
}

static void
clear(void)
{
    for (struct page *page = pipeline.head; page != NULL; page = page->later)
        for (size_t i = 0; i < page->count; i++)
            if (page->events[i].state == EVENT_SENT)
                pipeline_returned(&pipeline, &page->events[i]);
    pipeline_clear(&pipeline);
}

TestSuite(pipeline, .fini = clear);

Test(pipeline, I2_events_are_sent_in_the_order_of_ticks_and_ids)
{
    pipeline_push(&pipeline, make_page(7, 100, 3, false));
    pipeline_push(&pipeline, make_page(7, 103, 2, true));
    pipeline_push(&pipeline, make_page(8, 50, 2, true)); /* a late transaction has lower ids */
    static const int64_t order[] = {100, 101, 102, 103, 104, 50, 51};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        cr_assert_eq(send_next()->id, order[i]);
    cr_assert_null(pipeline_next(&pipeline));
}

Test(pipeline, I1_the_edge_never_passes_an_event_that_is_not_acknowledged)
{
    struct event *events[5];
    pipeline_push(&pipeline, make_page(7, 100, 5, true));
    for (size_t i = 0; i < 5; i++)
        events[i] = send_next();
    pipeline_acknowledged(&pipeline, events[1]);
    pipeline_acknowledged(&pipeline, events[4]);
    cr_assert_not(pipeline_settle(&pipeline, &edge));
    pipeline_acknowledged(&pipeline, events[0]);
    cr_assert(pipeline_settle(&pipeline, &edge));
    cr_assert_eq(edge.seq, 6);
    cr_assert_eq(edge.id, 101);
    cr_assert_not(pipeline_settle(&pipeline, &edge));
    pipeline_acknowledged(&pipeline, events[2]);
    pipeline_acknowledged(&pipeline, events[3]);
    cr_assert(pipeline_settle(&pipeline, &edge));
    cr_assert_eq(edge.seq, 7);
    cr_assert_eq(edge.id, 0);
    cr_assert_eq(pipeline.pages, 0);
    cr_assert_eq(pipeline.cost, 0);
    cr_assert_eq(pipeline.cost_out, 0);
}

Test(pipeline, I1_the_edge_stops_inside_a_tick_at_the_last_whole_page)
{
    pipeline_push(&pipeline, make_page(7, 100, 2, false));
    pipeline_push(&pipeline, make_page(7, 102, 2, true));
    pipeline_acknowledged(&pipeline, send_next());
    pipeline_acknowledged(&pipeline, send_next());
    cr_assert(pipeline_settle(&pipeline, &edge));
    cr_assert_eq(edge.seq, 6);
    cr_assert_eq(edge.id, 101);
}

Test(pipeline, a_tick_whose_events_are_all_passed_over_is_settled_at_once)
{
    pipeline_push(&pipeline, make_page(7, 100, 0, true));
    cr_assert_null(pipeline_next(&pipeline));
    cr_assert(pipeline_settle(&pipeline, &edge));
    cr_assert_eq(edge.seq, 7);
}

Test(pipeline, I1_a_page_without_events_in_the_middle_of_a_tick_moves_nothing)
{
    struct page *empty = make_page(7, 100, 0, false);
    empty->last_id = 0;
    pipeline_push(&pipeline, empty);
    cr_assert_not(pipeline_settle(&pipeline, &edge));
    cr_assert_eq(pipeline.pages, 0);
    pipeline_push(&pipeline, make_page(7, 100, 1, false));
    pipeline_push(&pipeline, make_page(7, 101, 0, false));
    pipeline_acknowledged(&pipeline, send_next());
    cr_assert(pipeline_settle(&pipeline, &edge));
    cr_assert_eq(edge.seq, 6);
    cr_assert_eq(edge.id, 100);
}

Test(pipeline, I2_returned_events_are_sent_again_in_order_without_the_acknowledged_ones)
{
    struct event *events[6];
    pipeline_push(&pipeline, make_page(7, 100, 3, false));
    pipeline_push(&pipeline, make_page(7, 103, 3, true));
    for (size_t i = 0; i < 5; i++)
        events[i] = send_next();
    pipeline_acknowledged(&pipeline, events[2]);
    pipeline_returned(&pipeline, events[4]);
    pipeline_returned(&pipeline, events[0]);
    pipeline_returned(&pipeline, events[3]);
    pipeline_returned(&pipeline, events[1]);
    cr_assert_eq(pipeline.events_out, 0);
    static const int64_t order[] = {100, 101, 103, 104, 105};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        cr_assert_eq(send_next()->id, order[i]);
    cr_assert_null(pipeline_next(&pipeline));
}

Test(pipeline, exactly_once_the_oldest_unanswered_event_stands_behind_those_that_wait_for_their_commit)
{
    struct event *events[3];
    pipeline.exact = true;
    cr_assert_null(pipeline_oldest_unanswered(&pipeline));
    pipeline_push(&pipeline, make_page(7, 100, 2, false));
    pipeline_push(&pipeline, make_page(7, 102, 1, true));
    for (size_t i = 0; i < 3; i++)
        events[i] = send_next();
    pipeline_acknowledged(&pipeline, events[0]);
    pipeline_acknowledged(&pipeline, events[1]);
    cr_assert_not(pipeline_settle(&pipeline, &edge));
    cr_assert_eq(pipeline_oldest(&pipeline)->id, 100);
    cr_assert_eq(pipeline_oldest_unanswered(&pipeline)->id, 102);
    pipeline_returned(&pipeline, events[2]);
    pipeline_rewind(&pipeline);
    cr_assert_eq(pipeline_oldest_unanswered(&pipeline)->id, 100, "its transaction is lost");
    for (size_t i = 0; i < 3; i++)
        pipeline_acknowledged(&pipeline, send_next());
    cr_assert_null(pipeline_oldest_unanswered(&pipeline));
}

/* librdkafka's part of an event is free when the event is acknowledged, and needed again when its transaction is lost. */
Test(pipeline, I6_what_waits_for_its_commit_costs_what_is_kept_of_it)
{
    enum { EVENTS = 3, KEPT = 100 + EVENT_KEPT_OVERHEAD, LENT = EVENT_OVERHEAD - EVENT_KEPT_OVERHEAD };
    struct event *events[EVENTS];
    pipeline.exact = true;
    pipeline_push(&pipeline, make_page(7, 100, EVENTS, true));
    cr_expect_eq(pipeline.cost, EVENTS * (KEPT + LENT));
    for (size_t i = 0; i < EVENTS; i++)
        events[i] = send_next();
    pipeline_acknowledged(&pipeline, events[0]);
    pipeline_acknowledged(&pipeline, events[1]);
    cr_expect_eq(pipeline.cost, EVENTS * (KEPT + LENT) - 2 * LENT);
    pipeline_returned(&pipeline, events[2]);
    pipeline_rewind(&pipeline);
    cr_expect_eq(pipeline.cost, EVENTS * (KEPT + LENT));
    cr_expect(pipeline_has_room(&pipeline, events[0], 1), "one alone has room");
    send_next();
    cr_expect_not(pipeline_has_room(&pipeline, events[1], EVENTS * KEPT + 2 * LENT - 1));
    cr_expect(pipeline_has_room(&pipeline, events[1], EVENTS * KEPT + 2 * LENT));
    pipeline_acknowledged(&pipeline, events[0]);
    for (size_t i = 1; i < EVENTS; i++)
        pipeline_acknowledged(&pipeline, send_next());
    pipeline.committed = EVENTS;
    cr_expect(pipeline_settle(&pipeline, &edge));
    cr_expect(pipeline.cost == 0 && pipeline.kept == 0 && pipeline.cost_out == 0 && pipeline.kept_out == 0);
}

Test(pipeline, the_oldest_event_is_the_first_that_is_not_acknowledged)
{
    struct event *events[2];
    cr_assert_null(pipeline_oldest(&pipeline));
    pipeline_push(&pipeline, make_page(7, 100, 1, false));
    pipeline_push(&pipeline, make_page(7, 101, 1, true));
    events[0] = send_next();
    events[1] = send_next();
    pipeline_acknowledged(&pipeline, events[1]);
    cr_assert_eq(pipeline_oldest(&pipeline)->id, 100);
    pipeline_acknowledged(&pipeline, events[0]);
    cr_assert(pipeline_settle(&pipeline, &edge));
    cr_assert_null(pipeline_oldest(&pipeline));
}

/* Random sends, acknowledgements and failures against a plain model: nothing is lost, the edge is right at every moment. */
Test(pipeline, I1_random_reports_never_move_the_edge_over_a_gap)
{
    enum { PAGES = 40, PER_PAGE = 25, TOTAL = PAGES * PER_PAGE };
    static struct event *out[TOTAL];
    static bool acknowledged[TOTAL + 1];
    size_t out_count = 0, done = 0;
    int64_t reached = 0;
    srand(7);
    for (int i = 0; i < PAGES; i++)
        pipeline_push(&pipeline, make_page(1 + i / 4, 1 + (int64_t)i * PER_PAGE, PER_PAGE, i % 4 == 3));
    while (done < TOTAL) {
        struct event *event = rand() % 3 ? pipeline_next(&pipeline) : NULL;
        if (event != NULL) {
            pipeline_sent(&pipeline, event);
            out[out_count++] = event;
        } else if (out_count > 0) {
            size_t pick = (size_t)rand() % out_count;
            event = out[pick];
            out[pick] = out[--out_count];
            if (rand() % 4 == 0) {
                pipeline_returned(&pipeline, event);
            } else {
                acknowledged[event->id] = true;
                done++;
                pipeline_acknowledged(&pipeline, event);
            }
        }
        if (pipeline_settle(&pipeline, &edge)) {
            int64_t id = edge.id ? edge.id : edge.seq * 4 * PER_PAGE;
            cr_assert_gt(id, reached);
            for (; reached < id; reached++)
                cr_assert(acknowledged[reached + 1], "the edge passed event %d", (int)reached + 1);
            cr_assert(reached == TOTAL || !acknowledged[reached + 1], "the edge lags behind");
        }
    }
    cr_assert_eq(reached, TOTAL);
}

/* ---- exactly once ---- */

static void
acknowledge_next(size_t count)
{
    while (count-- > 0)
        pipeline_acknowledged(&pipeline, send_next());
}

static void
count(void *context, const struct event *event)
{
    int64_t *sum = context;
    *sum += event->id;
}

Test(pipeline, I1_exactly_once_the_edge_moves_only_when_the_transaction_is_committed)
{
    int64_t ids = 0;
    pipeline.exact = true;
    pipeline_push(&pipeline, make_page(7, 10, 2, true));
    pipeline_push(&pipeline, make_page(8, 20, 2, true));
    acknowledge_next(3);
    cr_assert_not(pipeline_settle(&pipeline, &edge));
    const struct event *last = pipeline_last_before(&pipeline, pipeline_serial(pipeline_next(&pipeline)));
    cr_assert(last != NULL && last->id == 20);
    pipeline_commit(&pipeline, 3, count, &ids);
    cr_expect_eq(ids, 10 + 11 + 20);
    cr_assert(pipeline_settle(&pipeline, &edge));
    cr_expect(edge.seq == 7 && edge.id == 20);
    cr_expect_null(pipeline_last_before(&pipeline, 3), "nothing is uncommitted");
    pipeline_commit(&pipeline, 3, count, &ids);
    cr_expect_eq(ids, 41, "an event is counted once");
}

Test(pipeline, I1_exactly_once_what_a_lost_transaction_held_is_sent_again_and_nothing_else)
{
    int64_t ids = 0;
    pipeline.exact = true;
    pipeline_push(&pipeline, make_page(7, 10, 3, true));
    pipeline_push(&pipeline, make_page(8, 20, 3, true));
    acknowledge_next(2);
    pipeline_commit(&pipeline, 2, count, &ids);
    acknowledge_next(3); /* 12, 20, 21: acknowledged, and their transaction is lost */
    pipeline_rewind(&pipeline);
    static const int64_t again[] = {12, 20, 21, 22};
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        cr_expect_eq(send_next()->id, again[i]);
}

Test(pipeline, exactly_once_a_commit_in_doubt_that_has_happened_takes_its_events_along)
{
    int64_t ids = 0;
    pipeline.exact = true;
    pipeline_push(&pipeline, make_page(7, 10, 3, true));
    acknowledge_next(2);
    pipeline_rewind(&pipeline);
    pipeline_commit(&pipeline, 2, count, &ids); /* Kafka says so */
    cr_expect_eq(ids, 21);
    cr_expect_eq(send_next()->id, 12);
}

Test(pipeline, exactly_once_events_that_come_after_a_drop_belong_to_no_older_transaction)
{
    pipeline.exact = true;
    pipeline_push(&pipeline, make_page(7, 10, 2, true));
    pipeline_clear(&pipeline);
    pipeline_push(&pipeline, make_page(7, 10, 2, true));
    acknowledge_next(2);
    cr_expect_not(pipeline_settle(&pipeline, &edge));
    cr_expect_eq(pipeline_last_before(&pipeline, pipeline.next_serial)->id, 11);
}
