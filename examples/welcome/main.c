/* main.c: the mailer: a daemon that takes one event after the other and waits, longer and longer, while a mail cannot be sent.
 * Options, signals and the loop; what is worth copying is in welcome.c and consumer.c. */
#include "consumer.h"
#include "options.h"
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
enum { WAIT_FIRST_MS = 250, WAIT_MOST_MS = 30000 }; /* well below the five minutes of consumer_next */
enum { PRUNE_EVERY_S = 3600, PRUNE_LIMIT = 10000 };

struct daemon {
    struct mailer mailer;
    struct consumer consumer;
    sigset_t stop; /* SIGTERM and SIGINT: blocked everywhere, and asked for where it is convenient */
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

/* False: the program cannot go on. */
static bool
handle(struct daemon *daemon, struct received *received)
{
    static const char *const words[] = {[WELCOME_SENT] = "sent",
                                        [WELCOME_KNOWN] = "known",
                                        [WELCOME_NOBODY] = "nobody",
                                        [WELCOME_REFUSED] = "refused",
                                        [WELCOME_AGAIN] = "again"};
    struct welcome_event event = {.source = received->source,
                                  .id = received->id,
                                  .payload = received->message->payload,
                                  .payload_size = received->message->len};
    struct welcome_answer answer;
    if (received->id == 0) {
        fprintf(stderr,
                "welcome: passed over a record that is no event of an outbox, partition=%d offset=%" PRId64
                "\n",
                received->message->partition, received->message->offset);
        consumer_done(&daemon->consumer, received);
        return true;
    }
    enum welcome_result result = welcome_execute(&daemon->mailer, &event, &answer);
    log_result(received, words[result], &answer);
    if (result != WELCOME_AGAIN) {
        daemon->failures = 0;
        consumer_done(&daemon->consumer, received);
        return true;
    }
    if (!consumer_again(&daemon->consumer, received)) {
        fputs("welcome: cannot go back to an event that was not done; start me again, it will come\n",
              stderr);
        return false;
    }
    wait_ms(daemon, pause_after(daemon->failures++));
    return true;
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
    struct outbox_options options = {.timeout_ms = 10000, .consumer = WELCOME_CONSUMER};
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

static int
start(const struct options *options)
{
    struct daemon daemon = {.mailer = {.db = PQconnectdb(options->conninfo),
                                       .smtp = smtp_open(options->smtp, options->from, options->timeout_s),
                                       .from = options->from,
                                       .timeout_s = options->timeout_s,
                                       .patience_s = options->patience_s},
                            .remember_days = options->remember_days};
    struct consumer_options kafka = {.brokers = options->brokers,
                                     .group = options->group,
                                     .topic = options->topic,
                                     .properties = options->properties,
                                     .property_count = options->property_count};
    char why[512] = "";
    int code = EXIT_UNUSABLE;
    sigemptyset(&daemon.stop);
    sigaddset(&daemon.stop, SIGTERM);
    sigaddset(&daemon.stop, SIGINT);
    sigprocmask(SIG_BLOCK, &daemon.stop, NULL); /* before librdkafka's threads, which inherit it */
    if (PQstatus(daemon.mailer.db) != CONNECTION_OK)
        snprintf(why, sizeof why, "%s", PQerrorMessage(daemon.mailer.db));
    else if (daemon.mailer.smtp == NULL)
        snprintf(why, sizeof why, "libcurl cannot start");
    else if (consumer_open(&daemon.consumer, &kafka, why)) {
        fprintf(stderr, "welcome: started topic=%s group=%s\n", options->topic, options->group);
        code = run(&daemon);
        consumer_close(&daemon.consumer);
    }
    if (*why != '\0')
        fprintf(stderr, "welcome: %.*s\n", (int)strcspn(why, "\n"), why);
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
