/* welcome_faults.c: the mailer of the welcome example while the mail server is down, slow or serves nobody, while Postgres throws it out and
 * while it is killed itself. Sign-ups never notice. Afterwards everybody has a mail; who has two, and when, is said by a test. */
#include "welcome_stage.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE_MS                                                                                           \
    5000 /* for ten sign-ups on a busy machine; every trouble below lasts for as long as the test wants */

/* In the order of the events, as is right for a topic of one partition. */
static void
expect_order(struct stage *stage)
{
    struct received_mails mails = mail_server_read(stage->mail);
    long last = 0;
    for (size_t i = 0; i < mails.count; i++) {
        long person = strtol(mails.list[i].recipient + strlen("person"), NULL, 10);
        cr_expect_gt(person, last, "the mail of person %ld came after that of %ld", person, last);
        last = person;
    }
    received_mails_free(&mails);
}

/* Ten sign up while the mail server is in this mood, and the mailer has tried in vain. Then it heals. */
static void
sign_up_in_trouble(const char *mood)
{
    struct stage stage = stage_open_at_work(mood, OPTIONS("--timeout", "5"));
    cr_assert_eq(stage_sign_up(&stage, 10, 0, AT_ONCE_MS), 10);
    wait_for(mailer_log_count(&stage.mailer, "welcome: again ") >= 3, 30000);
    cr_expect_eq(mail_server_count(stage.mail), 0);
    mail_server_set(stage.mail, "accept");
    stage_wait_said(&stage, "sent", 10);
    expect_order(&stage);
    cr_expect_eq(postgres_int(stage.admin, "select count(*) from mail_refused"), 0,
                 "what went through at last is no longer refused");
    stage_close_with_one_each(&stage);
}

Test(welcome, sign_ups_go_on_and_are_mailed_later_when_the_mail_server_refuses_the_recipients_for_now,
     .timeout = 120)
{
    sign_up_in_trouble("refuse 451 rcpt");
}

Test(welcome, sign_ups_go_on_and_are_mailed_later_when_the_mail_server_refuses_everything_for_now,
     .timeout = 120)
{
    sign_up_in_trouble("refuse 451 mail");
}

/* 5xx to the sender is no verdict about a recipient: nobody's mail is given up for it. */
Test(welcome, sign_ups_go_on_and_are_mailed_later_when_the_mail_server_refuses_the_sender, .timeout = 120)
{
    sign_up_in_trouble("refuse 550 mail");
}

Test(welcome, sign_ups_go_on_and_are_mailed_later_when_the_mail_server_turns_everybody_away, .timeout = 120)
{
    sign_up_in_trouble("refuse 554 greeting");
}

/* Said to a recipient, and yet about the mailer. */
Test(welcome, sign_ups_go_on_and_are_mailed_later_when_the_mail_server_wants_a_login_first, .timeout = 120)
{
    sign_up_in_trouble("refuse 530 rcpt");
}

Test(welcome, sign_ups_go_on_and_are_mailed_later_when_the_mail_server_never_answers, .timeout = 120)
{
    sign_up_in_trouble("hang");
}

Test(welcome, sign_ups_go_on_while_the_mail_server_is_down_and_the_mailer_does_not_hammer_it, .timeout = 120)
{
    struct stage stage = stage_open(1);
    mail_server_kill(stage.mail);
    cr_assert_eq(stage_sign_up(&stage, 10, 0, AT_ONCE_MS), 10);
    int64_t first_us =
        clock_monotonic_us(); /* before the first attempt, so a slow machine only makes it longer */
    stage.mailer = stage_start_mailer(&stage, NULL);
    wait_for(mailer_log_count(&stage.mailer, "welcome: again ") >= 6, 60000);
    /* 250 ms, doubled, half of it by chance: 125 + 250 + 500 + 1000 + 2000 at the least */
    cr_expect_geq(clock_monotonic_us() - first_us, 3500000, "five attempts in %ld ms",
                  (long)(clock_monotonic_us() - first_us) / 1000);
    mail_server_up(stage.mail);
    stage_wait_said(&stage, "sent", 10);
    expect_order(&stage);
    stage_close_with_one_each(&stage);
}

Test(welcome, a_slow_mail_server_slows_the_mails_only, .timeout = 120)
{
    struct stage stage = stage_open_at_work("slow 300", NULL);
    cr_assert_eq(stage_sign_up(&stage, 10, 0, AT_ONCE_MS), 10);
    stage_wait_said(&stage, "sent", 10);
    expect_order(&stage);
    stage_close_with_one_each(&stage);
}

/* ---- the mailer itself ---- */

/* What the README says can happen, made certain: the server has the mail and holds its answer, so nothing is committed yet. */
Test(welcome, a_mailer_that_is_killed_between_sending_and_committing_sends_that_mail_again_and_no_other,
     .timeout = 120)
{
    struct stage stage = stage_open_at_work("accept", NULL);
    cr_assert_eq(stage_sign_up(&stage, 3, 0, AT_ONCE_MS), 3);
    stage_wait_said(&stage, "sent", 3);
    mail_server_set(stage.mail, "hold");
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 4);
    mailer_kill(&stage.mailer);
    mail_server_set(stage.mail, "accept");
    cr_assert_eq(postgres_int(stage.admin, "select count(*) from outbox.inbox"), 3,
                 "it was killed too late to show anything");

    stage.mailer = stage_start_mailer(&stage, NULL);
    stage_wait_said(&stage, "sent", 5);
    stage_end_mailer(&stage);
    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.without + verdict.strays, 0);
    cr_expect_eq(verdict.copies, 1, "the second one has the Message-ID of the first");
    cr_expect_eq(verdict.twice, 0);
    stage_close(&stage);
}

Test(welcome, a_mailer_that_is_killed_before_the_mail_is_out_sends_it_once, .timeout = 120)
{
    struct stage stage = stage_open_at_work("hang", NULL);
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    wait_for(postgres_int(stage.admin, "select count(*) from pg_stat_activity where usename = '" MAILER_LOGIN
                                       "' and datname = current_database() and query like 'set local idle%%'"
                                       " and state = 'idle in transaction'") == 1,
             30000);
    mailer_kill(&stage.mailer);
    mail_server_set(stage.mail, "accept");
    stage.mailer = stage_start_mailer(&stage, NULL);
    stage_wait_said(&stage, "sent", 5);
    stage_close_with_one_each(&stage);
}

Test(welcome, a_mailer_that_is_asked_to_stop_finishes_the_mail_at_hand, .timeout = 120)
{
    struct stage stage = stage_open_at_work("slow 3000", NULL);
    cr_assert_eq(stage_sign_up(&stage, 20, 0, AT_ONCE_MS), 20);
    stage_wait_said(&stage, "sent", 1);
    stage_end_mailer(&stage);
    int mails = mail_server_count(stage.mail);
    cr_expect_eq(postgres_int(stage.admin, "select count(*) from outbox.inbox"), mails);
    cr_expect_lt(mails, 20, "it did not stop");
    mail_server_set(stage.mail, "accept");
    stage.mailer = stage_start_mailer(&stage, NULL);
    stage_wait_mails(&stage, 20);
    stage_close_with_one_each(&stage);
}

Test(welcome, two_mailers_share_the_work_and_one_takes_over_that_of_a_killed_one, .timeout = 180)
{
    struct stage stage = stage_open(2);
    struct mailer_process one = stage_start_mailer(&stage, NULL), other = stage_start_mailer(&stage, NULL);
    wait_for(mailer_log_count(&one, "working on 1 partitions") >= 1 &&
                 mailer_log_count(&other, "working on 1 partitions") >= 1,
             60000);
    cr_assert_eq(stage_sign_up(&stage, 20, 0, 2 * AT_ONCE_MS), 20);
    stage_wait_mails(&stage, 20);
    cr_expect_gt(mailer_log_count(&one, "welcome: sent "), 0);
    cr_expect_gt(mailer_log_count(&other, "welcome: sent "), 0);
    mailer_kill(&one);
    cr_assert_eq(stage_sign_up(&stage, 20, 0, 2 * AT_ONCE_MS), 20);
    /* not 40 mails: one of them may be a copy */
    wait_for(postgres_int(stage.admin, "select count(*) from outbox.inbox") == 40, 60000);
    cr_expect_eq(mailer_terminate(&other), 0);
    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.without + verdict.strays + verdict.twice, 0);
    cr_expect_leq(verdict.copies, 1, "only the mail at which it was killed can come again");
    stage_close(&stage);
}

Test(welcome, a_mailer_that_loses_its_session_takes_a_new_one, .timeout = 120)
{
    struct stage stage = stage_open_at_work("accept", NULL);
    cr_assert_eq(stage_sign_up(&stage, 2, 0, AT_ONCE_MS), 2);
    stage_wait_said(&stage, "sent", 2);
    cr_assert_eq(postgres_int(stage.admin,
                              "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                              " where usename = '" MAILER_LOGIN "' and datname = current_database()"),
                 1);
    cr_assert_eq(stage_sign_up(&stage, 2, 0, AT_ONCE_MS), 2);
    stage_wait_said(&stage, "sent", 4);
    stage_close_with_one_each(&stage);
}
