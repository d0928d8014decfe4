/* errand.c: see errand.h. Used by lookup.c (questions) and transaction.c (transactions). */
#include "kafka/errand.h"

#include "base/error.h"
#include "kafka/handle.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

struct errand {
    errand_work *work;
    errand_drop *drop;
    void *cargo;

    pthread_mutex_t lock; /* of what follows */
    int wake_fd;
    bool over;      /* the thread has come back */
    bool abandoned; /* nobody waits for it */
};

static void
destroy(struct errand *errand)
{
    errand->drop(errand->cargo);
    pthread_mutex_destroy(&errand->lock);
    free(errand);
}

/* The thread has come back, or could not be started. True when nobody waits for it any more. */
static bool
finish(struct errand *errand)
{
    uint64_t one = 1;
    pthread_mutex_lock(&errand->lock);
    bool abandoned = errand->abandoned;
    errand->over = true;
    if (!abandoned)
        CHECK(write(errand->wake_fd, &one, sizeof one) == sizeof one || errno == EAGAIN);
    pthread_mutex_unlock(&errand->lock);
    return abandoned;
}

static void *
run(void *argument)
{
    struct errand *errand = argument;
    errand->work(errand->cargo);
    if (finish(errand))
        destroy(errand);
    return NULL;
}

struct errand *
errand_begin(errand_work *work, errand_drop *drop, void *cargo, int wake_fd)
{
    struct errand *errand = must_alloc(sizeof *errand);
    *errand = (struct errand){.work = work, .drop = drop, .cargo = cargo, .wake_fd = wake_fd};
    CHECK(pthread_mutex_init(&errand->lock, NULL) == 0);
    if (!handle_thread(run, errand))
        (void)finish(errand); /* over at once, in vain */
    return errand;
}

void *
errand_over(struct errand *errand)
{
    pthread_mutex_lock(&errand->lock);
    bool over = errand->over;
    pthread_mutex_unlock(&errand->lock);
    return over ? errand->cargo : NULL;
}

void
errand_end(struct errand *errand)
{
    if (errand == NULL)
        return;
    pthread_mutex_lock(&errand->lock);
    bool over = errand->over;
    errand->abandoned = true;
    pthread_mutex_unlock(&errand->lock);
    if (over)
        destroy(errand);
}
