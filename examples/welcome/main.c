/* main.c: the mailer: a daemon that takes one event after the other and waits, longer and longer, while a mail cannot be sent.
 * Options, signals and the loops; what is worth copying is in welcome.c and consumer.c. */
#include "consumer.h"
#include "options.h"
#include "resend.h"
#include "welcome.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <outbox.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_UNUSABLE = 69 };
enum { WAIT_FIRST_MS = 250, WAIT_MOST_MS = 30000 };
enum { PRUNE_EVERY_S = 3600, PRUNE_LIMIT = 10000, PRUNE_S = 10 };
enum { ADDRESS_S = 10, ADDRESSES = 4 }; /* connect_timeout, for so many of --conninfo in the sum below */
enum { UNIT_END_S = 3 }; /* what the end of a late unit takes in outbox_run: cancel, rollback */

/* From one call of consumer_next to the next one, at the worst: a new session, a mail that is refused at the last moment, the record
 * of that, going back, the pause, the inbox. It fits, so no other mailer is given a record that is still at work here, however long
 * the trouble lasts. */
_Static_assert(ADDRESS_S *ADDRESSES + (TIMEOUT_MOST_S + POSTGRES_S + UNIT_END_S) + (POSTGRES_S + UNIT_END_S) +
                       CONSUMER_AGAIN_S + WAIT_MOST_MS / 1000 + (PRUNE_S + UNIT_END_S) <
                   CONSUMER_ABSENT_S,
               "the group would take a mailer in trouble for dead");

struct daemon {
    struct mailer mailer;
    struct consumer consumer;
    struct consumer_options kafka;
    const char *source; /* whose users they are: those of this database */
    sigset_t stop;      /* SIGTERM and SIGINT: blocked everywhere, and asked for where it is convenient */
    bool stopped;
    int failures; /* in a row */
    int remember_days;
    time_t prune_at; /* monotonic */
};

/* Waits until a signal asks to stop, or so long. */
static void
wait_ms(struct daemon *daemon, long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (sigtimedwait(&daemon->stop, NULL, &time) > 0)
        daemon->stopped = true;
}

/* Doubles with every failure in a row; half of it by chance, so that several mailers do not come at once. */
static long
pause_after(int failures)
{
    long most = failures > 7 ? WAIT_MOST_MS : (long)WAIT_FIRST_MS << failures;
    most = most < WAIT_MOST_MS ? most : WAIT_MOST_MS;
    return most / 2 + random() % (most / 2 + 1);
}

static void
log_result(const struct received *received, const char *word, const struct welcome_answer *answer)
{
    fprintf(stderr, "welcome: %s source=%s event=%" PRId64 " user=%" PRId64 "%s%s\n", word, received->source,
            received->id, answer->user_id, *answer->why != '\0' ? " why=" : "", answer->why);
}

/* What is no event of this database's outbox. The number in an event of another one is of a user there, and a mail for it would go to
 * somebody here; over there is a mailer of its own. */
static bool
pass_over(struct daemon *daemon, struct received *received)
{
    bool foreign = received->id != 0 && strcmp(received->source, daemon->source) != 0;
    if (received->id != 0 && !foreign)
        return false;
    fprintf(stderr, "welcome: passed over a record %s%s, partition=%d offset=%" PRId64 "\n",
            foreign ? "of another outbox, source=" : "that is no event of an outbox",
            foreign ? received->source : "", received->message->partition, received->message->offset);
    consumer_done(&daemon->consumer, received);
    return true;
}

static bool
join(struct daemon *daemon)
{
    char why[512];
    if (consumer_open(&daemon->consumer, &daemon->kafka, why))
        return true;
    fprintf(stderr, "welcome: %s\n", why);
    return false;
}

/* False: the program cannot go on. */
static bool
handle(struct daemon *daemon, struct received *received)
{
    static const char *const words[] = {
        [WELCOME_SENT] = "sent",       [WELCOME_KNOWN] = "known",       [WELCOME_NOBODY] = "nobody",
        [WELCOME_REFUSED] = "refused", [WELCOME_DOUBTFUL] = "doubtful", [WELCOME_AGAIN] = "again"};
    struct welcome_event event = {.source = received->source,
                                  .id = received->id,
                                  .payload = received->message->payload,
                                  .payload_size = received->message->len};
    struct welcome_answer answer;
    if (pass_over(daemon, received))
        return true;
    enum welcome_result result = welcome_execute(&daemon->mailer, &event, &answer);
    log_result(received, words[result], &answer);
    if (result != WELCOME_AGAIN) {
        daemon->failures = 0;
        consumer_done(&daemon->consumer, received);
        return true;
    }
    bool joined = true;
    if (!consumer_again(&daemon->consumer, received)) {
        fputs("welcome: joining the group anew, for the event to come again\n", stderr);
        consumer_close(&daemon->consumer);
        joined = join(daemon);
    }
    wait_ms(daemon, pause_after(daemon->failures++));
    return joined;
}

struct pruning {
    int64_t age_s, count;
};

static bool
prune(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct pruning *pruning = context;
    return outbox_inbox_prune(unit, pruning->age_s, PRUNE_LIMIT, &pruning->count, error);
}

/* A full helping at a time, between two mails. A failure waits for the next hour. */
static void
prune_when_due(struct daemon *daemon)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec < daemon->prune_at)
        return;
    struct pruning pruning = {.age_s = (int64_t)daemon->remember_days * 24 * 3600};
    struct outbox_options options = {.timeout_ms = PRUNE_S * 1000, .consumer = WELCOME_CONSUMER};
    struct outbox_error error;
    if (!outbox_run(daemon->mailer.db, &options, prune, &pruning, &error))
        fprintf(stderr, "welcome: the inbox was not pruned: %s\n", error.message);
    if (pruning.count > 0)
        fprintf(stderr, "welcome: forgot events=%" PRId64 " older_than_days=%d\n", pruning.count,
                daemon->remember_days);
    if (pruning.count < PRUNE_LIMIT)
        daemon->prune_at = now.tv_sec + PRUNE_EVERY_S;
}

static int
run(struct daemon *daemon)
{
    bool good = true;
    while (good && !daemon->stopped) {
        struct received received;
        prune_when_due(daemon);
        if (consumer_next(&daemon->consumer, 200, &received))
            good = handle(daemon, &received);
        wait_ms(daemon, 0);
    }
    fprintf(stderr, "welcome: stopped\n");
    return good ? 0 : 1;
}

/* Consumes, until it is told to stop. */
static int
be_mailer(struct daemon *daemon, const struct options *options)
{
    daemon->kafka = (struct consumer_options){.brokers = options->brokers,
                                              .group = options->group,
                                              .topic = options->topic,
                                              .properties = options->properties,
                                              .property_count = options->property_count};
    if (!join(daemon))
        return EXIT_UNUSABLE;
    fprintf(stderr, "welcome: started topic=%s group=%s\n", options->topic, options->group);
    int code = run(daemon);
    consumer_close(&daemon->consumer);
    return code;
}

/* Sends what was given up, once. */
static int
resend_all(struct daemon *daemon, const char *pattern)
{
    static const char *const words[] = {[RESEND_SENT] = "resent",
                                        [RESEND_NOBODY] = "nobody",
                                        [RESEND_REFUSED] = "refused again",
                                        [RESEND_STOPPED] = "resending stopped at"};
    struct resend resend = {.mailer = &daemon->mailer, .pattern = pattern};
    int counts[RESEND_STOPPED + 1] = {0};
    enum resend_result result = RESEND_SENT;
    while (result != RESEND_STOPPED && !daemon->stopped && (result = resend_next(&resend)) != RESEND_END) {
        counts[result]++;
        fprintf(stderr, "welcome: %s source=%s event=%" PRId64 " user=%" PRId64 "%s%s\n", words[result],
                resend.mail.source, resend.mail.event_id, resend.mail.user_id,
                *resend.why != '\0' ? " why=" : "", resend.why);
        wait_ms(daemon, 0);
    }
    fprintf(stderr, "welcome: resent=%d nobody=%d refused_again=%d%s\n", counts[RESEND_SENT],
            counts[RESEND_NOBODY], counts[RESEND_REFUSED],
            result == RESEND_END ? "" : "; not all were tried: run it again");
    return result == RESEND_END && counts[RESEND_REFUSED] == 0 ? 0 : 1;
}

/* Without a bound of its own a server that is there and silent would hold up PQreset, too, for ever. */
static PGconn *
connect_database(const char *conninfo)
{
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", ADDRESS_S);
    const char *names[] = {"dbname", "connect_timeout", NULL}, *values[] = {conninfo, seconds, NULL};
    return PQconnectdbParams(names, values, 1);
}

static int
start(const struct options *options)
{
    struct daemon daemon = {.mailer = {.db = connect_database(options->conninfo),
                                       .smtp = smtp_open(options->smtp, options->from, options->timeout_s),
                                       .from = options->from,
                                       .timeout_s = options->timeout_s,
                                       .patience_s = options->patience_s,
                                       .copies = options->copies},
                            .source = options->source,
                            .remember_days = options->remember_days};
    int code = EXIT_UNUSABLE;
    signal(SIGPIPE, SIG_IGN); /* a mail server that has gone is an error of smtp_send */
    sigemptyset(&daemon.stop);
    sigaddset(&daemon.stop, SIGTERM);
    sigaddset(&daemon.stop, SIGINT);
    sigprocmask(SIG_BLOCK, &daemon.stop, NULL); /* before librdkafka's threads, which inherit it */
    if (PQstatus(daemon.mailer.db) != CONNECTION_OK) {
        const char *why = PQerrorMessage(daemon.mailer.db);
        fprintf(stderr, "welcome: %.*s\n", (int)strcspn(why, "\n"), why);
    } else if (daemon.mailer.smtp == NULL)
        fputs("welcome: libcurl cannot start\n", stderr);
    else
        code = options->resend != NULL ? resend_all(&daemon, options->resend) : be_mailer(&daemon, options);
    if (daemon.mailer.smtp != NULL)
        smtp_close(daemon.mailer.smtp);
    PQfinish(daemon.mailer.db);
    return code;
}

int
main(int argc, char **argv)
{
    struct options options;
    if (!options_read(&options, argc, argv)) {
        options_print_help(true);
        return EXIT_USAGE;
    }
    if (options.help) {
        options_print_help(false);
        return 0;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fputs("welcome: libcurl cannot start\n", stderr);
        return EXIT_UNUSABLE;
    }
    srandom((unsigned)getpid()); /* for pause_after */
    int code = start(&options);
    curl_global_cleanup();
    return code;
}
