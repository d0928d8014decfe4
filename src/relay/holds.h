/* holds.h: the topics and keys that wait behind a dead letter: no event of theirs is sent until it is retried or discarded (I2). Pure. */
#ifndef OUTBOXD_RELAY_HOLDS_H
#define OUTBOXD_RELAY_HOLDS_H

#include "event/event.h"

/* So many at most: with more, something else is wrong than an event, and the relay stops in front of the next one. A hundred bytes and
 * the key each. */
#define HOLDS_MOST 100000

struct holds {
    void *tree; /* tsearch(3) */
    size_t count;
};

/* The hold (outbox.dead_letter.hold, the id of the event that was refused) that this event waits behind; 0: none. What stands before the
 * refused event in the stream and comes (again) waits for nothing. */
int64_t holds_find(const struct holds *holds, const struct event *event);

/* The hold of the event's topic and key, wherever it stands; 0: none. */
int64_t holds_of_key(const struct holds *holds, const struct event *event);

/* From now on there is one, behind the event `id` of tick `tick`; the key is copied. A hold that is there stays. False: there are HOLDS_MOST
 * already. */
struct hold {
    const struct topic *topic;
    const char *key;
    size_t key_size;
    int64_t number, tick, id;
};
bool holds_add(struct holds *holds, const struct hold *hold);

/* Nothing waits behind it any more. */
void holds_remove(struct holds *holds, int64_t number);

void holds_clear(struct holds *holds);

#endif
