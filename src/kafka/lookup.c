/* lookup.c: see lookup.h. Called by ask.c; the thread touches nothing but its lookup and its handle. */
#include "kafka/lookup.h"

#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* A broker that has not answered by then hangs; another one may be asked next. */
enum { TIMEOUT_MS = 2000 };

struct lookup {
    struct handle *handle;
    rd_kafka_topic_t *topic; /* NULL: all */
    const rd_kafka_metadata_t *metadata;

    pthread_mutex_t lock; /* of what follows */
    int wake_fd;
    bool over;      /* the thread has come back */
    bool abandoned; /* nobody waits for it */
};

static void
destroy(struct lookup *lookup)
{
    if (lookup->metadata != NULL)
        rd_kafka_metadata_destroy(lookup->metadata);
    pthread_mutex_destroy(&lookup->lock);
    free(lookup);
}

/* The thread has come back, or could not be started. True when nobody waits for it any more. */
static bool
finish(struct lookup *lookup)
{
    uint64_t one = 1;
    if (lookup->topic != NULL)
        rd_kafka_topic_destroy(lookup->topic);
    handle_release(lookup->handle);
    pthread_mutex_lock(&lookup->lock);
    bool abandoned = lookup->abandoned;
    lookup->over = true;
    if (!abandoned)
        CHECK(write(lookup->wake_fd, &one, sizeof one) == sizeof one || errno == EAGAIN);
    pthread_mutex_unlock(&lookup->lock);
    return abandoned;
}

static void *
ask(void *argument)
{
    struct lookup *lookup = argument;
    if (rd_kafka_metadata(lookup->handle->rk, 0, lookup->topic, &lookup->metadata, TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        lookup->metadata = NULL;
    if (finish(lookup))
        destroy(lookup);
    return NULL;
}

struct lookup *
lookup_begin(struct handle *handle, const char *topic, int wake_fd)
{
    struct lookup *lookup = must_alloc(sizeof *lookup);
    *lookup = (struct lookup){.handle = handle_use(handle),
                              .topic = topic ? rd_kafka_topic_new(handle->rk, topic, NULL) : NULL,
                              .wake_fd = wake_fd};
    CHECK(pthread_mutex_init(&lookup->lock, NULL) == 0);
    if (!handle_thread(ask, lookup))
        (void)finish(lookup); /* over at once, in vain */
    return lookup;
}

bool
lookup_over(struct lookup *lookup, const rd_kafka_metadata_t **metadata)
{
    pthread_mutex_lock(&lookup->lock);
    bool over = lookup->over;
    pthread_mutex_unlock(&lookup->lock);
    *metadata = over ? lookup->metadata : NULL;
    return over;
}

void
lookup_end(struct lookup *lookup)
{
    if (lookup == NULL)
        return;
    pthread_mutex_lock(&lookup->lock);
    bool over = lookup->over;
    lookup->abandoned = true;
    pthread_mutex_unlock(&lookup->lock);
    if (over)
        destroy(lookup);
}
