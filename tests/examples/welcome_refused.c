/* welcome_refused.c: the mails of the welcome example that the mail server says no to, or takes and does not say so: what is recorded,
 * how many copies there can be, and how an operator sends again what was given up. */
#include "welcome_stage.h"

#include "support/crashpoint.h"
#include "support/wait.h"

#include <criterion/criterion.h>

#define AT_ONCE_MS 5000 /* for ten sign-ups on a busy machine */

/* How many rows of mail_refused there are like this. */
static int64_t
refused(struct stage *stage, const char *condition)
{
    return postgres_int(stage->admin, "select count(*) from mail_refused where %s", condition);
}

Test(welcome, a_recipient_or_a_text_that_is_refused_for_good_is_recorded_and_the_others_have_theirs,
     .timeout = 120)
{
    struct stage stage = stage_open_at_work("refuse 550 rcpt person3@example.com", NULL);
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 4);
    mail_server_set(stage.mail, "refuse 554 data person8@example.com");
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 8);
    stage_end_mailer(&stage);
    stage_expect_one_each_but(&stage, 2);
    cr_expect_eq(postgres_int(stage.admin,
                              "select count(*) from mail_refused r join app_user u on u.id = r.user_id"
                              " where r.given_up_at is not null and r.source = '" DAEMON_SOURCE "'"
                              " and (u.email, left(r.reason, 3)) in"
                              " (('person3@example.com', '550'), ('person8@example.com', '554'))"),
                 2);
    stage_close(&stage);
}

Test(welcome, a_mailbox_that_is_always_full_is_given_up_after_the_patience_and_the_others_have_theirs,
     .timeout = 120)
{
    struct stage stage =
        stage_open_at_work("refuse 452 rcpt person3@example.com", OPTIONS("--patience", "2"));
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 4);
    stage_end_mailer(&stage);
    stage_expect_one_each_but(&stage, 1);
    cr_expect_eq(postgres_int(stage.admin,
                              "select count(*) from mail_refused where tries > 1 and reason like '452%%'"
                              " and given_up_at - first_at > interval '2 s'"),
                 1);
    stage_close(&stage);
}

/* Fault: librdkafka cannot go back to the event. It comes again before the later ones, and nobody has to start the mailer again. */
Test(welcome, an_event_that_it_cannot_go_back_to_comes_again_all_the_same, .timeout = 120)
{
    struct crashpoint *crashpoint = crashpoint_new();
    struct stage stage = stage_open(1);
    mail_server_set(stage.mail, "refuse 452 rcpt person2@example.com");
    cr_assert_eq(stage_sign_up(&stage, 3, 0, AT_ONCE_MS), 3);
    crashpoint_set(crashpoint,
                   "rd_kafka_seek_partitions:1:before:error;rd_kafka_seek_partitions:3:after:error");
    stage.mailer = stage_start_mailer(&stage, NULL);
    crashpoint_unset();
    wait_for(mailer_log_count(&stage.mailer, "joining the group anew") == 2, 60000);
    cr_expect_eq(mail_server_count(stage.mail), 1, "a later event has overtaken it");
    mail_server_set(stage.mail, "accept");
    stage_wait_said(&stage, "sent", 3);
    stage_close_with_one_each(&stage);
    crashpoint_free(crashpoint);
}

/* ---- it takes them, and does not say so ---- */

/* The bound that README states: --copies, and not one more. */
Test(welcome,
     a_mail_that_the_server_takes_without_saying_so_is_handed_over_so_often_as_is_allowed_and_recorded,
     .timeout = 120)
{
    struct stage stage = stage_open_at_work("hold", OPTIONS("--timeout", "1", "--copies", "2"));
    cr_assert_eq(stage_sign_up(&stage, 2, 0, AT_ONCE_MS), 2);
    stage_wait_said(&stage, "doubtful", 2);              /* the second one's turn came, too */
    wait_for(mail_server_count(stage.mail) == 4, 10000); /* it may be behind the mailer, who has gone on */
    cr_expect_eq(refused(&stage, "given_up_at is not null and handed_over = 2 and tries = 2"
                                 " and reason like 'in doubt%%'"),
                 2);
    mail_server_set(stage.mail, "accept");
    cr_assert_eq(stage_sign_up(&stage, 3, 0, AT_ONCE_MS), 3);
    stage_wait_said(&stage, "sent", 3);
    stage_end_mailer(&stage);

    /* the bound is that of an event, however often it comes */
    stage.mailer = stage_start_mailer(&stage, OPTIONS("--group", "another"));
    stage_wait_said(&stage, "known", 5);
    stage_end_mailer(&stage);
    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.mails, 2 * 2 + 3);
    cr_expect_eq(verdict.copies, 2, "the second one has the Message-ID of the first");
    cr_expect_eq(verdict.without + verdict.strays + verdict.twice, 0);
    stage_close(&stage);
}

/* The count is the database's, so that neither a new mailer nor another answer in between begins anew. */
Test(welcome, copies_are_counted_across_mailers_and_other_refusals, .timeout = 120)
{
    const char *const *options = OPTIONS("--timeout", "1", "--copies", "3");
    struct stage stage = stage_open_at_work("hold 1", options);
    cr_assert_eq(stage_sign_up(&stage, 1, 0, AT_ONCE_MS), 1);
    wait_for(refused(&stage, "reason like '451%%' and handed_over in (1, 2)") == 1, 30000);
    stage_end_mailer(&stage);
    mail_server_set(stage.mail, "hold");
    stage.mailer = stage_start_mailer(&stage, options);
    stage_wait_said(&stage, "doubtful", 1);
    cr_expect_eq(refused(&stage, "given_up_at is not null and handed_over = 3 and tries > 3"), 1);
    cr_expect_leq(mail_server_count(stage.mail), 3);
    stage_end_mailer(&stage);
    stage_close(&stage);
}

/* libcurl takes leave of the server, and would wait for the answer for two minutes. */
Test(welcome, a_mailer_that_is_asked_to_stop_does_so_though_the_mail_server_answers_nothing, .timeout = 120)
{
    struct stage stage = stage_open_at_work("hold", OPTIONS("--timeout", "1", "--copies", "1"));
    cr_assert_eq(stage_sign_up(&stage, 1, 0, AT_ONCE_MS), 1);
    stage_wait_said(&stage, "doubtful", 1);
    stage_end_mailer(&stage);
    wait_for(mail_server_count(stage.mail) == 1, 10000);
    stage_close(&stage);
}

/* ---- sending again ---- */

/* As the operator runs it, beside the mailer. */
static int
resend(struct stage *stage, const char *pattern, const char *said)
{
    struct mailer_process program = stage_start_mailer(stage, OPTIONS("--resend", pattern));
    wait_for(mailer_log_count(&program, said) == 1, 30000);
    return mailer_wait(&program);
}

/* A relay host that is wrongly set up says 550 to everybody; a row each, and nobody is lost by it. */
Test(welcome, mails_that_were_given_up_are_sent_again_once_when_the_operator_asks_for_it, .timeout = 120)
{
    struct stage stage = stage_open_at_work("refuse 550 rcpt", NULL);
    cr_assert_eq(stage_sign_up(&stage, 10, 0, AT_ONCE_MS), 10);
    stage_wait_said(&stage, "refused", 10);
    cr_expect_eq(refused(&stage, "given_up_at is not null and reason like '550%%'"), 10);
    postgres_exec(stage.admin, "delete from notification where user_id ="
                               " (select id from app_user where email = 'person7@example.com');"
                               "delete from app_user where email = 'person7@example.com'");

    cr_expect_eq(resend(&stage, "550%", "resent=0 nobody=1 refused_again=9"), 1, "it is as ill as before");
    cr_expect_eq(refused(&stage, "tries = 2"), 9);
    mail_server_kill(stage.mail);
    cr_expect_eq(resend(&stage, "550%", "not all were tried"), 1, "it is down");
    mail_server_set(stage.mail, "refuse 550 rcpt person3@example.com");
    mail_server_up(stage.mail);
    cr_expect_eq(resend(&stage, "452%", "resent=0 nobody=0 refused_again=0"), 0, "nothing was refused so");
    cr_expect_eq(resend(&stage, "550%", "resent=8 nobody=0 refused_again=1"), 1);
    mail_server_set(stage.mail, "accept");
    cr_expect_eq(resend(&stage, "%", "resent=1 nobody=0 refused_again=0"), 0);
    cr_expect_eq(resend(&stage, "%", "resent=0 nobody=0 refused_again=0"), 0, "there is nothing left");
    cr_expect_eq(refused(&stage, "true"), 0);

    cr_assert_eq(stage_sign_up(&stage, 1, 0, AT_ONCE_MS), 1);
    stage_wait_said(&stage, "sent", 1);
    stage_close_with_one_each(&stage);
}
