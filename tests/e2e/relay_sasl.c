/* relay_sasl.c: a password on the way to Kafka (row 82), over TLS: right, wrong, mended and changed while events go on. */
#include "relay_setup.h"

#include "base/clock.h"
#include "support/certificates.h"
#include "support/kafka_secure.h"
#include "support/scratch.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(relay_sasl, .timeout = 120);

/* Kafka's own pause before it tells a failed authentication is 100 ms; ours between two attempts grows to a second. */
#define ATTEMPTS_A_SECOND 2

/* Before 2.6.1 librdkafka makes a mistake in SCRAM that Kafka 4 does not overlook, as Kafka 3 does. */
#define SCRAM_FOR_ALL "3.9.1"
#define SCRAM_IS_SOUND 0x020601ff

struct scene {
    struct authority *authority;
    char *certificate, *password_file;
    struct broker_door door;
    struct setup setup;
    const char *topic;
};

static void
write_password(struct scene *scene, const char *password)
{
    scratch_write_file(scene->password_file, password);
    cr_assert_eq(chmod(scene->password_file, 0600), 0);
}

static struct scene
begin(const char *version)
{
    struct scene scene = {.authority = authority_new()};
    char *directory = scratch_directory("secret");
    scene.password_file = must_format("%s/password", directory);
    scene.certificate = authority_issue(scene.authority, "IP:127.0.0.1", false);
    scene.door =
        (struct broker_door){.name = "SECURE", .protocol = "SASL_SSL", .certificate = scene.certificate};
    scene.setup = setup_begin_on(postgres_shared(), broker_start_secure(&scene.door, 1, version));
    scene.topic = setup_topic(&scene.setup, "orders", 1, NULL);
    free(directory);
    return scene;
}

static void
start(struct scene *scene)
{
    char *servers = must_format("kafka/bootstrap.servers=\"127.0.0.1:%d\"", scene->door.port);
    char *trusted = must_format("kafka/ssl.ca.location=%s", authority_certificate(scene->authority));
    char *password = must_format("kafka/sasl.password_file=%s", scene->password_file);
    setup_start(&scene->setup,
                (const char *[]){servers, trusted, password, "kafka/security.protocol=sasl_ssl",
                                 "kafka/sasl.mechanisms=SCRAM-SHA-256", "kafka/sasl.username=" BROKER_USER,
                                 NULL});
    free(password), free(trusted), free(servers);
}

static void
end(struct scene *scene)
{
    free(scene->password_file), free(scene->certificate);
    authority_free(scene->authority);
    setup_end(&scene->setup);
}

static void
publish(struct scene *scene)
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
expect_no_storm(struct scene *scene)
{
    int before = broker_count_refused(scene->setup.broker);
    int64_t begin_us = clock_monotonic_us();
    wait_for(broker_count_refused(scene->setup.broker) >= before + 4, 20000);
    double seconds = (double)(clock_monotonic_us() - begin_us) / 1e6;
    cr_expect_leq((broker_count_refused(scene->setup.broker) - before) / seconds, ATTEMPTS_A_SECOND);
}

static void
expect_check(struct scene *scene, int exit_code, const char *text, const char *cure)
{
    struct outboxd_result result =
        outboxd_run((const char *[]){"check", "--config", daemon_config_path(scene->setup.relay), NULL});
    cr_expect(result.exit_code == exit_code && strstr(result.out, text) != NULL &&
                  strstr(result.out, cure) != NULL,
              "%d: %s%s", result.exit_code, result.out, result.err);
    outboxd_result_free(&result);
}

static void
mend(struct scene *scene, const char *password)
{
    write_password(scene, password);
    kill(daemon_pid(scene->setup.relay), SIGHUP);
    wait_for(daemon_log_contains(scene->setup.relay, "kafka.sasl credentials changed"), 5000);
    daemon_wait_ready(scene->setup.relay);
}

Test(relay_sasl,
     a_wrong_password_is_told_and_tried_without_a_storm_until_SIGHUP_brings_the_right_one__P5__row_82)
{
    struct scene scene = begin(SCRAM_FOR_ALL);
    write_password(&scene, "a-wrong-one\n");
    start(&scene);
    publish(&scene);
    wait_for(is_shut_out(&scene.setup), 10000);
    expect_no_storm(&scene);
    expect_check(&scene, 69, "Authentication failed", "kafka.sasl.username and its password");
    cr_expect_eq(setup_count(&scene.setup), 0);
    mend(&scene, BROKER_PASSWORD "\n");
    setup_expect_all_once(&scene.setup, 10000);
    expect_check(&scene, 0, "Kafka answers", scene.topic);
    end(&scene);
}

Test(relay_sasl,
     a_password_that_is_changed_on_the_broker_is_taken_over_by_SIGHUP_and_no_event_is_lost__P1_P5__row_82)
{
    struct scene scene = begin(SCRAM_FOR_ALL);
    write_password(&scene, BROKER_PASSWORD "\n");
    start(&scene);
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
    end(&scene);
}

Test(relay_sasl, where_SCRAM_cannot_work_the_library_is_named_and_not_the_password__P5__row_82)
{
    struct scene scene = begin("4.1.0");
    write_password(&scene, BROKER_PASSWORD "\n");
    start(&scene);
    publish(&scene);
    if (rd_kafka_version() < SCRAM_IS_SOUND) {
        wait_for(is_shut_out(&scene.setup), 10000);
        wait_for(daemon_readiness_is(scene.setup.relay, 503, "cannot do SCRAM with Kafka 4"), 1000);
        expect_check(&scene, 69, "Authentication failed", "2.6.1");
        cr_expect_eq(setup_count(&scene.setup), 0);
    } else {
        setup_expect_all_once(&scene.setup, 10000);
    }
    end(&scene);
}
