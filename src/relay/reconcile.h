/* reconcile.h: what to believe when Postgres and Kafka each say how far the relay is: k, the position that was last committed in
 * Kafka, and the journal, with p, what it says is confirmed. The truth table of exactly-once delivery. Pure.
 *
 *   the journal says  | k                           | then
 *   ------------------+-----------------------------+----------------------------------------------------------------
 *   at least once     | of this database, not       | the further one of k and p is the truth: it is      BASE
 *                     |   beyond what is known here |   committed to Kafka first
 *   anew              | any                         | p is the truth, by an operator's word, or the       BASE
 *                     |                             |   newest tick that both know, if that is further
 *   exactly once      | of this history, >= what    | go on after the further one of k and p              GO_ON
 *                     |   the journal has seen      |
 *   exactly once      | missing, before what the    | Kafka has lost what was committed                   KAFKA_LOST
 *                     |   journal has seen, or a    |
 *                     |   commit before our last    |
 *   exactly once      | known, and before what the  | a rebase did not know of it                         REBASED
 *                     |   row says is confirmed     |
 *   at least once, by | not known                   | the same: the journal was lost as a whole           REBASED
 *     a rebase        |                             |
 *   exactly once, by  | with side work that the     | the same: a topic that was catching up              REBASED
 *     a rebase        |   database does not have    |
 *   any               | of another history, beyond  | Postgres has lost what was committed                POSTGRES_LOST
 *                     |   what is known here        |
 *   any, not anew     | known, beyond p, and relies | the same: what was put aside there is nowhere else  POSTGRES_LOST
 *                     |   on a row that is not      |
 *   any               | of a later timeline         | an old primary beside the one that was promoted     POSTGRES_LOST
 *   any, also anew    | of a relay of another name  | two outboxes whose names run into each other        FOREIGN
 *   any               | of another database, and of | a name that is used twice, or a restored database   FOREIGN
 *                     |   no tick that is ours      |
 */
#ifndef OUTBOXD_RELAY_RECONCILE_H
#define OUTBOXD_RELAY_RECONCILE_H

#include "relay/record.h"

enum reconcile {
    RECONCILE_GO_ON,
    RECONCILE_BASE,
    RECONCILE_KAFKA_LOST,
    RECONCILE_POSTGRES_LOST,
    RECONCILE_REBASED,
    RECONCILE_FOREIGN,
};

struct reconcile_facts {
    const char *relay, *config;        /* config: its file */
    const struct record *kafka;        /* k; NULL: the topic has no position */
    const struct record *last;         /* what this process knows to be committed; NULL: nothing yet */
    const char *cluster;               /* Kafka's own name; "": not told */
    const struct journal_row *row;     /* the newest of the journal */
    struct journal_position confirmed; /* p */
    struct journal_known known;        /* what the journal has of the rows and the side work that k names */
};

struct reconciled {
    enum reconcile verdict;
    struct journal_position start; /* GO_ON, BASE: everything up to here is published, nothing after it */
    struct journal_name common;    /* POSTGRES_LOST: the newest tick that both know; seq -1: none */
    char why[1000];                /* for people: what is wrong, and what helps; "" for GO_ON and BASE */
};

/* The journal is right, by an operator's word, whatever is in Kafka. */
bool reconcile_is_anew(const struct journal_exact *journal);

void reconcile(const struct reconcile_facts *facts, struct reconciled *result);

/* False: a relay ends with this error. */
MUST_CHECK bool reconcile_allows(const struct reconciled *result, struct error *error);

#endif
