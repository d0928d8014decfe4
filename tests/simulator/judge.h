/* judge.h: what was promised, against everything that a consumer finds in Kafka and everything that was committed. */
#ifndef OUTBOXD_TESTS_SIMULATOR_JUDGE_H
#define OUTBOXD_TESTS_SIMULATOR_JUDGE_H

#include "event/event.h"

#include <stdbool.h>
#include <stdint.h>

struct process;
struct copy;
struct letter;
struct asked;
struct row;
struct line;

/* I3, I4: may this process hand over this event now? */
void judge_sending(const struct process *process, const struct event *event);

/* A statement is asked for: nothing is read that cannot be of use. */
void judge_asking(const struct process *process, const char *statement);

/* I1: everything up to this position is in Kafka, or in one of the tables of what was put aside. */
void judge_position(bool in_kafka, int64_t seq, int64_t id);
void judge_record(const char *text); /* a position record */
/* I2: a record is appended: nothing of its topic and key waits before it. */
void judge_append(const struct copy *copy);
/* An event has become a dead letter: Kafka refused it. */
void judge_letter(const struct letter *letter);
/* A replay or a copy has ended: it is there. */
void judge_request(const struct asked *asked);
/* A lead is given back: a clean stop repeats nothing, unless something of it was never acknowledged. */
void judge_release(const struct line *line);

/* Its order is not promised: with the policy `skip` those of its key do not wait for an event that was refused. */
bool judge_out_of_order(const struct row *row);

/* Every committed event is in Kafka, and the journal says so. */
bool judge_is_drained(void);
/* It should be drained by now: what is missing? */
void judge_missing(void);
/* P1, P2, P3, and in exactly-once no event twice. */
void judge_everything(void);

#endif
