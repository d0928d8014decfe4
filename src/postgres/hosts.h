/* hosts.h: the servers of a conninfo that names several ("host=a,b hostaddr=10.0.0.1,10.0.0.2 port=5432,5433", or a URI), as
 * lists that can begin with any of them. Private to src/postgres; used by dial.c. Pure. */
#ifndef OUTBOXD_POSTGRES_HOSTS_H
#define OUTBOXD_POSTGRES_HOSTS_H

#include <stddef.h>

/* libpq's own lists, elements separated by commas; NULL: not given. */
struct hosts {
    size_t count; /* servers: 1 or more; 0: not read yet */
    char *host, *hostaddr;
    char *port; /* one for all, or one each */
};

/* Takes copies; each may be NULL or empty. */
void hosts_set(struct hosts *hosts, const char *host, const char *hostaddr, const char *port);
void hosts_clear(struct hosts *hosts);

/* `list` beginning with its element `first`; unchanged when it is one for all. NULL stays NULL; the caller frees it. */
char *hosts_rotate(const struct hosts *hosts, const char *list, size_t first);

/* Which of the servers libpq calls by this host (or hostaddr) and port; `count` when none. */
size_t hosts_find(const struct hosts *hosts, const char *host, const char *port);

#endif
