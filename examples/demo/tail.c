/* tail.c: prints the events of a topic as a Kafka consumer sees them: every n-th, and each one that comes a
 * second time. Called by demo.sh; runs until SIGTERM. */
#include "consumer.h"

#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64 };

static volatile sig_atomic_t stop_wanted;

static void
want_stop(int signal_number)
{
    (void)signal_number;
    stop_wanted = 1;
}

static int
compare_ids(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Remembers the id; true when it was known. This is all that a consumer needs in order to ignore a duplicate
 * (a real one keeps the ids in its own database, in the transaction of its own work). */
static bool
seen_before(void **ids, int64_t id)
{
    int64_t *copy = malloc(sizeof *copy);
    if (copy == NULL)
        abort();
    *copy = id;
    void *node = tsearch(copy, ids, compare_ids);
    if (node == NULL)
        abort();
    bool known = *(int64_t **)node != copy;
    if (known)
        free(copy);
    return known;
}

static void
print_event(const struct received *event, const char *remark)
{
    const rd_kafka_message_t *message = event->message;
    printf("    partition %d offset %-4lld key %-5.*s id %-5lld source %.*s  %.*s%s\n", message->partition,
           (long long)message->offset, (int)message->key_len, message->key ? (const char *)message->key : "",
           (long long)event->id, (int)event->source_size, event->source, (int)message->len,
           message->payload ? (const char *)message->payload : "", remark);
    fflush(stdout);
}

static void
print_events(struct consumer *consumer, long every)
{
    void *ids = NULL;
    long count = 0;
    while (!stop_wanted) {
        struct received event;
        if (!consumer_next(consumer, 100, &event))
            continue;
        if (seen_before(&ids, event.id))
            print_event(&event, "  <- the same id again");
        else if (count++ % every == 0)
            print_event(&event, "");
        received_free(&event);
    }
    tdestroy(ids, free);
}

int
main(int argc, char **argv)
{
    long every = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (every < 1) {
        fputs("usage: tail BROKERS TOPIC EVERY\n"
              "Prints every EVERY-th event of the topic, from its beginning until SIGTERM.\n",
              stderr);
        return EXIT_USAGE;
    }
    struct sigaction action = {.sa_handler = want_stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    struct consumer consumer;
    if (!consumer_open(&consumer, argv[1], argv[2]))
        return EXIT_FAILURE;
    print_events(&consumer, every);
    consumer_close(&consumer);
    return 0;
}
