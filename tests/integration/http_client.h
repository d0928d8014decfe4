/* http_client.h: a raw TCP client for the tests of the HTTP server: sends any bytes, reads until the end or a deadline. */
#ifndef OUTBOXD_TESTS_HTTP_CLIENT_H
#define OUTBOXD_TESTS_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_reply {
    int status; /* 0: no status line came */
    bool ended; /* the server closed the connection */
    char text[256 * 1024];
    size_t size;
    const char *body; /* behind the empty line, or "" */
};

/* Connected to 127.0.0.1:port. */
int http_client_connect(uint16_t port);

/* What the server lets us send of it; it may close at any byte. */
void http_client_send(int fd, const void *bytes, size_t size);
void http_client_send_text(int fd, const char *text);

/* Reads until the server closes, for at most `timeout_ms`. */
void http_client_read(int fd, int timeout_ms, struct http_reply *reply);

/* All of it: connect, send, read for at most 8 s (longer than the server bears silence), close. The reply is valid until the next call. */
const struct http_reply *http_client_ask(uint16_t port, const void *bytes, size_t size);

/* "METHOD path HTTP/1.1" with a Host. */
const struct http_reply *http_client_request(uint16_t port, const char *method, const char *path);

#endif
