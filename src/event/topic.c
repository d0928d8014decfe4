/* topic.c: interns topic names in an open-addressed table. Called for every row that is read, so a run of one
 * topic costs a memcmp. Never forgets a topic: other rooms keep pointers and arrays by index. */
#include "event/topic.h"

#include "base/error.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

struct topic_table {
    char **patterns;
    size_t pattern_count;
    struct topic **topics; /* by index */
    size_t *name_sizes;    /* by index */
    size_t count, capacity;
    size_t passed_over; /* topics that are not selected and kept apart */
    uint32_t *slots;    /* index + 1 of the topic whose hash leads here, 0: free */
    size_t slot_count;  /* a power of two, at least twice `count`: a probe ends soon */
    struct topic *last;
    size_t last_size;
};

bool
topic_is_reserved(const char *name)
{
    return strncmp(name, TOPIC_RESERVED_PREFIX, strlen(TOPIC_RESERVED_PREFIX)) == 0;
}

struct topic_table *
topic_table_new(char *const *patterns, size_t pattern_count)
{
    struct topic_table *table = must_calloc(1, sizeof *table);
    table->patterns = must_calloc(pattern_count, sizeof *table->patterns);
    table->pattern_count = pattern_count;
    for (size_t i = 0; i < pattern_count; i++)
        table->patterns[i] = must_strdup(patterns[i]);
    table->slot_count = 64;
    table->slots = must_calloc(table->slot_count, sizeof *table->slots);
    return table;
}

void
topic_table_free(struct topic_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->count; i++) {
        free(table->topics[i]->name);
        free(table->topics[i]);
    }
    for (size_t i = 0; i < table->pattern_count; i++)
        free(table->patterns[i]);
    free(table->patterns);
    free(table->topics);
    free(table->name_sizes);
    free(table->slots);
    free(table);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). Names come from people who may write to the outbox anyway, so nobody
 * gains by making them collide. */
static size_t
hash_name(const char *name, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
    return (size_t)(hash ^ hash >> 32);
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t
find_slot(const struct topic_table *table, const char *name, size_t size)
{
    size_t slot = hash_name(name, size) & (table->slot_count - 1);
    while (table->slots[slot] != 0) {
        size_t index = table->slots[slot] - 1;
        if (table->name_sizes[index] == size && memcmp(table->topics[index]->name, name, size) == 0)
            break;
        slot = (slot + 1) & (table->slot_count - 1);
    }
    return slot;
}

static void
grow(struct topic_table *table)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 16;
        table->topics = must_realloc(table->topics, table->capacity, sizeof(struct topic *));
        table->name_sizes = must_realloc(table->name_sizes, table->capacity, sizeof *table->name_sizes);
    }
    if ((table->count + 1) * 2 <= table->slot_count)
        return;
    free(table->slots);
    table->slot_count *= 2;
    table->slots = must_calloc(table->slot_count, sizeof *table->slots);
    for (size_t i = 0; i < table->count; i++)
        table->slots[find_slot(table, table->topics[i]->name, table->name_sizes[i])] = (uint32_t)i + 1;
}

static bool
is_selected(const struct topic_table *table, const char *name)
{
    for (size_t i = 0; i < table->pattern_count; i++)
        if (fnmatch(table->patterns[i], name, 0) == 0)
            return true;
    return false;
}

static struct topic *
add_topic(struct topic_table *table, const char *name, size_t size, bool selected)
{
    grow(table);
    struct topic *topic = must_calloc(1, sizeof *topic);
    topic->name = must_alloc(size + 1);
    memcpy(topic->name, name, size);
    topic->name[size] = '\0';
    topic->index = (uint32_t)table->count;
    topic->selected = selected;
    table->slots[find_slot(table, name, size)] = topic->index + 1;
    table->topics[table->count] = topic;
    table->name_sizes[table->count] = size;
    table->count++;
    return topic;
}

static struct topic *
find_topic(const struct topic_table *table, const char *name, size_t size)
{
    uint32_t found = table->slots[find_slot(table, name, size)];
    return found ? table->topics[found - 1] : NULL;
}

static struct topic *
others(struct topic_table *table)
{
    size_t size = strlen(TOPIC_OTHERS);
    struct topic *found = find_topic(table, TOPIC_OTHERS, size);
    return found ? found : add_topic(table, TOPIC_OTHERS, size, false);
}

static struct topic *
make_topic(struct topic_table *table, const char *name, size_t size)
{
    char text[TOPIC_NAME_SIZE];
    CHECK(size < sizeof text); /* the table's CHECK allows 249 */
    memcpy(text, name, size);
    text[size] = '\0';
    bool selected = is_selected(table, text);
    if (!selected && table->passed_over < TOPICS_PASSED_OVER)
        table->passed_over++;
    else if (!selected)
        return others(table);
    return add_topic(table, name, size, selected);
}

struct topic *
topic_intern(struct topic_table *table, const char *name, size_t size)
{
    if (table->last != NULL && table->last_size == size && memcmp(table->last->name, name, size) == 0)
        return table->last;
    struct topic *topic = find_topic(table, name, size);
    table->last = topic ? topic : make_topic(table, name, size);
    table->last_size = strlen(table->last->name);
    return table->last;
}

struct topic *
topic_intern_always(struct topic_table *table, const char *name, size_t size)
{
    char text[TOPIC_NAME_SIZE];
    struct topic *topic = find_topic(table, name, size);
    if (topic != NULL)
        return topic;
    CHECK(size < sizeof text);
    memcpy(text, name, size);
    text[size] = '\0';
    return add_topic(table, name, size, is_selected(table, text));
}

size_t
topic_count(const struct topic_table *table)
{
    return table->count;
}

struct topic *
topic_at(const struct topic_table *table, size_t index)
{
    CHECK(index < table->count);
    return table->topics[index];
}
