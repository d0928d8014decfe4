/* signup.c: the sign-up example as its readers run it: sixteen clients at once, half of them too late
 * for their e-mail. What it teaches must hold: all or nothing for each person, and one event for each who is
 * in. */
#include "command.h"
#include "fixture.h"

#include "support/postgres.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNUP_TOPIC "user.signed_up"

struct summary {
    long done, email_taken, failed, unknown, unnotified;
};

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
    char *path = example_path("signup"), *directory = scratch_directory("signup");
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
                                    .unknown = number_after(text, "unknown="),
                                    .unnotified = number_after(text, "unnotified=")};
    free(text);
    free(output);
    free(directory);
    free(path);
    return code;
}

static const char *
create_shop(struct postgres *postgres)
{
    return example_database(postgres, "signup",
                            "grant select, insert on account, app_user, notification to " POSTGRES_WRITER);
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
    cr_assert_eq(summary.unnotified, 0);

    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    cr_expect_eq(postgres_int(admin, "select count(*) from app_user"), 200);
    cr_expect_eq(postgres_int(admin, "select count(*) from account"), 200,
                 "an account was left without its user");
    cr_expect_eq(postgres_int(admin, "select count(*) from notification"), 200);
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.event"), 200,
                 "a rolled back sign-up left an event");
    cr_expect_eq(postgres_int(admin,
                              "select count(*) from app_user u join outbox.event e"
                              " on e.key = convert_to(u.id::text, 'UTF8') and e.topic = '%s'"
                              " and convert_from(e.payload, 'UTF8')::jsonb = jsonb_build_object("
                              "   'user_id', u.id, 'account_id', u.account_id)",
                              SIGNUP_TOPIC),
                 200, "an event tells of another user than the one whose key it has");
    PQfinish(admin);
}

Test(signup, clashing_sign_ups_publish_one_event_for_each_user_and_none_for_the_refused__P1, .timeout = 120)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker =
        broker_shared(); /* the program's topic has one name, and no other test on it uses that */
    const char *database = create_shop(postgres), *topics[] = {SIGNUP_TOPIC, NULL};
    broker_create_topic(broker, SIGNUP_TOPIC, 3, NULL);
    struct daemon *relay = example_relay(postgres, database, broker);

    sign_up_with_clashes(postgres, database);

    cr_expect_eq(example_expect_published(relay, postgres, database, broker, topics), 200);
    broker_free(broker);
    postgres_free(postgres);
}

Test(signup, people_sign_up_while_neither_relay_nor_broker_is_there__P4, .timeout = 60)
{
    struct postgres *postgres = postgres_shared();
    const char *database = create_shop(postgres);
    sign_up_with_clashes(postgres, database);
    postgres_free(postgres);
}

Test(signup, a_failure_that_is_not_a_taken_email_is_not_taken_for_one, .timeout = 60)
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

/* ---- the optional step: whatever is wrong with it, people are in, their event too, and the answer says so ---- */

static void
sign_up_without_notifications(const char *breaking)
{
    struct postgres *postgres = postgres_shared();
    const char *database = create_shop(postgres);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    postgres_exec(admin, "%s", breaking); /* and whatever it locks stays locked */

    struct summary summary;
    const char *arguments[] = {"--conninfo",
                               postgres_conninfo(postgres, database, POSTGRES_WRITER),
                               "--count",
                               "20",
                               "--threads",
                               "4",
                               "--duplicate-every",
                               "4",
                               NULL};
    cr_expect_eq(run_signup(arguments, &summary), 0);
    cr_expect_eq(summary.done, 15);
    cr_expect_eq(summary.email_taken, 5);
    cr_expect_eq(summary.unnotified, 15, "a failure went unreported");
    cr_expect_eq(postgres_int(admin, "select count(*) from app_user"), 15);
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.event"), 15);
    PQfinish(admin);
    postgres_free(postgres);
}

Test(signup, people_are_in_while_the_notification_table_refuses_their_row, .timeout = 60)
{
    sign_up_without_notifications(
        "alter table notification add constraint refuses_all check (false) not valid");
}

Test(signup, people_are_in_while_the_notification_table_is_gone, .timeout = 60)
{
    sign_up_without_notifications("drop table notification");
}

Test(signup, people_are_in_and_do_not_wait_while_the_notification_table_is_locked, .timeout = 60)
{
    sign_up_without_notifications("begin; lock table notification in access exclusive mode");
}

/* ---- why one transaction: what is left when each repository commits for itself ---- */

struct leftovers {
    int64_t users, orphans, silent,
        ghosts; /* accounts without a user, users without an event, events without a user */
};

static struct leftovers
count_leftovers(struct postgres *postgres, const char *database)
{
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    struct leftovers left = {
        .users = postgres_int(admin, "select count(*) from app_user"),
        .orphans = postgres_int(admin, "select count(*) from account a where not exists"
                                       " (select from app_user u where u.account_id = a.id)"),
        .silent =
            postgres_int(admin, "select count(*) from app_user u where not exists"
                                " (select from outbox.event e where e.key = convert_to(u.id::text, 'UTF8'))"),
        .ghosts =
            postgres_int(admin, "select count(*) from outbox.event e where not exists"
                                " (select from app_user u where e.key = convert_to(u.id::text, 'UTF8'))")};
    PQfinish(admin);
    return left;
}

#define KILLS 12
#define SIGN_UPS_A_RUN 60

/* Sixteen sign up at once, every third with a taken address, and the program is killed in the midst of it, again and again. */
static struct leftovers
sign_up_and_kill(struct postgres *postgres, const char *database, bool wrong)
{
    char *path = example_path("signup");
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    for (int i = 0; i < KILLS; i++) {
        char *first = must_format("%d", 1 + i * 1000000);
        int64_t users = postgres_int(admin, "select count(*) from app_user");
        const char *argv[] = {path,
                              "--conninfo",
                              postgres_conninfo(postgres, database, POSTGRES_WRITER),
                              "--count",
                              "1000000",
                              "--first",
                              first,
                              "--threads",
                              "16",
                              "--duplicate-every",
                              "3",
                              wrong ? "--wrong" : NULL,
                              NULL};
        pid_t pid = process_start(
            &(struct process_options){.argv = argv, .output_path = "/dev/null", .death_signal = SIGKILL});
        wait_for(postgres_int(admin, "select count(*) from app_user") >= users + SIGN_UPS_A_RUN + 7 * i,
                 30000);
        kill(pid, SIGKILL);
        process_wait(pid, 10000);
        free(first);
    }
    wait_for(postgres_int(admin, "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                                 "' and datname = current_database()") == 0,
             20000);
    PQfinish(admin);
    free(path);
    return count_leftovers(postgres, database);
}

Test(signup, sixteen_at_once_with_clashes_and_kills_leave_no_orphan__P1, .timeout = 240)
{
    struct postgres *postgres = postgres_shared();
    const char *database = create_shop(postgres);
    struct leftovers left = sign_up_and_kill(postgres, database, false);
    cr_expect_geq(left.users, KILLS * SIGN_UPS_A_RUN);
    cr_expect_eq(left.orphans, 0, "%ld accounts without a user", (long)left.orphans);
    cr_expect_eq(left.silent, 0, "%ld users without an event", (long)left.silent);
    cr_expect_eq(left.ghosts, 0, "%ld events without a user", (long)left.ghosts);
    postgres_free(postgres);
}

Test(signup, the_same_with_repositories_that_commit_leaves_orphans, .timeout = 240)
{
    struct postgres *postgres = postgres_shared();
    const char *database = create_shop(postgres);
    struct leftovers left = sign_up_and_kill(postgres, database, true);
    cr_expect_gt(left.orphans, 0, "otherwise this example shows nothing");
    cr_expect_eq(left.ghosts, 0);

    /* undisturbed it does the same work as the right one: what is wrong shows only when something fails */
    const char *quiet = create_shop(postgres);
    struct summary summary;
    const char *arguments[] = {
        "--conninfo", postgres_conninfo(postgres, quiet, POSTGRES_WRITER), "--count", "20", "--wrong", NULL};
    cr_expect_eq(run_signup(arguments, &summary), 0);
    cr_expect_eq(summary.done, 20);
    left = count_leftovers(postgres, quiet);
    cr_expect_eq(left.users, 20);
    cr_expect_eq(left.orphans + left.silent + left.ghosts, 0);
    postgres_free(postgres);
}

/* Four threads without a pause between two sign-ups. */
Test(signup, a_server_that_restarts_is_waited_for_and_costs_each_thread_one_sign_up_at_most)
{
    struct postgres *postgres = postgres_start(NULL);
    const char *database = create_shop(postgres);
    struct command command =
        command_start("signup", "--rate=0", postgres_conninfo(postgres, database, POSTGRES_WRITER),
                      ARGUMENTS("--count", "4000", "--threads", "4"));
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    wait_for(postgres_int(admin, "select count(*) from app_user") >= 40, 30000);
    PQfinish(admin);
    postgres_stop_fast(postgres);
    command_restart_server(&command, postgres);
    char *output;
    command_end(&command, &output);
    long lost = number_after(output, "failed=") + number_after(output, "unknown=");
    cr_expect_eq(number_after(output, "done=") + lost, 4000);
    cr_expect_leq(lost, 4, "a stopped server was asked again and again: %s", output);
    free(output);
    postgres_free(postgres);
}

Test(signup, wrong_options_exit_64)
{
    struct summary summary;
    cr_expect_eq(
        run_signup((const char *const[]){"--conninfo", "dbname=x", "--duplicate-every", "1", NULL}, &summary),
        64);
    cr_expect_eq(
        run_signup((const char *const[]){"--conninfo", "dbname=x", "--threads", "65", NULL}, &summary), 64);
    cr_expect_eq(run_signup((const char *const[]){"--count", "1", NULL}, &summary), 64);
}
