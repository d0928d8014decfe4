/* connections.c: the list of open HTTP connections with their ages. Called by libmicrohttpd's thread, and by
 * the relay's once a snapshot, so that deadlines pass also when nobody else connects. Ends connections with
 * shutdown(2), never close(2): the descriptors are libmicrohttpd's. */
#include "http/connections.h"

#include "base/error.h"

#include <sys/socket.h>

void
connections_init(struct connections *connections)
{
    connections->count = 0;
    CHECK(pthread_mutex_init(&connections->mutex, NULL) == 0);
}

static void
shut(struct connection *connection)
{
    shutdown(connection->fd, SHUT_RDWR);
    connection->shut = true;
}

/* How many are neither shut nor past their deadline; those that are past it are shut. The list is in order of
 * age, so
 * `*oldest` is the first of the others. */
static size_t
shut_overdue(struct connections *connections, int64_t now_us, struct connection **oldest)
{
    size_t living = 0;
    *oldest = NULL;
    for (size_t i = 0; i < connections->count; i++) {
        struct connection *connection = &connections->list[i];
        if (!connection->shut && now_us - connection->since_us >= CONNECTIONS_DEADLINE_US)
            shut(connection);
        if (connection->shut)
            continue;
        if (living++ == 0)
            *oldest = connection;
    }
    return living;
}

bool
connections_admit(struct connections *connections, int64_t now_us)
{
    struct connection *oldest;
    pthread_mutex_lock(&connections->mutex);
    size_t living = shut_overdue(connections, now_us, &oldest);
    if (living == CONNECTIONS_MAX && now_us - oldest->since_us >= CONNECTIONS_PATIENCE_US) {
        shut(oldest);
        living--;
    }
    bool admitted = living < CONNECTIONS_MAX && connections->count < CONNECTIONS_SLOTS;
    pthread_mutex_unlock(&connections->mutex);
    return admitted;
}

void
connections_opened(struct connections *connections, int fd, int64_t now_us)
{
    pthread_mutex_lock(&connections->mutex);
    CHECK(connections->count < CONNECTIONS_SLOTS);
    connections->list[connections->count++] = (struct connection){.fd = fd, .since_us = now_us};
    pthread_mutex_unlock(&connections->mutex);
}

void
connections_closed(struct connections *connections, int fd)
{
    size_t kept = 0;
    pthread_mutex_lock(&connections->mutex);
    for (size_t i = 0; i < connections->count; i++)
        if (connections->list[i].fd != fd)
            connections->list[kept++] = connections->list[i];
    connections->count = kept;
    pthread_mutex_unlock(&connections->mutex);
}

void
connections_sweep(struct connections *connections, int64_t now_us)
{
    struct connection *oldest;
    pthread_mutex_lock(&connections->mutex);
    shut_overdue(connections, now_us, &oldest);
    pthread_mutex_unlock(&connections->mutex);
}
