/* server.h: /metrics, /health/live, /health/ready and the status page, served by libmicrohttpd in a thread of
 * its own from the last published snapshot. It can be slow, attacked or off; the relay does not notice. */
#ifndef OUTBOXD_HTTP_SERVER_H
#define OUTBOXD_HTTP_SERVER_H

#include "base/error.h"
#include "http/snapshot.h"

struct http_server;

/* Listens on "address:port" ("127.0.0.1:9187", "[::1]:9187", "0.0.0.0:9187"; port 0 takes a free one and logs
 * it). ERROR_CONFIG when `listen` has another shape, ERROR_UNUSABLE with the address in the message when it
 * cannot. Until the first snapshot is published the health answers are 503. */
MUST_CHECK bool http_server_start(struct http_server **server, const char *listen, struct error *error);

/* The port it listens on. */
uint16_t http_server_port(const struct http_server *server);

/* Replaces what is served; copies. Never blocks for longer than a copy. */
void http_server_publish(struct http_server *server, const struct snapshot *snapshot);

void http_server_stop(struct http_server *server); /* NULL is allowed */

#endif
