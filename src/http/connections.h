/* connections.h: bounds how many HTTP clients there are and for how long. libmicrohttpd ends a connection
 * that is silent, but one that sends a byte a second would live for ever, and a few of those would keep the
 * scrapes out. Thread-safe. */
#ifndef OUTBOXD_HTTP_CONNECTIONS_H
#define OUTBOXD_HTTP_CONNECTIONS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A scrape, a probe and a few people need ten. */
#define CONNECTIONS_MAX 32

/* With those that were told to end and have not yet: the bound for descriptors. */
#define CONNECTIONS_SLOTS 64

/* From accept to close, whatever the client does. A scrape takes milliseconds. */
#define CONNECTIONS_DEADLINE_US 10000000

/* With all places taken, a client that had this long gives way to a new one. */
#define CONNECTIONS_PATIENCE_US 1000000

struct connections {
    pthread_mutex_t mutex;
    struct connection {
        int fd;
        bool shut; /* told to end; leaves the list when libmicrohttpd closes it */
        int64_t since_us;
    } list[CONNECTIONS_SLOTS]; /* in order of age */
    size_t count;
};

void connections_init(struct connections *connections);

/* True when one more may come in. Ends what is past its deadline, and the oldest one if that makes the place.
 */
bool connections_admit(struct connections *connections, int64_t now_us);

void connections_opened(struct connections *connections, int fd, int64_t now_us);

/* Before `fd` is closed: afterwards the number may mean something else. */
void connections_closed(struct connections *connections, int fd);

/* Ends what is past its deadline. */
void connections_sweep(struct connections *connections, int64_t now_us);

#endif
