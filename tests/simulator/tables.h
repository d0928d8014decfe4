/* tables.h: the tables of schema/005_aside.sql, and its functions: dead letters, held events, paused topics, requests, pauses. Each
 * function is one statement's work, instantaneous; effect.c calls those of the leader when its row of the journal commits, people.c the
 * others. Whatever leaves a table here is checked by the judge: it is in Kafka, or was given up. */
#ifndef OUTBOXD_TESTS_SIMULATOR_TABLES_H
#define OUTBOXD_TESTS_SIMULATOR_TABLES_H

#include "simulator/database.h"
#include "simulator/model.h"

struct json_t;

#define TABLES_TEXT 64

/* outbox.dead_letter */
struct letter {
    struct row *row;
    int64_t tick, hold; /* hold 0: NULL */
    int attempts;
    char error[TABLES_TEXT];
};

/* outbox.held_event */
struct held {
    struct row *row;
    int64_t tick, hold;
};

/* outbox.request */
struct asked {
    int64_t number;
    const char *kind;
    struct row *row; /* of the dead letter; NULL: a replay */
    int64_t first_id, last_id, rate;
    const char *topic; /* of a replay, a pattern; NULL: any */
    int key;           /* MODEL_KEYS: any */
    int64_t progress, events, refused;
    bool done;
    const char *outcome;
    int64_t order; /* world.order, when it was asked for .. */
    int64_t ended; /* .. and when it was done */
};

/* outbox.paused_topic */
struct stopped {
    int topic;
    int64_t number, from_seq, to_seq, after_id;
    int attempts;
    char error[TABLES_TEXT];
};

struct tables {
    struct letter **letters; /* in the order of (tick, id) */
    size_t letters_count, letters_capacity;
    struct held **held; /* likewise */
    size_t held_count, held_capacity;
    struct asked **requests; /* also those that are done */
    size_t requests_count, requests_capacity;
    struct stopped *topics[MODEL_TOPICS]; /* NULL: it is not paused */
    bool pauses[MODEL_TOPICS];
    bool paused;
    int64_t number; /* outbox.side_number */
};

extern struct tables tables;

void tables_begin(void);

struct letter *tables_letter(int64_t event_id); /* NULL: there is none */
/* The open request for its copy, or for its retry or discard, of which there is one at most; NULL: there is none. */
const struct asked *tables_asked(const struct row *row, bool copy);
/* The first one of the same hold that stands behind it, or before it; NULL: there is none. */
const struct letter *tables_of_hold(const struct letter *letter, bool behind);
struct held *tables_held(int64_t event_id);
/* Does the table of paused topics say that this event, of that tick, is still to be published? */
bool tables_wait_for_topic(const struct row *row);

/* The paused topic of this number; NULL: there is none (any more). */
struct stopped *tables_topic(int64_t number);
/* What the stream had held before the topic was paused, and its round has not held again, was published by the round up to `progress`. */
void tables_release_held(const struct stopped *stopped, int64_t progress);
/* Its dead letters stand in the tick of the round. */
void tables_place_letters(const struct stopped *stopped);
/* Does a paused topic need this row of the journal? */
bool tables_name(int64_t seq);

/* ---- the leader's: outbox.put_aside .. side_apply ---- */
void tables_put_aside(const struct json_t *aside);
void tables_put_topic(const struct json_t *row); /* of its topics */
void tables_request_settle(int64_t number, int64_t progress, int64_t events, const char *outcome,
                           const struct json_t *refused);
int64_t tables_topic_settle(int64_t number, int64_t progress, int64_t new_to, const char *error);
void tables_apply(int64_t number, int64_t progress);

/* ---- people's ---- */
struct asked *tables_retry(int64_t event_id); /* NULL: no such dead letter, or it is asked for */
struct asked *tables_discard(int64_t event_id);
struct asked *tables_replay(int64_t first_id, int64_t last_id, int topic, int key, int64_t rate);
void tables_cancel(struct asked *asked);
void tables_pause(int topic, bool paused); /* topic -1: the whole relay */

#endif
