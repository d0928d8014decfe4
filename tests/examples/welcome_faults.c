/* welcome_faults.c: the mailer of the welcome example while the mail server is down, slow or says no, while Postgres throws it out and
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
    struct stage stage = stage_open(1);
    struct mailer_process mailer = stage_start_mailer(&stage, (const char *const[]){"--timeout", "5", NULL});
    mail_server_set(stage.mail, "%s", mood);
    cr_assert_eq(stage_sign_up(&stage, 10, 0, AT_ONCE_MS), 10);
    wait_for(mailer_log_count(&mailer, "welcome: again ") >= 3, 30000);
    cr_expect_eq(mail_server_count(stage.mail), 0);
    mail_server_set(stage.mail, "accept");
    stage_wait_mails(&stage, 10);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 10, 10000);
    stage_expect_one_each(&stage);
    expect_order(&stage);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    cr_expect_eq(postgres_int(stage.admin, "select count(*) from mail_refused"), 0,
                 "what went through at last is no longer refused");
    stage_close(&stage);
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
    struct mailer_process mailer = stage_start_mailer(&stage, NULL);
    wait_for(mailer_log_count(&mailer, "welcome: again ") >= 6, 60000);
    /* 250 ms, doubled, half of it by chance: 125 + 250 + 500 + 1000 + 2000 at the least */
    cr_expect_geq(clock_monotonic_us() - first_us, 3500000, "five attempts in %ld ms",
                  (long)(clock_monotonic_us() - first_us) / 1000);
    mail_server_up(stage.mail);
    stage_wait_mails(&stage, 10);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 10, 10000);
    stage_expect_one_each(&stage);
    expect_order(&stage);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    stage_close(&stage);
}

Test(welcome, a_slow_mail_server_slows_the_mails_only, .timeout = 120)
{
    struct stage stage = stage_open(1);
    mail_server_set(stage.mail, "slow 300");
    struct mailer_process mailer = stage_start_mailer(&stage, NULL);
    cr_assert_eq(stage_sign_up(&stage, 10, 0, AT_ONCE_MS), 10);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 10, 60000);
    stage_expect_one_each(&stage);
    expect_order(&stage);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    stage_close(&stage);
}

/* ---- the server says no to one of them ---- */

Test(welcome, a_recipient_or_a_text_that_is_refused_for_good_is_recorded_and_the_others_have_theirs,
     .timeout = 120)
{
    struct stage stage = stage_open(1);
    struct mailer_process mailer = stage_start_mailer(&stage, NULL);
    mail_server_set(stage.mail, "refuse 550 rcpt person3@example.com");
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 4);
    mail_server_set(stage.mail, "refuse 554 data person8@example.com");
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 8);
    cr_expect_eq(mailer_terminate(&mailer), 0);

    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.without, 2);
    cr_expect_eq(verdict.copies + verdict.twice + verdict.strays, 0);
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
    struct stage stage = stage_open(1);
    mail_server_set(stage.mail, "refuse 452 rcpt person3@example.com");
    struct mailer_process mailer = stage_start_mailer(&stage, (const char *const[]){"--patience", "2", NULL});
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 4);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.without, 1);
    cr_expect_eq(verdict.copies + verdict.twice + verdict.strays, 0);
    cr_expect_eq(postgres_int(stage.admin,
                              "select count(*) from mail_refused where tries > 1 and reason like '452%%'"
                              " and given_up_at - first_at > interval '2 s'"),
                 1);
    stage_close(&stage);
}

/* ---- the mailer itself ---- */

/* What the README says can happen, made certain: the server has the mail and holds its answer, so nothing is committed yet. */
Test(welcome, a_mailer_that_is_killed_between_sending_and_committing_sends_that_mail_again_and_no_other,
     .timeout = 120)
{
    struct stage stage = stage_open(1);
    struct mailer_process mailer = stage_start_mailer(&stage, NULL);
    cr_assert_eq(stage_sign_up(&stage, 3, 0, AT_ONCE_MS), 3);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 3, 30000);
    mail_server_set(stage.mail, "hold");
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    stage_wait_mails(&stage, 4);
    mailer_kill(&mailer);
    mail_server_set(stage.mail, "accept");
    cr_assert_eq(postgres_int(stage.admin, "select count(*) from outbox.inbox"), 3,
                 "it was killed too late to show anything");

    mailer = stage_start_mailer(&stage, NULL);
    stage_wait_mails(&stage, 9);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 5, 10000);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.without + verdict.strays, 0);
    cr_expect_eq(verdict.copies, 1, "the second one has the Message-ID of the first");
    cr_expect_eq(verdict.twice, 0);
    stage_close(&stage);
}

Test(welcome, a_mailer_that_is_killed_before_the_mail_is_out_sends_it_once, .timeout = 120)
{
    struct stage stage = stage_open(1);
    mail_server_set(stage.mail, "hang");
    struct mailer_process mailer = stage_start_mailer(&stage, NULL);
    cr_assert_eq(stage_sign_up(&stage, 5, 0, AT_ONCE_MS), 5);
    wait_for(postgres_int(stage.admin, "select count(*) from pg_stat_activity where usename = '" MAILER_LOGIN
                                       "' and datname = current_database() and query like 'set local idle%%'"
                                       " and state = 'idle in transaction'") == 1,
             30000);
    mailer_kill(&mailer);
    mail_server_set(stage.mail, "accept");
    mailer = stage_start_mailer(&stage, NULL);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 5, 30000);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    stage_expect_one_each(&stage);
    stage_close(&stage);
}

Test(welcome, a_mailer_that_is_asked_to_stop_finishes_the_mail_at_hand, .timeout = 120)
{
    struct stage stage = stage_open(1);
    mail_server_set(stage.mail, "slow 3000");
    struct mailer_process mailer = stage_start_mailer(&stage, NULL);
    cr_assert_eq(stage_sign_up(&stage, 3, 0, AT_ONCE_MS), 3);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 1, 30000);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    int mails = mail_server_count(stage.mail);
    cr_expect_eq(postgres_int(stage.admin, "select count(*) from outbox.inbox"), mails);
    cr_expect_lt(mails, 3, "it did not stop");
    mail_server_set(stage.mail, "accept");
    mailer = stage_start_mailer(&stage, NULL);
    stage_wait_mails(&stage, 3);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    stage_expect_one_each(&stage);
    stage_close(&stage);
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
    stage_wait_mails(&stage, 40);
    cr_expect_eq(mailer_terminate(&other), 0);
    struct mail_verdict verdict = stage_judge(&stage);
    cr_expect_eq(verdict.without + verdict.strays + verdict.twice, 0);
    cr_expect_leq(verdict.copies, 1, "only the mail at which it was killed can come again");
    stage_close(&stage);
}

Test(welcome, a_mailer_that_loses_its_session_takes_a_new_one, .timeout = 120)
{
    struct stage stage = stage_open(1);
    struct mailer_process mailer = stage_start_mailer(&stage, NULL);
    cr_assert_eq(stage_sign_up(&stage, 2, 0, AT_ONCE_MS), 2);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 2, 30000);
    cr_assert_eq(postgres_int(stage.admin,
                              "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                              " where usename = '" MAILER_LOGIN "' and datname = current_database()"),
                 1);
    cr_assert_eq(stage_sign_up(&stage, 2, 0, AT_ONCE_MS), 2);
    wait_for(mailer_log_count(&mailer, "welcome: sent ") == 4, 30000);
    cr_expect_eq(mailer_terminate(&mailer), 0);
    stage_expect_one_each(&stage);
    stage_close(&stage);
}
