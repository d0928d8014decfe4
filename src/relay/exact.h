/* exact.h: delivery exactly once, as far as the relay's state is concerned. Functions of exact.c are declared in inside.h. */
#ifndef OUTBOXD_RELAY_EXACT_H
#define OUTBOXD_RELAY_EXACT_H

#include "event/event.h"
#include "relay/record.h"

/*   OFF       at least once: Kafka is not asked how far we are
 *   UNKNOWN   an instance of the producer is to fence the older ones and to read the position
 *   FOUND     it has; which of the position's ticks are in our journal is to be asked
 *   BASING    the journal is the truth so far: its position is committed to Kafka
 *   TELLING   the journal is to say which of the two is the truth from now on
 *   ON        events may be sent
 * Whenever the instance ends, it is UNKNOWN again. */
enum exact_state { EXACT_OFF, EXACT_UNKNOWN, EXACT_FOUND, EXACT_BASING, EXACT_TELLING, EXACT_ON };

struct exact {
    enum exact_state state;
    bool based;    /* since the lead was taken, the truth is known: what is read may begin there */
    bool ever;     /* an instance has read a position, in the life of the process */
    bool instance; /* there is one, that has not been looked back at */

    struct journal_exact told;          /* what the next row of the journal says */
    struct journal_exact journal;       /* what the newest durable one says */
    struct journal_position names_from; /* FOUND: what was confirmed when the journal was asked .. */
    uint64_t names_of;                  /* .. and about whose position */
    bool found_any;                     /* the topic had a position: `found` */
    struct record found;
    struct record committed; /* the last position that was committed, as far as is known */
    int64_t committed_us;    /* .. when */
    /* the last row of ours by which something was put aside or settled, or the lead was taken */
    struct journal_name aside;
    /* requests were seen that no row of ours stands behind yet: their work waits for one */
    bool anchors;

    /* the transaction */
    bool committing;
    struct record asked;   /* committing: what the position will be .. */
    uint64_t asked_serial; /* .. and the first event that it does not cover */
    uint64_t commits;      /* of the producer, when it was looked at last */
    size_t events;         /* handed over since the last commit */
    int64_t opened_us;     /* when the first of them was */

    bool refused; /* no instance can start, or (at_commit) commit .. */
    bool at_commit;
    int in_vain;            /* instances in a row that ended without anybody to blame */
    struct outcome refusal; /* .. and why */
};

#endif
