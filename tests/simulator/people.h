/* people.h: those who use `outboxd dead`, `replay`, `pause` and `resume`. */
#ifndef OUTBOXD_TESTS_SIMULATOR_PEOPLE_H
#define OUTBOXD_TESTS_SIMULATOR_PEOPLE_H

/* From now on, at random moments while there are faults; then everything is resumed, and what is still dead is retried, or given up when
 * it cannot be helped. */
void people_begin(void);

struct row;
/* Somebody has waited for this dead letter, and asks at once. */
void people_hurry(struct row *row);

#endif
