/* holds.c: a hash table by topic and digest of the key. Called by relay/aside.c for each event while there are dead letters: an event of a topic
 * without any costs the look at a counter. Removing, once in a dead letter's life, looks at all of them. */
#include "relay/holds.h"

#include "base/error.h"
#include "event/page.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* More than HOLDS_MOST, and never grown: a mebibyte, of which only what is used is ever there. */
#define BUCKETS ((size_t)1 << 17)

struct hold_element {
    struct hold hold;
    struct hold_element *next;
};

/* As sha256(key) in Postgres. */
static void
digest(const struct holds *holds, const struct event *event, unsigned char key[KEY_DIGEST_SIZE])
{
    CHECK(EVP_DigestInit_ex(holds->sha256, NULL, NULL) == 1 &&
          EVP_DigestUpdate(holds->sha256, event->key, event->key_size) == 1 &&
          EVP_DigestFinal_ex(holds->sha256, key, NULL) == 1);
}

/* Any bytes of a digest are as good as a hash. */
static struct hold_element **
bucket_of_key(const struct holds *holds, const struct hold *hold)
{
    uint64_t bytes;
    memcpy(&bytes, hold->key, sizeof bytes);
    return &holds->by_key[(bytes + hold->topic->index) % BUCKETS];
}

static bool
is_same_key(const struct hold *a, const struct hold *b)
{
    return a->topic == b->topic && memcmp(a->key, b->key, sizeof a->key) == 0;
}

static const struct hold *
at_key(const struct holds *holds, const struct hold *wanted)
{
    const struct hold_element *element = *bucket_of_key(holds, wanted);
    while (element != NULL && !is_same_key(&element->hold, wanted))
        element = element->next;
    return element != NULL ? &element->hold : NULL;
}

static const struct hold *
of_event(const struct holds *holds, const struct event *event)
{
    size_t index = event->topic->index;
    struct hold wanted = {.topic = event->topic};
    if (event->key == NULL || index >= holds->topics || holds->of_topic[index] == 0)
        return NULL;
    digest(holds, event, wanted.key);
    return at_key(holds, &wanted);
}

int64_t
holds_of_key(const struct holds *holds, const struct event *event)
{
    const struct hold *hold = of_event(holds, event);
    return hold != NULL ? hold->number : 0;
}

int64_t
holds_find(const struct holds *holds, const struct event *event)
{
    const struct hold *hold = of_event(holds, event);
    if (hold == NULL)
        return 0;
    const struct page *page = event->page;
    bool later = hold->tick <= page->from_tick, same = !later && hold->tick <= page->tick_seq;
    return later || (same && event->id > hold->id) ? hold->number : 0;
}

/* ---- changes ---- */

static void
make_room(struct holds *holds, const struct topic *topic)
{
    if (holds->by_key == NULL) {
        holds->by_key = must_calloc(BUCKETS, sizeof(struct hold_element *));
        holds->sha256 = EVP_MD_CTX_new();
        /* the algorithm is looked up once: that takes longer than a digest */
        CHECK(holds->sha256 != NULL && EVP_DigestInit_ex(holds->sha256, EVP_sha256(), NULL) == 1);
    }
    if (topic->index < holds->topics)
        return;
    size_t topics = topic->index + (size_t)1;
    holds->of_topic = must_realloc(holds->of_topic, topics, sizeof *holds->of_topic);
    memset(holds->of_topic + holds->topics, 0, (topics - holds->topics) * sizeof *holds->of_topic);
    holds->topics = topics;
}

static void
insert(struct holds *holds, const struct hold *hold)
{
    struct hold_element *element = must_alloc(sizeof *element), **bucket = bucket_of_key(holds, hold);
    *element = (struct hold_element){*hold, *bucket};
    *bucket = element;
    holds->of_topic[hold->topic->index]++;
    holds->count++;
}

bool
holds_begin(struct holds *holds, const struct event *event)
{
    struct hold hold = {
        .topic = event->topic, .number = event->id, .tick = event->page->tick_seq, .id = event->id};
    CHECK(event->key != NULL);
    make_room(holds, event->topic);
    digest(holds, event, hold.key);
    if (at_key(holds, &hold) != NULL)
        return true;
    if (holds->count >= HOLDS_MOST)
        return false;
    insert(holds, &hold);
    return true;
}

void
holds_load(struct holds *holds, const struct hold *hold)
{
    make_room(holds, hold->topic);
    if (at_key(holds, hold) == NULL)
        insert(holds, hold);
}

static void
remove_at(struct holds *holds, struct hold_element **place)
{
    struct hold_element *element = *place;
    *place = element->next;
    holds->of_topic[element->hold.topic->index]--;
    holds->count--;
    free(element);
}

void
holds_remove(struct holds *holds, int64_t number)
{
    for (size_t i = 0; holds->count > 0 && i < BUCKETS; i++)
        for (struct hold_element **place = &holds->by_key[i]; *place != NULL; place = &(*place)->next)
            if ((*place)->hold.number == number) {
                remove_at(holds, place);
                return;
            }
}

void
holds_clear(struct holds *holds)
{
    for (size_t i = 0; holds->count > 0; i++)
        while (holds->by_key[i] != NULL)
            remove_at(holds, &holds->by_key[i]);
    free(holds->by_key);
    free(holds->of_topic);
    EVP_MD_CTX_free(holds->sha256);
    *holds = (struct holds){0};
}
