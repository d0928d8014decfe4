/* transport.c: judges how well the ways to Postgres and Kafka are protected. Called by settings; opens no
 * connection. */
#include "config/transport.h"

#include "config/conninfo.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Unix sockets and loopback addresses; any other name may lead anywhere. */
static bool
is_local(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (host[0] == '\0' || host[0] == '/' || host[0] == '@' || strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Copies the first host of the list that is off this machine to `remote`, without what surrounds it in a list
 * of brokers (protocol://host:port, [::1]:9092). False when all are local. */
static bool
find_remote(const char *list, bool brokers, char *remote, size_t size)
{
    for (const char *at = list; *at != '\0';) {
        size_t length = strcspn(at, ",");
        const char *end = at + length, *host = at;
        while (host < end && *host == ' ')
            host++;
        const char *scheme = brokers ? memmem(host, (size_t)(end - host), "://", 3) : NULL;
        host = scheme ? scheme + 3 : host;
        const char *bracket = brokers && *host == '[' ? memchr(host, ']', (size_t)(end - host)) : NULL;
        const char *colon = brokers ? memchr(host, ':', (size_t)(end - host)) : NULL;
        host += bracket != NULL;
        const char *host_end = bracket ? bracket : (colon ? colon : end);
        snprintf(remote, size, "%.*s", (int)(host_end - host), host);
        if (!is_local(remote))
            return true;
        at = end + (*end == ',');
    }
    return false;
}

static const char *
said_or_environment(const char *said, const char *variable)
{
    return said ? said : getenv(variable);
}

void
transport_judge_postgres(const char *text, int line, struct complaints *complaints)
{
    char remote[256], quoted[COMPLAINTS_QUOTED];
    struct conninfo conninfo = conninfo_parse(text);
    const char *address = said_or_environment(conninfo.hostaddr, "PGHOSTADDR");
    const char *host = address ? address : said_or_environment(conninfo.host, "PGHOST");
    const char *mode = said_or_environment(conninfo.sslmode, "PGSSLMODE");
    bool encrypted = mode && (strcmp(mode, "require") == 0 || strcmp(mode, "verify-ca") == 0);
    if (conninfo.has_service || getenv("PGSERVICE") != NULL || (mode && strcmp(mode, "verify-full") == 0) ||
        host == NULL || !find_remote(host, false, remote, sizeof remote))
        goto out;
    const char *at = strrchr(remote, '@'); /* what stands before is the end of a password in a URI */
    complaints_quote(at != NULL ? at + 1 : remote, quoted);
    if (encrypted)
        complaints_warn(complaints, line, "postgres.conninfo",
                        "sslmode=%s does not check that the server is %s: use sslmode=verify-full", mode,
                        quoted);
    else
        complaints_warn(
            complaints, line, "postgres.conninfo",
            "without sslmode=verify-full the password and every event may be read on the way to %s", quoted);
out:
    conninfo_free(&conninfo);
}

static const struct property *
find_property(const struct property *properties, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(properties[i].name, name) == 0)
            return &properties[i];
    return NULL;
}

static bool
property_is(const struct property *property, const char *value)
{
    return property != NULL && strcasecmp(property->value, value) == 0;
}

void
transport_judge_kafka(const struct property *properties, size_t count, struct complaints *complaints)
{
    char remote[256], quoted[COMPLAINTS_QUOTED];
    const struct property *servers = find_property(properties, count, "bootstrap.servers");
    const struct property *protocol = find_property(properties, count, "security.protocol");
    if (servers == NULL || !find_remote(servers->value, true, remote, sizeof remote))
        return;
    complaints_quote(remote, quoted);
    if (!property_is(protocol, "ssl") && !property_is(protocol, "sasl_ssl"))
        complaints_warn(complaints, protocol ? protocol->line : servers->line, "kafka.security.protocol",
                        "without ssl or sasl_ssl the password and every event may be read on the way to %s",
                        quoted);
}
