/* listen.h: the listening socket of the HTTP server. Called once, at start. */
#ifndef OUTBOXD_HTTP_LISTEN_H
#define OUTBOXD_HTTP_LISTEN_H

#include "base/error.h"

#include <stdint.h>

struct listen_address {
    char host[256]; /* without brackets */
    char port[6];   /* "0" to "65535" */
};

/* Takes "host:port" or "[IPv6]:port" apart. ERROR_CONFIG naming the text otherwise. */
MUST_CHECK bool listen_parse(const char *text, struct listen_address *address, struct error *error);

/* A listening socket, non-blocking and closed on exec, and its port (that of "localhost" is on 127.0.0.1
 * where there is one, as probes expect). Asks the resolver when the host is a name: may take its time.
 * ERROR_CONFIG as listen_parse(), ERROR_UNUSABLE with the address and the kernel's reason when it cannot. */
MUST_CHECK bool listen_open(const char *text, int *fd, uint16_t *port, struct error *error);

#endif
