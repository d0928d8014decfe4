/* rebase_forged.c: whoever may write into a topic says what stands in the headers of a record: `outboxd rebase` believes no id that no
 * event can have, and moves the id sequence far only when somebody says so (row 59). */
#include "relay_setup.h"

#include "support/stranger.h"

#include <stdlib.h>
#include <string.h>

TestSuite(rebase_forged, .timeout = 180);

static int64_t
emit(const struct setup *setup)
{
    return postgres_int(setup->app, "select outbox.emit('%s', 'k', '1')", setup->topics[0]);
}

/* A relay that has published events 1 to 3, which stand at offsets 0 to 2, and was stopped. */
static struct setup
begin(void)
{
    struct setup setup = setup_begin();
    setup_topic(&setup, "forged", 1, NULL);
    setup_run(&setup, NULL);
    for (int i = 0; i < 3; i++)
        emit(&setup);
    setup_expect_all_once(&setup, 20000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    return setup;
}

static void
expect_rebase(const struct setup *setup, const char *door, const char *highest, int exit_code,
              const char *out, const char *err)
{
    const char *admin = postgres_conninfo(setup->postgres, setup->database, POSTGRES_ADMIN);
    struct outboxd_result result = outboxd_run((const char *[]){
        "rebase", "--conninfo", admin, "--config", daemon_config_path(setup->relay), "--since", "1h", "--yes",
        door, highest != NULL ? "--highest-id" : NULL, highest, NULL});
    cr_expect(result.exit_code == exit_code && strstr(result.out, out) != NULL &&
                  strstr(result.err, err) != NULL,
              "%d: %s%s", result.exit_code, result.out, result.err);
    outboxd_result_free(&result);
}

static const char *const doors[] = {"--position=" DAEMON_RELAY, "--phantoms"};

Test(rebase_forged, what_is_no_id_counts_for_nothing_and_is_said__P1)
{
    static const char *const strange[] = {"9223372036854775808",
                                          "9223372036854775807",
                                          "4611686018427387904",
                                          "99999999999999999999999",
                                          "-5",
                                          "+5",
                                          " 5",
                                          "05",
                                          "5x",
                                          "",
                                          "0",
                                          NULL};
    enum { STRANGE = sizeof strange / sizeof *strange };
    struct setup setup = begin();
    rd_kafka_t *producer = stranger_open(broker_bootstrap(setup.broker));
    for (size_t i = 0; i < STRANGE; i++)
        stranger_write(producer, setup.topics[0], strange[i], DAEMON_SOURCE, "x");
    char *said =
        must_format("that count for nothing, for no event has their id: %d,\n  the first is %s[0] at 3\n",
                    STRANGE, setup.topics[0]);
    for (size_t i = 0; i < 2; i++) {
        expect_rebase(&setup, doors[i], NULL, 0, said, "");
        expect_rebase(&setup, doors[i], NULL, 0, "database has lost: 0\n", "");
    }
    cr_expect_eq(emit(&setup), 4);
    stranger_close(producer);
    free(said);
    setup_end(&setup);
}

/* One that somebody has sent, and one of an outbox that was restored from long ago: who knows which it is, says so. */
Test(rebase_forged, an_id_far_above_the_sequence_is_refused_until_somebody_says_what_it_is__P1)
{
    struct setup setup = begin();
    rd_kafka_t *producer = stranger_open(broker_bootstrap(setup.broker));
    stranger_write(producer, setup.topics[0], "4000000000000000000", DAEMON_SOURCE, "x");
    stranger_write(producer, setup.topics[0], "20000007", DAEMON_SOURCE, "x");
    char *said =
        must_format("the id sequence is at 3, and a record in topic %s, partition 0, at offset 3 says that "
                    "it is event 4000000000000000000. ",
                    setup.topics[0]);
    for (size_t i = 0; i < 2; i++) {
        expect_rebase(&setup, doors[i], NULL, 69, "", said);
        expect_rebase(&setup, doors[i], NULL, 69, "", "with --highest-id 4000000000000000000; if not, ");
        expect_rebase(&setup, doors[i], "2", 64, "", "this database has given out ids up to 3 itself");
    }
    cr_expect_eq(postgres_int(setup.admin, "select last_value from outbox.event_id_seq"), 3);
    cr_expect_eq(postgres_int(setup.admin, "select count(*) from outbox.journal where holder = 'rebase'"), 0);
    expect_rebase(&setup, doors[0], "3", 0, "for no event has their id: 2,\n", "");
    cr_expect_eq(emit(&setup), 4);
    expect_rebase(&setup, doors[1], "30000000", 0, "the id sequence was moved\n", "");
    cr_expect_eq(emit(&setup), 20000008);
    stranger_write(producer, setup.topics[0], "50000000", DAEMON_SOURCE, "x");
    expect_rebase(&setup, doors[0], "60000000", 0, "it will go on above 50000000\n", "");
    cr_expect_eq(emit(&setup), 50000001);
    stranger_close(producer);
    free(said);
    setup_end(&setup);
}
