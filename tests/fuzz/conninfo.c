/* conninfo.c: connection strings. libpq is the judge: of what it takes, we must understand the same hosts, the same sslmode and whether
 * there is a password, or a warning is missing. Its complaint of what it does not take shows nothing that may be a password. */
#include "config/conninfo.h"

#include "base/error.h"
#include "fuzz/fuzz.h"
#include "postgres/conceal.h"
#include "postgres/hosts.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

static const char *
said(const PQconninfoOption *options, const char *keyword)
{
    while (options->keyword != NULL && strcmp(options->keyword, keyword) != 0)
        options++;
    return options->val;
}

static bool
given(const char *value)
{
    return value != NULL && value[0] != '\0';
}

/* "" is as good as not said. */
static bool
same(const char *ours, const char *theirs)
{
    return given(ours) == given(theirs) && (!given(ours) || strcmp(ours, theirs) == 0);
}

static size_t
count_elements(const char *list)
{
    size_t count = 1;
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

/* A list that begins with another of its elements holds the same, and turns back. */
static void
check_hosts(const PQconninfoOption *options)
{
    struct hosts hosts = {0};
    hosts_set(&hosts, said(options, "host"), said(options, "hostaddr"), said(options, "port"));
    CHECK(hosts.count >= 1);
    const char *list = hosts.hostaddr != NULL ? hosts.hostaddr : hosts.host;
    for (size_t i = 0; list != NULL && i < hosts.count && i < 20; i++) {
        char *turned = hosts_rotate(&hosts, list, i),
             *back = hosts_rotate(&hosts, turned, (hosts.count - i) % hosts.count);
        CHECK(count_elements(turned) == hosts.count && strcmp(back, list) == 0);
        CHECK(hosts_find(&hosts, turned, "5432") <= hosts.count);
        free(turned);
        free(back);
    }
    hosts_clear(&hosts);
}

static void
check_taken(const struct conninfo *ours, const PQconninfoOption *theirs)
{
    CHECK(same(ours->host, said(theirs, "host")));
    CHECK(same(ours->hostaddr, said(theirs, "hostaddr")));
    CHECK(same(ours->sslmode, said(theirs, "sslmode")));
    CHECK(ours->has_password || !(given(said(theirs, "password")) || given(said(theirs, "sslpassword"))));
    CHECK(ours->has_service || said(theirs, "service") == NULL);
    check_hosts(theirs);
}

int
fuzz_conninfo(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size), *complaint = NULL;
    struct conninfo ours = conninfo_parse(text);
    PQconninfoOption *theirs = PQconninfoParse(text, &complaint);
    if (theirs != NULL)
        check_taken(&ours, theirs);
    if (complaint != NULL) {
        size_t length = strlen(complaint);
        conceal_complaint(complaint);
        CHECK(strlen(complaint) <= length);
        conceal_address(complaint);
        CHECK(strlen(complaint) <= length);
    }
    PQconninfoFree(theirs);
    PQfreemem(complaint);
    conninfo_free(&ours);
    free(text);
    return 0;
}
