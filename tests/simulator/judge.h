/* judge.h: what was promised, against everything that a consumer finds in Kafka and everything that was committed. */
#ifndef OUTBOXD_TESTS_SIMULATOR_JUDGE_H
#define OUTBOXD_TESTS_SIMULATOR_JUDGE_H

#include "event/event.h"

#include <stdbool.h>

struct process;

/* I3, I4: may this process hand over this event now? */
void judge_sending(const struct process *process, const struct event *event);

/* Every committed event is in Kafka, and the journal says so. */
bool judge_is_drained(void);
/* It should be drained by now: what is missing? */
void judge_missing(void);
/* P1, P2, P3, and in exactly-once no event twice. */
void judge_everything(void);

#endif
