/* opening.c: the first event of each partition goes alone (opening.h). Called for every event, so a topic whose partitions are all
 * open costs one comparison. */
#include "kafka/opening.h"

#include "base/error.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

enum { CLOSED, OPENING, OPEN };

void
opening_resize(struct opening *opening, int32_t count)
{
    if (count == opening->count)
        return;
    opening->states = must_realloc(opening->states, (size_t)count, sizeof *opening->states);
    opening->count = count;
    opening_reset(opening);
}

void
opening_reset(struct opening *opening)
{
    if (opening->count > 0)
        memset(opening->states, CLOSED, (size_t)opening->count);
    opening->shut = opening->count;
}

void
opening_free(struct opening *opening)
{
    free(opening->states);
    *opening = (struct opening){0};
}

/* The state of the event's partition, or NULL when it is of no account. */
static uint8_t *
state_of(const struct opening *opening, const struct event *event)
{
    if (opening->shut == 0 || event->key == NULL)
        return NULL;
    return &opening->states[rd_kafka_msg_partitioner_murmur2(NULL, event->key, event->key_size,
                                                             opening->count, NULL, NULL)];
}

bool
opening_allows(const struct opening *opening, const struct event *event)
{
    const uint8_t *state = state_of(opening, event);
    return state == NULL || *state != OPENING;
}

void
opening_sent(struct opening *opening, const struct event *event)
{
    uint8_t *state = state_of(opening, event);
    if (state != NULL && *state == CLOSED)
        *state = OPENING;
}

void
opening_acknowledged(struct opening *opening, const struct event *event)
{
    uint8_t *state = state_of(opening, event);
    if (state == NULL || *state == OPEN)
        return;
    *state = OPEN;
    opening->shut--;
}
