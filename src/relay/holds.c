/* holds.c: a tree of topics and keys. Called by relay/aside.c for each event while there are dead letters, so finding is fast; removing,
 * once in a dead letter's life, looks at all of them. */
#include "relay/holds.h"

#include "base/error.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct waiting_key {
    const struct topic *topic;
    const char *key;
    size_t key_size;
    int64_t hold;
    char bytes[]; /* the key of an entry in the tree */
};

static int
compare(const void *left, const void *right)
{
    const struct waiting_key *a = left, *b = right;
    if (a->topic != b->topic)
        return a->topic->index < b->topic->index ? -1 : 1;
    if (a->key_size != b->key_size)
        return a->key_size < b->key_size ? -1 : 1;
    return a->key_size == 0 ? 0 : memcmp(a->key, b->key, a->key_size);
}

int64_t
holds_find(const struct holds *holds, const struct topic *topic, const char *key, size_t key_size)
{
    if (holds->count == 0 || key == NULL)
        return 0;
    const struct waiting_key wanted = {.topic = topic, .key = key, .key_size = key_size};
    void *found = tfind(&wanted, &holds->tree, compare);
    return found != NULL ? (*(struct waiting_key *const *)found)->hold : 0;
}

bool
holds_add(struct holds *holds, const struct topic *topic, const char *key, size_t key_size, int64_t hold)
{
    CHECK(key != NULL);
    if (holds_find(holds, topic, key, key_size) != 0)
        return true;
    if (holds->count == HOLDS_MOST)
        return false;
    struct waiting_key *entry = must_alloc(sizeof *entry + key_size);
    memcpy(entry->bytes, key, key_size);
    entry->topic = topic;
    entry->key = entry->bytes;
    entry->key_size = key_size;
    entry->hold = hold;
    CHECK(tsearch(entry, &holds->tree, compare) != NULL);
    holds->count++;
    return true;
}

/* twalk_r(3) tells each inner node three times. */
struct search {
    int64_t hold;
    struct waiting_key *found;
};

static void
look_for(const void *node, VISIT visit, void *context)
{
    struct search *search = context;
    struct waiting_key *entry = *(struct waiting_key *const *)node;
    if ((visit == postorder || visit == leaf) && entry->hold == search->hold)
        search->found = entry;
}

static struct waiting_key *
find_hold(const struct holds *holds, int64_t hold)
{
    struct search search = {.hold = hold};
    twalk_r(holds->tree, look_for, &search);
    return search.found;
}

void
holds_remove(struct holds *holds, int64_t hold)
{
    struct waiting_key *entry = find_hold(holds, hold);
    if (entry == NULL)
        return;
    tdelete(entry, &holds->tree, compare);
    free(entry);
    holds->count--;
}

bool
holds_has(const struct holds *holds, int64_t hold)
{
    return find_hold(holds, hold) != NULL;
}

void
holds_clear(struct holds *holds)
{
    tdestroy(holds->tree, free);
    *holds = (struct holds){0};
}
