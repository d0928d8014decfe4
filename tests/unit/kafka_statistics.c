/* kafka_statistics.c: librdkafka's statistics, as its STATISTICS.md shows them. */
#include "kafka/statistics.h"

#include <criterion/criterion.h>
#include <string.h>

static const char document[] =
    "{\"name\":\"outboxd-shop-main#producer-1\",\"msg_cnt\":22710,\"msg_size\":704010,\"tx_bytes\":631,"
    "\"brokers\":{"
    "\"localhost:9092/"
    "bootstrap\":{\"nodeid\":-1,\"state\":\"UP\",\"txerrs\":0,\"txretries\":0,\"rtt\":{\"p99\":100}},"
    "\"b:9092/2\":{\"nodeid\":2,\"state\":\"UP\",\"txerrs\":1,\"txretries\":3,\"rtt\":{\"p99\":28160}},"
    "\"c:9092/"
    "3\":{\"nodeid\":3,\"state\":\"TRY_CONNECT\",\"txerrs\":2,\"txretries\":4,\"rtt\":{\"p99\":7000}}}}";

Test(kafka_statistics, sums_are_over_all_brokers_and_the_round_trip_is_the_slowest_ones)
{
    struct producer_statistics statistics = {.instances = 7, .reports_failed = 9, .brokers_up = 5};
    cr_assert(statistics_read(&statistics, document, sizeof document - 1));
    cr_assert_eq(statistics.queue_messages, 22710);
    cr_assert_eq(statistics.queue_bytes, 704010);
    cr_assert_eq(statistics.transmitted_bytes, 631);
    cr_assert_eq(statistics.transmit_errors, 3);
    cr_assert_eq(statistics.transmit_retries, 7);
    cr_assert_float_eq(statistics.broker_rtt_p99_seconds, 0.02816, 1e-9);
    cr_assert_eq(statistics.brokers_up, 1, "a bootstrap connection is not one more broker");
    cr_assert_eq(statistics.instances, 7, "ours are left alone");
    cr_assert_eq(statistics.reports_failed, 9);
}

Test(kafka_statistics, a_bootstrap_connection_alone_is_a_broker_that_answers)
{
    static const char text[] = "{\"brokers\":{\"a\":{\"nodeid\":-1,\"state\":\"UP\"}}}";
    struct producer_statistics statistics = {0};
    cr_assert(statistics_read(&statistics, text, sizeof text - 1));
    cr_assert_eq(statistics.brokers_up, 1);
}

/* As librdkafka tells it of a transactional producer and one broker, most fields left out. */
Test(kafka_statistics, the_connection_to_the_coordinator_of_transactions_is_not_one_more_broker)
{
    static const char text[] =
        "{\"brokers\":{"
        "\"127.0.0.1:9092/bootstrap\":{\"name\":\"127.0.0.1:9092/bootstrap\",\"nodeid\":-1,"
        "\"nodename\":\"127.0.0.1:9092\",\"source\":\"configured\",\"state\":\"UP\"},"
        "\"127.0.0.1:9092/1\":{\"name\":\"127.0.0.1:9092/1\",\"nodeid\":1,"
        "\"nodename\":\"127.0.0.1:9092\",\"source\":\"learned\",\"state\":\"UP\",\"txerrs\":2},"
        "\"TxnCoordinator\":{\"name\":\"TxnCoordinator\",\"nodeid\":1,"
        "\"nodename\":\"127.0.0.1:9092\",\"source\":\"logical\",\"state\":\"UP\",\"txerrs\":3}}}";
    struct producer_statistics statistics = {0};
    cr_assert(statistics_read(&statistics, text, sizeof text - 1));
    cr_assert_eq(statistics.brokers_up, 1);
    cr_assert_eq(statistics.transmit_errors, 5);
}

Test(kafka_statistics, what_cannot_be_read_changes_nothing)
{
    struct producer_statistics statistics = {.queue_messages = 1, .brokers_up = 2};
    cr_assert_not(statistics_read(&statistics, document, sizeof document / 2));
    cr_assert_not(statistics_read(&statistics, "[]", 2));
    cr_assert_eq(statistics.queue_messages, 1);
    cr_assert_eq(statistics.brokers_up, 2);
}
