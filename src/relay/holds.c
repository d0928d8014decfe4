/* holds.c: a tree of topics and keys. Called by relay/aside.c for each event while there are dead letters, so finding is fast; removing,
 * once in a dead letter's life, looks at all of them. */
#include "relay/holds.h"

#include "base/error.h"
#include "event/page.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* An element of the tree, with the bytes of its key. */
struct element {
    struct hold hold;
    char key[];
};

static int
compare(const void *left, const void *right)
{
    const struct hold *a = &((const struct element *)left)->hold, *b = &((const struct element *)right)->hold;
    if (a->topic != b->topic)
        return a->topic->index < b->topic->index ? -1 : 1;
    if (a->key_size != b->key_size)
        return a->key_size < b->key_size ? -1 : 1;
    return a->key_size == 0 ? 0 : memcmp(a->key, b->key, a->key_size);
}

static const struct hold *
find(const struct holds *holds, const struct topic *topic, const char *key, size_t key_size)
{
    if (holds->count == 0 || key == NULL)
        return NULL;
    const struct element wanted = {.hold = {.topic = topic, .key = key, .key_size = key_size}};
    void *found = tfind(&wanted, &holds->tree, compare);
    return found != NULL ? &(*(struct element *const *)found)->hold : NULL;
}

int64_t
holds_of_key(const struct holds *holds, const struct event *event)
{
    const struct hold *hold = find(holds, event->topic, event->key, event->key_size);
    return hold != NULL ? hold->number : 0;
}

int64_t
holds_find(const struct holds *holds, const struct event *event)
{
    const struct hold *hold = find(holds, event->topic, event->key, event->key_size);
    if (hold == NULL)
        return 0;
    const struct page *page = event->page;
    bool later = hold->tick <= page->from_tick, same = !later && hold->tick <= page->tick_seq;
    return later || (same && event->id > hold->id) ? hold->number : 0;
}

bool
holds_add(struct holds *holds, const struct hold *hold)
{
    CHECK(hold->key != NULL);
    if (find(holds, hold->topic, hold->key, hold->key_size) != NULL)
        return true;
    if (holds->count == HOLDS_MOST)
        return false;
    struct element *element = must_alloc(sizeof *element + hold->key_size);
    memcpy(element->key, hold->key, hold->key_size);
    element->hold = *hold;
    element->hold.key = element->key;
    CHECK(tsearch(element, &holds->tree, compare) != NULL);
    holds->count++;
    return true;
}

struct search {
    int64_t number;
    struct element *found;
};

/* twalk_r(3) tells each inner node three times. */
static void
look_at(const void *node, VISIT visit, void *context)
{
    struct search *search = context;
    struct element *element = *(struct element *const *)node;
    if ((visit == postorder || visit == leaf) && element->hold.number == search->number)
        search->found = element;
}

void
holds_remove(struct holds *holds, int64_t number)
{
    struct search search = {.number = number};
    twalk_r(holds->tree, look_at, &search);
    if (search.found == NULL)
        return;
    tdelete(search.found, &holds->tree, compare);
    free(search.found);
    holds->count--;
}

void
holds_clear(struct holds *holds)
{
    tdestroy(holds->tree, free);
    *holds = (struct holds){0};
}
