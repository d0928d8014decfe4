/* holds.h: the topics and keys that wait behind a dead letter: no event of theirs is sent until it is retried or discarded (I2). Keys are
 * held by their digests, so a hold takes the same memory however long its key is. Pure. */
#ifndef OUTBOXD_RELAY_HOLDS_H
#define OUTBOXD_RELAY_HOLDS_H

#include "event/event.h"

/* No new one from so many on: with more, something else is wrong than an event, and the relay stops in front of the next one. A hundred
 * bytes each. */
#define HOLDS_MOST 100000

struct hold {
    const struct topic *topic;
    unsigned char key[KEY_DIGEST_SIZE];
    int64_t number;   /* outbox.dead_letter.hold, the id of the event that was refused first */
    int64_t tick, id; /* where the first dead letter of it stands */
};

struct holds {
    struct hold_element **by_key, **by_number; /* buckets; NULL: there was none yet */
    size_t count;
    size_t
        *of_topic; /* how many there are, by the topic's index; the keys of other topics are not looked at */
    size_t topics;
    struct evp_md_ctx_st *sha256;
};

/* The number of the hold that this event waits behind; 0: none. What stands before the refused event in the stream and comes (again) waits
 * for nothing. */
int64_t holds_find(const struct holds *holds, const struct event *event);

/* That of the event's topic and key, wherever it stands; 0: none. */
int64_t holds_of_key(const struct holds *holds, const struct event *event);

/* This event, which has a key, was refused: what comes behind it waits. A hold that is there keeps its number, and begins here: the event stands
 * before the dead letter that began it, or would wait behind that. False: there are HOLDS_MOST already. */
bool holds_begin(struct holds *holds, const struct event *event);

/* One that the database knows, however many there are. Of two numbers for one key the later dead letter's stays: what waited behind the other one was
 * published, all of it, before the later event was refused. */
void holds_load(struct holds *holds, const struct hold *hold);

/* This event waits behind its hold, and the database is to hear of it; it has. How many such events a hold has. */
void holds_mark(struct holds *holds, const struct event *event);
void holds_unmark(struct holds *holds, const struct event *event);
size_t holds_marks(const struct holds *holds, int64_t number);

/* It begins at a later dead letter, which stands there. */
void holds_move(struct holds *holds, int64_t number, int64_t tick, int64_t id);

/* Nothing waits behind it any more. */
void holds_remove(struct holds *holds, int64_t number);

void holds_clear(struct holds *holds);

#endif
