/* example_signup.c: the sign-up example as its readers run it: sixteen clients at once, half of them too late
 * for their e-mail. What it teaches must hold: all or nothing for each person, and one event for each who is
 * in. */
#include "support/checker.h"
#include "support/consumer.h"
#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNUP_TOPIC "user.signed_up"

struct summary {
    long done, email_taken, failed, unknown;
};

static char *
signup_path(void)
{
    const char *outboxd = getenv("OUTBOXD_BIN");
    outboxd = outboxd ? outboxd : "build/outboxd";
    const char *slash = strrchr(outboxd, '/');
    return must_format("%.*sexamples/signup/signup", slash ? (int)(slash + 1 - outboxd) : 0, outboxd);
}

static long
number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    if (at == NULL)
        test_fail("no %s in what the program said: %s", word, text);
    return strtol(at + strlen(word), NULL, 10);
}

/* Runs the program to its end; every one of its options is a string of its own, NULL-terminated. */
static int
run_signup(const char *const *arguments, struct summary *summary)
{
    const char *argv[16];
    size_t count = 1;
    char *path = signup_path(), *directory = scratch_directory("signup");
    char *output = must_format("%s/out", directory);
    argv[0] = path;
    for (; *arguments != NULL; arguments++) {
        cr_assert_lt(count, sizeof argv / sizeof *argv - 1);
        argv[count++] = *arguments;
    }
    argv[count] = NULL;
    int code = process_run(
        &(struct process_options){.argv = argv, .output_path = output, .death_signal = SIGKILL}, 60000);
    char *text = scratch_read_file(output);
    if (code != 64)
        *summary = (struct summary){.done = number_after(text, "done="),
                                    .email_taken = number_after(text, "email_taken="),
                                    .failed = number_after(text, "failed="),
                                    .unknown = number_after(text, "unknown=")};
    free(text);
    free(output);
    free(directory);
    free(path);
    return code;
}

static const char *
create_shop(struct postgres *postgres)
{
    const char *database = postgres_create_outbox(postgres);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    char *schema = scratch_read_file("examples/signup/schema.sql");
    cr_assert_neq(*schema, '\0', "examples/signup/schema.sql is not below the working directory");
    postgres_exec(admin, "%s", schema);
    postgres_exec(admin, "grant select, insert on account, app_user to " POSTGRES_WRITER);
    free(schema);
    PQfinish(admin);
    return database;
}

/* 400 attempts, each address twice, sixteen at work: which one of a pair wins is open, that one does is not.
 */
static void
sign_up_with_clashes(struct postgres *postgres, const char *database)
{
    struct summary summary;
    const char *arguments[] = {"--conninfo",
                               postgres_conninfo(postgres, database, POSTGRES_WRITER),
                               "--count",
                               "400",
                               "--threads",
                               "16",
                               "--duplicate-every",
                               "2",
                               NULL};
    cr_assert_eq(run_signup(arguments, &summary), 0);
    cr_assert_eq(summary.done, 200);
    cr_assert_eq(summary.email_taken, 200);

    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    cr_expect_eq(postgres_int(admin, "select count(*) from app_user"), 200);
    cr_expect_eq(postgres_int(admin, "select count(*) from account"), 200,
                 "an account was left without its user");
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.event"), 200,
                 "a rolled back sign-up left an event");
    cr_expect_eq(postgres_int(admin,
                              "select count(*) from app_user u join outbox.event e"
                              " on e.key = convert_to(u.id::text, 'UTF8') and e.topic = '%s'"
                              " and convert_from(e.payload, 'UTF8')::jsonb = jsonb_build_object("
                              "   'user_id', u.id, 'account_id', u.account_id, 'email', u.email)",
                              SIGNUP_TOPIC),
                 200, "an event tells of another user than the one whose key it has");
    PQfinish(admin);
}

Test(example_signup, clashing_sign_ups_publish_one_event_for_each_user_and_none_for_the_refused__P1,
     .timeout = 120)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker =
        broker_start(NULL); /* the program's topic has one name: no other test may have used it */
    const char *database = create_shop(postgres), *topics[] = {SIGNUP_TOPIC, NULL};
    broker_create_topic(broker, SIGNUP_TOPIC, 3, NULL);
    struct daemon *daemon = daemon_start(
        &(struct daemon_options){.conninfo = postgres_conninfo(postgres, database, POSTGRES_RELAY),
                                 .bootstrap = broker_bootstrap(broker)});
    daemon_wait_ready(daemon);

    sign_up_with_clashes(postgres, database);

    wait_for(consumer_count(broker_bootstrap(broker), SIGNUP_TOPIC) >= 200, 20000);
    cr_expect_eq(daemon_terminate(daemon), 0);
    struct expected_events events = {0};
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    expected_read_outbox(&events, admin);
    struct verdict verdict = checker_compare(&events, broker_bootstrap(broker), topics, DAEMON_SOURCE);
    cr_expect(verdict_clean(&verdict));
    cr_expect_eq(verdict.duplicates, 0, "nothing was disturbed, so nothing may come twice");

    PQfinish(admin);
    expected_free(&events);
    daemon_free(daemon);
    broker_free(broker);
    postgres_free(postgres);
}

Test(example_signup, people_sign_up_while_neither_relay_nor_broker_is_there__P4, .timeout = 60)
{
    struct postgres *postgres = postgres_shared();
    const char *database = create_shop(postgres);
    sign_up_with_clashes(postgres, database);
    postgres_free(postgres);
}

Test(example_signup, a_failure_that_is_not_a_taken_email_is_not_taken_for_one, .timeout = 60)
{
    struct postgres *postgres = postgres_shared();
    const char *database = create_shop(postgres);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    postgres_exec(admin, "alter table outbox.event add constraint refuses_all check (false) not valid");

    struct summary summary;
    const char *arguments[] = {"--conninfo", postgres_conninfo(postgres, database, POSTGRES_WRITER),
                               "--count", "3", NULL};
    cr_expect_eq(run_signup(arguments, &summary), 1);
    cr_expect_eq(summary.failed, 3);
    cr_expect_eq(summary.done + summary.email_taken + summary.unknown, 0);
    cr_expect_eq(postgres_int(admin, "select count(*) from account"), 0,
                 "rows stay although the event was refused");

    PQfinish(admin);
    postgres_free(postgres);
}

Test(example_signup, wrong_options_exit_64)
{
    struct summary summary;
    cr_expect_eq(
        run_signup((const char *const[]){"--conninfo", "dbname=x", "--duplicate-every", "1", NULL}, &summary),
        64);
    cr_expect_eq(
        run_signup((const char *const[]){"--conninfo", "dbname=x", "--threads", "65", NULL}, &summary), 64);
    cr_expect_eq(run_signup((const char *const[]){"--count", "1", NULL}, &summary), 64);
}
