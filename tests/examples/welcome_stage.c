/* welcome_stage.c: see welcome_stage.h. */
#include "welcome_stage.h"

#include "fixture.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
add_mailer_tables(struct stage *stage)
{
    const char *migrate[] = {
        "migrate",    "--conninfo", postgres_conninfo(stage->postgres, stage->database, POSTGRES_ADMIN),
        "--consumer", MAILER_LOGIN, NULL};
    struct outboxd_result migrated = outboxd_run(migrate);
    cr_assert_eq(migrated.exit_code, 0, "%s", migrated.err);
    outboxd_result_free(&migrated);
    char *schema = scratch_read_file("examples/welcome/schema.sql");
    postgres_exec(stage->admin, "%s", schema);
    postgres_exec(stage->admin, "grant select on app_user to " MAILER_LOGIN
                                ";grant select, insert, update, delete on mail_refused to " MAILER_LOGIN);
    free(schema);
}

struct stage
stage_open(int partitions)
{
    struct stage stage = {.postgres = postgres_shared(),
                          .broker = broker_start(NULL), /* the programs' topic has one name */
                          .mail = mail_server_start(),
                          .next_person = 1};
    stage.database =
        example_database(stage.postgres, "signup",
                         "grant select, insert on account, app_user, notification to " POSTGRES_WRITER);
    stage.admin = postgres_open(stage.postgres, stage.database, POSTGRES_ADMIN);
    add_mailer_tables(&stage);
    broker_create_topic(stage.broker, SIGNUP_TOPIC, partitions, NULL);
    stage.relay = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(stage.postgres, stage.database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(stage.broker)});
    daemon_wait_ready(stage.relay);
    return stage;
}

struct stage
stage_open_at_work(const char *mood, const char *const *arguments)
{
    struct stage stage = stage_open(1);
    mail_server_set(stage.mail, "%s", mood);
    stage.mailer = stage_start_mailer(&stage, arguments);
    return stage;
}

void
stage_wait_said(struct stage *stage, const char *word, int count)
{
    char *text = must_format("welcome: %s ", word);
    wait_for(mailer_log_count(&stage->mailer, text) >= count, 60000);
    cr_expect_eq(mailer_log_count(&stage->mailer, text), count, "%s", text);
    free(text);
}

void
stage_end_mailer(struct stage *stage)
{
    cr_expect_eq(mailer_terminate(&stage->mailer), 0);
    stage->mailer.pid = 0;
}

void
stage_close_with_one_each(struct stage *stage)
{
    stage_end_mailer(stage);
    stage_expect_one_each(stage);
    stage_close(stage);
}

void
stage_close(struct stage *stage)
{
    daemon_free(stage->relay);
    mail_server_free(stage->mail);
    broker_free(stage->broker);
    PQfinish(stage->admin);
    postgres_free(stage->postgres);
}

long
stage_sign_up(struct stage *stage, long count, long duplicate_every, int most_ms)
{
    int64_t before = postgres_int(stage->admin, "select count(*) from app_user"),
            start_us = clock_monotonic_us();
    char *path = example_path("signup"), *tries = must_format("%ld", count);
    char *first = must_format("%ld", stage->next_person), *every = must_format("%ld", duplicate_every);
    const char *argv[] = {path,
                          "--conninfo",
                          postgres_conninfo(stage->postgres, stage->database, POSTGRES_WRITER),
                          "--count",
                          tries,
                          "--first",
                          first,
                          "--duplicate-every",
                          every,
                          NULL};
    int code = process_run(
        &(struct process_options){.argv = argv, .output_path = "/dev/null", .death_signal = SIGKILL}, 60000);
    int64_t took_ms = (clock_monotonic_us() - start_us) / 1000;
    cr_assert_eq(code, 0, "a sign-up failed");
    cr_assert_lt(took_ms, (int64_t)(most_ms * wait_patience()), "the sign-ups waited: %ld ms", (long)took_ms);
    stage->next_person += count;
    free(every);
    free(first);
    free(tries);
    free(path);
    return (long)(postgres_int(stage->admin, "select count(*) from app_user") - before);
}

struct mailer_process
stage_start_mailer(struct stage *stage, const char *const *arguments)
{
    char *path = example_path("welcome"), *directory = scratch_directory("mailer");
    struct mailer_process mailer = {.log = must_format("%s/log", directory)};
    const char *argv[32] = {path,
                            "--conninfo",
                            postgres_conninfo(stage->postgres, stage->database, MAILER_LOGIN),
                            "--brokers",
                            broker_bootstrap(stage->broker),
                            "--smtp",
                            mail_server_url(stage->mail),
                            "--from",
                            "welcome@example.org",
                            "--source",
                            DAEMON_SOURCE};
    for (size_t i = 11; arguments != NULL && *arguments != NULL; i++)
        argv[i] = *arguments++;
    mailer.pid = process_start(
        &(struct process_options){.argv = argv, .output_path = mailer.log, .death_signal = SIGKILL});
    free(directory);
    free(path);
    return mailer;
}

int
mailer_wait(struct mailer_process *mailer)
{
    int code = process_wait(mailer->pid, 20000);
    free(mailer->log);
    return code;
}

int
mailer_terminate(struct mailer_process *mailer)
{
    kill(mailer->pid, SIGTERM);
    return mailer_wait(mailer);
}

void
mailer_kill(struct mailer_process *mailer)
{
    kill(mailer->pid, SIGKILL);
    mailer_wait(mailer);
}

int
mailer_log_count(const struct mailer_process *mailer, const char *text)
{
    char *log = scratch_read_file(mailer->log);
    int count = 0;
    for (const char *at = log; (at = strstr(at, text)) != NULL; at++)
        count++;
    free(log);
    return count;
}

void
stage_wait_mails(struct stage *stage, int count)
{
    wait_for(mail_server_count(stage->mail) >= count, 60000);
}

struct mail_verdict
stage_judge(struct stage *stage)
{
    struct received_mails mails = mail_server_read(stage->mail);
    postgres_exec(stage->admin,
                  "create temp table if not exists received (recipient text, id text); truncate received");
    for (size_t i = 0; i < mails.count; i++) {
        char *to = PQescapeLiteral(stage->admin, mails.list[i].recipient, strlen(mails.list[i].recipient));
        char *id = PQescapeLiteral(stage->admin, mails.list[i].message_id, strlen(mails.list[i].message_id));
        postgres_exec(stage->admin, "insert into received values (%s, %s)", to, id);
        PQfreemem(id);
        PQfreemem(to);
    }
    struct mail_verdict verdict = {
        .users = postgres_int(stage->admin, "select count(*) from app_user"),
        .mails = (int64_t)mails.count,
        .without = postgres_int(stage->admin, "select count(*) from app_user where email not in"
                                              " (select recipient from received)"),
        .strays = postgres_int(stage->admin, "select count(*) from received where recipient not in"
                                             " (select email from app_user)"),
        .copies = postgres_int(stage->admin, "select count(*) - count(distinct id) from received"),
        .twice = postgres_int(stage->admin, "select count(*) from (select from received group by recipient"
                                            " having count(distinct id) > 1) r")};
    received_mails_free(&mails);
    return verdict;
}

void
stage_expect_one_each_but(struct stage *stage, int without)
{
    struct mail_verdict verdict = stage_judge(stage);
    cr_expect_eq(verdict.without, without, "%ld users without a mail", (long)verdict.without);
    cr_expect_eq(verdict.strays, 0, "%ld mails to nobody who is in", (long)verdict.strays);
    cr_expect_eq(verdict.copies + verdict.twice, 0, "%ld mails came again, %ld users have two",
                 (long)verdict.copies, (long)verdict.twice);
    cr_expect_eq(verdict.mails, verdict.users - without);
}

void
stage_expect_one_each(struct stage *stage)
{
    stage_expect_one_each_but(stage, 0);
}
