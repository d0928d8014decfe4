/* crashpoint.h: makes processes that a test starts end, stop, wait or fail at a call of librdkafka or libpq: by
 * tests/fault/crashpoint.c, loaded into them; the rules are in tests/fault/README.md. */
#ifndef OUTBOXD_TESTS_SUPPORT_CRASHPOINT_H
#define OUTBOXD_TESTS_SUPPORT_CRASHPOINT_H

#include <stdbool.h>

struct crashpoint;

/* With a log and counts of its own. */
struct crashpoint *crashpoint_new(void);
void crashpoint_free(struct crashpoint *crashpoint);

/* Processes started from now on obey these rules ("": none, they only count); not together with wallclock_show(). */
void crashpoint_set(const struct crashpoint *crashpoint, const char *rules);
/* Processes started from now on obey none. */
void crashpoint_unset(void);

/* Lines of the log, one for each action taken, that have `text` in them ("function=rd_kafka_poll call=3 when=after"). */
int crashpoint_hits(const struct crashpoint *crashpoint, const char *text);

/* Calls of a function in the whole life of the last process that ended by itself; 0: none. */
long crashpoint_calls(const struct crashpoint *crashpoint, const char *function);
/* The same of every function that is watched, a line "FUNCTION CALLS" each; the caller frees. */
char *crashpoint_counts(const struct crashpoint *crashpoint);

#endif
