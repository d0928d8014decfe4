/* relay_reload.c: SIGHUP: the log level and secrets are read again while events go on; a broken file changes nothing and stops
 * nothing (P4, P5). */
#include "relay_setup.h"

#include "support/scratch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(relay_reload, .timeout = 120);

static void
hang_up(struct setup *setup, const char *answer)
{
    kill(daemon_pid(setup->relay), SIGHUP);
    wait_for(daemon_log_contains(setup->relay, answer), 5000);
}

static void
expect_published(struct setup *setup, const char *topic)
{
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_wait_confirmed(setup, 20000);
    wait_for(daemon_http(setup->relay, "/health/ready", NULL) == 200, 5000);
}

Test(relay_reload, a_log_level_takes_effect_at_once_and_what_needs_a_restart_is_named)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    setup_run(&setup, (const char *[]){"log/level=info", "kafka/debug=msg", "memory=16MiB", NULL});
    expect_published(&setup, topic);
    cr_expect_not(daemon_log_contains(setup.relay, " debug librdkafka "));
    hang_up(&setup, "SIGHUP: configuration read again");
    cr_expect_not(daemon_log_contains(setup.relay, "needs a restart"), "nothing had changed");

    scratch_replace_in_file(daemon_config_path(setup.relay), "level: info", "level: debug");
    scratch_replace_in_file(daemon_config_path(setup.relay), "memory: 16MiB", "memory: 32MiB\nlease: 4s");
    scratch_replace_in_file(daemon_config_path(setup.relay), "debug: msg", "linger.ms: 2");
    hang_up(&setup, "log.level changed from=info to=debug");
    hang_up(&setup, "changed, but needs a restart keys=\"kafka.debug, kafka.linger.ms, memory, lease\"");
    expect_published(&setup, topic);
    wait_for(daemon_log_contains(setup.relay, " debug librdkafka "), 5000);

    scratch_replace_in_file(daemon_config_path(setup.relay), "level: debug", "level: error");
    hang_up(&setup, "log.level changed from=debug to=error");
    expect_published(&setup, topic);
    setup_expect_all_once(&setup, 5000);
    setup_end(&setup);
}

Test(relay_reload, a_broken_file_is_refused_line_by_line_and_everything_goes_on_as_it_was__P4)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    setup_run(&setup, (const char *[]){"log/level=info", "lease=3s", NULL});
    char *good = scratch_read_file(daemon_config_path(setup.relay));
    scratch_replace_in_file(daemon_config_path(setup.relay), "level: info", "level: debug\n  levle: debug");
    scratch_replace_in_file(daemon_config_path(setup.relay), "lease: 3s", "lease: soon");
    scratch_replace_in_file(daemon_config_path(setup.relay),
                            "bootstrap.servers:", "lingr.ms: 5\n  bootstrap.servers:");
    hang_up(&setup, "the configuration is refused, everything stays as it was");
    cr_expect(daemon_log_contains(setup.relay, ": log.levle: unknown key; did you mean log.level?"));
    cr_expect(daemon_log_contains(setup.relay, ": lease: "));
    cr_expect(daemon_log_contains(setup.relay, ": kafka.lingr.ms: "));
    cr_expect_not(daemon_log_contains(setup.relay, "log.level changed"));
    expect_published(&setup, topic);

    cr_assert_eq(remove(daemon_config_path(setup.relay)), 0);
    hang_up(&setup, "cannot be opened: No such file or directory");
    expect_published(&setup, topic);
    scratch_write_file(daemon_config_path(setup.relay), good);
    hang_up(&setup, "SIGHUP: configuration read again");
    free(good);
    setup_end(&setup);
}

static void
write_secret(const char *path, const char *secret)
{
    scratch_write_file(path, secret);
    cr_assert_eq(chmod(path, 0600), 0);
}

static void
drop_the_connection(struct setup *setup)
{
    postgres_exec(setup->admin, "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                                " where usename = '" POSTGRES_RELAY "'");
}

Test(relay_reload, a_new_password_of_postgres_is_used_by_the_next_connection)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    char *directory = scratch_directory("secret"), *path = must_format("%s/password", directory);
    char *override = must_format("postgres/password_file=\"%s\"", path);
    postgres_want_password(setup.postgres, POSTGRES_RELAY, "first-hb2");
    write_secret(path, "first-hb2\n");
    setup_run(&setup, (const char *[]){override, NULL});
    expect_published(&setup, topic);

    postgres_exec(setup.admin, "alter role " POSTGRES_RELAY " password 'second-hb2'");
    write_secret(path, "second-hb2\n");
    drop_the_connection(&setup);
    wait_for(daemon_log_contains(setup.relay, "Postgres is away"), 10000);
    wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 503, 5000);
    hang_up(&setup, "postgres.password_file changed: used by the next connection");
    wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 200, 10000);
    expect_published(&setup, topic);

    postgres_exec(setup.admin, "alter role " POSTGRES_RELAY " password 'third-hb2'");
    write_secret(path, "third-hb2\n");
    kill(daemon_pid(setup.relay), SIGHUP);
    double connects = daemon_metric(setup.relay, "outbox_postgres_connects_total");
    expect_published(&setup, topic);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_postgres_connects_total"), connects,
                 "the connection that works is left alone");
    drop_the_connection(&setup);
    wait_for(daemon_metric(setup.relay, "outbox_postgres_connects_total") > connects, 10000);
    expect_published(&setup, topic);
    cr_expect_not(daemon_log_contains(setup.relay, "hb2"), "no secret is logged");
    setup_expect_all_once(&setup, 5000);
    free(override), free(path), free(directory);
    setup_end(&setup);
}
