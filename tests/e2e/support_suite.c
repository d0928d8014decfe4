/* support_suite.c: one Postgres and one Kafka for the whole suite, started before its first test and ended after its last;
 * tests find them by postgres_shared() and broker_shared(), and use databases and topics of their own. */
#include "support/kafka.h"
#include "support/postgres.h"
#include "support/suite.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

static struct postgres *postgres;
static struct broker *broker;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    suite_begin(tests);
    postgres = postgres_share();
    broker = broker_share(NULL);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    broker_free(broker);
    postgres_free(postgres);
    suite_end();
}
