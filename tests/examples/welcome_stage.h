/* welcome_stage.h: everything that the welcome example needs to run for real: Postgres, Kafka, the relay, a mail server, the sign-up
 * program and the mailer; and the judgement: every committed user has a mail, nobody else has one. */
#ifndef OUTBOXD_TESTS_EXAMPLES_WELCOME_STAGE_H
#define OUTBOXD_TESTS_EXAMPLES_WELCOME_STAGE_H

#include "mail_server.h"

#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"

#include <sys/types.h>

#define SIGNUP_TOPIC "user.signed_up"
#define MAILER_LOGIN "mailer_login"

/* Strings for stage_start_mailer. */
#define OPTIONS(...)                                                                                         \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

struct mailer_process {
    pid_t pid;
    char *log;
};

struct stage {
    struct postgres *postgres;
    struct broker *broker;
    struct daemon *relay;
    struct mail_server *mail;
    const char *database;
    PGconn *admin;
    long next_person;             /* the number of the next one who signs up */
    struct mailer_process mailer; /* pid 0: the stage has none */
};

/* A topic of so many partitions, the relay at work, the mail server accepting, no mailer yet. */
struct stage stage_open(int partitions);
void stage_close(struct stage *stage);

/* One partition, the mail server in this mood, and the stage's mailer at work; the arguments as for stage_start_mailer. */
struct stage stage_open_at_work(const char *mood, const char *const *arguments);

/* Waits until the stage's mailer has said "welcome: WORD " so often, and it must not have said it more often. */
void stage_wait_said(struct stage *stage, const char *word, int count);

/* SIGTERM for the stage's mailer, which must end well. */
void stage_end_mailer(struct stage *stage);

/* The same, then stage_expect_one_each, and closes. */
void stage_close_with_one_each(struct stage *stage);

/* So many sign up, one after the other; each must go through, and all of them within `most_ms`. Every n-th tries a taken address and is
 * refused (0: none). Returns how many are in. */
long stage_sign_up(struct stage *stage, long count, long duplicate_every, int most_ms);

/* The further arguments are strings of their own, NULL-terminated; may be NULL. A later option overrides an earlier one. */
struct mailer_process stage_start_mailer(struct stage *stage, const char *const *arguments);
int mailer_terminate(struct mailer_process *mailer); /* SIGTERM: the exit code */
int mailer_wait(struct mailer_process *mailer);      /* ends by itself: the exit code */
void mailer_kill(struct mailer_process *mailer);     /* kill -9 */
int mailer_log_count(const struct mailer_process *mailer, const char *text); /* how often it stands there */

/* Waits for so many mails in all. */
void stage_wait_mails(struct stage *stage, int count);

/* Mails against users, by the addresses that the users have now. */
struct mail_verdict {
    int64_t users, mails;
    int64_t without; /* users without a mail */
    int64_t strays;  /* mails to no user's address */
    int64_t copies;  /* mails beyond the first with the same Message-ID */
    int64_t twice;   /* users with mails of different Message-IDs */
};
struct mail_verdict stage_judge(struct stage *stage);

/* All users but `without` have one mail each. */
void stage_expect_one_each_but(struct stage *stage, int without);

/* Each user has one mail, and there is no other. */
void stage_expect_one_each(struct stage *stage);

#endif
