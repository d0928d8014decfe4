/* properties.c: from the `kafka:` section to librdkafka configurations. Called at start, by `check`, and for
 * each instance of the producer; connects to nobody. */
#include "kafka/properties.h"

#include "base/spelling.h"
#include "kafka/brokerlog.h"
#include "kafka/handshake.h"
#include "kafka/position.h"
#include "kafka/rules.h"

#include <stdlib.h>
#include <string.h>

/* librdkafka's own default, just below the 1,048,588 bytes that a broker takes by default. */
static const int64_t BATCH_BYTES = 1000000;

/* Where we know better than librdkafka's defaults, but the user may know better still. */
static const struct {
    const char *name, *value;
} defaults[] = {
    {"linger.ms", "0"}, /* measured: the drain is as fast, an event alone 1 ms faster than with 1 */
    {"socket.timeout.ms", "10000"},       /* 60 s would hide a broker that hangs */
    {"socket.keepalive.enable", "true"},  /* a firewall that forgot the connection is noticed */
    {"socket.nagle.disable", "true"},     /* small batches leave at once */
    {"reconnect.backoff.max.ms", "1000"}, /* a broker that is back is noticed within a second or two */
    {"topic.metadata.propagation.max.ms", "10000"}, /* when an unknown topic is called unknown */
    {"statistics.interval.ms", "5000"},             /* fresher than any scrape of /metrics */
};

const struct property *
properties_find(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->kafka_count; i++)
        if (strcmp(settings->kafka[i].name, name) == 0)
            return &settings->kafka[i];
    return NULL;
}

static const struct property *
find_either(const struct settings *settings, const char *name, const char *alias)
{
    const struct property *property = properties_find(settings, name);
    return property ? property : properties_find(settings, alias);
}

int64_t
properties_batch_bytes(const struct settings *settings)
{
    const struct property *property = properties_find(settings, "batch.size");
    return property ? strtoll(property->value, NULL, 10) : BATCH_BYTES;
}

bool
properties_compressed(const struct settings *settings)
{
    const struct property *property = find_either(settings, "compression.type", "compression.codec");
    return property != NULL && strcmp(property->value, "none") != 0;
}

/* ---- checking ---- */

struct report {
    const struct settings *settings;
    FILE *errors;
    int count;
};

static void
complain(struct report *report, int line, const char *name, const char *reason)
{
    fprintf(report->errors, "%s:%d: kafka.%s: %s\n", report->settings->file, line, name, reason);
    report->count++;
}

/* "; did you mean ..": the property of librdkafka whose name is nearest, or begins with what was written. */
static char *
suggest(const struct property *property)
{
    char *table, *line, *rest = NULL, name[100], nearest[100] = "";
    size_t size, nearest_distance = SPELLING_FAR, written = strlen(property->name);
    FILE *to = open_memstream(&table, &size);
    CHECK(to != NULL);
    rd_kafka_conf_properties_show(to); /* rows "name | C/P | .."; the only list that has all of them */
    CHECK(fclose(to) == 0);
    for (line = strtok_r(table, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        bool for_files = strstr(line, "see dedicated API") == NULL;
        if (!for_files || sscanf(line, "%99[a-z0-9._] | ", name) != 1)
            continue;
        size_t far = spelling_distance(property->name, name);
        bool begins =
            nearest[0] == '\0' && strncmp(name, property->name, written) == 0 && name[written] == '.';
        if (far < nearest_distance || begins)
            snprintf(nearest, sizeof nearest, "%s", name);
        if (far < nearest_distance)
            nearest_distance = far;
    }
    free(table);
    if (nearest[0] == '\0')
        return must_strdup("");
    const char *refusal = rules_refusal(&(struct property){.name = nearest, .value = property->value});
    return refusal != NULL ? must_format("; the nearest, %s, %s", nearest, refusal)
                           : must_format("; did you mean %s?", nearest);
}

static void
complain_of_unknown(struct report *report, const struct property *property)
{
    char *suggestion = suggest(property);
    char *reason = must_format("is no property of librdkafka%s", suggestion);
    complain(report, property->line, property->name, reason);
    free(reason);
    free(suggestion);
}

/* librdkafka reads a number as far as it goes and ignores what follows: "1kb" is 1 to it. */
static bool
number_is_cut(rd_kafka_conf_t *scratch, const struct property *property)
{
    char taken[64], *end;
    size_t size = sizeof taken;
    if (rd_kafka_conf_get(scratch, property->name, taken, &size) != RD_KAFKA_CONF_OK || size > sizeof taken)
        return false;
    (void)strtod(taken, &end);
    if (end == taken || *end != '\0')
        return false; /* no number */
    (void)strtod(property->value, &end);
    return end != property->value && *end != '\0' && strcmp(property->value, taken) != 0;
}

/* librdkafka names a property that it knows under two names by the other one. The caller frees the text. */
static char *
name_as_written(const char *reason, const char *name)
{
    static const char before[] = "onfiguration property \"";
    const char *begin = strstr(reason, before);
    const char *end = begin != NULL ? strchr(begin + sizeof before - 1, '"') : NULL;
    if (end == NULL)
        return must_strdup(reason);
    return must_format("%.*s%s%s", (int)(begin - reason) + (int)sizeof before - 1, reason, name, end);
}

static void
complain_of_value(struct report *report, const struct property *property, const char *reason)
{
    char *named = name_as_written(reason, property->name);
    complain(report, property->line, property->name,
             property->secret ? "has a value that librdkafka does not accept" : named);
    free(named);
}

/* One property alone: our rules first, for their reasons are about promises; then librdkafka's. */
static void
check_property(struct report *report, rd_kafka_conf_t *scratch, const struct property *property)
{
    char reason[512];
    const char *refusal = rules_refusal(property);
    if (refusal != NULL) {
        complain(report, property->line, property->name, refusal);
        return;
    }
    rd_kafka_conf_res_t result =
        rd_kafka_conf_set(scratch, property->name, property->value, reason, sizeof reason);
    if (result == RD_KAFKA_CONF_UNKNOWN)
        complain_of_unknown(report, property);
    else if (result == RD_KAFKA_CONF_INVALID)
        complain_of_value(report, property, reason);
    else if (number_is_cut(scratch, property))
        complain(report, property->line, property->name, "must be a number without a unit");
}

/* host, host:port, [v6]:port, each perhaps behind protocol:// ; librdkafka would only log what it cannot
 * read. */
static bool
server_readable(const char *server, size_t size)
{
    char text[300], *host = text, *port;
    if (size == 0 || size >= sizeof text)
        return false;
    memcpy(text, server, size);
    text[size] = '\0';
    if (strstr(text, "://") != NULL)
        host = strstr(text, "://") + 3;
    port = *host == '[' ? strstr(host, "]:") : strrchr(host, ':');
    if (port == NULL)
        return *host != '\0';
    port += *port == ']' ? 2 : 1;
    char *end;
    long number = strtol(port, &end, 10);
    return port > host + 1 && *port >= '0' && *port <= '9' && *end == '\0' && number >= 1 && number <= 65535;
}

static void
check_servers(struct report *report)
{
    const struct property *servers =
        find_either(report->settings, "bootstrap.servers", "metadata.broker.list");
    if (servers == NULL) /* settings_load() has said so */
        return;
    const char *at = servers->value;
    bool good;
    do {
        at += strspn(at, ", ");
        size_t size = strcspn(at, ", ");
        good = server_readable(at, size);
        at += size;
        at += strspn(at, " ");
    } while (good && *at == ',');
    if (!good || *at != '\0' || *servers->value == ',')
        complain(report, servers->line, servers->name, "must be a list of host:port, separated by commas");
}

static const struct property *
property_named_in(const struct settings *settings, const char *text)
{
    for (size_t i = 0; i < settings->kafka_count; i++)
        if (strstr(text, settings->kafka[i].name) != NULL)
            return &settings->kafka[i];
    return NULL;
}

/* What only shows when all of them meet: contradictions, files that cannot be read, mechanisms not built in.
 */
static void
check_together(struct report *report)
{
    struct error error;
    char reason[512];
    const struct producer_shape shape = {.batch_bytes = BATCH_BYTES,
                                         .message_bytes = BATCH_BYTES,
                                         .exact = report->settings->delivery == DELIVERY_EXACTLY_ONCE};
    rd_kafka_conf_t *conf = properties_producer(report->settings, &shape, &error);
    rd_kafka_t *rk = NULL;
    if (conf == NULL) {
        snprintf(reason, sizeof reason, "%.500s", error.message);
    } else {
        rd_kafka_conf_set_log_cb(conf, brokerlog_ignore);
        rd_kafka_conf_set(conf, "bootstrap.servers", "", NULL, 0);
        rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    }
    if (rk != NULL) {
        rd_kafka_destroy(rk);
        return;
    }
    bool exhausted = conf != NULL && rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
    if (conf != NULL)
        rd_kafka_conf_destroy(conf);
    if (exhausted) /* no thread to be had: no mistake of the file's, and the first instance meets it again */
        return;
    const struct property *property = property_named_in(report->settings, reason);
    if (property != NULL) {
        complain(report, property->line, property->name, reason);
        return;
    }
    fprintf(report->errors, "%s:%d: kafka: %s\n", report->settings->file, report->settings->kafka[0].line,
            reason);
    report->count++;
}

bool
properties_check(const struct settings *settings, FILE *errors, struct error *error)
{
    struct report report = {.settings = settings, .errors = errors};
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    for (size_t i = 0; i < settings->kafka_count; i++)
        check_property(&report, scratch, &settings->kafka[i]);
    rd_kafka_conf_destroy(scratch);
    check_servers(&report);
    if (report.count == 0)
        check_together(&report);
    if (report.count > 0)
        return error_set(error, ERROR_CONFIG, "%s: %d mistake%s in the section kafka", settings->file,
                         report.count, report.count == 1 ? "" : "s");
    return true;
}

/* ---- making ---- */

struct making {
    rd_kafka_conf_t *conf;
    bool failed;
    char reason[512]; /* of the first failure */
};

static void
set(void *context, const char *name, const char *value)
{
    struct making *making = context;
    char reason[400];
    if (rd_kafka_conf_set(making->conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK ||
        making->failed)
        return;
    making->failed = true;
    snprintf(making->reason, sizeof making->reason, "%s: %s", name, reason);
}

static void
set_number(struct making *making, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    set(making, name, text);
}

/* The user's properties over our defaults. `all`: also those that a producer needs and a mere client must not
 * have. */
static void
set_common(struct making *making, const struct settings *settings, bool all)
{
    char client_id[256];
    making->conf = rd_kafka_conf_new();
    handshake_watch(making->conf);
    snprintf(client_id, sizeof client_id, "outboxd-%s-%s", settings->source ? settings->source : "",
             settings->relay ? settings->relay : "");
    set(making, "client.id", client_id);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        set(making, defaults[i].name, defaults[i].value);
    for (size_t i = 0; i < settings->kafka_count; i++)
        if (all || !rules_is_fixed(settings->kafka[i].name))
            set(making, settings->kafka[i].name, settings->kafka[i].value);
}

static rd_kafka_conf_t *
finish(struct making *making, struct error *error)
{
    if (!making->failed)
        return making->conf;
    rd_kafka_conf_destroy(making->conf);
    error_set(error, ERROR_CONFIG, "%s", making->reason);
    return NULL;
}

/* A transaction that nobody ends keeps readers of its partitions waiting for so long: a process that takes over ends it at once. Its
 * messages may not wait for longer, and here one that expires loses and reorders nothing: it ends the transaction. */
#define TRANSACTION_TIMEOUT_MS "30000"

static void
set_transactional(struct making *making, const struct settings *settings)
{
    char id[POSITION_TOPIC_SIZE];
    position_transactional_id(settings, id);
    set(making, "transactional.id", id);
    set(making, "transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
    set(making, "message.timeout.ms", TRANSACTION_TIMEOUT_MS);
    /* 100 ms, the default, stands between two transactions (measured: 14 a second instead of 101) */
    if (properties_find(settings, "retry.backoff.ms") == NULL)
        set(making, "retry.backoff.ms", "10");
}

rd_kafka_conf_t *
properties_producer(const struct settings *settings, const struct producer_shape *shape, struct error *error)
{
    struct making making = {0};
    set_common(&making, settings, true);
    rules_each_fixed(set, &making);
    set_number(&making, "batch.size", shape->batch_bytes);
    /* librdkafka's own range; a smaller batch.size is a bound for batches, not for an event alone */
    int64_t message_bytes = shape->message_bytes < 1000 ? 1000 : shape->message_bytes;
    set_number(&making, "message.max.bytes", message_bytes > 1000000000 ? 1000000000 : message_bytes);
    if (shape->batch_events > 0)
        set_number(&making, "batch.num.messages", (int64_t)shape->batch_events);
    if (shape->exact)
        set_transactional(&making, settings);
    rd_kafka_conf_set_log_cb(making.conf, brokerlog_write);
    return finish(&making, error);
}

rd_kafka_conf_t *
properties_client(const struct settings *settings, struct error *error)
{
    struct making making = {0};
    set_common(&making, settings, false);
    set(&making, "statistics.interval.ms", "0");
    set(&making, "allow.auto.create.topics", "false"); /* asking must not create */
    rd_kafka_conf_set_log_cb(making.conf, brokerlog_ignore);
    return finish(&making, error);
}
