/* welcome.c: the mailer of the welcome example while nothing is broken: once for everybody, to the address that is right when the mail
 * goes out, and nothing that a table holds can turn into another mail. */
#include "fixture.h"
#include "welcome_stage.h"

#include "support/consumer.h"
#include "support/scratch.h"
#include "support/stranger.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

Test(welcome, everybody_who_is_in_has_one_mail_and_nobody_who_was_rolled_back_has_one, .timeout = 120)
{
    struct stage stage = stage_open(3);
    stage.mailer = stage_start_mailer(&stage, NULL);
    cr_assert_eq(stage_sign_up(&stage, 40, 4, 20000), 30, "every fourth takes a taken address");
    stage_wait_said(&stage, "sent", 30);
    stage_end_mailer(&stage);
    stage_expect_one_each(&stage);

    /* a group that starts at the beginning is given all of them again, as after a loss of its offsets */
    stage.mailer = stage_start_mailer(&stage, OPTIONS("--group", "another"));
    stage_wait_said(&stage, "known", 30);
    stage_close_with_one_each(&stage);
}

Test(welcome, mails_say_to_whom_from_whom_and_for_which_event_they_are, .timeout = 120)
{
    struct stage stage = stage_open_at_work("accept", NULL);
    cr_assert_eq(stage_sign_up(&stage, 1, 0, 20000), 1);
    stage_wait_mails(&stage, 1);
    stage_wait_said(&stage, "sent", 1);
    struct received_mails mails = mail_server_read(stage.mail);
    char *id = must_format("Message-ID: <welcome." DAEMON_SOURCE ".%" PRId64 "@example.org>\r\n",
                           postgres_int(stage.admin, "select id from outbox.event"));
    cr_expect_str_eq(mails.list[0].recipient, "person1@example.com");
    cr_expect_not_null(strstr(mails.list[0].text, id), "%s is not in\n%s", id, mails.list[0].text);
    cr_expect_not_null(strstr(mails.list[0].text, "To: <person1@example.com>\r\n"));
    cr_expect_not_null(strstr(mails.list[0].text, "From: <welcome@example.org>\r\n"));
    cr_expect_not_null(strstr(mails.list[0].text, "Date: "));
    cr_expect_not_null(strstr(mails.list[0].text, "\r\n\r\nWelcome!"));
    cr_expect_eq(mailer_log_count(&stage.mailer, "person1@"), 0, "an address is in the log");
    free(id);
    received_mails_free(&mails);
    stage_end_mailer(&stage);
    stage_close(&stage);
}

/* The event carries ids only, so there is no address in it that could grow old. */
Test(welcome, a_mail_goes_to_the_address_that_is_right_when_it_is_sent, .timeout = 120)
{
    struct stage stage = stage_open(1);
    cr_assert_eq(stage_sign_up(&stage, 3, 0, 20000), 3);
    postgres_exec(stage.admin,
                  "update app_user set email = 'moved@example.com' where email = 'person2@example.com'");
    postgres_exec(stage.admin, "delete from notification where user_id ="
                               " (select id from app_user where email = 'person3@example.com')");
    postgres_exec(stage.admin, "delete from app_user where email = 'person3@example.com'");

    stage.mailer = stage_start_mailer(&stage, NULL);
    stage_wait_said(&stage, "nobody", 1);
    stage_close_with_one_each(&stage);
}

Test(welcome, a_user_can_change_the_address_while_the_mail_server_makes_the_mailer_wait, .timeout = 120)
{
    struct stage stage = stage_open_at_work("hold", NULL);
    cr_assert_eq(stage_sign_up(&stage, 1, 0, 20000), 1);
    stage_wait_mails(&stage, 1); /* and its unit is open now */
    cr_assert_eq(postgres_int(stage.admin,
                              "select count(*) from pg_stat_activity where usename = '" MAILER_LOGIN
                              "' and datname = current_database() and state = 'idle in transaction'"),
                 1);
    postgres_exec(stage.admin, "set lock_timeout = '2s'; update app_user set email = 'moved@example.com'");
    mail_server_set(stage.mail, "accept");
    stage_wait_said(&stage, "sent", 1);
    stage_end_mailer(&stage);
    cr_expect_eq(mail_server_count(stage.mail), 1);
    stage_close(&stage);
}

Test(welcome, an_address_cannot_smuggle_in_a_command_a_header_or_a_recipient, .timeout = 120)
{
    static const char *const hostile[] = {
        "E'a@example.com\\r\\nBcc: evil@example.com'",
        "E'b@example.com>\\r\\nRCPT TO:<evil@example.com'",
        "'c@example.com,evil@example.com'",
        "'<evil@example.com>'",
        "'d @example.com'",
        "'nobody'",
        "'@example.com'",
        "'m\xc3\xbcller@example.com'",
    };
    const int count = sizeof hostile / sizeof *hostile;
    struct stage stage = stage_open(1);
    cr_assert_eq(stage_sign_up(&stage, count + 1, 0, 20000), count + 1);
    for (int i = 0; i < count; i++)
        postgres_exec(stage.admin, "update app_user set email = %s where email = 'person%d@example.com'",
                      hostile[i], i + 1);
    stage.mailer = stage_start_mailer(&stage, NULL);
    stage_wait_mails(&stage, 1);
    stage_wait_said(&stage, "refused", count);
    stage_end_mailer(&stage);
    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.mails, 1);
    cr_expect_eq(verdict.strays, 0);
    cr_expect_eq(postgres_int(stage.admin, "select count(*) from mail_refused where given_up_at is not null"
                                           " and reason like 'the address is not%%'"),
                 count, "a mail that is not sent has to be found somewhere");
    stage_close(&stage);
}

Test(welcome, an_event_that_names_nobody_is_recorded_and_holds_up_no_other, .timeout = 120)
{
    struct stage stage = stage_open(1);
    postgres_exec(stage.admin, "select outbox.emit('" SIGNUP_TOPIC "', '1', '{\"user\": 1}'),"
                               " outbox.emit_bytes('" SIGNUP_TOPIC "', '1', '\\xff00'),"
                               " outbox.emit_bytes('" SIGNUP_TOPIC "', '1', null)");
    cr_assert_eq(stage_sign_up(&stage, 1, 0, 20000), 1);
    stage.mailer = stage_start_mailer(&stage, NULL);
    stage_wait_mails(&stage, 1);
    cr_expect_eq(postgres_int(stage.admin, "select count(*) from mail_refused where user_id is null"
                                           " and reason = 'the event has no user_id'"),
                 3);
    stage_close_with_one_each(&stage);
}

/* What another producer writes into the topic, in a transaction. */
static void
produce(struct stage *stage, const char *source, bool commit)
{
    rd_kafka_t *stranger = stranger_begin(broker_bootstrap(stage->broker), "stranger");
    stranger_write(stranger, SIGNUP_TOPIC, "1000000", source, "{\"user_id\": 1}");
    stranger_end(stranger, commit);
}

/* The first is what a relay leaves that dies in exactly-once mode; the second would be a header of its own in the mail. */
Test(welcome, records_of_an_aborted_transaction_or_with_the_headers_of_no_outbox_send_nothing, .timeout = 120)
{
    struct stage stage = stage_open(1);
    cr_assert_eq(stage_sign_up(&stage, 1, 0, 20000), 1);
    wait_for(consumer_count(broker_bootstrap(stage.broker), SIGNUP_TOPIC) == 1, 20000);
    produce(&stage, DAEMON_SOURCE, false);
    produce(&stage, "shop\r\nBcc: <evil@example.com>", true);
    produce(&stage, "sh\xffop", true);
    cr_assert_eq(stage_sign_up(&stage, 1, 0, 20000), 1);
    stage.mailer = stage_start_mailer(&stage, NULL);
    wait_for(mailer_log_count(&stage.mailer, "user=2") == 1, 30000); /* it stands behind them */
    cr_expect_eq(mailer_log_count(&stage.mailer, "passed over a record that is no event of an outbox"), 2);
    stage_close_with_one_each(&stage);
}

/* Its number is that of a user over there, and here somebody else has it. */
Test(welcome, an_event_of_another_outbox_is_told_and_sends_nothing, .timeout = 120)
{
    struct stage stage = stage_open(1);
    cr_assert_eq(stage_sign_up(&stage, 1, 0, 20000), 1);
    wait_for(consumer_count(broker_bootstrap(stage.broker), SIGNUP_TOPIC) == 1, 20000);
    produce(&stage, "elsewhere", true);
    cr_assert_eq(stage_sign_up(&stage, 1, 0, 20000), 1);

    /* a name that is not right loses nothing for good: another group is given all of them again, as README says */
    stage.mailer = stage_start_mailer(&stage, OPTIONS("--source", "mistyped"));
    wait_for(mailer_log_count(&stage.mailer, "passed over a record of another outbox, source=") == 3, 30000);
    stage_end_mailer(&stage);
    cr_expect_eq(mail_server_count(stage.mail), 0);

    stage.mailer = stage_start_mailer(&stage, OPTIONS("--group", "another"));
    wait_for(mailer_log_count(&stage.mailer, "user=2") == 1, 30000);
    cr_expect_eq(mailer_log_count(&stage.mailer, "passed over a record of another outbox, source=elsewhere"),
                 1);
    cr_expect_eq(postgres_int(stage.admin, "select count(*) from outbox.inbox"), 2);
    stage_close_with_one_each(&stage);
}

Test(welcome, the_inbox_forgets_what_is_too_old_to_come_again, .timeout = 120)
{
    struct stage stage = stage_open(1);
    postgres_exec(stage.admin,
                  "insert into outbox.inbox (consumer, source, id, accepted_at)"
                  " select 'mailer', 'old', i, now() - interval '31 days'"
                  " from generate_series(1, 25000) i union all values ('mailer', 'young', 1, now()),"
                  " ('another', 'old', 1, now() - interval '31 days')");
    stage.mailer = stage_start_mailer(&stage, NULL);
    wait_for(postgres_int(stage.admin, "select count(*) from outbox.inbox") == 2, 30000);
    stage_end_mailer(&stage);
    stage_close(&stage);
}

static int
run_mailer(const char *const *arguments)
{
    const char *argv[16];
    char *path = example_path("welcome");
    size_t count = 1;
    argv[0] = path;
    while (*arguments != NULL)
        argv[count++] = *arguments++;
    argv[count] = NULL;
    int code = process_run(
        &(struct process_options){.argv = argv, .output_path = "/dev/null", .death_signal = SIGKILL}, 20000);
    free(path);
    return code;
}

#define MAILER_OPTIONS(...) OPTIONS("--brokers", "127.0.0.1:1", "--source", "test", "--smtp", __VA_ARGS__)

Test(welcome, wrong_options_exit_64_and_no_postgres_69)
{
    const char *nobody = "host=127.0.0.1 port=1 dbname=x", *smtp = "smtp://127.0.0.1:1";
    cr_expect_eq(run_mailer(OPTIONS("--help")), 0);
    cr_expect_eq(run_mailer(MAILER_OPTIONS(smtp, "--conninfo", nobody)), 64, "no --from");
    cr_expect_eq(run_mailer(OPTIONS("--conninfo", nobody, "--brokers", "127.0.0.1:1", "--smtp", smtp,
                                    "--from", "a@b")),
                 64, "no --source");
    cr_expect_eq(run_mailer(MAILER_OPTIONS("http://127.0.0.1:1", "--conninfo", nobody, "--from", "a@b")), 64);
    cr_expect_eq(run_mailer(MAILER_OPTIONS(smtp, "--conninfo", nobody, "--from", "a@b\r\nc")), 64);
    cr_expect_eq(run_mailer(MAILER_OPTIONS(smtp, "--conninfo", nobody, "--from", "a@b", "--timeout", "0")),
                 64);
    cr_expect_eq(run_mailer(MAILER_OPTIONS(smtp, "--conninfo", nobody, "--from", "a@b", "--copies", "0")),
                 64);
    cr_expect_eq(run_mailer(MAILER_OPTIONS(smtp, "--conninfo", nobody, "--from", "a@b", "--kafka", "x")), 64);
    cr_expect_eq(run_mailer(MAILER_OPTIONS(smtp, "--conninfo", nobody, "--from", "a@b")), 69);
}

/* Among them max.poll.interval.ms, within which every step of the mailer is bounded. */
Test(welcome, properties_of_kafka_that_the_promises_hang_on_are_not_the_users, .timeout = 60)
{
    static const char *const properties[] = {"max.poll.interval.ms=10000", "isolation.level=read_uncommitted",
                                             "enable.auto.commit=true"};
    struct postgres *postgres = postgres_shared();
    const char *conninfo = postgres_conninfo(postgres, "postgres", POSTGRES_ADMIN);
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
        cr_expect_eq(run_mailer(MAILER_OPTIONS("smtp://127.0.0.1:1", "--conninfo", conninfo, "--from", "a@b",
                                               "--kafka", properties[i])),
                     69, "%s", properties[i]);
    postgres_free(postgres);
}

/* Else a mailer would wait for ever to be given a session, and Kafka would take it for dead. */
Test(welcome, a_postgres_that_is_there_and_silent_holds_up_the_mailer_for_ten_seconds_only, .timeout = 60)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(fd, 5), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    char *silent = must_format("host=127.0.0.1 port=%d dbname=x", ntohs(address.sin_port));
    cr_expect_eq(run_mailer(MAILER_OPTIONS("smtp://127.0.0.1:1", "--conninfo", silent, "--from", "a@b")), 69);
    free(silent);
    close(fd);
}
