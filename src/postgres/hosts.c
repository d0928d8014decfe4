/* hosts.c: cuts and turns lists of hosts. Called by dial.c; knows libpq's notation (manual, "Specifying Multiple Hosts") and
 * nothing of connections. */
#include "postgres/hosts.h"

#include "base/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static size_t
elements(const char *list)
{
    size_t count = 1;
    for (const char *at = list; (at = strchr(at, ',')) != NULL; at++)
        count++;
    return count;
}

/* Where element `index` begins; it ends at the next comma or with the list. */
static const char *
element(const char *list, size_t index)
{
    for (; index > 0; index--)
        list = strchr(list, ',') + 1;
    return list;
}

/* False for one that is not given, or given once for all. */
static bool
one_each(const struct hosts *hosts, const char *list)
{
    return list != NULL && elements(list) == hosts->count;
}

static bool
element_is(const char *list, size_t index, const char *text)
{
    const char *at = element(list, index);
    size_t length = strcspn(at, ",");
    return strlen(text) == length && strncmp(at, text, length) == 0;
}

static char *
copy_given(const char *text)
{
    return text != NULL && text[0] != '\0' ? must_strdup(text) : NULL;
}

void
hosts_set(struct hosts *hosts, const char *host, const char *hostaddr, const char *port)
{
    hosts_clear(hosts);
    hosts->host = copy_given(host);
    hosts->hostaddr = copy_given(hostaddr);
    hosts->port = copy_given(port);
    const char *names = hosts->hostaddr != NULL ? hosts->hostaddr : hosts->host;
    hosts->count = names != NULL ? elements(names) : 1;
}

void
hosts_clear(struct hosts *hosts)
{
    free(hosts->host);
    free(hosts->hostaddr);
    free(hosts->port);
    *hosts = (struct hosts){0};
}

char *
hosts_rotate(const struct hosts *hosts, const char *list, size_t first)
{
    if (list == NULL)
        return NULL;
    if (first == 0 || !one_each(hosts, list))
        return must_strdup(list);
    const char *head = element(list, first);
    return must_format("%s,%.*s", head, (int)(head - list - 1), list);
}

size_t
hosts_find(const struct hosts *hosts, const char *host, const char *port)
{
    bool by_name = one_each(hosts, hosts->host), by_address = one_each(hosts, hosts->hostaddr);
    bool by_port = one_each(hosts, hosts->port);
    size_t index = 0;
    for (; index < hosts->count; index++) {
        bool same = (by_name && element_is(hosts->host, index, host)) ||
                    (by_address && element_is(hosts->hostaddr, index, host));
        if (same && (!by_port || element_is(hosts->port, index, port)))
            break;
    }
    return index;
}
