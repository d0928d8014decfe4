/* listen.c: from "host:port" to a socket. Our own, not libmicrohttpd's, which would set SO_REUSEPORT and say
 * nothing about an address in use: two daemons would then share the scrapes. */
#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that wait to be accepted; more are turned away by the kernel. */
#define BACKLOG 64

static bool
refuse(const char *text, struct error *error)
{
    return error_set(error, ERROR_CONFIG,
                     "http.listen: \"%s\" is not \"address:port\" or \"[IPv6 address]:port\"", text);
}

bool
listen_parse(const char *text, struct listen_address *address, struct error *error)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return refuse(text, error);
    const char *host = text;
    size_t host_size = (size_t)(colon - text), port_size = strlen(colon + 1);
    if (text[0] == '[') {
        if (host_size < 3 || colon[-1] != ']')
            return refuse(text, error);
        host++;
        host_size -= 2;
    } else if (memchr(text, ':', host_size) != NULL) {
        return refuse(text, error);
    }
    if (host_size == 0 || host_size >= sizeof address->host || strcspn(host, "[] ") < host_size)
        return refuse(text, error);
    if (port_size == 0 || port_size > 5 || strspn(colon + 1, "0123456789") != port_size ||
        strtol(colon + 1, NULL, 10) > 65535)
        return refuse(text, error);
    memcpy(address->host, host, host_size);
    address->host[host_size] = '\0';
    memcpy(address->port, colon + 1, port_size + 1);
    return true;
}

/* A socket that listens on this address, or -1 with errno. */
static int
try_address(const struct addrinfo *at)
{
    int one = 1, fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -1;
    /* Start again while old connections are in TIME_WAIT; does not share the port with a living listener. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* The first address of a family that works, or -1 with errno, which stays when there is none. */
static int
try_family(const struct addrinfo *list, int family)
{
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        int fd = at->ai_family == family ? try_address(at) : -1;
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static uint16_t
bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } bound = {.in6 = {0}};
    socklen_t size = sizeof bound;
    CHECK(getsockname(fd, &bound.any, &size) == 0);
    return ntohs(bound.any.sa_family == AF_INET6 ? bound.in6.sin6_port : bound.in.sin_port);
}

bool
listen_open(const char *text, int *fd, uint16_t *port, struct error *error)
{
    struct listen_address address;
    if (!listen_parse(text, &address, error))
        return false;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    int code = getaddrinfo(address.host, address.port, &hints, &list);
    if (code != 0)
        return error_set(error, ERROR_UNUSABLE, "cannot serve HTTP on %s: %s", text,
                         code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    errno = EADDRNOTAVAIL;
    *fd = try_family(list, AF_INET);
    if (*fd < 0)
        *fd = try_family(list, AF_INET6);
    if (*fd < 0)
        error_set(error, ERROR_UNUSABLE,
                  "cannot serve HTTP on %s: %s; set http.listen to a free port, or http to null", text,
                  strerror(errno));
    else
        *port = bound_port(*fd);
    freeaddrinfo(list);
    return *fd >= 0;
}
