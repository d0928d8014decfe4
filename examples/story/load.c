/* load.c: see load.h. Each thread has a store of its own, and writes a story again when others were in the way.
 * While Postgres is away, the threads wait for it, no story is drawn, and after some ten seconds they give up. */
#include "load.h"

#include "domain/write_story.h"
#include "postgres_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

/* A deadlock has a loser each time; it would take bad luck to lose so often. And a restart of Postgres takes less than what so
 * many pauses make: 5 to 11 s. */
#define TRIES 20

struct load {
    const struct options *options;
    atomic_long next; /* number of the next story, from 1 */
    atomic_long written, spoiled, aborted, member_unknown, unknown, retries;
};

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
connect_patiently(struct store *store)
{
    const char *why;
    for (int tries = 1; !store_ready(store, &why); tries++) {
        if (tries == 1 || tries == TRIES)
            fprintf(stderr, "story: %s: %s", tries == TRIES ? "gives up" : "cannot connect, tries again",
                    why);
        if (tries == TRIES)
            return false;
        pause_after(tries);
    }
    return true;
}

static enum write_story_result
write_patiently(struct load *load, struct store *store, struct story *story,
                struct transaction_report *report)
{
    for (int tries = 1;; tries++) {
        long count;
        enum write_story_result result = write_story(store, story, &count, report);
        if (result != TRANSACTION_ABORTED || !report->in_passing || tries == TRIES)
            return result;
        atomic_fetch_add(&load->retries, 1);
        pause_after(tries);
    }
}

static void
write_one(struct load *load, struct store *store, long number)
{
    long every = load->options->spoil_every;
    bool spoil = every > 0 && number % every == 0;
    char member[24], title[256];
    snprintf(member, sizeof member, "%ld", 1 + number % load->options->members);
    snprintf(title, sizeof title, "the story with the number %0*ld", spoil ? 200 : 1, number);

    struct story story = {.member_id = member, .title = title};
    struct transaction_report report;
    atomic_long *counter = &load->written;
    switch (write_patiently(load, store, &story, &report)) {
    case STORY_WRITTEN:
    case STORY_UNTITLED: /* never, for each has a title */
        break;
    case MEMBER_UNKNOWN:
        counter = &load->member_unknown;
        break;
    case TRANSACTION_ABORTED:
        counter = spoil ? &load->spoiled : &load->aborted;
        break;
    case TRANSACTION_UNKNOWN:
        counter = &load->unknown;
        break;
    }
    atomic_fetch_add(counter, 1);
    if (counter == &load->aborted || counter == &load->unknown)
        fprintf(stderr, "story: story %ld: %s\n", number, report.why);
}

static void *
write_until_done(void *argument)
{
    struct load *load = argument;
    struct store *store = store_open(load->options->conninfo);
    while (store != NULL && load->next <= load->options->count && connect_patiently(store)) {
        long number = atomic_fetch_add(&load->next, 1);
        if (number <= load->options->count)
            write_one(load, store, number);
    }
    store_close(store);
    return NULL;
}

int
load_run(const struct options *options)
{
    struct load load = {.options = options, .next = 1};
    pthread_t threads[THREADS_MAX];
    long started = 0;
    while (started < options->threads &&
           pthread_create(&threads[started], NULL, write_until_done, &load) == 0)
        started++;
    for (long i = 0; i < started; i++)
        pthread_join(threads[i], NULL);

    printf("written=%ld spoiled=%ld aborted=%ld member_unknown=%ld unknown=%ld retries=%ld\n", load.written,
           load.spoiled, load.aborted, load.member_unknown, load.unknown, load.retries);
    return load.written + load.spoiled == options->count ? 0 : 1;
}
