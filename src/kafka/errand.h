/* errand.h: a call of librdkafka that blocks, made in a thread of its own: the relay's thread asks now and then whether it has come
 * back, and may let go of it at any time. A thread that hangs holds up nobody; its errand is freed when it comes back. */
#ifndef OUTBOXD_KAFKA_ERRAND_H
#define OUTBOXD_KAFKA_ERRAND_H

#include <stdbool.h>

struct errand;

/* What is done, in the thread: it may touch only what `cargo` owns, and leaves its results there. */
typedef void errand_work(void *cargo);
/* Frees the cargo, in whichever thread was the last to need it. */
typedef void errand_drop(void *cargo);

/* Starts; the cargo belongs to the errand. `wake_fd`, an eventfd, becomes readable when it is over. Without a thread to be had it
 * is over at once, and the work was not done. */
struct errand *errand_begin(errand_work *work, errand_drop *drop, void *cargo, int wake_fd);

/* The cargo when it is over, the errand's until errand_end(); NULL before. */
void *errand_over(struct errand *errand);

/* Lets go: frees it, now or when its thread has come back; `wake_fd` is not touched any more. NULL is allowed. */
void errand_end(struct errand *errand);

#endif
