/* http_client.c: plain sockets, so that a test can be as rude as it needs. */
#include "http_client.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
http_client_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), little = 4096;
    cr_assert_geq(fd, 0);
    /* So that an answer which is not read soon fills the way to us. */
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void
http_client_send(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        size -= (size_t)sent;
    }
}

void
http_client_send_text(int fd, const char *text)
{
    http_client_send(fd, text, strlen(text));
}

void
http_client_read(int fd, int timeout_ms, struct http_reply *reply)
{
    int64_t deadline_us = clock_monotonic_us() + timeout_ms * (int64_t)1000;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    reply->size = 0;
    reply->ended = false;
    while (!reply->ended && reply->size < sizeof reply->text - 1) {
        int64_t left_ms = (deadline_us - clock_monotonic_us()) / 1000;
        if (left_ms <= 0 || poll(&ready, 1, (int)left_ms) != 1)
            break;
        ssize_t got = recv(fd, reply->text + reply->size, sizeof reply->text - 1 - reply->size, 0);
        reply->ended = got <= 0; /* a reset is an end, too */
        reply->size += got > 0 ? (size_t)got : 0;
    }
    reply->text[reply->size] = '\0';
    reply->status = 0;
    sscanf(reply->text, "HTTP/1.%*d %d", &reply->status);
    const char *empty = strstr(reply->text, "\r\n\r\n");
    reply->body = empty ? empty + 4 : "";
}

const struct http_reply *
http_client_ask(uint16_t port, const void *bytes, size_t size)
{
    static struct http_reply reply;
    int fd = http_client_connect(port);
    http_client_send(fd, bytes, size);
    http_client_read(fd, 8000, &reply);
    close(fd);
    return &reply;
}

const struct http_reply *
http_client_request(uint16_t port, const char *method, const char *path)
{
    char request[1024];
    int size = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, path);
    return http_client_ask(port, request, (size_t)size);
}
