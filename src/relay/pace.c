/* pace.c: see pace.h. Called by leading.c. */
#include "relay/pace.h"

#include <stdbool.h>
#include <string.h>

static void
shrink(struct pace *pace)
{
    pace->bytes = pace->bytes / 2 > PACE_LEAST ? pace->bytes / 2 : PACE_LEAST;
}

static void
grow(struct pace *pace, int64_t most)
{
    if (pace->bytes < most)
        pace->bytes *= 2;
}

/* Half as large again, or more, and not a quarter slower. */
static bool
is_no_slower(const struct pace *pace, const struct pace_page *large, const struct pace_page *small)
{
    return large->bytes >= pace->bytes / 2 && large->bytes * 2 >= small->bytes * 3 &&
           large->took_us * 4 <= small->took_us * 5;
}

/* What is taken for the same may be a quarter more each time: there is an end to it. */
static bool
is_for_any_size(const struct pace *pace, const struct pace_page *a, const struct pace_page *b,
                int64_t heartbeat_us)
{
    int64_t most_us = heartbeat_us * PACE_HEARTBEATS / 2;
    return a->took_us <= most_us && b->took_us <= most_us &&
           (is_no_slower(pace, a, b) || is_no_slower(pace, b, a));
}

void
pace_took(struct pace *pace, enum pace_kind kind, struct pace_page page, int64_t heartbeat_us, int64_t most)
{
    struct pace_page *slow = &pace->slow[kind];
    if (page.took_us <= heartbeat_us / 2) {
        *slow = (struct pace_page){0};
        if (page.took_us < heartbeat_us / 8 && page.bytes >= pace->bytes / 2)
            grow(pace, most);
        return;
    }
    if (is_for_any_size(pace, &page, slow, heartbeat_us))
        grow(pace, most);
    else
        shrink(pace);
    *slow = page;
}

void
pace_lost(struct pace *pace, int64_t took_us, int64_t heartbeat_us)
{
    memset(pace->slow, 0, sizeof pace->slow);
    if (took_us > heartbeat_us / 2)
        shrink(pace);
}
