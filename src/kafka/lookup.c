/* lookup.c: see lookup.h. Called by ask.c; the thread touches nothing but its lookup and its handle. */
#include "kafka/lookup.h"

#include "base/error.h"
#include "kafka/errand.h"

#include <stdlib.h>

struct question {
    struct handle *handle;
    rd_kafka_topic_t *topic; /* NULL: all */
    int timeout_ms;
    const rd_kafka_metadata_t *metadata;
};

static void
ask(void *cargo)
{
    struct question *question = cargo;
    if (rd_kafka_metadata(question->handle->rk, 0, question->topic, &question->metadata,
                          question->timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
        question->metadata = NULL;
}

static void
drop(void *cargo)
{
    struct question *question = cargo;
    if (question->topic != NULL)
        rd_kafka_topic_destroy(question->topic);
    if (question->metadata != NULL)
        rd_kafka_metadata_destroy(question->metadata);
    handle_release(question->handle);
    free(question);
}

struct errand *
lookup_begin(struct handle *handle, const char *topic, int timeout_ms, int wake_fd)
{
    struct question *question = must_alloc(sizeof *question);
    *question = (struct question){.handle = handle_use(handle),
                                  .topic = topic ? rd_kafka_topic_new(handle->rk, topic, NULL) : NULL,
                                  .timeout_ms = timeout_ms};
    return errand_begin(ask, drop, question, wake_fd);
}

bool
lookup_over(struct errand *lookup, const rd_kafka_metadata_t **metadata)
{
    const struct question *question = errand_over(lookup);
    *metadata = question ? question->metadata : NULL;
    return question != NULL;
}
