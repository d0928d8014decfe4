/* kafka_properties.c: the section `kafka`. I7: no setting turns a failure into a success, so what would break a promise is
 * refused with its line and the reason. */
#include "kafka/properties.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct checked {
    bool good;
    char *errors;
    struct error error;
};

/* bootstrap.servers on line 10, `properties` from line 11 on. */
static struct checked
check(const struct property *properties, size_t count)
{
    struct property *all = must_calloc(count + 1, sizeof *all);
    struct checked checked = {0};
    size_t size;
    all[0] = (struct property){.name = "bootstrap.servers", .value = "127.0.0.1:9092", .line = 10};
    for (size_t i = 0; i < count; i++) {
        all[i + 1] = properties[i];
        all[i + 1].line = 11 + (int)i;
    }
    struct settings settings = {
        .file = "c.yaml", .source = "shop", .relay = "main", .kafka = all, .kafka_count = count + 1};
    FILE *errors = open_memstream(&checked.errors, &size);
    checked.good = properties_check(&settings, errors, &checked.error);
    fclose(errors);
    free(all);
    return checked;
}

static struct checked
check_one(const char *name, const char *value)
{
    struct property property = {.name = (char *)(uintptr_t)name, .value = (char *)(uintptr_t)value};
    return check(&property, 1);
}

static void
expect_refused(const char *name, const char *value, const char *reason_part)
{
    struct checked checked = check_one(name, value);
    char *head = must_format("c.yaml:11: kafka.%s: ", name);
    cr_expect_not(checked.good, "%s=%s was taken", name, value);
    cr_expect_eq(strncmp(checked.errors, head, strlen(head)), 0, "%s=%s: %s", name, value, checked.errors);
    cr_expect_not_null(strstr(checked.errors, reason_part), "%s=%s: %s", name, value, checked.errors);
    cr_expect_eq(checked.error.kind, checked.good ? ERROR_NONE : ERROR_CONFIG);
    free(head);
    free(checked.errors);
}

static void
expect_taken(const char *name, const char *value)
{
    struct checked checked = check_one(name, value);
    cr_expect(checked.good, "%s=%s: %s", name, value, checked.errors);
    cr_expect_str_empty(checked.errors);
    free(checked.errors);
}

Test(kafka_properties, what_would_break_a_promise_is_refused_with_its_line_and_the_reason)
{
    static const char *const refused[][3] = {
        {"enable.idempotence", "false", "order of a key"},
        {"enable.gapless.guarantee", "false", "published before"},
        {"acks", "1", "in-sync"},
        {"request.required.acks", "0", "in-sync"},
        {"partitioner", "consistent_random", "Java"},
        {"message.timeout.ms", "300000", "gap"},
        {"delivery.timeout.ms", "0", "gap"},
        {"retries", "3", "gap"},
        {"message.send.max.retries", "0", "gap"},
        {"max.in.flight", "6", "at most 5"},
        {"max.in.flight.requests.per.connection", "1000000", "at most 5"},
        {"allow.auto.create.topics", "true", "mistyped"},
        {"transactional.id", "mine", "transactions"},
        {"transaction.timeout.ms", "1000", "transactions"},
        {"delivery.report.only.error", "true", "report"},
        {"queuing.strategy", "lifo", "order"},
        {"queue.buffering.max.messages", "1000", "memory"},
        {"queue.buffering.max.kbytes", "1024", "memory"},
        {"message.max.bytes", "1000", "max.message.bytes"},
        {"ssl.endpoint.identification.algorithm", "none", "anyone"},
        {"enable.ssl.certificate.verification", "false", "anyone"},
        {"linger.ms", "60000", "wait"},
        {"queue.buffering.max.ms", "900000", "wait"},
        {"socket.max.fails", "0", "out of step"},
        {"api.version.request", "false", "idempotence"},
        {"broker.version.fallback", "0.8.2", "idempotence"},
        {"topic.blacklist", "a.*", "topics"},
        {"plugin.library.paths", "monitoring-interceptor", "plugin"},
        {"internal.termination.signal", "9", "signals"},
        {"test.mock.num.brokers", "3", "mock"},
        {"dr_msg_cb", "x", "file"},
        {"interceptors", "x", "file"},
        {"log.queue", "true", "reads"},
        {"log_level", "2", "which topic was refused"},
        {"log_level", "7", "log.level"},
        {"socket.blocking.max.ms", "10", "effect"},
        {"group.id", "g", "consumer"},
        {"isolation.level", "read_committed", "consumer"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_refused(refused[i][0], refused[i][1], refused[i][2]);
}

/* librdkafka would connect, ask for a token with an event that nobody serves, and wait for ever. */
Test(kafka_properties, oauthbearer_is_refused_at_start_because_nobody_would_renew_its_token)
{
    expect_refused("sasl.mechanisms", "OAUTHBEARER", "renews no tokens; use SCRAM or PLAIN");
    expect_refused("sasl.mechanism", "oauthbearer", "renews no tokens");
    expect_refused("sasl.oauthbearer.token.endpoint.url", "https://idp/token", "renews no tokens");
    expect_refused("enable.sasl.oauthbearer.unsecure.jwt", "true", "renews no tokens");
}

Test(kafka_properties, our_own_values_may_be_written_down)
{
    static const char *const taken[][2] = {
        {"enable.idempotence", "true"},
        {"enable.gapless.guarantee", "true"},
        {"acks", "all"},
        {"acks", "-1"},
        {"partitioner", "murmur2_random"},
        {"message.timeout.ms", "2147483647"},
        {"retries", "2147483647"},
        {"max.in.flight", "1"},
        {"allow.auto.create.topics", "false"},
        {"ssl.endpoint.identification.algorithm", "https"},
        {"queuing.strategy", "fifo"},
        {"log_level", "6"},
    };
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        expect_taken(taken[i][0], taken[i][1]);
}

/* librdkafka takes 1kb for 1 and says nothing. */
Test(kafka_properties, a_number_with_a_unit_is_refused_and_names_that_look_like_one_are_not__I7)
{
    expect_refused("batch.size", "65536b", "must be a number without a unit");
    expect_refused("linger.ms", "5x", "must be a number");
    expect_refused("socket.keepalive.enable", "1x", "");
    expect_taken("linger.ms", "0.5");
    expect_taken("socket.send.buffer.bytes", "0x10000");
    expect_taken("client.id", "7th");
}

Test(kafka_properties, what_is_the_users_to_choose_is_passed_on)
{
    static const char *const taken[][2] = {
        {"client.id", "mine"},
        {"compression.type", "zstd"},
        {"linger.ms", "20"},
        {"batch.size", "16384"},
        {"socket.timeout.ms", "30000"},
        {"sasl.mechanism", "SCRAM-SHA-512"},
        {"client.rack", "eu-1"},
        {"debug", "broker"},
        {"statistics.interval.ms", "0"},
        {"retry.backoff.ms", "10"},
        {"batch.num.messages", "100"},
    };
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        expect_taken(taken[i][0], taken[i][1]);
}

Test(kafka_properties, librdkafka_judges_the_rest)
{
    expect_refused("no.such.property", "1", "no property of librdkafka");
    expect_refused("socket.timeout.ms", "soon", "socket.timeout.ms");
    expect_refused("socket.timeout.ms", "1", "range");
    expect_refused("compression.type", "rar", "rar");
    expect_refused("linger.ms", "soon", "configuration property \"linger.ms\"\n"); /* as it was written */
    expect_refused("queue.buffering.max.ms", "soon", "configuration property \"queue.buffering.max.ms\"\n");
    expect_refused("compression.type", "rar", "configuration property \"compression.type\"");
}

Test(kafka_properties, a_misspelt_property_is_told_the_nearest_and_what_that_one_would_be_told)
{
    expect_refused("bootstrap.server", "a", "librdkafka; did you mean bootstrap.servers?");
    expect_refused("compresion.type", "lz4", "librdkafka; did you mean compression.type?");
    expect_refused("enable.idempotance", "true", "librdkafka; did you mean enable.idempotence?");
    expect_refused("ssl.ca", "/ca.pem", "librdkafka; did you mean ssl.ca.location?");
    expect_refused("sasl.user.name", "me", "librdkafka; did you mean sasl.username?");
    expect_refused("ackss", "1", "librdkafka; the nearest, acks, must be all");
    expect_refused("auto.ofset.reset", "earliest",
                   "the nearest, auto.offset.reset, is a property of consumers");
    expect_refused("frobnicate", "1", "is no property of librdkafka\n");
    expect_refused("a", "1", "is no property of librdkafka\n");
}

Test(kafka_properties, properties_of_topics_and_of_java_clients_are_told_where_they_belong)
{
    expect_refused("retention.ms", "1", "property of topics");
    expect_refused("max.message.bytes", "1", "property of topics");
    expect_refused("buffer.memory", "1", "`memory`");
    expect_refused("key.serializer", "x", "Java");
    expect_refused("sasl.jaas.config", "x", "sasl.username");
    expect_refused("ssl.truststore.location", "x", "ssl.ca.location");
}

/* All mistakes in one run: those that the file has elsewhere hide none of this section. */
Test(kafka_properties, settings_that_were_refused_for_other_reasons_are_checked_too)
{
    struct property property = {.name = "socket.timeout.ms", .value = "soon", .line = 7};
    struct settings settings = {.file = "c.yaml", .kafka = &property, .kafka_count = 1};
    struct error error;
    char *errors;
    size_t size;
    FILE *to = open_memstream(&errors, &size);
    cr_assert_not(properties_check(&settings, to, &error));
    fclose(to);
    cr_assert_eq(strncmp(errors, "c.yaml:7: kafka.socket.timeout.ms: ", 35), 0, "%s", errors);
    free(errors);
    property.value = "1000";
    to = open_memstream(&errors, &size);
    cr_assert(properties_check(&settings, to, &error), "%s", error.message);
    fclose(to);
    free(errors);
}

Test(kafka_properties, contradictions_are_found_before_anything_connects)
{
    expect_refused("queue.buffering.backpressure.threshold", "10", "must be set to 1");
    struct property ssl[] = {{.name = "security.protocol", .value = "ssl"},
                             {.name = "ssl.ca.location", .value = "/nonexistent/ca.pem"}};
    struct checked checked = check(ssl, 2);
    cr_assert_not(checked.good);
    cr_assert_eq(strncmp(checked.errors, "c.yaml:12: kafka.ssl.ca.location: ", 34), 0, "%s", checked.errors);
    free(checked.errors);
}

Test(kafka_properties, a_contradiction_that_names_nothing_written_stands_at_the_sections_first_line)
{
    struct checked checked = check_one("reconnect.backoff.ms", "30000");
    cr_assert_not(checked.good);
    cr_assert_eq(strncmp(checked.errors, "c.yaml:10: kafka: `reconnect.backoff.max.ms`", 44), 0, "%s",
                 checked.errors);
    free(checked.errors);
}

Test(kafka_properties, every_mistake_is_reported_in_one_run)
{
    struct property mistakes[] = {{.name = "acks", .value = "0"},
                                  {.name = "client.id", .value = "fine"},
                                  {.name = "no.such.property", .value = "1"},
                                  {.name = "retries", .value = "1"}};
    struct checked checked = check(mistakes, 4);
    cr_assert_not(checked.good);
    cr_assert_not_null(strstr(checked.errors, "c.yaml:11: kafka.acks: "));
    cr_assert_not_null(strstr(checked.errors, "c.yaml:13: kafka.no.such.property: "));
    cr_assert_not_null(strstr(checked.errors, "c.yaml:14: kafka.retries: "));
    cr_assert_not_null(strstr(checked.error.message, "3 mistakes"), "%s", checked.error.message);
    free(checked.errors);
}

Test(kafka_properties, a_secret_is_not_shown)
{
    struct property secret = {.name = "security.protocol", .value = "hunter2", .secret = true};
    struct checked checked = check(&secret, 1);
    cr_assert_not(checked.good);
    cr_assert_null(strstr(checked.errors, "hunter2"), "%s", checked.errors);
    free(checked.errors);
}

static bool
servers_good(const char *value)
{
    struct property servers = {.name = "bootstrap.servers", .value = (char *)(uintptr_t)value, .line = 3};
    struct settings settings = {
        .file = "c.yaml", .source = "shop", .relay = "main", .kafka = &servers, .kafka_count = 1};
    struct error error;
    FILE *nowhere = fopen("/dev/null", "w");
    bool good = properties_check(&settings, nowhere, &error);
    fclose(nowhere);
    return good;
}

Test(kafka_properties, servers_must_be_there_and_readable)
{
    static const char *const good[] = {"a",          "a:9092", "a:9092,b:9093",    "a:9092, b:9093",
                                       "[::1]:9092", "[::1]",  "SASL_SSL://a:9092"};
    static const char *const bad[] = {
        "", "a:", "a:0", "a:70000", "a:9092,", ",a:9092", "a:9092 b:9092", "a:port", ":9092"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect(servers_good(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(servers_good(bad[i]), "%s", bad[i]);
}

/* The properties of the very librdkafka we are linked with: rows "name | C | range | default ..". */
Test(kafka_properties, every_consumer_property_of_this_librdkafka_is_refused_as_such)
{
    char *table, *line, *rest = NULL;
    size_t size;
    int seen = 0;
    FILE *to = open_memstream(&table, &size);
    rd_kafka_conf_properties_show(to);
    fclose(to);
    for (line = strtok_r(table, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char name[100], scope[4];
        if (sscanf(line, "%99[a-z0-9._] | %3[CP*]", name, scope) != 2 || strcmp(scope, "C") != 0)
            continue;
        expect_refused(name, "1", "consumer");
        seen++;
    }
    cr_assert_gt(seen, 25);
    free(table);
}

static void
expect_value(rd_kafka_conf_t *conf, const char *name, const char *expected)
{
    char value[256];
    size_t size = sizeof value;
    cr_assert_eq(rd_kafka_conf_get(conf, name, value, &size), RD_KAFKA_CONF_OK, "%s", name);
    cr_expect_str_eq(value, expected, "%s", name);
}

Test(kafka_properties, an_instance_gets_what_the_promises_rest_on)
{
    struct property properties[] = {{.name = "bootstrap.servers", .value = "k:9092"},
                                    {.name = "socket.timeout.ms", .value = "20000"}};
    struct settings settings = {.source = "shop", .relay = "main", .kafka = properties, .kafka_count = 2};
    struct producer_shape shape = {.batch_bytes = 50000, .message_bytes = 2000000, .batch_events = 473};
    struct error error;
    rd_kafka_conf_t *conf = properties_producer(&settings, &shape, &error);
    cr_assert_not_null(conf);
    expect_value(conf, "enable.idempotence", "true");
    expect_value(conf, "acks", "-1");
    expect_value(conf, "enable.gapless.guarantee", "true");
    expect_value(conf, "message.timeout.ms", "2147483647");
    expect_value(conf, "allow.auto.create.topics", "false");
    expect_value(conf, "topic.metadata.propagation.max.ms", "10000");
    expect_value(conf, "reconnect.backoff.max.ms", "1000");
    expect_value(conf, "client.id", "outboxd-shop-main");
    expect_value(conf, "socket.timeout.ms", "20000");
    expect_value(conf, "batch.size", "50000");
    expect_value(conf, "message.max.bytes", "2000000");
    expect_value(conf, "batch.num.messages", "473");
    rd_kafka_conf_destroy(conf);
}

Test(kafka_properties, a_client_that_only_asks_creates_nothing)
{
    struct property properties[] = {{.name = "bootstrap.servers", .value = "k:9092"},
                                    {.name = "enable.gapless.guarantee", .value = "true"}};
    struct settings settings = {.source = "shop", .relay = "main", .kafka = properties, .kafka_count = 2};
    struct error error;
    rd_kafka_conf_t *conf = properties_client(&settings, &error);
    cr_assert_not_null(conf);
    expect_value(conf, "allow.auto.create.topics", "false");
    expect_value(conf, "enable.gapless.guarantee", "false");
    rd_kafka_conf_destroy(conf);
}
