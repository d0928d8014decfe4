/* relay_postgres_tls.c: TLS on the way to Postgres (row 81): with sslmode=verify-full the relay talks to the server that the
 * certificate names, and to nobody else; whoever starts it is told what is wrong and what helps. */
#include "relay_setup.h"

#include "support/certificates.h"
#include "support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(relay_postgres_tls, .timeout = 120);

#define EXIT_UNUSABLE 69
#define HERE "DNS:localhost,IP:127.0.0.1"

/* What the relay asks for, beside the address, the database and its own name. */
struct wish {
    const char *host, *authority, *revoked; /* revoked: NULL or "sslcrl=.." */
};

static char *
override(struct setup *setup, const struct wish *wish)
{
    return must_format("postgres/conninfo=\"host=%s hostaddr=127.0.0.1 port=%d dbname=%s user=%s"
                       " sslmode=verify-full sslrootcert=%s %s\"",
                       wish->host, postgres_port(setup->postgres), setup->database, POSTGRES_RELAY,
                       wish->authority, wish->revoked ? wish->revoked : "");
}

/* `run` ends at once and `check` says the same. */
static void
expect_refused(struct setup *setup, const struct wish *wish, const char *cause, const char *cure)
{
    char *conninfo = override(setup, wish);
    setup_expect_refusal(setup, (const char *[]){conninfo, NULL}, EXIT_UNUSABLE, cause, cure);
    setup_expect_check(setup, NULL, EXIT_UNUSABLE, cause, cure);
    free(conninfo);
}

/* Sessions of the relay that the server has let in without TLS, by its log. */
static bool
was_in_the_clear(const struct setup *setup)
{
    char *log = scratch_read_file(postgres_log_path(setup->postgres));
    bool found = false;
    for (const char *at = log; (at = strstr(at, "connection authorized: user=" POSTGRES_RELAY)) != NULL; at++)
        found = found || memmem(at, strcspn(at, "\n"), "SSL enabled", 11) == NULL;
    free(log);
    return found;
}

Test(relay_postgres_tls, a_server_that_is_not_the_one_of_its_certificate_is_refused_with_the_cure__row_81)
{
    struct setup setup = setup_begin_on(postgres_start("log_connections = on"), broker_shared());
    struct authority *ours = authority_new(), *theirs = authority_new();
    char *good = authority_issue(ours, HERE, false), *expired = authority_issue(ours, HERE, true),
         *revoked = authority_issue(ours, HERE, false);
    authority_revoke(ours, revoked);
    char *list = authority_list_revoked(ours), *sslcrl = must_format("sslcrl=%s", list);
    const struct wish right = {"localhost", authority_certificate(ours), NULL},
                      elsewhere = {"elsewhere", authority_certificate(ours), NULL},
                      stranger = {"localhost", authority_certificate(theirs), NULL},
                      nobody = {"localhost", "/nonexistent", NULL},
                      careful = {"localhost", authority_certificate(ours), sslcrl};
    static const char verify[] = "certificate verify failed", look[] = "openssl s_client -starttls postgres";
    expect_refused(&setup, &right, "does not support SSL", "ssl = on");
    postgres_serve_tls(setup.postgres, good, NULL);
    expect_refused(&setup, &elsewhere, "does not match host name", "as host in postgres.conninfo");
    expect_refused(&setup, &stranger, verify, look);
    expect_refused(&setup, &nobody, "root certificate file", "sslrootcert=..");
    postgres_serve_tls(setup.postgres, revoked, NULL);
    expect_refused(&setup, &careful, verify, "is revoked");
    postgres_serve_tls(setup.postgres, expired, NULL);
    expect_refused(&setup, &right, verify, "has expired");
    postgres_serve_tls(setup.postgres, good,
                       "ssl_min_protocol_version = 'TLSv1'\nssl_max_protocol_version = 'TLSv1.1'");
    expect_refused(&setup, &right, "SSL protocol version", "ssl_max_protocol_version");
    cr_expect_not(was_in_the_clear(&setup));
    free(sslcrl), free(list), free(revoked), free(expired), free(good);
    authority_free(theirs), authority_free(ours);
    setup_end(&setup);
}

Test(relay_postgres_tls,
     events_are_read_over_TLS_and_a_certificate_that_expires_under_way_is_waited_for__P5__row_81)
{
    struct setup setup = setup_begin_on(postgres_start("log_connections = on"), broker_shared());
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    struct authority *ours = authority_new();
    char *good = authority_issue(ours, HERE, false), *expired = authority_issue(ours, HERE, true);
    const struct wish right = {"localhost", authority_certificate(ours), NULL};
    char *conninfo = override(&setup, &right);
    postgres_serve_tls(setup.postgres, good, NULL);
    PQreset(setup.admin), PQreset(setup.app);
    setup_run(&setup, (const char *[]){conninfo, NULL});
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_wait_confirmed(&setup, 10000);
    cr_expect_eq(postgres_int(setup.admin,
                              "select count(*) from pg_stat_activity a join pg_stat_ssl s using (pid)"
                              " where usename = '" POSTGRES_RELAY "' and s.ssl and version >= 'TLSv1.2'"),
                 1);

    postgres_serve_tls(setup.postgres, expired, NULL);
    wait_for(daemon_log_contains(setup.relay, "certificate verify failed"), 10000);
    wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 503, 5000);
    PQreset(setup.admin), PQreset(setup.app);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '2')", topic);
    postgres_serve_tls(setup.postgres, good, NULL);
    PQreset(setup.admin), PQreset(setup.app);
    setup_expect_all_once(&setup, 10000);
    cr_expect_not(was_in_the_clear(&setup));
    free(conninfo), free(expired), free(good);
    authority_free(ours);
    setup_end(&setup);
}

/* SCRAM over TLS, the one bound to the other: whoever stands in between and has a certificate of its own gets no further. */
Test(relay_postgres_tls,
     a_password_goes_with_the_channel_it_is_given_on_and_a_wrong_one_is_refused__rows_81_82)
{
    struct setup setup = setup_begin_on(postgres_start("log_connections = on"), broker_shared());
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    struct authority *ours = authority_new();
    char *good = authority_issue(ours, HERE, false), *directory = scratch_directory("secret");
    char *file = must_format("%s/postgres", directory),
         *password = must_format("postgres/password_file=%s", file);
    char *bound = must_format("%s channel_binding=require", authority_certificate(ours));
    const struct wish right = {"localhost", bound, NULL};
    char *conninfo = override(&setup, &right);
    postgres_want_password(setup.postgres, POSTGRES_RELAY, "right-82");
    postgres_serve_tls(setup.postgres, good, "log_connections = on");
    PQreset(setup.admin), PQreset(setup.app);
    scratch_write_file(file, "wrong-82");
    cr_assert_eq(chmod(file, 0600), 0);
    setup_expect_refusal(&setup, (const char *[]){conninfo, password, NULL}, EXIT_UNUSABLE,
                         "password authentication failed", NULL);
    scratch_write_file(file, "right-82");
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_expect_all_once(&setup, 10000);
    cr_expect_not(was_in_the_clear(&setup));
    free(conninfo), free(bound), free(password), free(file), free(directory), free(good);
    authority_free(ours);
    setup_end(&setup);
}
