/* verdict.h: what the relay does about a refusal: a topic that takes nothing is paused, an event that Kafka does not take becomes a dead
 * letter (aside.c does both). With the policy `stop` the relay stops at the refused event, says so, and tries again with back-off; nothing is
 * skipped, and it goes on by itself when healed.
 *
 * A refused batch is nobody's verdict yet: all its records fail with the same error. They are suspects, and are sent again in
 * smaller batches; the next one that is refused leaves fewer suspects, until one event is refused alone: the culprit.
 *
 *     8000 refused    |----------------------------------------------------------------|
 *     batches of 500  |acknowledged..|refused|  not sent                     limit / 16
 *     batches of 1                   |aaaaaax                                of 64 or fewer: one by one      */
#ifndef OUTBOXD_RELAY_VERDICT_H
#define OUTBOXD_RELAY_VERDICT_H

#include "base/backoff.h"
#include "event/event.h"

/* What the relay is stuck at. */
struct trouble {
    bool active;
    uint64_t serial; /* of the event it is stuck at: nothing later is sent */
    int64_t event_id;
    struct topic *topic;
    struct outcome why;
    int64_t retry_at_us;
    bool asked_again; /* since the last attempt the broker was asked anew about the topic */
};

struct verdict {
    bool stops; /* the policy for events that are refused */
    struct trouble trouble;
    struct trouble
        waiting;     /* the oldest event is out, and this stands in its way: nothing is held back for it */
    bool suspecting; /* some events are to be sent in small batches */
    uint64_t last_suspect; /* up to this serial; nothing later is sent until they are settled */
    size_t refused;        /* suspects that the present instance of the producer has made or left */
    size_t batch_events;   /* how many events a batch of the present instance may hold; 0: no limit */
    struct backoff trouble_backoff; /* between attempts at the refused event */
    struct backoff broker_backoff;  /* between instances of the producer */
    int64_t start_at_us;            /* no new instance before */
};

void verdict_init(struct verdict *verdict, bool stops, uint64_t seed);

/* A new instance of the producer is about to start: returns how many events its batches may hold, 0: as many as fit. With
 * every refused batch it becomes smaller, so a few instances find the culprit. */
size_t verdict_narrow(struct verdict *verdict);

enum verdict_answer {
    VERDICT_NOTHING, /* its time will come, or the others' */
    VERDICT_STUCK,   /* the relay is stuck at something new: the caller tells people */
    VERDICT_DEAD,    /* the event is refused for its own sake */
    VERDICT_PAUSE,   /* its topic takes nothing */
};

/* A report (or a refusal before sending) that is not an acknowledgement. `alone`: the event was in a batch of its own, or in
 * none, so that a data error is its own. */
enum verdict_answer verdict_refused(struct verdict *verdict, const struct event *event,
                                    const struct outcome *why, bool alone, int64_t now_us);
/* Stops at this event whatever the policy is. True when that is new. */
bool verdict_stop(struct verdict *verdict, const struct event *event, const struct outcome *why,
                  int64_t now_us);

/* The edge of acknowledgement reached `serial` (of the oldest event that is not acknowledged): forgets suspects and trouble
 * before it. True when trouble has healed; the others were suspects for its sake, and are not any more. */
bool verdict_reached(struct verdict *verdict, uint64_t serial);

/* The oldest event is out; `why` is what stands in its way, NULL when nothing is known to. True when that is new: the caller
 * tells people. */
bool verdict_waits(struct verdict *verdict, const struct event *event, const struct outcome *why);

/* True: verdict_waits() has named what stands in the way of this event, the oldest one, or of one behind it. */
bool verdict_still_waits(const struct verdict *verdict, const struct event *oldest);

/* What people are told: what the relay is stuck at, or waits for; NULL when all is well. */
const struct trouble *verdict_trouble(const struct verdict *verdict);

/* May this event be sent now? Nothing after the event that the relay is stuck at, and that one only when its time has come;
 * while there are suspects, nothing after the last of them. */
bool verdict_allows(const struct verdict *verdict, uint64_t serial, int64_t now_us);

/* When something that is not allowed now becomes allowed; CLOCK_NEVER when nothing waits for time. */
int64_t verdict_deadline(const struct verdict *verdict, int64_t now_us);

#endif
