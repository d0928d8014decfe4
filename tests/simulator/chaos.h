/* chaos.h: the larger faults: processes are killed, stopped and paused, servers crash, links are cut, topics refuse, clocks jump. */
#ifndef OUTBOXD_TESTS_SIMULATOR_CHAOS_H
#define OUTBOXD_TESTS_SIMULATOR_CHAOS_H

/* From now on, for as long as the model says; then everything heals, and world.calm is set. */
void chaos_begin(void);

#endif
