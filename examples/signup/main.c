/* main.c: drives the sign-up use case from several threads at a steady rate, as a web server would, and
 * counts what came of it. Options and threads only; everything worth copying is in signup.c.
 * While Postgres is away, the threads wait for it, no sign-up is drawn, and after some ten seconds they give up. */
#include "password.h"
#include "signup.h"
#include "wrong.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* A restart of Postgres takes less than what so many pauses make: 5 to 11 s. */
enum { THREADS_MAX = 64, EXIT_USAGE = 64, TRIES = 20 };

struct options {
    const char *conninfo;
    long count;           /* sign-ups to try */
    long first;           /* number of the first one: names and addresses are made of numbers */
    long rate;            /* tried per second, over all threads; 0: as fast as they go */
    long threads;         /* each with a connection of its own */
    long duplicate_every; /* every n-th sign-up takes the address of the one before it; 0: never */
    long hash_cost;       /* of the passwords */
    bool wrong;           /* as it must not be done: wrong.h */
};

struct load {
    struct options options;
    struct timespec start;
    atomic_long next; /* number of the next sign-up */
    atomic_long done, email_taken, failed, unknown;
    atomic_long unnotified; /* of the done ones, those without the notification */
};

static struct timespec
time_after(struct timespec start, long number, long rate)
{
    long ns = start.tv_nsec + number % rate * (1000000000 / rate);
    return (struct timespec){.tv_sec = start.tv_sec + number / rate + ns / 1000000000,
                             .tv_nsec = ns % 1000000000};
}

static void
try_one(struct load *load, PGconn *db, long number)
{
    long every = load->options.duplicate_every;
    long person = every > 0 && number % every == 0 ? number - 1 : number;
    char name[48], email[64];
    snprintf(name, sizeof name, "household %ld", number);
    snprintf(email, sizeof email, "person%ld@example.com", person);

    struct signup_answer answer;
    struct signup_request request = {.account_name = name,
                                     .email = email,
                                     .password = "correct horse battery staple",
                                     .hash_cost = (int)load->options.hash_cost};
    switch (load->options.wrong ? signup_execute_wrongly(db, &request, &answer)
                                : signup_execute(db, &request, &answer)) {
    case SIGNUP_DONE:
        atomic_fetch_add(&load->done, 1);
        if (*answer.not_notified != '\0' && atomic_fetch_add(&load->unnotified, 1) == 0)
            fprintf(stderr, "signup: sign-up %ld is done, without a notification: %s (not said again)\n",
                    number, answer.not_notified);
        return;
    case SIGNUP_EMAIL_TAKEN:
        atomic_fetch_add(&load->email_taken, 1);
        return;
    case SIGNUP_FAILED:
        atomic_fetch_add(&load->failed, 1);
        break;
    case SIGNUP_UNKNOWN:
        atomic_fetch_add(&load->unknown, 1);
        break;
    }
    fprintf(stderr, "signup: sign-up %ld: %s\n", number, answer.why);
}

/* Waits after try number `tries`: 2 ms, doubling up to a second, and of that between a half and all, so that threads which
 * failed together do not come back together. */
static void
pause_after(int tries)
{
    unsigned dice;
    long most_us = tries < 10 ? 1000L << tries : 1000000;
    if (getrandom(&dice, sizeof dice, 0) != sizeof dice)
        dice = 0;
    long wait_us = most_us / 2 + (long)(dice % (unsigned)(most_us / 2));
    nanosleep(&(struct timespec){.tv_nsec = wait_us * 1000}, NULL);
}

/* False: it gave up. */
static bool
connect_patiently(PGconn *db)
{
    for (int tries = 1; PQstatus(db) != CONNECTION_OK; tries++) {
        PQreset(db);
        if (PQstatus(db) == CONNECTION_OK)
            break;
        if (tries == 1 || tries == TRIES)
            fprintf(stderr, "signup: %s: %s", tries == TRIES ? "gives up" : "cannot connect, tries again",
                    PQerrorMessage(db));
        if (tries == TRIES)
            return false;
        pause_after(tries);
    }
    return true;
}

static void *
sign_up_until_done(void *argument)
{
    struct load *load = argument;
    PGconn *db = PQconnectdb(load->options.conninfo);
    long end = load->options.first + load->options.count;
    while (load->next < end && connect_patiently(db)) {
        long number = atomic_fetch_add(&load->next, 1);
        if (number >= end)
            break;
        if (load->options.rate > 0) {
            struct timespec due = time_after(load->start, number - load->options.first, load->options.rate);
            while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
                ;
        }
        try_one(load, db, number);
    }
    PQfinish(db);
    return NULL;
}

static int
run(struct load *load)
{
    pthread_t threads[THREADS_MAX];
    long started = 0;
    load->next = load->options.first;
    clock_gettime(CLOCK_MONOTONIC, &load->start);
    while (started < load->options.threads &&
           pthread_create(&threads[started], NULL, sign_up_until_done, load) == 0)
        started++;
    for (long i = 0; i < started; i++)
        pthread_join(threads[i], NULL);

    printf("done=%ld email_taken=%ld failed=%ld unknown=%ld unnotified=%ld\n", load->done, load->email_taken,
           load->failed, load->unknown, load->unnotified);
    return load->failed == 0 && load->unknown == 0 && load->next >= load->options.first + load->options.count
               ? 0
               : 1;
}

static void
usage(FILE *to)
{
    fputs("usage: signup --conninfo CONNINFO [OPTION]...\n"
          "Signs people up: account, user and event in one transaction each. Prints how many it did.\n"
          "  --conninfo TEXT        libpq keywords or URI; the role needs what `outboxd migrate --writer` "
          "grants\n"
          "  --count N              sign-ups to try (100)\n"
          "  --first N              number of the first, of which names and addresses are made (1)\n"
          "  --rate N               sign-ups a second, over all threads; 0 is as fast as they go (0)\n"
          "  --threads N            connections at work at the same time, 1 to 64 (1)\n"
          "  --duplicate-every N    every N-th uses the e-mail of the one before it, N > 1; 0 is never (0)\n"
          "  --hash-cost N          what hashing a password costs, 1 to 11; 5 is for real passwords (1)\n"
          "  --wrong                as it must not be done: every repository commits for itself\n"
          "  --help                 this text\n"
          "Exit code: 0 when each was committed or refused for its e-mail, 1 otherwise, 64 for wrong "
          "options.\n",
          to);
}

static bool
parse_number(const char *option, const char *text, long least, long most, long *number)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && value >= least && value <= most) {
        *number = value;
        return true;
    }
    fprintf(stderr, "signup: --%s takes a number from %ld to %ld, not \"%s\"\n", option, least, most, text);
    return false;
}

static bool
parse_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"conninfo", required_argument, NULL, 'c'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"duplicate-every", required_argument, NULL, 'd'},
                                          {"hash-cost", required_argument, NULL, 'p'},
                                          {"wrong", no_argument, NULL, 'w'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    bool good = true;
    int option, at = 0;
    while ((option = getopt_long(argc, argv, "", names, &at)) != -1) {
        const char *name = names[at].name;
        if (option == 'c')
            options->conninfo = optarg;
        else if (option == 'n')
            good &= parse_number(name, optarg, 0, INT32_MAX, &options->count);
        else if (option == 'f')
            good &= parse_number(name, optarg, 1, INT32_MAX, &options->first);
        else if (option == 'r')
            good &= parse_number(name, optarg, 0, 1000000, &options->rate);
        else if (option == 't')
            good &= parse_number(name, optarg, 1, THREADS_MAX, &options->threads);
        else if (option == 'd')
            good &= parse_number(name, optarg, 0, INT32_MAX, &options->duplicate_every);
        else if (option == 'p')
            good &= parse_number(name, optarg, 1, PASSWORD_COST_MAX, &options->hash_cost);
        else if (option == 'w')
            options->wrong = true;
        else if (option == 'h')
            usage(stdout), exit(0);
        else
            good = false; /* getopt_long has said why */
    }
    if (options->duplicate_every == 1) {
        fputs("signup: --duplicate-every 1 would leave nobody new; take 0, 2 or more\n", stderr);
        good = false;
    }
    if (optind < argc) {
        fprintf(stderr, "signup: unexpected argument \"%s\"\n", argv[optind]);
        good = false;
    }
    if (options->conninfo == NULL) {
        fputs("signup: --conninfo is missing\n", stderr);
        good = false;
    }
    return good;
}

int
main(int argc, char **argv)
{
    struct load load = {.options = {.count = 100, .first = 1, .threads = 1, .hash_cost = 1}};
    if (!parse_options(&load.options, argc, argv)) {
        usage(stderr);
        return EXIT_USAGE;
    }
    return run(&load);
}
