/* record.h: the position record, the last one of every transaction of a relay that delivers exactly once: how far the relay is, in
 * which database, and the chain: by which journal rows another process can tell whether this is its own history, and if not, where
 * the two parted. Pure. One line of ASCII, with a word at its end, so that one that was cut is none:
 *
 *   v1 relay=main seq=41 id=0 epoch=7 commit=880 sysid=7301 timeline=1 dbid=16384 cluster=MkU3 sides=12:880 aside=39:4 chain=41:8812,40:1034,38:77,34:5 end
 */
#ifndef OUTBOXD_RELAY_RECORD_H
#define OUTBOXD_RELAY_RECORD_H

#include "base/error.h"
#include "postgres/journal.h"

/* Newest first; each further entry is about as far back as those before it together, so that 64 span any history. */
#define RECORD_CHAIN 64

struct record_chain {
    struct journal_name names[RECORD_CHAIN];
    size_t count;
};

#define RECORD_CLUSTER_SIZE 64
#define RECORD_RELAY_SIZE 101 /* 100 bytes at most (schema/001_outbox.sql) */

/* Work beside the stream of which events were published, and how far it is (relay/side.c): what the database may not know yet. */
#define RECORD_SIDES 32
struct record_side {
    int64_t number, progress;
};
struct record_sides {
    struct record_side list[RECORD_SIDES];
    size_t count;
};

struct record {
    char relay
        [RECORD_RELAY_SIZE]; /* source `a-b` and relay `c` have the topic of source `a` and relay `b-c` */
    struct journal_position at;
    int64_t epoch;
    int64_t commit; /* counts the transactions: two records of one position are not the same */
    struct journal_place place;
    char cluster[RECORD_CLUSTER_SIZE]; /* Kafka's; "": not known */
    struct record_sides sides;
    struct journal_name
        aside; /* the last row of the journal by which something was put aside or settled, or a lead was taken: the
                                * position has passed events that are nowhere else. seq 0: not known */
    struct record_chain chain; /* its first is the newest tick of which events were published */
};

/* Room for its text. */
#define RECORD_TEXT_SIZE 8192

/* A tick that is newer than all before; one that is there already changes nothing. When there are too many, the one goes whose
 * neighbours are closest, for its age. */
void record_chain_add(struct record_chain *chain, struct journal_name name);

/* How far a work is; a newer one takes the place of an older one. False: there is no room. */
bool record_sides_set(struct record_sides *sides, struct record_side side);

/* The record of a position, with its tick, which is to be among `names`; the rest is the caller's. False: it is not. */
MUST_CHECK bool record_make(struct record *record, struct journal_position at,
                            const struct journal_name *names, size_t count);

/* Arrays of Postgres. Which rows of the journal tell whether it is of this history (NULL: there is none), and of which one
 * record_make() makes the record of what is confirmed; and the numbers of its sides. */
#define RECORD_SEQS_SIZE ((RECORD_CHAIN + 3) * 21 + 3)
void record_seqs(const struct record *record, struct journal_position confirmed, char text[RECORD_SEQS_SIZE]);
void record_side_numbers(const struct record *record, char text[RECORD_SEQS_SIZE]);

void record_format(const struct record *record, char text[RECORD_TEXT_SIZE]);

/* False: ERROR_CONFIG, it is not such a line, and what is wrong with it. */
MUST_CHECK bool record_parse(struct record *record, const char *text, struct error *error);

/* Positions in the order of publishing: < 0, 0, > 0. */
int record_compare(struct journal_position a, struct journal_position b);

#endif
