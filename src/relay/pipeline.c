/* pipeline.c: pages in flight and the edge of what is acknowledged. Called by the relay for each event sent and each report;
 * it must never let the edge pass an event that Kafka did not acknowledge. */
#include "relay/pipeline.h"

#include "base/error.h"

/* Of an event's cost, what is librdkafka's. */
static size_t
lent(const struct event *event)
{
    return event_cost(event) - event_kept(event);
}

void
pipeline_push(struct pipeline *pipeline, struct page *page)
{
    page->first_serial = pipeline->next_serial;
    pipeline->next_serial += page->count;
    page->later = NULL;
    if (pipeline->tail != NULL)
        pipeline->tail->later = page;
    else
        pipeline->head = page;
    pipeline->tail = page;
    pipeline->pages++;
    pipeline->cost += page->cost;
    for (size_t i = 0; i < page->count; i++)
        page->kept += event_kept(&page->events[i]);
    pipeline->kept += page->kept;
    if (pipeline->sending == NULL)
        pipeline->sending = page;
}

struct event *
pipeline_next(struct pipeline *pipeline)
{
    for (struct page *page; (page = pipeline->sending) != NULL; pipeline->sending = page->later)
        for (; page->next < page->count; page->next++)
            if (page->events[page->next].state == EVENT_UNSENT)
                return &page->events[page->next];
    return NULL;
}

uint64_t
pipeline_serial(const struct event *event)
{
    return event->page->first_serial + (uint64_t)(event - event->page->events);
}

bool
pipeline_has_room(const struct pipeline *pipeline, const struct event *event, int64_t memory)
{
    size_t lent_out = pipeline->cost_out - pipeline->kept_out;
    return pipeline->events_out == 0 || pipeline->kept + lent_out + lent(event) <= (size_t)memory;
}

void
pipeline_sent(struct pipeline *pipeline, struct event *event)
{
    CHECK(event->state == EVENT_UNSENT);
    event->state = EVENT_SENT;
    pipeline->events_out++;
    pipeline->cost_out += event_cost(event);
    pipeline->kept_out += event_kept(event);
}

static void
came_back(struct pipeline *pipeline, struct event *event, enum event_state state)
{
    CHECK(event->state == EVENT_SENT);
    event->state = state;
    pipeline->events_out--;
    pipeline->cost_out -= event_cost(event);
    pipeline->kept_out -= event_kept(event);
}

void
pipeline_acknowledged(struct pipeline *pipeline, struct event *event)
{
    came_back(pipeline, event, EVENT_ACKNOWLEDGED);
    event->page->freed += lent(event);
    pipeline->cost -= lent(event);
}

void
pipeline_returned(struct pipeline *pipeline, struct event *event)
{
    struct page *page = event->page;
    size_t index = (size_t)(event - page->events);
    came_back(pipeline, event, EVENT_UNSENT);
    if (page->next > index)
        page->next = index;
    if (pipeline->sending == NULL || page->first_serial < pipeline->sending->first_serial)
        pipeline->sending = page;
}

/* A page that is settled whole leaves; `sending` can point to it only when it has no events. */
static void
leave(struct pipeline *pipeline)
{
    struct page *page = pipeline->head;
    if (pipeline->sending == page)
        pipeline->sending = page->later;
    pipeline->head = page->later;
    if (pipeline->head == NULL)
        pipeline->tail = NULL;
    pipeline->pages--;
    pipeline->cost -= page->cost - page->freed;
    pipeline->kept -= page->kept;
    page_free(page);
}

/* Of a state that the database has to hear of: how many there are. */
static size_t *
waiting(struct pipeline *pipeline, const struct event *event, enum event_state state)
{
    if (state == EVENT_PASSED && event->page->side == 0)
        return &pipeline->passed;
    return state == EVENT_REFUSED ? &pipeline->refused : state == EVENT_HELD ? &pipeline->held : NULL;
}

void
pipeline_set_aside(struct pipeline *pipeline, struct event *event, enum event_state state)
{
    size_t *before = waiting(pipeline, event, event->state), *after = waiting(pipeline, event, state);
    CHECK(state == EVENT_ASIDE ? event->state != EVENT_SENT && event->state != EVENT_ACKNOWLEDGED
                               : event->state == EVENT_UNSENT);
    if (before != NULL)
        --*before;
    if (after != NULL)
        ++*after;
    event->state = state;
}

/* Nothing takes it back any more. */
static bool
is_settled(const struct pipeline *pipeline, const struct page *page, size_t index)
{
    enum event_state state = page->events[index].state;
    bool ended =
        state == EVENT_ACKNOWLEDGED || state == EVENT_ASIDE || (state == EVENT_PASSED && page->side != 0);
    return ended && (!pipeline->exact || page->first_serial + index < pipeline->committed);
}

static void
settle_events(const struct pipeline *pipeline, struct page *page)
{
    while (page->settled < page->count && is_settled(pipeline, page, page->settled))
        page->settled++;
}

bool
pipeline_settle(struct pipeline *pipeline, struct pipeline_edge *edge)
{
    bool moved = false;
    for (struct page *page; (page = pipeline->head) != NULL && page->side == 0;) {
        size_t before = page->settled;
        settle_events(pipeline, page);
        if (page->settled < page->count) {
            if (page->settled == before)
                return moved;
            *edge = (struct pipeline_edge){page->tick_seq - 1, page->events[page->settled - 1].id};
            return true;
        }
        /* A page may hold nothing, because a large event comes first in the next one: it is no progress. */
        bool progress = page->count > 0 || page->last_of_tick;
        if (progress && page->last_of_tick)
            *edge = (struct pipeline_edge){page->tick_seq, 0};
        else if (progress)
            *edge = (struct pipeline_edge){page->tick_seq - 1, page->last_id};
        moved = moved || progress;
        leave(pipeline);
    }
    return moved;
}

const struct event *
pipeline_oldest(const struct pipeline *pipeline)
{
    for (const struct page *page = pipeline->head; page != NULL; page = page->later)
        if (page->settled < page->count)
            return &page->events[page->settled];
    return NULL;
}

struct event *
pipeline_oldest_unanswered(struct pipeline *pipeline)
{
    for (struct page *page = pipeline->head; page != NULL; page = page->later) {
        while (page->answered < page->count && page->events[page->answered].state > EVENT_SENT)
            page->answered++;
        if (page->answered < page->count)
            return &page->events[page->answered];
    }
    return NULL;
}

/* ---- side work ---- */

struct page *
pipeline_side(struct pipeline *pipeline)
{
    struct page *page = pipeline->head;
    if (page == NULL || page->side == 0)
        return NULL;
    settle_events(pipeline, page);
    bool whole = page->settled == page->count && (!pipeline->exact || page->side_committed);
    return whole ? page : NULL;
}

int64_t
pipeline_side_progress(const struct page *page, uint64_t serial)
{
    size_t done = 0;
    while (done < page->count && page->first_serial + done < serial &&
           (page->events[done].state == EVENT_ACKNOWLEDGED || page->events[done].state == EVENT_ASIDE))
        done++;
    if (done == page->count && page->side_end != 0)
        return page->side_end;
    return done > 0 ? page->events[done - 1].id : 0;
}

void
pipeline_side_done(struct pipeline *pipeline)
{
    CHECK(pipeline_side(pipeline) != NULL);
    leave(pipeline);
}

/* ---- exactly once ---- */

const struct event *
pipeline_last_before(const struct pipeline *pipeline, uint64_t serial)
{
    const struct event *last = NULL;
    for (const struct page *page = pipeline->head; page != NULL && page->first_serial < serial;
         page = page->later) {
        uint64_t upto = serial - page->first_serial < page->count ? serial - page->first_serial : page->count;
        if (page->side == 0 && upto > 0 && page->first_serial + upto > pipeline->committed)
            last = &page->events[upto - 1];
    }
    return last;
}

void
pipeline_ask_commit(struct pipeline *pipeline, uint64_t serial, pipeline_visit_page *visit, void *context)
{
    bool whole = true; /* so far, and everything before */
    for (struct page *page = pipeline->head; page != NULL; page = page->later) {
        bool begun = whole && page->first_serial <= serial;
        whole = begun && page->first_serial + page->count <= serial;
        page->side_asked = whole;
        if (begun && page->side != 0 && !page->side_committed)
            visit(context, page);
    }
}

void
pipeline_forget_asked(struct pipeline *pipeline)
{
    for (struct page *page = pipeline->head; page != NULL; page = page->later)
        page->side_asked = false;
}

void
pipeline_commit(struct pipeline *pipeline, uint64_t serial, pipeline_visit *visit, void *context)
{
    for (struct page *page = pipeline->head; page != NULL; page = page->later) {
        page->side_committed = page->side_committed || page->side_asked;
        for (size_t i = page->settled; i < page->count && page->first_serial + i < serial; i++)
            if (page->first_serial + i >= pipeline->committed) {
                enum event_state state = page->events[i].state;
                CHECK(state != EVENT_SENT && state != EVENT_REFUSED && state != EVENT_HELD);
                if (state == EVENT_ASIDE || state == EVENT_PASSED)
                    continue;
                page->events[i].state = EVENT_ACKNOWLEDGED;
                visit(context, &page->events[i]);
            }
    }
    if (serial > pipeline->committed)
        pipeline->committed = serial;
}

static void
rewind_event(struct pipeline *pipeline, struct event *event)
{
    event->page->freed -= lent(event);
    pipeline->cost += lent(event);
    event->state = EVENT_UNSENT;
}

void
pipeline_rewind(struct pipeline *pipeline)
{
    CHECK(pipeline->events_out == 0);
    for (struct page *page = pipeline->head; page != NULL; page = page->later) {
        for (size_t i = page->settled; i < page->count; i++)
            if (page->first_serial + i >= pipeline->committed && page->events[i].state == EVENT_ACKNOWLEDGED)
                rewind_event(pipeline, &page->events[i]);
        page->next = page->answered = page->settled;
    }
    pipeline->sending = pipeline->head;
}

size_t
pipeline_unsent_settled(const struct pipeline *pipeline)
{
    size_t count = 0;
    for (const struct page *page = pipeline->head; page != NULL; page = page->later) {
        count += page->side != 0 && page->count == 0 && !page->side_committed;
        for (size_t i = page->settled; i < page->count; i++) {
            enum event_state state = page->events[i].state;
            bool ended = state == EVENT_ASIDE || (state == EVENT_PASSED && page->side != 0);
            if (state == EVENT_UNSENT)
                return count; /* it comes first, and opens a transaction itself */
            count += ended && page->first_serial + i >= pipeline->committed;
        }
    }
    return count;
}

void
pipeline_clear(struct pipeline *pipeline)
{
    CHECK(pipeline->events_out == 0);
    while (pipeline->head != NULL)
        leave(pipeline);
    pipeline->sending = NULL;
    pipeline->refused = pipeline->held = pipeline->passed = 0;
    pipeline->committed = pipeline->next_serial;
}
