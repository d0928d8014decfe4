/* wait.h: tests wait for conditions, with a deadline, and never sleep.
 *     wait_for(daemon_metric(relay, "outbox_lag_events") == 0, 10000);
 * OUTBOXD_TEST_PATIENCE (a factor, 1 by default) stretches every deadline: sanitizers and valgrind are slow.
 */
#ifndef OUTBOXD_TESTS_SUPPORT_WAIT_H
#define OUTBOXD_TESTS_SUPPORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* Evaluates the condition every few milliseconds until it is true; fails the test when the deadline passes.
 */
#define wait_for(condition, timeout_ms)                                                                      \
    for (int64_t wait_end_us = wait_deadline_us(timeout_ms); !(condition);)                                  \
    wait_turn_or_fail(wait_end_us, #condition, __FILE__, __LINE__)

/* The same for a condition that may stay false: true as soon as it holds, false at the deadline. */
typedef bool wait_condition(void *context);
bool wait_until(wait_condition *condition, void *context, int timeout_ms);

/* The moment (clock_monotonic_us) `timeout_ms` from now, stretched by the patience. */
int64_t wait_deadline_us(int timeout_ms);

/* The factor: 1 or more. */
double wait_patience(void);

/* One pause of 5 ms; false when the deadline has passed. */
bool wait_turn(int64_t deadline_us);
void wait_turn_or_fail(int64_t deadline_us, const char *condition, const char *file, int line);

#endif
