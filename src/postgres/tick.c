/* tick.c: the memory of ticks. Called by journal, reader and the relay; asks no server. */
#include "postgres/tick.h"

#include "base/error.h"

#include <stdlib.h>

void
tick_edge_set(struct tick_edge *edge, const char *snapshot, int64_t w, int64_t lo_id)
{
    char *copy = must_strdup(snapshot); /* first: it may be edge->snapshot itself */
    free(edge->snapshot);
    *edge = (struct tick_edge){.snapshot = copy, .w = w, .lo_id = lo_id};
}

void
tick_edge_clear(struct tick_edge *edge)
{
    free(edge->snapshot);
    *edge = (struct tick_edge){0};
}

void
tick_clear(struct tick *tick)
{
    tick_edge_clear(&tick->from);
    free(tick->snapshot);
    free(tick->late);
    *tick = (struct tick){0};
}

int
tick_late_count(const char *late)
{
    if (late[0] != '{' || late[1] == '}')
        return 0;
    int count = 1;
    for (const char *at = late; *at != '\0'; at++)
        count += *at == ',';
    return count;
}
