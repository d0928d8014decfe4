/* brokers.c: keeps the state of each broker as librdkafka's threads report it. Called from those threads, with a lock of
 * librdkafka's held: records, and nothing else. */
#include "kafka/brokers.h"

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct brokers {
    _Atomic int connected;
    pthread_mutex_t lock; /* of what follows */
    struct known {
        char *name;
        int port;
        bool connected;
    } * list;
    size_t count;
};

struct brokers *
brokers_new(void)
{
    struct brokers *brokers = must_calloc(1, sizeof *brokers);
    CHECK(pthread_mutex_init(&brokers->lock, NULL) == 0);
    return brokers;
}

void
brokers_free(struct brokers *brokers)
{
    for (size_t i = 0; i < brokers->count; i++)
        free(brokers->list[i].name);
    free(brokers->list);
    pthread_mutex_destroy(&brokers->lock);
    free(brokers);
}

static struct known *
find(struct brokers *brokers, const char *name, int port)
{
    for (size_t i = 0; i < brokers->count; i++)
        if (brokers->list[i].port == port && strcmp(brokers->list[i].name, name) == 0)
            return &brokers->list[i];
    brokers->list = must_realloc(brokers->list, brokers->count + 1, sizeof *brokers->list);
    brokers->list[brokers->count] = (struct known){.name = must_strdup(name), .port = port};
    return &brokers->list[brokers->count++];
}

static rd_kafka_resp_err_t
on_state(rd_kafka_t *rk, int32_t id, const char *protocol, const char *name, int port, const char *state,
         void *opaque)
{
    struct brokers *brokers = opaque;
    bool connected = strcmp(state, "UP") == 0 || strcmp(state, "UPDATE") == 0;
    (void)rk, (void)id, (void)protocol;
    if (name == NULL || name[0] == '\0') /* librdkafka's own broker, which is no server */
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    pthread_mutex_lock(&brokers->lock);
    struct known *known = find(brokers, name, port);
    if (known->connected != connected)
        atomic_fetch_add(&brokers->connected, connected ? 1 : -1);
    known->connected = connected;
    pthread_mutex_unlock(&brokers->lock);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The only moment at which librdkafka takes the watcher: before it makes the first broker. */
static rd_kafka_resp_err_t
on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *reason, size_t size)
{
    (void)conf, (void)reason, (void)size;
    return rd_kafka_interceptor_add_on_broker_state_change(rk, "outboxd", on_state, opaque);
}

void
brokers_watch(struct brokers *brokers, rd_kafka_conf_t *conf)
{
    rd_kafka_conf_interceptor_add_on_new(conf, "outboxd", on_new, brokers);
}

bool
brokers_connected(const struct brokers *brokers)
{
    return atomic_load(&brokers->connected) > 0;
}

void
brokers_split_reason(const char *text, char *broker, size_t broker_size, char *what, size_t what_size)
{
    const char *colon = strstr(text, ": "), *name = text;
    bool named = colon != NULL && strcspn(text, " ") > (size_t)(colon - text);
    const char *scheme = named ? strstr(text, "://") : NULL;
    if (scheme != NULL && scheme < colon)
        name = scheme + 3;
    size_t name_size = named ? strcspn(name, "/ ") : 0;
    if (name_size > 0 && name[name_size - 1] == ':')
        name_size--;
    const char *said = named ? colon + 2 : text, *after = strstr(said, " (after ");
    size_t said_size = after != NULL ? (size_t)(after - said) : strlen(said);
    snprintf(broker, broker_size, "%.*s", (int)name_size, name);
    snprintf(what, what_size, "%.*s", (int)said_size, said);
}
