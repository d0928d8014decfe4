/* postgres_hosts.c: a list of servers can begin with any of them, in every notation of libpq. */
#include "postgres/hosts.h"

#include "base/error.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* As dial.c does it, but from the text alone. */
static struct hosts
hosts_of(const char *conninfo)
{
    const char *host = NULL, *hostaddr = NULL, *port = NULL;
    struct hosts hosts = {0};
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    cr_assert_not_null(options, "%s", conninfo);
    for (PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (strcmp(option->keyword, "host") == 0)
            host = option->val;
        if (strcmp(option->keyword, "hostaddr") == 0)
            hostaddr = option->val;
        if (strcmp(option->keyword, "port") == 0)
            port = option->val;
    }
    hosts_set(&hosts, host, hostaddr, port);
    PQconninfoFree(options);
    return hosts;
}

static void
expect_list(const struct hosts *hosts, const char *list, size_t first, const char *expected)
{
    char *rotated = hosts_rotate(hosts, list, first);
    if (expected == NULL)
        cr_expect_null(rotated);
    else
        cr_expect_str_eq(rotated, expected);
    free(rotated);
}

static void
expect_rotated(const char *conninfo, size_t count, size_t first, const char *host, const char *hostaddr,
               const char *port)
{
    struct hosts hosts = hosts_of(conninfo);
    cr_expect_eq(hosts.count, count, "%s: %zu hosts", conninfo, hosts.count);
    expect_list(&hosts, hosts.host, first, host);
    expect_list(&hosts, hosts.hostaddr, first, hostaddr);
    expect_list(&hosts, hosts.port, first, port);
    hosts_clear(&hosts);
}

Test(postgres_hosts, hosts_addresses_and_ports_turn_together)
{
    expect_rotated("host=a,b,c port=1,2,3", 3, 1, "b,c,a", NULL, "2,3,1");
    expect_rotated("host=a,b,c hostaddr=10.0.0.1,10.0.0.2,10.0.0.3 port=1,2,3", 3, 2, "c,a,b",
                   "10.0.0.3,10.0.0.1,10.0.0.2", "3,1,2");
    expect_rotated("hostaddr=10.0.0.1,::1 dbname=x", 2, 1, NULL, "::1,10.0.0.1", NULL);
    expect_rotated("host=a,b,c port=1,2,3", 3, 0, "a,b,c", NULL, "1,2,3");
}

Test(postgres_hosts, a_port_for_all_stays)
{
    expect_rotated("host=a,b,c port=6432", 3, 1, "b,c,a", NULL, "6432");
}

Test(postgres_hosts, a_URI_is_the_same)
{
    expect_rotated("postgresql://user@a:1,b:2,[::1]:3/shop?sslmode=verify-full", 3, 2, "::1,a,b", NULL,
                   "3,1,2");
    expect_rotated("postgresql://a,b/shop", 2, 1, "b,a", NULL, ",");
}

Test(postgres_hosts, an_element_left_out_keeps_its_place)
{
    expect_rotated("host=/run/postgresql,,b port=,5433,", 3, 1, ",b,/run/postgresql", NULL, "5433,,");
}

Test(postgres_hosts, one_host_or_none_is_left_alone)
{
    expect_rotated("host=a port=1", 1, 0, "a", NULL, "1");
    expect_rotated("dbname=shop", 1, 0, NULL, NULL, NULL);
}

Test(postgres_hosts, a_server_is_found_by_the_host_and_the_port_that_libpq_names)
{
    struct hosts hosts = hosts_of("host=a,b,a port=1,2,3");
    cr_expect_eq(hosts_find(&hosts, "a", "1"), 0);
    cr_expect_eq(hosts_find(&hosts, "b", "2"), 1);
    cr_expect_eq(hosts_find(&hosts, "a", "3"), 2);
    cr_expect_eq(hosts_find(&hosts, "a", "2"), 3, "none of them");
    hosts_clear(&hosts);
    hosts = hosts_of("hostaddr=10.0.0.1,10.0.0.10 port=5");
    cr_expect_eq(hosts_find(&hosts, "10.0.0.10", "5"), 1);
    hosts_clear(&hosts);
    hosts = hosts_of("dbname=shop");
    cr_expect_eq(hosts_find(&hosts, "/run/postgresql", "5432"), 1, "the default is in no list");
    hosts_clear(&hosts);
}
