/* config_transport.c: warnings about ways on which passwords and events can be read. Guards: "A configured
 * TLS mode weaker than verify-full, off loopback, is a warning". */
#include "unit/config_fixture.h"

#include "config/conninfo.h"
#include "config/transport.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(config_transport, .init = config_fixture_enter, .fini = config_fixture_leave);

static void
expect_conninfo(const char *text, const char *host, const char *sslmode, bool has_password)
{
    struct conninfo conninfo = conninfo_parse(text);
    cr_expect_str_eq(conninfo.host ? conninfo.host : "-", host, "%s: %s", text, conninfo.host);
    cr_expect_str_eq(conninfo.sslmode ? conninfo.sslmode : "-", sslmode, "%s: %s", text, conninfo.sslmode);
    cr_expect_eq(conninfo.has_password, has_password, "%s", text);
    conninfo_free(&conninfo);
}

Test(config_transport, reads_connection_strings_of_keywords_and_values)
{
    expect_conninfo("", "-", "-", false);
    expect_conninfo("host=db sslmode=verify-full", "db", "verify-full", false);
    expect_conninfo("  host = 'a db'  sslmode\t=\trequire ", "a db", "require", false);
    expect_conninfo("host='o\\'hara' password=x", "o'hara", "-", true);
    expect_conninfo("host=a\\ b sslpassword=x", "a b", "-", true);
    expect_conninfo("host=a host=b password=", "b", "-", false);
    expect_conninfo("dbname='password=x' passfile=/x", "-", "-", false);
    expect_conninfo("host=a 'sslmode=require", "a", "-", false);
    expect_conninfo("host='a", "a", "-", false);
    expect_conninfo("sslmode=verify-full requiressl=1", "-", "require", false); /* an old name of it */
    expect_conninfo("sslmode=verify-full requiressl=0", "-", "prefer", false);
    expect_conninfo("host=a\\", "a", "-", false);
}

Test(config_transport, reads_connection_uris)
{
    expect_conninfo("postgresql://", "-", "-", false);
    expect_conninfo("postgresql://db/shop?sslmode=verify-ca", "db", "verify-ca", false);
    expect_conninfo("postgres://u:x@db:5433/shop", "db", "-", true);
    expect_conninfo("postgresql://u@[2001:db8::1]:5432,db2:5433/shop", "2001:db8::1,db2", "-", false);
    expect_conninfo("postgresql://u:@db?password=%78", "db", "-", true);
    expect_conninfo("postgresql://%2Frun%2fpostgresql/shop", "/run/postgresql", "-", false);
    expect_conninfo("postgresql:///shop?host=db&ssl=true", "db", "require", false);
    expect_conninfo("postgresql://db?sslmod%65=%", "db", "%", false);
    expect_conninfo("postgresql://[::1", "[", "-", false);
    expect_conninfo("postgresql://[a,b/c?]:1,d:2/shop?sslmode=require", "a,b/c?,d", "require", false);
    expect_conninfo("postgresql://%4/?sslmode", "%4", "-", false);
}

#define READ_ON_THE_WAY                                                                                      \
    "c.yaml:7: postgres.conninfo: warning: without sslmode=verify-full the password and every event may be " \
    "read on "                                                                                               \
    "the way to \"%s\"\n"
#define UNCHECKED                                                                                            \
    "c.yaml:7: postgres.conninfo: warning: sslmode=%s does not check that the server is \"%s\": use "        \
    "sslmode=verify-full\n"

static void
expect_postgres(const char *conninfo, const char *lines)
{
    char printed[1000] = "";
    struct complaints complaints = {.file = "c.yaml"};
    transport_judge_postgres(conninfo, 7, &complaints);
    FILE *to = fmemopen(printed, sizeof printed, "w");
    complaints_print(&complaints, to);
    fclose(to);
    cr_expect_str_eq(printed, lines, "%s: %s", conninfo, printed);
    cr_expect_eq(complaints.mistakes, 0);
    complaints_free(&complaints);
}

static void
expect_read_on_the_way(const char *conninfo, const char *host)
{
    char lines[400];
    snprintf(lines, sizeof lines, READ_ON_THE_WAY, host);
    expect_postgres(conninfo, lines);
}

static void
expect_unchecked(const char *conninfo, const char *mode, const char *host)
{
    char lines[400];
    snprintf(lines, sizeof lines, UNCHECKED, mode, host);
    expect_postgres(conninfo, lines);
}

Test(config_transport, warns_of_postgres_without_verify_full_off_this_machine)
{
    expect_read_on_the_way("host=db", "db");
    expect_read_on_the_way("host=db sslmode=prefer", "db");
    expect_read_on_the_way("host=db sslmode=disable", "db");
    expect_unchecked("host=db sslmode=require", "require", "db");
    expect_unchecked("host=db sslmode=verify-ca", "verify-ca", "db");
    expect_read_on_the_way("host=localhost,10.0.0.1", "10.0.0.1");
    expect_read_on_the_way("host=localhost hostaddr=10.0.0.1", "10.0.0.1");
    expect_read_on_the_way("host=127.evil.example", "127.evil.example");
    expect_read_on_the_way("postgresql://[2001:db8::1]/x", "2001:db8::1");
}

Test(config_transport, is_silent_about_postgres_that_is_near_or_verified)
{
    static const char *const QUIET[] = {"",
                                        "dbname=shop",
                                        "host=/run/postgresql",
                                        "host=@abstract",
                                        "host=localhost",
                                        "host=127.0.0.1,127.9.9.9",
                                        "host=::1",
                                        "postgresql://[::1]:5432/x",
                                        "host=db hostaddr=127.0.0.1",
                                        "host=db sslmode=verify-full",
                                        "service=shop host=db"};
    for (size_t i = 0; i < sizeof QUIET / sizeof *QUIET; i++)
        expect_postgres(QUIET[i], "");
}

Test(config_transport, looks_into_the_environment_as_libpq_does)
{
    setenv("PGHOST", "db", 1);
    expect_read_on_the_way("dbname=shop", "db");
    setenv("PGSSLMODE", "verify-full", 1);
    expect_postgres("dbname=shop", "");
    expect_unchecked("sslmode=require", "require", "db");
}

#define PLAIN_KAFKA                                                                                          \
    "kafka.security.protocol: warning: without ssl or sasl_ssl the password and every event may be read on " \
    "the way "                                                                                               \
    "to "

Test(config_transport, warns_of_kafka_without_tls_off_this_machine)
{
    static const char HEAD[] = "source: s\npostgres: {conninfo: dbname=shop}\nkafka:\n";
    static const struct {
        const char *properties, *lines;
    } CASES[] = {
        {"  bootstrap.servers: kafka1:9092\n", "c.yaml:4: " PLAIN_KAFKA "\"kafka1\"\n"},
        {"  bootstrap.servers: 'localhost:9092, 10.0.0.1:9092'\n", "c.yaml:4: " PLAIN_KAFKA "\"10.0.0.1\"\n"},
        {"  bootstrap.servers: 'PLAINTEXT://[2001:db8::1]:9092'\n",
         "c.yaml:4: " PLAIN_KAFKA "\"2001:db8::1\"\n"},
        {"  bootstrap.servers: k\n  security.protocol: SASL_PLAINTEXT\n", "c.yaml:5: " PLAIN_KAFKA "\"k\"\n"},
        {"  bootstrap.servers: k\n  security.protocol: sasl_ssl\n", ""},
        {"  bootstrap.servers: k\n  security.protocol: SSL\n", ""},
        {"  bootstrap.servers: 'localhost,127.0.0.1:9092,[::1]:9092'\n", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[400];
        snprintf(text, sizeof text, "%s%s", HEAD, CASES[i].properties);
        config_fixture_expect(text, CASES[i].lines);
    }
}

Test(config_transport, does_not_stop_at_a_warning)
{
    struct config_loaded loaded;
    static const char TEXT[] = "source: s\npostgres: {conninfo: host=db}\nkafka: {bootstrap.servers: k}\n";
    config_fixture_write("c.yaml", TEXT, sizeof TEXT - 1, 0600);
    config_fixture_load(&loaded);
    cr_expect_not_null(loaded.settings);
    cr_expect_not_null(strstr(loaded.printed, "c.yaml:2: postgres.conninfo: warning: "));
    cr_expect_not_null(strstr(loaded.printed, "c.yaml:3: kafka.security.protocol: warning: "));
    settings_free(loaded.settings);
}
