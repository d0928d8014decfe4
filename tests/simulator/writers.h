/* writers.h: the application: transactions that insert events, short and long, several of a key at once, some rolled back. */
#ifndef OUTBOXD_TESTS_SIMULATOR_WRITERS_H
#define OUTBOXD_TESTS_SIMULATOR_WRITERS_H

#include <stdbool.h>

void writers_begin(void);
/* Every transaction that was to begin is over. */
bool writers_are_done(void);

#endif
