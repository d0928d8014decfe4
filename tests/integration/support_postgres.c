/* support_postgres.c: the test servers themselves: what is committed survives kill -9, a server can be stopped, paused and
 * followed by a standby, and each test has a database and roles of its own. */
#include "support/postgres_standby.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(support_postgres, .timeout = 120);

Test(support_postgres, keeps_what_was_committed_over_kill_9_and_every_kind_of_stop)
{
    struct postgres *postgres = postgres_start(NULL);
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "create table t (n integer); insert into t values (1)");
    PQfinish(admin);
    postgres_kill(postgres);
    postgres_up(postgres);
    postgres_stop_immediate(postgres);
    postgres_up(postgres);
    postgres_stop_fast(postgres);
    postgres_up(postgres);
    admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    cr_assert_eq(postgres_int(admin, "select n from t"), 1);
    PQfinish(admin);
    postgres_free(postgres);
}

Test(support_postgres, ends_every_session_when_it_is_killed)
{
    struct postgres *postgres = postgres_start(NULL);
    PGconn *session = postgres_open(postgres, "postgres", POSTGRES_WRITER);
    postgres_kill(postgres);
    PGresult *result = PQexec(session, "select 1");
    cr_assert_eq(PQstatus(session), CONNECTION_BAD);
    PQclear(result);
    PQfinish(session);
    postgres_free(postgres);
}

static bool
has_answered(void *context)
{
    PGconn *session = context;
    return PQconsumeInput(session) && !PQisBusy(session);
}

Test(support_postgres, does_not_answer_while_it_is_paused)
{
    struct postgres *postgres = postgres_start(NULL);
    PGconn *session = postgres_open(postgres, "postgres", POSTGRES_WRITER);
    postgres_pause(postgres);
    cr_assert(PQsendQuery(session, "select 1"));
    cr_assert_not(wait_until(has_answered, session, 300));
    postgres_continue(postgres);
    cr_assert(wait_until(has_answered, session, 10000));
    PQfinish(session);
    postgres_free(postgres);
}

Test(support_postgres, is_durable_and_takes_prepared_transactions)
{
    struct postgres *postgres = postgres_shared();
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    char *fsync = postgres_text(admin, "show fsync");
    cr_assert_str_eq(fsync, "on");
    cr_assert_eq(postgres_int(admin, "show max_prepared_transactions"), 2000);
    free(fsync);
    PQfinish(admin);
    postgres_free(postgres);
}

Test(support_postgres, takes_settings_of_the_test)
{
    struct postgres *postgres = postgres_start("max_connections = 17");
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    cr_assert_eq(postgres_int(admin, "show max_connections"), 17);
    PQfinish(admin);
    postgres_free(postgres);
}

Test(support_postgres, makes_databases_with_the_products_grants)
{
    struct postgres *postgres = postgres_shared();
    const char *database = postgres_create_outbox(postgres), *other = postgres_create_outbox(postgres);
    cr_assert_str_neq(database, other);
    PGconn *writer = postgres_open(postgres, database, POSTGRES_WRITER);
    PGconn *stranger = postgres_open(postgres, database, POSTGRES_STRANGER);
    PGconn *relay = postgres_open(postgres, database, POSTGRES_RELAY);
    static const char insert[] = "insert into outbox.event (topic, payload) values ('t', null)";
    cr_assert_str_eq(postgres_sqlstate(writer, "%s", insert), "00000");
    cr_assert_str_eq(postgres_sqlstate(stranger, "%s", insert), "42501");
    cr_assert_eq(postgres_int(relay, "select count(*) from outbox.event"), 1);
    PQfinish(relay);
    PQfinish(stranger);
    PQfinish(writer);
    postgres_free(postgres);
}

Test(support_postgres, has_a_standby_that_follows_and_can_be_promoted)
{
    struct postgres *primary = postgres_start(NULL);
    struct postgres *standby = postgres_start_standby(primary, "second");
    PGconn *admin = postgres_open(primary, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "create table t as select 7 as n");
    PGconn *reader = postgres_open(standby, "postgres", POSTGRES_ADMIN);
    cr_assert_eq(postgres_int(reader, "select pg_is_in_recovery()::int"), 1);
    wait_for(postgres_int(reader, "select count(*) from pg_class where relname = 't'") == 1, 20000);
    postgres_kill(primary);
    postgres_promote(standby);
    postgres_exec(reader, "insert into t values (8)");
    cr_assert_eq(postgres_int(reader, "select sum(n) from t"), 15);
    PQfinish(reader);
    PQfinish(admin);
    postgres_free(standby);
    postgres_free(primary);
}
