/* ahead.c: an array, sorted by id when something is looked for. Called by relay/aside.c for each event while there are any, and by
 * relay/leading.c when the confirmed edge has moved. */
#include "relay/ahead.h"

#include "base/error.h"

#include <stdlib.h>

struct ahead_letter {
    int64_t id, tick;
};

void
ahead_add(struct ahead *ahead, int64_t tick, int64_t id)
{
    if (ahead->count == ahead->capacity) {
        ahead->capacity = 2 * ahead->capacity + 16;
        ahead->letters = must_realloc(ahead->letters, ahead->capacity, sizeof *ahead->letters);
    }
    ahead->letters[ahead->count++] = (struct ahead_letter){id, tick};
    ahead->unsorted = true;
}

static int
compare(const void *left, const void *right)
{
    const struct ahead_letter *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

bool
ahead_has(struct ahead *ahead, int64_t id)
{
    const struct ahead_letter wanted = {.id = id};
    if (ahead->count == 0)
        return false;
    if (ahead->unsorted)
        qsort(ahead->letters, ahead->count, sizeof wanted, compare);
    ahead->unsorted = false;
    return bsearch(&wanted, ahead->letters, ahead->count, sizeof wanted, compare) != NULL;
}

/* Looks through them once a tick at most. */
void
ahead_confirm(struct ahead *ahead, int64_t seq, int64_t id)
{
    size_t kept = 0;
    if (ahead->count == 0 || seq == ahead->confirmed_seq)
        return;
    for (size_t i = 0; i < ahead->count; i++) {
        const struct ahead_letter *letter = &ahead->letters[i];
        if (letter->tick > seq + 1 || (letter->tick == seq + 1 && letter->id > id))
            ahead->letters[kept++] = *letter;
    }
    ahead->count = kept;
    ahead->confirmed_seq = seq;
}

void
ahead_clear(struct ahead *ahead)
{
    free(ahead->letters);
    *ahead = (struct ahead){0};
}
