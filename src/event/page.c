/* page.c: the memory of a page: an array of events, and chunks that the events' bytes are cut from. Freed at
 * once when the page is confirmed; never shrinks before. */
#include "event/page.h"

#include "base/error.h"

#include <stdlib.h>

/* A tick of one event should cost little, a page of 10,000 events few allocations: 4 KiB, 32 KiB, 256 KiB, 256 KiB .. */
#define FIRST_CHUNK ((size_t)4 * 1024)
#define LAST_CHUNK ((size_t)256 * 1024)
#define CHUNK_GROWTH 8

/* A request above this share of the largest chunk gets an allocation of its own: at most that share of a
 * chunk is ever left unused at its end. */
#define OWN_CHUNK (LAST_CHUNK / 8)

struct page_chunk {
    struct page_chunk *older;
    size_t used, size;
    char bytes[];
};

struct page *
page_new(int64_t tick_seq)
{
    struct page *page = must_calloc(1, sizeof *page);
    page->tick_seq = tick_seq;
    return page;
}

void
page_free(struct page *page)
{
    if (page == NULL)
        return;
    for (struct page_chunk *chunk = page->chunks, *older; chunk != NULL; chunk = older) {
        older = chunk->older;
        free(chunk);
    }
    free(page->events);
    free(page);
}

static struct page_chunk *
new_chunk(size_t size)
{
    size_t total;
    CHECK(!__builtin_add_overflow(sizeof(struct page_chunk), size, &total));
    struct page_chunk *chunk = must_alloc(total);
    *chunk = (struct page_chunk){.size = size};
    return chunk;
}

/* The newest chunk stays the one that small requests are cut from. */
static char *
own_chunk(struct page *page, size_t size)
{
    struct page_chunk *chunk = new_chunk(size);
    chunk->used = size;
    if (page->chunks == NULL) {
        page->chunks = chunk;
    } else {
        chunk->older = page->chunks->older;
        page->chunks->older = chunk;
    }
    return chunk->bytes;
}

char *
page_bytes(struct page *page, size_t size)
{
    struct page_chunk *chunk = page->chunks;
    if (size > OWN_CHUNK)
        return own_chunk(page, size);
    if (chunk == NULL || chunk->size - chunk->used < size) {
        size_t next = chunk ? chunk->size * CHUNK_GROWTH : FIRST_CHUNK;
        if (next > LAST_CHUNK) /* also when the newest chunk is one large request */
            next = LAST_CHUNK;
        while (next < size)
            next *= 2;
        chunk = new_chunk(next);
        chunk->older = page->chunks;
        page->chunks = chunk;
    }
    char *bytes = chunk->bytes + chunk->used;
    chunk->used += size;
    return bytes;
}

struct event *
page_add(struct page *page)
{
    if (page->count == page->capacity) {
        page->capacity = page->capacity ? page->capacity * 2 : 16;
        page->events = must_realloc(page->events, page->capacity, sizeof *page->events);
    }
    struct event *event = &page->events[page->count++];
    *event = (struct event){.page = page};
    return event;
}

void
page_drop_last(struct page *page)
{
    CHECK(page->count > 0);
    page->count--;
}
