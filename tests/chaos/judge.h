/* judge.h: the end of a round: is everything confirmed, and is what Kafka has what was committed? Called by chaos.c. */
#ifndef OUTBOXD_TESTS_CHAOS_JUDGE_H
#define OUTBOXD_TESTS_CHAOS_JUDGE_H

#include "chaos/stage.h"
#include "support/checker.h"

/* Returns true when everything that is visible in the database is confirmed; false when that takes longer than it should. */
bool judge_await_confirmed(struct stage *stage);

/* Compares the ledger with the topics of the round; a verdict that is not good (a duplicate is not, when delivery is exactly once)
 * leaves the lists and the journal as evidence in this directory. */
struct verdict judge_round(struct stage *stage, const char *evidence);

bool judge_good(const struct stage *stage, const struct verdict *verdict);

/* Empties the ledger and deletes the topics, so that the next round begins with nothing. */
void judge_forget(struct stage *stage);

#endif
