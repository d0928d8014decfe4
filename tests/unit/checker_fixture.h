/* checker_fixture.h: events that are expected and records that a topic holds, planted one by one, and what the checker says of
 * them. For tests/unit/checker_*.c. */
#ifndef OUTBOXD_TESTS_UNIT_CHECKER_FIXTURE_H
#define OUTBOXD_TESTS_UNIT_CHECKER_FIXTURE_H

#include "support/checker.h"

extern struct expected_events planted_events;
extern struct records planted_records;

/* An event of the topic `orders`, in a transaction of its own unless the test says otherwise. */
struct expected_event *planted_add(int64_t id, const char *key);
/* Events 1 and 2 of one key, and 3 of another. */
void planted_three(void);

/* A faithful copy of the event, behind what is published. */
struct record *planted_publish(int64_t id);

struct verdict planted_judge(void);

/* .fini of each test. */
void planted_forget(void);

#endif
