/* schema_inspect.c: the inspection of a live database finds every way in which the outbox can be unusable, and names a
 * cure (fault rows 61, 71, 72 and 75). */
#include "schema_fixture.h"

#include "postgres/inspect.h"
#include "support/postgres_standby.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char *everything[] = {"*"};

static struct settings
settings_of_main(void)
{
    return (struct settings){.file = "c.yaml",
                             .source = "shop",
                             .relay = "main",
                             .topics = everything,
                             .topics_count = 1,
                             .retention_us = INT64_C(24) * 3600 * 1000000};
}

static PGresult *
query(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s", PQresultErrorMessage(result));
    return result;
}

static struct inspect_facts
read_facts(PGconn *connection)
{
    struct inspect_facts facts = {0};
    struct error error;
    PGresult *result = query(connection, inspect_catalog_sql);
    cr_assert(inspect_read_catalog(&facts, result, &error), "%s", error.message);
    PQclear(result);
    if (inspect_wants_outbox(&facts)) {
        result = query(connection, inspect_outbox_sql);
        cr_assert(inspect_read_outbox(&facts, result, &error), "%s", error.message);
        PQclear(result);
    }
    return facts;
}

static struct findings
inspect(PGconn *connection, const struct settings *settings)
{
    struct inspect_facts facts = read_facts(connection);
    struct findings findings = {0};
    inspect_judge(&facts, settings, &findings);
    inspect_facts_free(&facts);
    return findings;
}

/* Exactly one finding of `level`, with these words in what and cure. */
static void
expect_finding(PGconn *connection, const struct settings *settings, enum finding_level level,
               const char *what, const char *cure)
{
    struct findings findings = inspect(connection, settings);
    size_t found = 0;
    for (size_t i = 0; i < findings.count; i++) {
        const struct finding *finding = &findings.list[i];
        if (finding->level == FINDING_OK)
            continue;
        if (finding->level == level && strstr(finding->what, what) && strstr(finding->cure, cure))
            found++;
        else
            cr_expect(false, "looked for \"%s\", found \"%s\", cure \"%s\"", what, finding->what,
                      finding->cure);
    }
    cr_expect_eq(found, 1, "\"%s\" (cure \"%s\") was not found", what, cure);
    findings_free(&findings);
}

static void
expect_clean(PGconn *connection, const struct settings *settings)
{
    struct findings findings = inspect(connection, settings);
    cr_expect_gt(findings.count, 0);
    for (size_t i = 0; i < findings.count; i++)
        cr_expect_eq(findings.list[i].level, FINDING_OK, "%s", findings.list[i].what);
    findings_free(&findings);
}

/* Breaks something, expects the finding, and mends it again. */
static void
expect_tampering(const struct outbox *outbox, const char *harm, const char *what, const char *cure,
                 const char *mend)
{
    struct settings settings = settings_of_main();
    postgres_exec(outbox->admin, "%s", harm);
    expect_finding(outbox->relay, &settings, FINDING_ERROR, what, cure);
    postgres_exec(outbox->admin, "%s", mend);
    expect_clean(outbox->relay, &settings);
}

Test(schema_inspect, a_migrated_database_is_good)
{
    struct outbox outbox = outbox_open();
    struct settings settings = settings_of_main();
    expect_clean(outbox.relay, &settings); /* the first relay is about to come */
    outbox_register(&outbox);
    expect_clean(outbox.relay, &settings);

    struct inspect_facts facts = read_facts(outbox.relay);
    cr_assert_eq(facts.server_version, PQserverVersion(outbox.relay));
    cr_assert_eq(facts.backend_pid, PQbackendPID(outbox.relay));
    cr_assert_eq(facts.sysid,
                 postgres_int(outbox.admin, "select system_identifier from pg_control_system()"));
    cr_assert_eq(facts.timeline, 1);
    cr_assert_str_eq(facts.user, POSTGRES_RELAY);
    cr_assert_eq(facts.slots, 12);
    cr_assert_eq(facts.slot_width_us, INT64_C(3) * 3600 * 1000000);
    inspect_facts_free(&facts);
    outbox_close(&outbox);
}

Test(schema_inspect, row_75_a_database_without_outbox)
{
    struct postgres *server = postgres_shared();
    const char *database = postgres_create_database(server);
    PGconn *relay = postgres_open(server, database, POSTGRES_RELAY);
    struct settings settings = settings_of_main();
    expect_finding(relay, &settings, FINDING_ERROR, "has no outbox",
                   "outboxd migrate --conninfo ADMIN --relay relay");
    PQfinish(relay);
    postgres_free(server);
}

Test(schema_inspect, row_71_numbering_that_would_lose_events)
{
    struct outbox outbox = outbox_open();
    expect_tampering(&outbox, "alter sequence outbox.event_id_seq cache 20", "hands out ids in ranges",
                     "alter sequence outbox.event_id_seq increment 1 cache 1",
                     "alter sequence outbox.event_id_seq cache 1");
    expect_tampering(&outbox, "alter sequence outbox.event_id_seq increment 2", "in steps", "increment 1",
                     "alter sequence outbox.event_id_seq increment 1");
    expect_tampering(&outbox, "alter sequence outbox.event_id_seq cycle", "begins again at its end",
                     "no cycle", "alter sequence outbox.event_id_seq no cycle");
    expect_tampering(&outbox, "alter table outbox.event alter column id set generated by default",
                     "generated always", "set generated always",
                     "alter table outbox.event alter column id set generated always");
    expect_tampering(&outbox, "alter table outbox.event alter column xid set default '3'",
                     "xid is not the first column", "restore the schema",
                     "alter table outbox.event alter column xid set default pg_current_xact_id()");
    outbox_close(&outbox);
}

Test(schema_inspect, row_75_each_missing_privilege_is_named)
{
    static const char *const needed[][2] = {
        {"usage on schema outbox", "USAGE on schema outbox"},
        {"select on outbox.event", "SELECT on table event"},
        {"select on outbox.event_id_seq", "SELECT on sequence event_id_seq"},
        {"select on outbox.journal", "SELECT on table journal"},
        {"insert on outbox.journal", "INSERT on table journal"},
        {"select on outbox.relay", "SELECT on table relay"},
        {"select on outbox.schema_version", "SELECT on table schema_version"},
        {"execute on function outbox.relay_register(text, text, text[], interval)",
         "EXECUTE on function relay_register"},
        {"execute on function outbox.relay_trouble(text, jsonb)", "EXECUTE on function relay_trouble"},
        {"execute on function outbox.slot_state(integer)", "EXECUTE on function slot_state"},
        {"execute on function outbox.journal_trim(text, bigint)", "EXECUTE on function journal_trim"},
    };
    struct outbox outbox = outbox_open();
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        char *revoke = must_format("revoke %s from outbox_relay", needed[i][0]);
        char *grant = must_format("grant %s to outbox_relay", needed[i][0]);
        expect_tampering(&outbox, revoke, needed[i][1], "outboxd migrate --conninfo ADMIN --relay relay",
                         grant);
        free(revoke);
        free(grant);
    }
    /* adding and retiring relays may be kept for people: the daemon does neither */
    struct settings settings = settings_of_main();
    postgres_exec(outbox.admin,
                  "revoke execute on function outbox.relay_add(text, text, text[], interval, boolean),"
                  " outbox.relay_retire(text) from outbox_relay");
    expect_clean(outbox.relay, &settings);
    outbox_close(&outbox);
}

Test(schema_inspect, row_75_schemas_of_other_versions)
{
    struct outbox outbox = outbox_open();
    char *mend = must_format("update outbox.schema_version set version = %d", SCHEMA_VERSION);
    expect_tampering(&outbox, "update outbox.schema_version set version = 0", "the schema is at version 0",
                     "outboxd migrate", mend);
    free(mend);
    expect_tampering(&outbox, "update outbox.schema_version set version = 99, readable_since = 99",
                     "for version 99 or later", "install the newer outboxd",
                     "update outbox.schema_version set readable_since = 1");
    outbox_close(&outbox);
}

Test(schema_inspect, the_relay_must_be_known_and_of_this_database)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    expect_tampering(&outbox, "update outbox.relay set name = 'other'", "relay \"main\" is not registered",
                     "set relay in c.yaml to one of the known names: other",
                     "update outbox.relay set name = 'main'");
    expect_tampering(&outbox, "update outbox.relay set retired_at = now()", "is retired",
                     "outboxd relay add main --from now", "update outbox.relay set retired_at = null");
    expect_tampering(&outbox, "update outbox.journal set sysid = sysid + 1", "another cluster or database",
                     "Not the same database any more", "update outbox.journal set sysid = sysid - 1");
    expect_tampering(&outbox, "update outbox.journal set hi_id = 100", "was set back",
                     "The sequence went backwards", "update outbox.journal set hi_id = 0");
    expect_tampering(&outbox, "update outbox.journal set relay = 'x'", "no row in outbox.journal",
                     "The journal is gone", "update outbox.journal set relay = 'main'");
    outbox_close(&outbox);
}

Test(schema_inspect, another_source_than_the_registered_one_is_a_wrong_configuration)
{
    struct outbox outbox = outbox_open();
    struct settings settings = settings_of_main();
    expect_clean(outbox.relay, &settings);
    outbox_register(&outbox);
    expect_clean(outbox.relay, &settings);
    settings.source = "shpo";
    expect_finding(outbox.relay, &settings, FINDING_ERROR,
                   "relay \"main\" was registered with the source \"shop\", the configuration says \"shpo\"",
                   "c.yaml: source: shop; or");
    struct findings findings = inspect(outbox.relay, &settings);
    cr_expect_eq(findings_first_error(&findings)->kind, ERROR_CONFIG);
    findings_free(&findings);
    postgres_exec(outbox.admin, "update outbox.relay set source = 'shpo'");
    expect_clean(outbox.relay, &settings);
    outbox_close(&outbox);
}

Test(schema_inspect, a_retention_beyond_the_ring_is_refused)
{
    struct outbox outbox = outbox_open();
    struct settings settings = settings_of_main();
    settings.retention_us = INT64_C(30) * 3600 * 1000000;
    expect_clean(outbox.relay, &settings);
    settings.retention_us++;
    expect_finding(outbox.relay, &settings, FINDING_ERROR, "would never empty a slot",
                   "c.yaml: retention: 30h");
    outbox_close(&outbox);
}

Test(schema_inspect, topics_that_no_relay_selects_are_named)
{
    struct outbox outbox = outbox_open();
    struct settings settings = settings_of_main();
    char *patterns[] = {"mail.*"};
    settings.topics = patterns;
    outbox_register(&outbox);
    postgres_exec(
        outbox.writer,
        "insert into outbox.event (topic) values ('mail.welcome'), ('audit'), ('search'), ('audit')");
    expect_finding(outbox.relay, &settings, FINDING_WARNING, "there are events: audit, search",
                   "c.yaml: topics");
    postgres_exec(
        outbox.admin,
        "insert into outbox.relay (name, source, topics, retention) values ('b', 's', '{aud?t,s*}', '1 h')");
    expect_clean(outbox.relay, &settings);
    postgres_exec(outbox.admin, "update outbox.relay set retired_at = now() where name = 'b'");
    expect_finding(outbox.relay, &settings, FINDING_WARNING, "there are events: audit, search",
                   "c.yaml: topics");
    outbox_close(&outbox);
}

Test(schema_inspect, strangers_and_publications_are_warnings)
{
    struct outbox outbox = outbox_open();
    struct settings settings = settings_of_main();
    postgres_exec(outbox.admin, "grant select (payload) on outbox.event to " POSTGRES_STRANGER);
    expect_finding(outbox.relay, &settings, FINDING_WARNING, "stranger: SELECT on column event.payload",
                   "revoke");
    postgres_exec(outbox.admin, "revoke all on outbox.event from " POSTGRES_STRANGER);
    postgres_exec(outbox.admin, "grant execute on function outbox.emit(text, text, jsonb, jsonb) to public");
    expect_finding(outbox.relay, &settings, FINDING_WARNING, "PUBLIC: EXECUTE on function emit", "revoke");
    postgres_exec(outbox.admin,
                  "revoke execute on function outbox.emit(text, text, jsonb, jsonb) from public");
    postgres_exec(outbox.admin, "grant delete on outbox.event to outbox_writer");
    expect_finding(outbox.relay, &settings, FINDING_WARNING, "outbox_writer: DELETE on table event",
                   "revoke");
    postgres_exec(outbox.admin, "revoke delete on outbox.event from outbox_writer");
    expect_clean(outbox.relay, &settings);
    postgres_exec(outbox.admin, "create publication everything for all tables");
    expect_finding(outbox.relay, &settings, FINDING_WARNING, "publication everything", "leave the tables");
    outbox_close(&outbox);
}

Test(schema_inspect, a_superuser_is_too_much_for_a_relay)
{
    struct outbox outbox = outbox_open();
    struct settings settings = settings_of_main();
    expect_finding(outbox.admin, &settings, FINDING_WARNING, "can do anything to the outbox",
                   "outboxd migrate");
    outbox_close(&outbox);
}

Test(schema_inspect, row_61_a_hot_standby_is_refused)
{
    struct postgres *server = postgres_start(NULL);
    const char *database = postgres_create_database(server);
    struct outbox outbox = outbox_open_in(server, database);
    struct postgres *standby = postgres_start_standby(server, "second");
    PGconn *relay = postgres_open(standby, database, POSTGRES_RELAY);
    struct settings settings = settings_of_main();
    expect_finding(relay, &settings, FINDING_ERROR, "is a standby", "target_session_attrs=read-write");
    PQfinish(relay);
    postgres_free(standby);
    outbox_close(&outbox);
}

Test(schema_inspect, answers_of_another_shape_are_refused)
{
    struct outbox outbox = outbox_open();
    struct inspect_facts facts = {0};
    struct error error;
    PGresult *result = query(outbox.relay, "select 1");
    cr_assert_not(inspect_read_catalog(&facts, result, &error));
    cr_assert_eq(error.kind, ERROR_INTERNAL);
    cr_assert_not(inspect_read_outbox(&facts, result, &error));
    PQclear(result);
    result = query(outbox.relay, "select 1, 1, 12, 1, '[{}]', '[]'");
    cr_assert_not(inspect_read_outbox(&facts, result, &error));
    PQclear(result);
    inspect_facts_free(&facts);
    outbox_close(&outbox);
}
