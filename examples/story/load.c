/* load.c: see load.h. Each thread has a store of its own, and writes a story again when others were in the way. */
#include "load.h"

#include "domain/write_story.h"
#include "postgres_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* A deadlock has a loser each time; it would take bad luck to lose so often. */
#define TRIES 20

struct load {
    const struct options *options;
    atomic_long next; /* number of the next story, from 1 */
    atomic_long written, spoiled, aborted, member_unknown, unknown, retries;
};

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
    for (long number; store != NULL && (number = atomic_fetch_add(&load->next, 1)) <= load->options->count;) {
        const char *why;
        if (!store_ready(store, &why))
            fprintf(stderr, "story: cannot connect: %s", why);
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
