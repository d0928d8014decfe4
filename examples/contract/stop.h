/* stop.h: every wait of the program, which SIGTERM and SIGINT end. */
#ifndef EXAMPLE_CONTRACT_STOP_H
#define EXAMPLE_CONTRACT_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* Once, at the start, before there are threads: from then on the signals wait until somebody looks. */
void stop_prepare(void);

/* Waits so long, or until one of the signals comes. True, and from then on always true at once, when one has come. */
bool stop_within(int64_t ms);

/* A clock that nobody sets; deadlines are moments of it. */
int64_t stop_clock_ms(void);

#endif
