/* waiting.h: what people want of a relay, and what waits for better times: pauses, paused topics, requests. The leader looks every second. */
#ifndef OUTBOXD_POSTGRES_WAITING_H
#define OUTBOXD_POSTGRES_WAITING_H

#include "event/page.h"
#include "postgres/session.h"

struct json_t;

/* outbox.paused_topic */
struct waiting_topic {
    const char *name;
    int64_t number, from_seq, to_seq, after_id;
    int64_t since_us; /* 0: unknown */
    const char *error, *message;
};

enum request_kind { REQUEST_KIND_RETRY, REQUEST_KIND_DISCARD, REQUEST_KIND_COPY, REQUEST_KIND_REPLAY };
const char *waiting_kind_name(enum request_kind kind); /* as in outbox.request.kind */

/* outbox.request, one that is not done */
struct waiting_request {
    int64_t number;
    enum request_kind kind;
    int64_t progress;
    /* of a dead letter */
    int64_t event_id, hold;     /* hold 0: it holds nothing */
    int64_t tick;               /* where it stands in the stream: (tick, event_id) */
    bool gone;                  /* there is no such dead letter any more */
    int64_t next_tick, next_id; /* where the next dead letter of its hold stands; 0: there is none */
    const char *topic;          /* of the dead letter, or a pattern of a replay's; NULL: any */
    /* of a replay */
    int64_t first_id, last_id;  /* 0: any */
    int64_t since_us, until_us; /* 0: any */
    const char *key_hex;        /* NULL: any */
    int64_t rate;               /* events a second; 0: any */
    bool taken;                 /* the caller's mark */
};

/* outbox.paused_topic.error of one that nobody had paused, and somebody has resumed: it is to be tried now. */
#define WAITING_RESUMED "RESUMED"
/* Of one that somebody has paused by hand. It goes on by itself when he resumes it. */
#define WAITING_PAUSED "PAUSED"

/* Texts belong to `root`. */
struct waiting {
    struct json_t *root;
    bool paused; /* the whole relay */
    const char **pauses;
    struct waiting_topic *topics;
    struct waiting_request *requests;
    size_t pause_count, topic_count, request_count;
    bool counted; /* as it was asked for: so many dead letters and held events there are */
    int64_t dead, held;
};
void waiting_clear(struct waiting *waiting);

struct waiting_wish {
    bool counts; /* how much is put aside is to be counted */
    bool
        topics; /* with all paused topics, of which there may be thousands; else with those that somebody has resumed */
    const char
        *without; /* an array in SQL of topics whose dead letters nobody asks for; lives for the call */
};
void waiting_ask(struct session *session, const char *relay, const struct waiting_wish *wish, int64_t now_us);
MUST_CHECK bool waiting_read(struct session *session, struct waiting *waiting, struct error *error);

/* Pages of requests, of at most `events` and `bytes`. A dead letter, if it comes first, and what waits behind it: */
void waiting_ask_held(struct session *session, const char *relay, const struct waiting_request *request,
                      int64_t events, int64_t bytes, int64_t now_us);
/* A dead letter for the topic `copy_to`, with why it is dead in its headers: */
void waiting_ask_copy(struct session *session, const char *relay, const struct waiting_request *request,
                      const char *copy_to, int64_t now_us);
/* Where a replay goes on: its first event above `after`, up to `upto`, or one before that; *id 0: there is none. */
void waiting_ask_first(struct session *session, const struct waiting_request *request, int64_t after,
                       int64_t upto, int64_t now_us);
MUST_CHECK bool waiting_read_first(struct session *session, int64_t *id, struct error *error);
/* What was published of the ids above `after`, up to `upto`, with a header `replay`. Of other topics, only those come that differ from
 * the pattern within brackets: */
void waiting_ask_replay(struct session *session, const char *relay, const struct waiting_request *request,
                        int64_t after, int64_t upto, int64_t events, int64_t bytes, int64_t now_us);
/* A page as it came. */
struct waiting_page {
    struct page *page;           /* the caller's; of a replay without topics that are not selected */
    int64_t rows, cost, last_id; /* of all that came, these included */
};
MUST_CHECK bool waiting_read_page(struct session *session, struct topic_table *topics, enum request_kind kind,
                                  struct waiting_page *read, struct error *error);

#endif
