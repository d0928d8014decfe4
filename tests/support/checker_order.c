/* checker_order.c: P2 as it is worded, judged on first copies: within (topic, key), whatever had committed
 * before an event was inserted comes first, and one transaction's events come in the order of its inserts.
 * Also counts the runs of re-sent records (P3).
 *
 * Each key's records are walked backwards. Remembered on the way are the smallest later counter, and of each
 * later transaction its xid and smallest id, sorted by xid; so an event is compared with what stands behind
 * it without looking at every pair. */
#include "support/checker_judge.h"

#include "support/scratch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct later_xid {
    uint64_t xid;
    int64_t smallest_id;
};

struct later {
    int64_t smallest_counter; /* INT64_MAX: none yet */
    struct later_xid *xids;   /* ascending */
    size_t count, capacity;
};

static int
compare_keys(const struct bytes *a, const struct bytes *b)
{
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* By topic, key, partition, offset: what a consumer may compare stands together, in the order it is read. */
static int
compare_places(const void *a, const void *b, void *context)
{
    const struct records *records = context;
    const struct record *left = &records->list[*(const size_t *)a],
                        *right = &records->list[*(const size_t *)b];
    int order = strcmp(left->topic, right->topic);
    if (order == 0)
        order = compare_keys(&left->key, &right->key);
    if (order == 0)
        order = (left->partition > right->partition) - (left->partition < right->partition);
    return order != 0 ? order : (left->offset > right->offset) - (left->offset < right->offset);
}

static bool
same_stream(const struct record *a, const struct record *b)
{
    return a->partition == b->partition && bytes_equal(a->key, b->key) && strcmp(a->topic, b->topic) == 0;
}

/* Index of the first remembered xid that is not below `xid`. */
static size_t
later_find(const struct later *later, uint64_t xid)
{
    size_t low = 0, high = later->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (later->xids[middle].xid < xid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
later_remember(struct later *later, const struct expected_event *event)
{
    if (event->counter > 0 && event->counter < later->smallest_counter)
        later->smallest_counter = event->counter;
    if (event->xid == 0)
        return;
    size_t at = later_find(later, event->xid);
    if (at < later->count && later->xids[at].xid == event->xid) {
        if (event->id < later->xids[at].smallest_id)
            later->xids[at].smallest_id = event->id;
        return;
    }
    if (later->count == later->capacity) {
        later->capacity = later->capacity ? later->capacity * 2 : 64;
        later->xids = must_realloc(later->xids, later->capacity, sizeof *later->xids);
    }
    memmove(&later->xids[at + 1], &later->xids[at], (later->count - at) * sizeof *later->xids);
    later->xids[at] = (struct later_xid){.xid = event->xid, .smallest_id = event->id};
    later->count++;
}

/* True when `xid` is among the running transactions of "xmin:xmax:xip,xip,..". */
static bool
snapshot_runs(const char *running, uint64_t xid)
{
    for (char *end; *running != '\0'; running = *end == ',' ? end + 1 : end) {
        uint64_t other = strtoull(running, &end, 10);
        if (other == xid)
            return true;
        if (end == running)
            test_fail("not a snapshot: %s", running);
    }
    return false;
}

/* Does a transaction whose events stand behind this one appear as committed in the snapshot it was inserted
 * with? */
static bool
later_had_committed(const struct later *later, const struct expected_event *event)
{
    char *end;
    if (event->snapshot == NULL || later->count == 0)
        return false;
    strtoull(event->snapshot, &end, 10);
    uint64_t xmax = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
    if (*end != ':')
        test_fail("not a snapshot: %s", event->snapshot);
    for (size_t i = 0; i < later->count && later->xids[i].xid < xmax; i++) {
        /* a snapshot never lists the transaction that took it */
        if (later->xids[i].xid != event->xid && !snapshot_runs(end + 1, later->xids[i].xid))
            return true;
    }
    return false;
}

static const char *
inversion(const struct later *later, const struct expected_event *event)
{
    if (event->counter > later->smallest_counter)
        return "counter";
    if (event->xid != 0) {
        size_t at = later_find(later, event->xid);
        if (at < later->count && later->xids[at].xid == event->xid && later->xids[at].smallest_id < event->id)
            return "one transaction's inserts";
    }
    return later_had_committed(later, event) ? "an earlier commit" : NULL;
}

static void
judge_stream(struct judgement *judgement, const size_t *places, size_t count)
{
    struct later later = {.smallest_counter = INT64_MAX};
    for (size_t i = count; i-- > 0;) {
        const struct record *record = &judgement->records->list[places[i]];
        const struct expected_event *event = &judgement->events->list[judgement->event_of[places[i]]];
        const char *why = inversion(&later, event);
        if (why != NULL) {
            judgement->verdict->reordered++;
            verdict_note(judgement->verdict,
                         "reordered: %s/%d@%" PRId64 " id=%" PRId64 " xid=%" PRIu64 " before %s",
                         record->topic, (int)record->partition, record->offset, event->id, event->xid, why);
        }
        later_remember(&later, event);
    }
    free(later.xids);
}

void
judge_order(struct judgement *judgement)
{
    const struct records *records = judgement->records;
    size_t *places = must_calloc(records->count, sizeof *places), count = 0;
    for (size_t i = 0; i < records->count; i++) {
        size_t event = judgement->event_of[i];
        if (event != NOBODY && judgement->first_of[event] == i && records->list[i].key.data != NULL)
            places[count++] = i;
    }
    qsort_r(places, count, sizeof *places, compare_places, (void *)(uintptr_t)records);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1;
             to < count && same_stream(&records->list[places[from]], &records->list[places[to]]);)
            to++;
        judge_stream(judgement, places + from, to - from);
    }
    free(places);
}

/* A partition being walked in offset order. */
struct walk {
    const char *topic;
    int32_t partition;
    size_t first_copies;
    size_t last_rank; /* of the run's newest copy; NOBODY: no copy yet */
};

static struct walk *
walk_of(struct walk **walks, size_t *count, const struct record *record)
{
    for (size_t i = 0; i < *count; i++)
        if ((*walks)[i].partition == record->partition && strcmp((*walks)[i].topic, record->topic) == 0)
            return &(*walks)[i];
    *walks = must_realloc(*walks, *count + 1, sizeof **walks);
    (*walks)[*count] =
        (struct walk){.topic = record->topic, .partition = record->partition, .last_rank = NOBODY};
    return &(*walks)[(*count)++];
}

void
judge_runs(struct judgement *judgement)
{
    struct walk *walks = NULL;
    size_t walk_count = 0;
    size_t *rank_of = must_calloc(judgement->events->count, sizeof *rank_of);
    for (size_t i = 0; i < judgement->records->count; i++) {
        size_t event = judgement->event_of[i];
        if (event == NOBODY || judgement->records->list[i].key.data == NULL)
            continue; /* without a key: each copy goes to any partition, so it neither makes nor breaks a run */
        struct walk *walk = walk_of(&walks, &walk_count, &judgement->records->list[i]);
        if (judgement->first_of[event] == i) {
            rank_of[event] = walk->first_copies++;
            continue;
        }
        if (walk->last_rank == NOBODY || rank_of[event] != walk->last_rank + 1)
            judgement->verdict->duplicate_runs++;
        walk->last_rank = rank_of[event];
    }
    free(rank_of);
    free(walks);
}
