/* relay_sasl.c: a password on the way to Kafka (row 82), over TLS: right, wrong, mended and changed while events go on. */
#include "relay_scram.h"

#include "base/clock.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <string.h>

TestSuite(relay_sasl, .timeout = 120);

/* Kafka's own pause before it tells a failed authentication is 100 ms; ours between two attempts grows to a second. */
#define ATTEMPTS_A_SECOND 2

/* Before 2.6.1 librdkafka makes a mistake in SCRAM that Kafka 4 does not overlook, as Kafka 3 does. */
#define SCRAM_FOR_ALL "3.9.1"
#define SCRAM_IS_SOUND 0x020601ff

static void
publish(struct scram *scene)
{
    postgres_exec(scene->setup.app, "select outbox.emit('%s', 'k', '1')", scene->topic);
}

static bool
is_shut_out(struct setup *setup)
{
    return daemon_readiness_is(setup->relay, 503, "SASL authentication error: Authentication failed");
}

/* Knocks on and on, but not like a burglar, whom a broker would lock out. */
static void
expect_no_storm(struct scram *scene)
{
    int before = broker_count_refused(scene->setup.broker);
    int64_t begin_us = clock_monotonic_us();
    wait_for(broker_count_refused(scene->setup.broker) >= before + 4, 20000);
    double seconds = (double)(clock_monotonic_us() - begin_us) / 1e6;
    cr_expect_leq((broker_count_refused(scene->setup.broker) - before) / seconds, ATTEMPTS_A_SECOND);
}

static void
mend(struct scram *scene, const char *password)
{
    scram_write_secret(scene->password_file, password);
    kill(daemon_pid(scene->setup.relay), SIGHUP);
    wait_for(daemon_log_contains(scene->setup.relay, "kafka.sasl credentials changed"), 5000);
    daemon_wait_ready(scene->setup.relay);
}

Test(relay_sasl,
     a_wrong_password_is_told_and_tried_without_a_storm_until_SIGHUP_brings_the_right_one__P5__row_82)
{
    struct scram scene = scram_begin(postgres_shared(), SCRAM_FOR_ALL);
    scram_write_secret(scene.password_file, "a-wrong-one\n");
    scram_start(&scene, (const char *const[3]){NULL});
    publish(&scene);
    wait_for(is_shut_out(&scene.setup), 10000);
    expect_no_storm(&scene);
    setup_expect_check(&scene.setup, NULL, 69, "Authentication failed",
                       "kafka.sasl.username and its password");
    cr_expect_eq(setup_count(&scene.setup), 0);
    mend(&scene, BROKER_PASSWORD "\n");
    setup_expect_all_once(&scene.setup, 10000);
    setup_expect_check(&scene.setup, NULL, 0, "Kafka answers", scene.topic);
    scram_end(&scene);
}

Test(relay_sasl,
     a_password_that_is_changed_on_the_broker_is_taken_over_by_SIGHUP_and_no_event_is_lost__P1_P5__row_82)
{
    struct scram scene = scram_begin(postgres_shared(), SCRAM_FOR_ALL);
    scram_write_secret(scene.password_file, BROKER_PASSWORD "\n");
    scram_start(&scene, (const char *const[3]){NULL});
    daemon_wait_ready(scene.setup.relay);
    publish(&scene);
    setup_wait_confirmed(&scene.setup, 10000);
    int refused = broker_count_refused(scene.setup.broker);
    broker_set_password(scene.setup.broker, "second-password");
    /* sessions end by the broker's rule; the next one is refused */
    int64_t deadline_us = wait_deadline_us(20000);
    while (!is_shut_out(&scene.setup) && wait_turn(deadline_us))
        publish(&scene);
    cr_assert(is_shut_out(&scene.setup));
    cr_expect_gt(broker_count_refused(scene.setup.broker), refused);
    mend(&scene, "second-password\n");
    publish(&scene);
    setup_expect_all_once(&scene.setup, 10000);
    scram_end(&scene);
}

/* Each client of its own, the one that reads the position too. Sessions end by the broker's rule, in a transaction as well. */
Test(relay_sasl, exactly_once_a_relay_with_a_password_over_TLS_repeats_nothing_behind_kill_9__P1_P3__row_44)
{
    struct scram scene = scram_begin(postgres_shared(), SCRAM_FOR_ALL);
    const char *const *exact = setup_exact(&scene.setup, true);
    scram_write_secret(scene.password_file, BROKER_PASSWORD "\n");
    scram_start(&scene, (const char *const[3]){exact[0], exact[1], SETUP_SMALL_TRANSACTIONS});
    setup_expect_all_once_over_kills(&scene.setup, scene.topic);
    scram_end(&scene);
}

Test(relay_sasl, where_SCRAM_cannot_work_the_library_is_named_and_not_the_password__P5__row_82)
{
    struct scram scene = scram_begin(postgres_shared(), "4.1.0");
    scram_write_secret(scene.password_file, BROKER_PASSWORD "\n");
    scram_start(&scene, (const char *const[3]){NULL});
    publish(&scene);
    if (rd_kafka_version() < SCRAM_IS_SOUND) {
        wait_for(is_shut_out(&scene.setup), 10000);
        wait_for(daemon_readiness_is(scene.setup.relay, 503, "cannot do SCRAM with Kafka 4"), 1000);
        setup_expect_check(&scene.setup, NULL, 69, "Authentication failed", "2.6.1");
        cr_expect_eq(setup_count(&scene.setup), 0);
    } else {
        setup_expect_all_once(&scene.setup, 10000);
    }
    scram_end(&scene);
}
