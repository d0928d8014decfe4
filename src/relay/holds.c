/* holds.c: two hash tables of the same holds, by topic and digest of the key, and by number. Called by relay/aside.c for each event while there
 * are dead letters: an event of a topic without any costs the look at a counter. */
#include "relay/holds.h"

#include "base/error.h"
#include "event/page.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* More than HOLDS_MOST, and never grown: a mebibyte each, of which only what is used is ever there. */
#define BUCKETS ((size_t)1 << 17)

struct hold_element {
    struct hold hold;
    size_t marks;
    struct hold_element *next_of_key, *next_of_number;
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

static struct hold_element **
bucket_of_number(const struct holds *holds, int64_t number)
{
    return &holds->by_number[(uint64_t)number % BUCKETS];
}

static bool
is_same_key(const struct hold *a, const struct hold *b)
{
    return a->topic == b->topic && memcmp(a->key, b->key, sizeof a->key) == 0;
}

static struct hold_element *
at_key(const struct holds *holds, const struct hold *wanted)
{
    struct hold_element *element = *bucket_of_key(holds, wanted);
    while (element != NULL && !is_same_key(&element->hold, wanted))
        element = element->next_of_key;
    return element;
}

static struct hold_element *
at_number(const struct holds *holds, int64_t number)
{
    struct hold_element *element = holds->count > 0 ? *bucket_of_number(holds, number) : NULL;
    while (element != NULL && element->hold.number != number)
        element = element->next_of_number;
    return element;
}

static struct hold_element *
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
    const struct hold_element *element = of_event(holds, event);
    return element != NULL ? element->hold.number : 0;
}

int64_t
holds_find(const struct holds *holds, const struct event *event)
{
    const struct hold_element *element = of_event(holds, event);
    if (element == NULL)
        return 0;
    const struct hold *hold = &element->hold;
    const struct page *page = event->page;
    bool later = hold->tick <= page->from_tick, same = !later && hold->tick <= page->tick_seq;
    return later || (same && event->id > hold->id) ? hold->number : 0;
}

void
holds_mark(struct holds *holds, const struct event *event)
{
    struct hold_element *element = of_event(holds, event);
    CHECK(element != NULL);
    element->marks++;
}

void
holds_unmark(struct holds *holds, const struct event *event)
{
    struct hold_element *element = of_event(holds, event);
    CHECK(element != NULL && element->marks > 0);
    element->marks--;
}

size_t
holds_marks(const struct holds *holds, int64_t number)
{
    const struct hold_element *element = at_number(holds, number);
    return element != NULL ? element->marks : 0;
}

/* ---- changes ---- */

static void
make_room(struct holds *holds, const struct topic *topic)
{
    if (holds->by_key == NULL) {
        holds->by_key = must_calloc(BUCKETS, sizeof(struct hold_element *));
        holds->by_number = must_calloc(BUCKETS, sizeof(struct hold_element *));
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
    struct hold_element *element = must_alloc(sizeof *element), **of_key = bucket_of_key(holds, hold),
                        **of_number = bucket_of_number(holds, hold->number);
    *element = (struct hold_element){.hold = *hold, .next_of_key = *of_key, .next_of_number = *of_number};
    *of_key = element;
    *of_number = element;
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
    struct hold_element *there = at_key(holds, &hold);
    if (there != NULL) {
        there->hold.tick = hold.tick;
        there->hold.id = hold.id;
        return true;
    }
    if (holds->count >= HOLDS_MOST)
        return false;
    insert(holds, &hold);
    return true;
}

static bool
is_later(const struct hold *hold, const struct hold *other)
{
    return hold->tick != other->tick ? hold->tick > other->tick : hold->id > other->id;
}

void
holds_load(struct holds *holds, const struct hold *hold)
{
    make_room(holds, hold->topic);
    const struct hold_element *there = at_key(holds, hold);
    if (there != NULL && (there->hold.number == hold->number || !is_later(hold, &there->hold)))
        return;
    if (there != NULL)
        holds_remove(holds, there->hold.number);
    insert(holds, hold);
}

void
holds_move(struct holds *holds, int64_t number, int64_t tick, int64_t id)
{
    struct hold_element *element = at_number(holds, number);
    if (element == NULL)
        return;
    element->hold.tick = tick;
    element->hold.id = id;
}

void
holds_remove(struct holds *holds, int64_t number)
{
    struct hold_element *element = at_number(holds, number);
    if (element == NULL)
        return;
    struct hold_element **of_key = bucket_of_key(holds, &element->hold),
                        **of_number = bucket_of_number(holds, number);
    while (*of_key != element)
        of_key = &(*of_key)->next_of_key;
    while (*of_number != element)
        of_number = &(*of_number)->next_of_number;
    *of_key = element->next_of_key;
    *of_number = element->next_of_number;
    holds->of_topic[element->hold.topic->index]--;
    holds->count--;
    free(element);
}

void
holds_clear(struct holds *holds)
{
    for (size_t i = 0; holds->count > 0; i++)
        while (holds->by_key[i] != NULL)
            holds_remove(holds, holds->by_key[i]->hold.number);
    free(holds->by_key);
    free(holds->by_number);
    free(holds->of_topic);
    EVP_MD_CTX_free(holds->sha256);
    *holds = (struct holds){0};
}
