/* business.h: what the outbox and its relay cost the application: sign-ups a second with nobody publishing, and with relay and
 * broker on the same cores. */
#ifndef OUTBOXD_TESTS_BENCH_BUSINESS_H
#define OUTBOXD_TESTS_BENCH_BUSINESS_H

#include "stage.h"

/* The tables of a sign-up; once for each outbox. */
void business_prepare(const struct outbox *outbox);

/* For `seconds`, as fast as they come, 4 connections sign up: begin, an account, a user, emit, commit; each a round trip of its
 * own, as applications do. Sign-ups a second. */
double business_rate(struct outbox *outbox, double seconds);

#endif
