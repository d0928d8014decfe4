/* requests.h: the work beside the stream that people have asked a relay for (schema/005_aside.sql): retries and discards of dead
 * letters, copies of them, replays. Asks for replays and ends them; what asks for the others is dead.h. For the commands; waits for
 * each answer (oneshot.h). */
#ifndef OUTBOXD_POSTGRES_REQUESTS_H
#define OUTBOXD_POSTGRES_REQUESTS_H

#include "base/error.h"
#include "postgres/session.h"

#include <stddef.h>
#include <stdint.h>

/* What a request waits for: as the relay's leader has told, or because a dead letter's topic is paused. */
struct request_wait {
    int64_t event_id;
    char *topic; /* it takes nothing; NULL: the request waits for no topic */
    char *error, *message;
};

struct request {
    int64_t number;
    char *kind;                /* retry | discard | copy | replay */
    int64_t event_id;          /* of the dead letter; 0: a replay */
    int64_t first_id, last_id; /* of a replay, 0: any; as the next ones, NULL: any */
    char *since, *until;       /* UTC, ISO 8601 */
    char *topic;
    char *key; /* bytes */
    size_t key_size;
    int64_t rate; /* 0: as fast as it goes */
    char *reason; /* of a discard; NULL */
    char *asked_by, *asked_at;
    int64_t asked_us; /* so long ago */
    int64_t progress, events,
        refused; /* the id of the last event that was published for it; how many were, and were not taken */
    bool uncounted; /* more than `events` were: a leader died before it had counted */
    char *done_at;  /* NULL: it is open */
    char *outcome;  /* "done", or why it ended */
    struct request_wait wait;
};

struct requests {
    struct request *list;
    size_t count;
};

/* Before the others, once a session. */
MUST_CHECK bool requests_prepare(struct session *session, struct error *error);

/* Each fills `requests`, which is to be freed in any case: the first 100 open ones of a relay; its open replays and its last 100
 * ones, the newest first; those for an event, oldest first; and of `numbers`, each of which there is, in their order. */
MUST_CHECK bool requests_read_open(struct session *session, const char *relay, struct requests *requests,
                                   struct error *error);
MUST_CHECK bool requests_read_replays(struct session *session, const char *relay, struct requests *requests,
                                      struct error *error);
MUST_CHECK bool requests_read_event(struct session *session, const char *relay, int64_t event_id,
                                    struct requests *requests, struct error *error);
MUST_CHECK bool requests_read_numbers(struct session *session, const char *relay, const int64_t *numbers,
                                      size_t count, struct requests *requests, struct error *error);
void requests_free(struct requests *requests);

/* From the JSON that a statement gives (waits.h); free with requests_free_wait. */
void requests_read_wait(const char *text, struct request_wait *wait);
void requests_free_wait(struct request_wait *wait);

/* What is to be sent again. Times are as text (timestamptz), the key as that of a bytea. */
struct replay_wish {
    int64_t first_id, last_id;               /* 0: any */
    const char *since, *until, *topic, *key; /* NULL: any */
    int64_t rate;                            /* events a second; 0: as fast as it goes */
};

/* ERROR_USAGE when the relay is not a living one. */
MUST_CHECK bool requests_replay(struct session *session, const char *relay, const struct replay_wish *wish,
                                int64_t *number, struct error *error);

/* Ends a replay. ERROR_USAGE when none of this number is open. */
MUST_CHECK bool requests_cancel(struct session *session, const char *relay, int64_t number,
                                struct error *error);

/* The text of an array of int8; the caller frees it. */
char *requests_array(const int64_t *numbers, size_t count);

#endif
