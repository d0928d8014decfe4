/* fproxy_link.c: the sockets of one connection: accepted, connected, read, written, closed or reset. Called by the loop in fproxy.c;
 * what goes through is the business of fproxy_stream.c. Never blocks. */
#include "fault/fproxy_link.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void
link_log(const struct link *link, const char *kind, const char *action, uint64_t n, int rule)
{
    int64_t now_us = clock_wall_us();
    bool kafka = link->listener->protocol == PROTOCOL_KAFKA;
    fprintf(link->proxy->log,
            "time=%" PRId64 ".%06" PRId64 " protocol=%s listener=%d connection=%d kind=%s n=%" PRIu64
            " action=%s rule=%d\n",
            now_us / 1000000, now_us % 1000000, kafka ? "kafka" : "postgres", link->listener->number,
            link->number, kind, n, action, rule);
}

static bool
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static void
set_undelayed(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void
link_accept(struct proxy *proxy, const struct listener *listener)
{
    int client = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0)
        return;
    struct link *link = must_calloc(1, sizeof *link);
    link->proxy = proxy;
    link->listener = listener;
    link->number = ++proxy->link_numbers;
    link->client = client;
    link->server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(link->server >= 0);
    set_undelayed(link->client);
    set_undelayed(link->server);
    link->connecting = true;
    if (connect(link->server, (const struct sockaddr *)&listener->to, sizeof listener->to) != 0)
        link->reset = errno != EINPROGRESS;
    stream_open(&link->up);
    stream_open(&link->down);
    link->next = proxy->links;
    proxy->links = link;
    proxy->link_count++;
}

static void
close_socket(int fd, bool reset)
{
    const struct linger at_once = {.l_onoff = 1};
    if (reset)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

void
link_free(struct link *link)
{
    close_socket(link->client, link->reset);
    close_socket(link->server, link->reset);
    stream_close(&link->up);
    stream_close(&link->down);
    link->proxy->link_count--;
    free(link);
}

void
link_poll(const struct link *link, struct pollfd sockets[2])
{
    short client = 0, server = 0;
    if (stream_room(&link->up) > 0)
        client |= POLLIN;
    if (link->down.out.size > 0)
        client |= POLLOUT;
    if (!link->connecting && stream_room(&link->down) > 0)
        server |= POLLIN;
    if (link->connecting || link->up.out.size > 0)
        server |= POLLOUT;
    /* a socket that has hung up and is asked for nothing would be ready for ever */
    sockets[0] = (struct pollfd){.fd = client != 0 ? link->client : -1, .events = client};
    sockets[1] = (struct pollfd){.fd = server != 0 ? link->server : -1, .events = server};
}

static void
finish_connecting(struct link *link)
{
    int failure = 0;
    socklen_t size = sizeof failure;
    link->connecting = false;
    if (getsockopt(link->server, SOL_SOCKET, SO_ERROR, &failure, &size) != 0 || failure != 0)
        link->reset = true;
}

static void
read_socket(const struct link *link, int fd, struct stream *stream, int64_t now_us)
{
    static char bytes[64 * 1024];
    size_t room = stream_room(stream);
    if (room == 0)
        return;
    ssize_t got = recv(fd, bytes, room < sizeof bytes ? room : sizeof bytes, 0);
    if (got > 0)
        stream_put(stream, bytes, (size_t)got, link->proxy->latency_us[link->listener->protocol], now_us);
    else if (got == 0 || !would_block())
        stream->ended = true;
}

static void
write_socket(int fd, struct stream *stream)
{
    while (stream->out.size > 0) {
        ssize_t sent = send(fd, stream->out.data + stream->out.start, stream->out.size, MSG_NOSIGNAL);
        if (sent < 0 && would_block())
            return;
        if (sent < 0) {
            stream->dead = true;
            buffer_take(&stream->out, stream->out.size);
            return;
        }
        buffer_take(&stream->out, (size_t)sent);
    }
    bool end = stream->shut_wanted || (stream->ended && stream_empty(stream));
    if (end && !stream->shut) {
        (void)shutdown(fd, SHUT_WR);
        stream->shut = true;
    }
}

/* Bytes through one stream, as many as its faults let through: until the socket takes no more, which it tells, or nothing is left. */
static void
carry(struct link *link, struct stream *stream, int to, int64_t now_us)
{
    bool filled;
    do {
        stream_move(link, stream, now_us);
        filled = stream->out.size > 0;
        if (!link->connecting && !link->reset)
            write_socket(to, stream);
    } while (filled && stream->out.size == 0);
}

int64_t
link_turn(struct link *link, const struct pollfd sockets[2])
{
    int64_t now_us = clock_monotonic_us();
    if (link->connecting && sockets[1].revents != 0)
        finish_connecting(link);
    if ((sockets[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        read_socket(link, link->client, &link->up, now_us);
    if (!link->connecting && (sockets[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        read_socket(link, link->server, &link->down, now_us);
    carry(link, &link->up, link->server, now_us);
    carry(link, &link->down, link->client, now_us);
    bool cut = (link->up.cut && link->up.out.size == 0) || (link->down.cut && link->down.out.size == 0);
    bool server_ended = link->down.ended && (link->down.shut || link->down.dead);
    link->over = link->reset || cut || server_ended;
    int64_t up_us = stream_deadline_us(&link->up, now_us), down_us = stream_deadline_us(&link->down, now_us);
    return up_us < down_us ? up_us : down_us;
}
