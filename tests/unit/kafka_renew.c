/* kafka_renew.c: secrets of Kafka that change while a producer runs. The broker is nobody: what librdkafka would say to one is
 * what is looked at. */
#include "base/clock.h"
#include "kafka/inside.h"

#include <criterion/criterion.h>

TestSuite(kafka_renew, .timeout = 20);

enum { SERVERS, PROTOCOL, MECHANISM, USERNAME, PASSWORD, COUNT };

static struct property properties[COUNT] = {
    [SERVERS] = {.name = "bootstrap.servers", .value = "127.0.0.1:1"},
    [PROTOCOL] = {.name = "security.protocol", .value = "sasl_plaintext"},
    [MECHANISM] = {.name = "sasl.mechanisms", .value = "PLAIN"},
    [USERNAME] = {.name = "sasl.username", .value = "me"},
    [PASSWORD] = {.name = "sasl.password", .value = "first"},
};
static const struct settings settings = {
    .source = "shop", .relay = "main", .kafka = properties, .kafka_count = COUNT};

static struct producer *
start_producer(void)
{
    struct producer *producer;
    struct error error;
    cr_assert(producer_new(&producer, &settings, NULL, NULL, &error), "%s", error.message);
    cr_assert(producer_start(producer, 0, false, &error), "%s", error.message);
    return producer;
}

static void
expect_password(const struct producer *producer, const char *password)
{
    char value[100];
    size_t size = sizeof value;
    cr_assert_eq(rd_kafka_conf_get(rd_kafka_conf(producer->instance.rk), "sasl.password", value, &size),
                 RD_KAFKA_CONF_OK);
    cr_expect_str_eq(value, password);
}

Test(kafka_renew, new_credentials_are_handed_to_the_producer_that_runs)
{
    struct producer *producer = start_producer();
    expect_password(producer, "first");
    properties[PASSWORD].value = "second";
    producer_renew(producer, false);
    producer_turn(producer, clock_monotonic_us());
    expect_password(producer, "second");
    cr_expect_eq(producer_statistics(producer)->instances, 1, "no connection was in the way");
    producer_free(producer);
}

Test(kafka_renew, for_other_secrets_a_new_instance_begins_once_nothing_is_out)
{
    struct producer *producer = start_producer();
    properties[PASSWORD].value = "second";
    producer->reports.out = 1;
    producer_renew(producer, true);
    producer_turn(producer, clock_monotonic_us());
    cr_expect_eq(producer_statistics(producer)->instances, 1, "an event is out: it would be sent twice");
    producer->reports.out = 0;
    producer_turn(producer, clock_monotonic_us());
    cr_expect_eq(producer_statistics(producer)->instances, 2);
    cr_expect_eq(producer_state(producer), PRODUCER_READY);
    expect_password(producer, "second");
    producer_free(producer);
}
