/* crashpoints.c: the campaign of crash points: a relay is killed before and after calls of each function of librdkafka and libpq that it calls
 * (e2e/relay_lives.h), anywhere in its life. A test for each function and delivery, each with a database and topics of its own. Run by
 * `make crashpoints`; tests/fault/README.md explains the environment. */
#include "e2e/relay_lives.h"

#include "base/clock.h"
#include "support/postgres.h"
#include "support/scratch.h"
#include "support/suite.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/parameterized.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KILLS 20
#define LIFE_MS 2500
/* Of each writer between transactions, so that everything that a function's lives leave fits into memory when it is judged. */
#define PAUSE_US 40000

/* A function and a delivery, by numbers: another process runs it. */
struct point {
    size_t function;
    bool exact;
};

static struct postgres *postgres;
static struct broker *broker;

static const char *
word(const char *name, const char *otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? text : otherwise;
}

static const char *
delivery_of(bool exact)
{
    return exact ? "exactly-once" : "at-least-once";
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    char seed[24];
    suite_begin(tests);
    snprintf(seed, sizeof seed, "%s", word("SEED", ""));
    if (*seed == '\0')
        snprintf(seed, sizeof seed, "%u", (unsigned)clock_wall_us() % 1000000);
    setenv("OUTBOXD_TEST_SEED", seed, 1);
    postgres = postgres_share();
    broker = broker_share(&(struct broker_options){.properties = BROKER_WITH_ACLS});
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    broker_free(broker);
    postgres_free(postgres);
    suite_end();
}

static bool
is_wanted(size_t function, bool exact)
{
    const char *delivery = word("DELIVERY", "both");
    return (exact || !lives_functions[function].exact) &&
           (strcmp(delivery, "both") == 0 || strcmp(delivery, delivery_of(exact)) == 0) &&
           fnmatch(word("FUNCTIONS", "*"), lives_functions[function].name, FNM_EXTMATCH) == 0;
}

TestSuite(crashpoints, .timeout = 1800);

ParameterizedTestParameters(crashpoints, killed_before_and_after_calls_of_a_function)
{
    static struct point points[2 * LIVES_FUNCTIONS];
    size_t count = 0;
    for (int exact = 0; exact < 2; exact++)
        for (size_t i = 0; i < LIVES_FUNCTIONS; i++)
            if (is_wanted(i, exact))
                points[count++] = (struct point){i, exact};
    return cr_make_param_array(struct point, points, count);
}

ParameterizedTest(struct point *point, crashpoints, killed_before_and_after_calls_of_a_function)
{
    struct lives lives;
    const char *function = lives_functions[point->function].name, *delivery = delivery_of(point->exact);
    int kills = atoi(word("KILLS", "0"));
    kills = kills > 0 ? kills : KILLS;
    char *title = must_format("crashpoints: %s %s", delivery, function);
    fprintf(stderr, "%s: make crashpoints KILLS=%d SEED=%s DELIVERY=%s FUNCTIONS=%s\n", title, kills,
            getenv("OUTBOXD_TEST_SEED"), delivery, function);
    lives_begin(&lives, &(struct lives_options){.exact = point->exact,
                                                .denies = true,
                                                .pause_us = PAUSE_US,
                                                .life_ms = LIFE_MS,
                                                .salt = (unsigned)point->function * 2 + point->exact});
    lives_count(&lives);
    for (int i = 0; i < kills; i++) {
        lives_kill(&lives, function, "before");
        lives_kill(&lives, function, "after");
    }
    lives_end(&lives, title);
    free(title);
}
