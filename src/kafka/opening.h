/* opening.h: which partitions of a topic have taken an event from the present instance of the producer. Pure. Used by
 * topics.c (which learns how many there are), send.c and reports.c.
 *
 * A broker refuses a batch out of sequence only when it has seen this producer on this partition before. Of one that is new to
 * it, it takes any batch as the first. Were two on their way, and the first refused for a moment (a leader that is just moving, a
 * replica that is just coming back), the second would be taken: out of order. So the first event with a key goes to its partition
 * alone, and the others follow its acknowledgement.
 *
 *   CLOSED --an event is handed over--> OPENING --it is acknowledged--> OPEN        (a new instance: all are CLOSED again)
 *
 * Partitions are those of the number that we know. When librdkafka already knows of more, an event may go elsewhere; it still
 * opens what it closed, so that nothing waits for ever. Events without a key have no order to lose. */
#ifndef OUTBOXD_KAFKA_OPENING_H
#define OUTBOXD_KAFKA_OPENING_H

#include "event/event.h"

struct opening {
    uint8_t *states; /* by partition */
    int32_t count;   /* of partitions */
    int32_t shut;    /* how many of them are not OPEN */
};

/* The topic has so many partitions, at least one. When they were others before, all are CLOSED. */
void opening_resize(struct opening *opening, int32_t count);
/* A new instance: all are CLOSED. */
void opening_reset(struct opening *opening);
void opening_free(struct opening *opening);

/* May this event be handed over now? False: one is on its way to its partition, whose acknowledgement will allow it. */
bool opening_allows(const struct opening *opening, const struct event *event);
/* It was handed over. */
void opening_sent(struct opening *opening, const struct event *event);
/* It was acknowledged. */
void opening_acknowledged(struct opening *opening, const struct event *event);

#endif
