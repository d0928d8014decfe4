/* config_renew.c: what a configuration that is read again changes, and what it only names. */
#include "config/renew.h"
#include "unit/config_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(config_renew, .init = config_fixture_enter, .fini = config_fixture_leave, .timeout = 20);

static const char before[] =
    "source: shop\n"
    "postgres: {conninfo: dbname=shop}\n"
    "kafka: {bootstrap.servers: 'localhost:9092', sasl.username: me, sasl.password: one,"
    " ssl.key.password: two, linger.ms: 1}\n"
    "topics: [a, b]\n";

static struct settings *
renew(const char *after, struct renewal *renewal)
{
    struct settings *settings = config_fixture_accept(before);
    settings_renew(settings, config_fixture_accept(after), renewal);
    return settings;
}

static const char *
value_of(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->kafka_count; i++)
        if (strcmp(settings->kafka[i].name, name) == 0)
            return settings->kafka[i].value;
    return NULL;
}

Test(config_renew, the_same_file_changes_nothing)
{
    struct renewal renewal;
    struct settings *settings = renew(before, &renewal);
    cr_expect_not(renewal.log_level || renewal.postgres_password || renewal.kafka_credentials ||
                  renewal.kafka_secrets);
    cr_expect_str_empty(renewal.restart);
    free(renewal.restart);
    settings_free(settings);
}

Test(config_renew, log_level_and_secrets_are_taken_over)
{
    char place[200], text[1000];
    struct renewal renewal;
    cr_assert_not_null(getcwd(place, sizeof place));
    config_fixture_write("secret", "hunter2\n", 8, 0400);
    snprintf(text, sizeof text,
             "source: shop\n"
             "postgres: {conninfo: dbname=shop, password_file: %s/secret}\n"
             "kafka: {bootstrap.servers: 'localhost:9092', sasl.username: me, sasl.password_file: %s/secret,"
             " ssl.key.password: three, linger.ms: 1}\n"
             "topics: [a, b]\n"
             "log: {level: debug}\n",
             place, place);
    struct settings *settings = renew(text, &renewal);
    cr_expect(renewal.log_level && renewal.postgres_password && renewal.kafka_credentials &&
              renewal.kafka_secrets);
    cr_expect_str_empty(renewal.restart, "%s", renewal.restart);
    cr_expect_eq(settings->log_level, LOG_LEVEL_DEBUG);
    cr_expect_str_eq(settings->postgres_password, "hunter2");
    cr_expect_str_eq(value_of(settings, "sasl.password"), "hunter2");
    cr_expect_str_eq(value_of(settings, "ssl.key.password"), "three");
    free(renewal.restart);
    settings_free(settings);
}

Test(config_renew, everything_else_is_named_in_the_order_of_the_example_and_left_alone)
{
    static const char after[] = "source: shop2\n"
                                "relay: other\n"
                                "postgres: {conninfo: dbname=shop2}\n"
                                "kafka: {bootstrap.servers: 'localhost:9093', sasl.username: you,"
                                " ssl.key.password: two, linger.ms: 1, client.id: me}\n"
                                "topics: [a, c]\n"
                                "poll: {idle: 20ms}\n"
                                "batch: {events: 5}\n"
                                "memory: 1GiB\n"
                                "http: null\n"
                                "log: {format: json}\n";
    struct renewal renewal;
    struct settings *settings = renew(after, &renewal);
    cr_expect_not(renewal.log_level || renewal.postgres_password || renewal.kafka_credentials ||
                  renewal.kafka_secrets);
    cr_expect_str_eq(renewal.restart,
                     "source, relay, postgres.conninfo, kafka.bootstrap.servers, kafka.sasl.username,"
                     " kafka.sasl.password, kafka.client.id, topics, poll.idle, batch.events, memory,"
                     " http.listen, log.format");
    cr_expect_str_eq(settings->source, "shop");
    cr_expect_str_eq(value_of(settings, "bootstrap.servers"), "localhost:9092");
    cr_expect_str_eq(value_of(settings, "sasl.password"), "one",
                     "a secret that is gone stays until the restart");
    cr_expect_eq(settings->poll_idle_us, 10000);
    cr_expect_eq(settings->log_format, LOG_FORMAT_TEXT);
    cr_expect_not_null(settings->http_listen);
    free(renewal.restart);
    settings_free(settings);
}
