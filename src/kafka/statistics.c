/* statistics.c: reads librdkafka's statistics (its STATISTICS.md names the fields). Called from the stats
 * callback of the producer, in the relay's thread. */
#include "kafka/statistics.h"

#include <jansson.h>
#include <string.h>

static uint64_t
counter(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

static bool
is_up(const json_t *broker)
{
    const char *state = json_string_value(json_object_get(broker, "state"));
    return state != NULL && strcmp(state, "UP") == 0;
}

/* A connection of its own to a broker that is listed under its own name, too: that to the coordinator of transactions. */
static bool
is_logical(const json_t *broker)
{
    const char *source = json_string_value(json_object_get(broker, "source"));
    return source != NULL && strcmp(source, "logical") == 0;
}

static void
add_broker(struct producer_statistics *statistics, const json_t *broker)
{
    double p99 = (double)counter(json_object_get(broker, "rtt"), "p99") / 1e6;
    statistics->transmit_errors += counter(broker, "txerrs");
    statistics->transmit_retries += counter(broker, "txretries");
    if (p99 > statistics->broker_rtt_p99_seconds)
        statistics->broker_rtt_p99_seconds = p99;
    statistics->brokers_up +=
        is_up(broker) && !is_logical(broker) && json_integer_value(json_object_get(broker, "nodeid")) >= 0;
}

bool
statistics_read(struct producer_statistics *statistics, const char *json, size_t size)
{
    json_error_t ignored;
    json_t *root = json_loadb(json, size, 0, &ignored), *broker;
    const char *name;
    bool bootstrap_up = false;
    if (!json_is_object(root)) {
        json_decref(root);
        return false;
    }
    statistics->queue_messages = (int64_t)counter(root, "msg_cnt");
    statistics->queue_bytes = (int64_t)counter(root, "msg_size");
    statistics->transmitted_bytes = counter(root, "tx_bytes");
    statistics->transmit_errors = statistics->transmit_retries = 0;
    statistics->broker_rtt_p99_seconds = 0;
    statistics->brokers_up = 0;
    json_object_foreach(json_object_get(root, "brokers"), name, broker)
    {
        add_broker(statistics, broker);
        bootstrap_up |= is_up(broker);
    }
    /* A connection under a bootstrap name is one to a broker that may be listed again under its own name. */
    if (statistics->brokers_up == 0 && bootstrap_up)
        statistics->brokers_up = 1;
    json_decref(root);
    return true;
}
