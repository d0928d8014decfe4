/* world.c: see world.h. Called by every part of the simulator; knows nothing of what happens in it. */
#include "simulator/world.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE ((size_t)1 << 20)
#define ALIGNMENT 16

struct chunk {
    struct chunk *next;
    size_t used;
    _Alignas(ALIGNMENT) char bytes[CHUNK_SIZE];
};

struct planned {
    int64_t at_us;
    uint64_t number;
    world_action *act;
    void *subject;
};

struct world world;

static uint64_t dice;
static struct chunk *chunks, *chunk; /* all, and the one in use */
static struct planned *heap;
static size_t heap_count, heap_capacity;
static uint64_t planned_count;

void
world_begin(uint64_t seed, bool traced)
{
    world = (struct world){.seed = seed, .now_us = WORLD_BEGIN_US, .traced = traced};
    dice = seed;
    heap_count = 0;
    planned_count = 0;
    for (chunk = chunks; chunk != NULL; chunk = chunk->next)
        chunk->used = 0;
    chunk = chunks;
}

/* ---- dice: splitmix64 (Steele, Lea, Flood 2014): any seed is a good one ---- */

uint64_t
world_random(void)
{
    uint64_t x = dice += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

int64_t
world_between(int64_t least, int64_t most)
{
    CHECK(least <= most);
    return least + (int64_t)(world_random() % (uint64_t)(most - least + 1));
}

bool
world_chance(int percent)
{
    return world_between(0, 99) < percent;
}

bool
world_fault(int percent)
{
    return !world.calm && world_chance(percent);
}

/* ---- time ---- */

static bool
is_before(const struct planned *a, const struct planned *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

void
world_at(int64_t at_us, world_action *act, void *subject)
{
    if (heap_count == heap_capacity) {
        heap_capacity = heap_capacity > 0 ? heap_capacity * 2 : 256;
        heap = must_realloc(heap, heap_capacity, sizeof *heap);
    }
    struct planned planned = {at_us > world.now_us ? at_us : world.now_us, planned_count++, act, subject};
    size_t at = heap_count++;
    while (at > 0 && is_before(&planned, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = planned;
}

void
world_after(int64_t delay_us, world_action *act, void *subject)
{
    world_at(world.now_us + delay_us, act, subject);
}

int64_t
world_next_us(void)
{
    return heap_count > 0 ? heap[0].at_us : CLOCK_NEVER;
}

void
world_advance(void)
{
    struct planned next = heap[0], last = heap[--heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap_count; at = child) {
        if (child + 1 < heap_count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    world.now_us = next.at_us;
    next.act(next.subject);
}

/* ---- memory ---- */

void *
world_alloc(size_t size)
{
    size_t wanted = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    CHECK(wanted <= CHUNK_SIZE);
    if (chunk == NULL || CHUNK_SIZE - chunk->used < wanted) {
        if (chunk == NULL || chunk->next == NULL) {
            struct chunk *made = must_alloc(sizeof *made);
            made->next = NULL;
            *(chunk == NULL ? &chunks : &chunk->next) = made;
            chunk = made;
        } else {
            chunk = chunk->next;
        }
        chunk->used = 0;
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += wanted;
    return memset(memory, 0, wanted);
}

char *
world_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(world_alloc(size), text, size);
}

void *
world_grow(void *list, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity > 0 ? *capacity * 2 : 32;
    void *grown = world_alloc(*capacity * sizeof(void *));
    if (count > 0)
        memcpy(grown, list, count * sizeof(void *));
    return grown;
}

/* ---- what it tells ---- */

void
trace(const char *format, ...)
{
    va_list arguments;
    if (!world.traced)
        return;
    printf("%10.3f ms  ", (double)(world.now_us - WORLD_BEGIN_US) / 1000);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void
world_find(const char *format, ...)
{
    va_list arguments;
    if (world.finding[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(world.finding, sizeof world.finding, format, arguments);
    va_end(arguments);
    trace("BROKEN: %s", world.finding);
}
