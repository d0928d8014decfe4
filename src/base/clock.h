/* clock.h: time as the relay uses it. Deadlines are monotonic; wall time is only for people and for Kafka. */
#ifndef OUTBOXD_BASE_CLOCK_H
#define OUTBOXD_BASE_CLOCK_H

#include <stdint.h>

/* "No deadline": later than every moment of the process. */
#define CLOCK_NEVER INT64_MAX

/* Microseconds of CLOCK_MONOTONIC; does not jump when an operator sets the time. */
int64_t clock_monotonic_us(void);

/* Microseconds since 1970-01-01 UTC. */
int64_t clock_wall_us(void);

#endif
