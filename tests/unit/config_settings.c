/* config_settings.c: every key: its default, what it takes, what it refuses and with which words. */
#include "unit/config_fixture.h"

#include "config/settings_table.h"
#include "config/values.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(config_settings, .init = config_fixture_enter, .fini = config_fixture_leave);

Test(config_settings, has_the_documented_defaults)
{
    struct settings *settings = config_fixture_accept(CONFIG_LEAST);
    cr_expect_str_eq(settings->file, "c.yaml");
    cr_expect_str_eq(settings->source, "shop");
    cr_expect_str_eq(settings->relay, "main");
    cr_expect_str_eq(settings->postgres_conninfo, "dbname=shop sslmode=verify-full");
    cr_expect_null(settings->postgres_password);
    cr_expect_eq(settings->topics_count, 1);
    cr_expect_str_eq(settings->topics[0], "*");
    cr_expect_eq(settings->poll_idle_us, 10000);
    cr_expect_eq(settings->poll_busy_us, 1000);
    cr_expect_eq(settings->batch_events, 10000);
    cr_expect_eq(settings->batch_bytes, 8 << 20);
    cr_expect_eq(settings->memory_bytes, 64 << 20);
    cr_expect_eq(settings->retention_us, INT64_C(86400000000));
    cr_expect_eq(settings->lease_us, 3000000);
    cr_expect_str_eq(settings->http_listen, "127.0.0.1:9187");
    cr_expect_eq(settings->log_level, LOG_LEVEL_INFO);
    cr_expect_eq(settings->log_format, LOG_FORMAT_TEXT);
    settings_free(settings);
}

Test(config_settings, takes_every_key)
{
    struct settings *settings = config_fixture_accept(
        "source: shop-1.eu_west\n"
        "relay: orders\n"
        "postgres: {conninfo: 'postgresql:///shop'}\n"
        "kafka: {bootstrap.servers: 'localhost:9092', linger.ms: 5, debug: '', ssl.key.password: x}\n"
        "delivery: at-least-once\n"
        "topics: [order.*, 'invoice-[0-9]']\n"
        "poll: {idle: 20ms, busy: 2ms}\n"
        "batch: {events: 100, bytes: 64KiB}\n"
        "memory: 1GiB\n"
        "retention: 2h\n"
        "dead_letter: {policy: stop, topic: null}\n"
        "lease: 1s\n"
        "http: {listen: '[::1]:0'}\n"
        "log: {level: debug, format: json}\n");
    cr_expect_str_eq(settings->source, "shop-1.eu_west");
    cr_expect_str_eq(settings->relay, "orders");
    cr_expect_eq(settings->topics_count, 2);
    cr_expect_str_eq(settings->topics[0], "order.*");
    cr_expect_str_eq(settings->topics[1], "invoice-[0-9]");
    cr_expect_eq(settings->poll_idle_us, 20000);
    cr_expect_eq(settings->poll_busy_us, 2000);
    cr_expect_eq(settings->batch_events, 100);
    cr_expect_eq(settings->batch_bytes, 65536);
    cr_expect_eq(settings->memory_bytes, 1 << 30);
    cr_expect_eq(settings->retention_us, INT64_C(7200000000));
    cr_expect_eq(settings->lease_us, 1000000);
    cr_expect_str_eq(settings->http_listen, "[::1]:0");
    cr_expect_eq(settings->log_level, LOG_LEVEL_DEBUG);
    cr_expect_eq(settings->log_format, LOG_FORMAT_JSON);
    settings_free(settings);
}

Test(config_settings, keeps_kafka_properties_as_text_with_their_lines)
{
    static const struct property EXPECTED[] = {{"bootstrap.servers", "localhost:9092", 4, false},
                                               {"linger.ms", "010", 5, false},
                                               {"enable.idempotence", "yes", 6, false},
                                               {"client.id", "a b", 7, false},
                                               {"sasl.password", "hunter2", 8, true},
                                               {"debug", "", 9, false}};
    struct settings *settings = config_fixture_accept(CONFIG_LEAST "  linger.ms: 010\n"
                                                                   "  enable.idempotence: yes\n"
                                                                   "  client.id: a b\n"
                                                                   "  sasl.password: hunter2\n"
                                                                   "  debug: ''\n");
    cr_assert_eq(settings->kafka_count, sizeof EXPECTED / sizeof *EXPECTED);
    for (size_t i = 0; i < settings->kafka_count; i++) {
        cr_expect_str_eq(settings->kafka[i].name, EXPECTED[i].name);
        cr_expect_str_eq(settings->kafka[i].value, EXPECTED[i].value);
        cr_expect_eq(settings->kafka[i].line, EXPECTED[i].line);
        cr_expect_eq(settings->kafka[i].secret, EXPECTED[i].secret);
    }
    settings_free(settings);
}

Test(config_settings, switches_http_off)
{
    static const char *const OFF[] = {"http: null\n", "http: {listen: null}\n", "http: ~\n",
                                      "http:\n  listen:\n"};
    for (size_t i = 0; i < sizeof OFF / sizeof *OFF; i++) {
        char text[400];
        snprintf(text, sizeof text, CONFIG_LEAST "%s", OFF[i]);
        struct settings *settings = config_fixture_accept(text);
        cr_expect_null(settings->http_listen, "%s", OFF[i]);
        settings_free(settings);
    }
}

Test(config_settings, names_what_is_required_and_missing)
{
    static const char NOTHING[] = "c.yaml:1: source: is required\n"
                                  "c.yaml:1: postgres.conninfo: is required\n"
                                  "c.yaml:1: kafka: is required\n";
    config_fixture_expect("", NOTHING);
    config_fixture_expect("# nothing but a comment\n", NOTHING);
    config_fixture_expect("relay: main\n\npostgres: {}\nkafka: {acks: all}\n",
                          "c.yaml:1: source: is required\n"
                          "c.yaml:3: postgres.conninfo: is required\n"
                          "c.yaml:4: kafka.bootstrap.servers: is required\n");
}

Test(config_settings, refuses_a_file_that_is_no_map)
{
    config_fixture_expect("- a\n", "c.yaml:1: must be a map of settings\n");
    config_fixture_expect("shop\n", "c.yaml:1: must be a map of settings\n");
}

Test(config_settings, suggests_the_key_that_was_meant)
{
    config_fixture_expect(CONFIG_LEAST
                          "pol: {idle: 5ms}\nlog: {levle: info}\nbatch: {event: 5}\nwombat: 3\nx: 3\n",
                          "c.yaml:5: pol: unknown key; did you mean poll?\n"
                          "c.yaml:6: log.levle: unknown key; did you mean log.level?\n"
                          "c.yaml:7: batch.event: unknown key; did you mean batch.events?\n"
                          "c.yaml:8: wombat: unknown key\n"
                          "c.yaml:9: x: unknown key\n");
    config_fixture_expect(CONFIG_LEAST "poll.idle: 5ms\nlisten: null\npoll: {lease: 3s}\n",
                          "c.yaml:5: poll.idle: unknown key; did you mean \"idle\" under \"poll:\"?\n"
                          "c.yaml:6: listen: unknown key; did you mean \"listen\" under \"http:\"?\n"
                          "c.yaml:7: poll.lease: unknown key; did you mean lease at the top?\n");
    config_fixture_expect(
        CONFIG_LEAST "sasl.username: me\npoll: {sasl.username: me}\n",
        "c.yaml:5: sasl.username: unknown key; properties of librdkafka stand under \"kafka:\"\n"
        "c.yaml:6: poll.sasl.username: unknown key\n");
}

Test(config_settings, refuses_wrong_types)
{
    config_fixture_expect(CONFIG_LEAST "relay: [main]\n"
                                       "lease: {s: 3}\n"
                                       "memory:\n"
                                       "poll: 5ms\n"
                                       "batch:\n"
                                       "http: 9187\n"
                                       "topics: '*'\n"
                                       "log: {level: null, format: ''}\n",
                          "c.yaml:5: relay: must be one value, not a list\n"
                          "c.yaml:6: lease: must be one value, not a map\n"
                          "c.yaml:7: memory: has no value\n"
                          "c.yaml:8: poll: must be a map\n"
                          "c.yaml:9: batch: must be a map\n"
                          "c.yaml:10: http: must be a map or null\n"
                          "c.yaml:11: topics: must be a list of at least one pattern, such as [\"*\"]\n"
                          "c.yaml:12: log.level: has no value\n"
                          "c.yaml:12: log.format: has no value\n");
    config_fixture_expect("source: shop\npostgres: dbname=shop\nkafka: [localhost:9092]\n",
                          "c.yaml:2: postgres: must be a map\n"
                          "c.yaml:3: kafka: must be a map of librdkafka properties\n");
    config_fixture_expect(CONFIG_LEAST
                          "  acks: [all]\n  linger.ms: {a: b}\n  client.id:\nbatch: {events: '5'}\n",
                          "c.yaml:5: kafka.acks: must be one value, not a list\n"
                          "c.yaml:6: kafka.linger.ms: must be one value, not a map\n"
                          "c.yaml:7: kafka.client.id: has no value\n"
                          "c.yaml:8: batch.events: must be a number, not text in quotes\n");
}

/* What it holds is not shown: it may be a password. */
Test(config_settings, refuses_what_is_no_connection_string)
{
    static const char *const refused[] = {"5", "dbname", "'dbname=shop hunter2'", "'postgresq://shop'"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char *text = must_format(
            "source: shop\npostgres: {conninfo: %s}\nkafka: {bootstrap.servers: localhost}\n", refused[i]);
        config_fixture_expect(
            text, "c.yaml:2: postgres.conninfo: is neither a list of keyword=value nor a URI, such "
                  "as postgresql://..\n");
        free(text);
    }
}

Test(config_settings, refuses_names_that_do_not_fit_into_names)
{
    char text[400] = CONFIG_LEAST "relay: ", lines[400];
    size_t size = strlen(text);
    memset(text + size, 'a', 101);
    snprintf(lines, sizeof lines,
             "c.yaml:5: relay: \"%.60s...\" is not a name: 1 to 100 of the characters a-z A-Z 0-9 . _ -\n",
             text + size);
    config_fixture_expect(text, lines);
    text[size + 100] = '\0';
    settings_free(config_fixture_accept(text));
    config_fixture_expect(
        CONFIG_LEAST "relay: \"outbox\\\"; drop\"\n",
        "c.yaml:5: relay: \"outbox\"; drop\" is not a name: 1 to 100 of the characters a-z A-Z 0-9 "
        ". _ -\n");
    config_fixture_expect(
        CONFIG_LEAST "relay: caf\xc3\xa9\n",
        "c.yaml:5: relay: \"caf\\xc3\\xa9\" is not a name: 1 to 100 of the characters a-z A-Z 0-9 . "
        "_ -\n");
}

Test(config_settings, refuses_values_out_of_range)
{
    config_fixture_expect(CONFIG_LEAST "poll: {idle: 11s, busy: 0ms}\n"
                                       "batch: {events: 100001, bytes: 63KiB}\n"
                                       "memory: 1023KiB\n"
                                       "retention: 366d\n"
                                       "lease: 999ms\n",
                          "c.yaml:5: poll.idle: \"11s\" is out of range: 1ms to 10s\n"
                          "c.yaml:5: poll.busy: \"0ms\" is out of range: 1ms to 10s\n"
                          "c.yaml:6: batch.events: \"100001\" is out of range: 1 to 100000\n"
                          "c.yaml:6: batch.bytes: \"63KiB\" is out of range: 64KiB to 1GiB\n"
                          "c.yaml:7: memory: \"1023KiB\" is out of range: 1MiB to 64GiB\n"
                          "c.yaml:8: retention: \"366d\" is out of range: 1s to 365d\n"
                          "c.yaml:9: lease: \"999ms\" is out of range: 1s to 1h\n");
}

/* At each bound of each number: the bound is taken, one step further is not. */
Test(config_settings, takes_the_bounds_themselves)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        const char *unit = setting->type == SETTING_DURATION ? "ms"
                           : setting->type == SETTING_SIZE   ? "B"
                                                             : "";
        int64_t factor = setting->type == SETTING_DURATION ? 1000 : 1;
        int64_t values[] = {setting->least / factor, setting->most / factor, setting->least / factor - 1,
                            setting->most / factor + 1};
        for (size_t j = 0; setting->most > 0 && j < 4; j++) {
            char text[40];
            struct settings settings = {0};
            struct complaints complaints = {.file = "f"};
            struct tree_node node = {.kind = TREE_TEXT, .line = 1, .text = text};
            snprintf(text, sizeof text, "%lld%s", (long long)values[j], unit);
            values_store(&settings, setting, &node, &complaints);
            cr_expect_eq(complaints.mistakes, j < 2 ? 0 : 1, "%s: %s", setting->path, text);
            complaints_free(&complaints);
        }
    }
}

Test(config_settings, refuses_numbers_that_are_none)
{
    config_fixture_expect(
        CONFIG_LEAST "batch: {events: 1e400, bytes: -8MiB}\n"
                     "memory: 99999999999999999999GiB\n"
                     "lease: 3\n",
        "c.yaml:5: batch.events: \"1e400\" is not a whole number\n"
        "c.yaml:5: batch.bytes: \"-8MiB\" is not a whole number and B, KiB, MiB or GiB, such as "
        "8MiB: it may not be negative\n"
        "c.yaml:6: memory: \"99999999999999999999GiB\" is too large\n"
        "c.yaml:7: lease: \"3\" has no unit: write a whole number and ms, s, m, h or d, such as "
        "250ms\n");
}

Test(config_settings, refuses_values_that_contradict_each_other)
{
    config_fixture_expect(CONFIG_LEAST "poll: {idle: 5ms, busy: 6ms}\nbatch: {bytes: 2MiB}\nmemory: 1MiB\n",
                          "c.yaml:5: poll.busy: is above poll.idle\n"
                          "c.yaml:6: batch.bytes: is above memory\n");
    config_fixture_expect(CONFIG_LEAST "poll: {busy: 9s, idle: soon}\n",
                          "c.yaml:5: poll.idle: \"soon\" is not a whole number and ms, s, m, h or d, such as "
                          "250ms\n");
    settings_free(config_fixture_accept(CONFIG_LEAST "poll: {idle: 5ms, busy: 5ms}\nmemory: 8MiB\n"));
}

Test(config_settings, a_default_follows_the_value_that_is_written)
{
    struct settings *settings = config_fixture_accept(CONFIG_LEAST "poll: {busy: 11ms}\nmemory: 4MiB\n");
    cr_expect_eq(settings->poll_idle_us, 11000);
    cr_expect_eq(settings->batch_bytes, 4 << 20);
    settings_free(settings);
    settings = config_fixture_accept(CONFIG_LEAST "poll: {idle: 1ms}\nbatch: {bytes: 100MiB}\n");
    cr_expect_eq(settings->poll_busy_us, 1000);
    cr_expect_eq(settings->memory_bytes, 100 << 20);
    settings_free(settings);
}

Test(config_settings, knows_what_to_do_with_dead_letters)
{
    struct settings *settings = config_fixture_accept(CONFIG_LEAST);
    cr_expect_eq(settings->dead_letter_policy, DEAD_LETTER_HOLD_KEY);
    cr_expect_null(settings->dead_letter_topic);
    settings_free(settings);
    settings = config_fixture_accept(CONFIG_LEAST "dead_letter: {policy: skip, topic: shop.dead}\n");
    cr_expect_eq(settings->dead_letter_policy, DEAD_LETTER_SKIP);
    cr_expect_str_eq(settings->dead_letter_topic, "shop.dead");
    settings_free(settings);
    config_fixture_expect(CONFIG_LEAST "dead_letter: {policy: drop, topic: '__dead'}\n",
                          "c.yaml:5: dead_letter.policy: \"drop\" is not one of: hold-key, skip, stop\n"
                          "c.yaml:5: dead_letter.topic: \"__dead\" is no legal name of a topic, nor null\n");
    config_fixture_expect(
        CONFIG_LEAST "dead_letter: {topic: outboxd-position-shop-main}\n",
        "c.yaml:5: dead_letter.topic: \"outboxd-position-shop-main\" is a name kept for the "
        "positions of relays: no event may go there\n");
}

Test(config_settings, refuses_words_that_are_no_choice)
{
    config_fixture_expect(CONFIG_LEAST "delivery: at-most-once\nlog: {level: warn, format: xml}\n",
                          "c.yaml:5: delivery: \"at-most-once\" is not one of: at-least-once, exactly-once\n"
                          "c.yaml:6: log.level: \"warn\" is not one of: error, warning, info, debug\n"
                          "c.yaml:6: log.format: \"xml\" is not one of: text, json\n");
}

Test(config_settings, refuses_patterns_that_match_no_topic)
{
    config_fixture_expect(CONFIG_LEAST "topics: []\n",
                          "c.yaml:5: topics: must be a list of at least one pattern, such as [\"*\"]\n");
    config_fixture_expect(CONFIG_LEAST "topics:\n- 'a,b'\n- a b\n- ''\n- null\n- [a]\n",
                          "c.yaml:6: topics: \"a,b\" matches no legal topic name\n"
                          "c.yaml:7: topics: \"a b\" matches no legal topic name\n"
                          "c.yaml:8: topics: \"\" matches no legal topic name\n"
                          "c.yaml:9: topics: each entry must be a pattern, such as \"*\"\n"
                          "c.yaml:10: topics: each entry must be a pattern, such as \"*\"\n");
}

Test(config_settings, refuses_addresses_it_cannot_listen_on)
{
    static const char *const BAD[] = {"9187",
                                      ":9187",
                                      "localhost:9187",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:9187 ",
                                      "::1:9187",
                                      "[::1]9187",
                                      "[::1:9187",
                                      "[127.0.0.1]:1",
                                      "127.0.0.1:000080",
                                      "[]:1",
                                      "1.2.3:80"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char text[400], lines[400];
        snprintf(text, sizeof text, CONFIG_LEAST "http: {listen: '%s'}\n", BAD[i]);
        snprintf(lines, sizeof lines,
                 "c.yaml:5: http.listen: \"%s\" is not a numeric address and a port, such as "
                 "\"127.0.0.1:9187\" or "
                 "\"[::1]:9187\"\n",
                 BAD[i]);
        config_fixture_expect(text, lines);
    }
}

Test(config_settings, sums_up_in_its_error)
{
    struct config_loaded loaded;
    static const char ONE[] = CONFIG_LEAST "x: 1\n", TWO[] = CONFIG_LEAST "x: 1\ny: 1\n";
    config_fixture_write("c.yaml", ONE, sizeof ONE - 1, 0600);
    config_fixture_load(&loaded);
    cr_expect_str_eq(loaded.error.message, "c.yaml: 1 mistake in the configuration");
    config_fixture_write("c.yaml", TWO, sizeof TWO - 1, 0600);
    config_fixture_load(&loaded);
    cr_expect_str_eq(loaded.error.message, "c.yaml: 2 mistakes in the configuration");
}

Test(config_settings, lists_a_hundred_mistakes_and_counts_the_rest)
{
    char text[8000] = CONFIG_LEAST;
    struct config_loaded loaded;
    for (int i = 0; i < 150; i++)
        sprintf(text + strlen(text), "unknown-%d: 1\n", i);
    config_fixture_write("c.yaml", text, strlen(text), 0600);
    config_fixture_load(&loaded);
    cr_expect_not_null(strstr(loaded.printed, "c.yaml:104: unknown-99: unknown key\nc.yaml: and 50 more\n"));
    cr_expect_str_eq(loaded.error.message, "c.yaml: 150 mistakes in the configuration");
}
