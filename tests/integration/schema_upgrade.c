/* schema_upgrade.c: a database at version 1, with events and a relay at work, is upgraded in place: nobody is stopped, nothing
 * is lost, and what results is what a new database gets. */
#include "journal_driver.h"
#include "schema_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(schema_upgrade, .timeout = 60);

/* What version 1 granted. */
static const char grants_of_version_1[] =
    "grant usage on schema outbox to outbox_writer, outbox_relay;"
    "grant insert (topic, key, payload, headers), select (id) on outbox.event to outbox_writer;"
    "grant execute on function outbox.emit(text, text, jsonb, jsonb), outbox.emit_bytes(text, bytea, bytea, "
    "jsonb)"
    " to outbox_writer;"
    "grant select on outbox.event, outbox.event_id_seq, outbox.relay, outbox.schema_version to outbox_relay;"
    "grant select, insert on outbox.journal to outbox_relay;"
    "grant execute on function outbox.relay_register(text, text, text[], interval),"
    " outbox.relay_trouble(text, jsonb), outbox.slot_state(integer), outbox.slot_empty(integer),"
    " outbox.journal_trim(text, bigint) to outbox_relay;";

static char *
text_of_file(const char *name)
{
    char *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    const struct schema_file *file = schema_files;
    while (strcmp(file->name, name) != 0)
        file++;
    for (const char *const *line = file->lines; *line != NULL; line++)
        fputs(*line, to);
    fclose(to);
    return text;
}

/* A database as the first version made it; the roles come from another one. */
static const char *
create_version_1(struct postgres *server)
{
    postgres_create_outbox(server);
    const char *database = postgres_create_database(server);
    PGconn *admin = postgres_open(server, database, POSTGRES_ADMIN);
    char *sql = text_of_file("001_outbox");
    postgres_exec(admin, "create schema outbox authorization outbox_owner; set role outbox_owner");
    postgres_exec(admin, "%s", sql);
    postgres_exec(admin, "%s", grants_of_version_1);
    free(sql);
    PQfinish(admin);
    return database;
}

/* What version 13 knew of a discard: one an event. */
Test(schema_upgrade, what_was_discarded_gets_the_number_of_its_request_where_that_is_known)
{
    struct outbox outbox = outbox_open();
    char *sql = text_of_file("014_audit");
    postgres_exec(
        outbox.admin,
        "set role outbox_owner; alter table outbox.discarded drop constraint discarded_pkey;"
        "alter table outbox.discarded drop column request, add primary key (relay, event_id);"
        "drop function if exists outbox.rebase_position_plan(text, bigint, bigint, bigint);"
        "insert into outbox.discarded (relay, event_id, topic, created_at, error, message, attempts,"
        " refused_at, reason, discarded_by, discarded_at)"
        " select 'main', i, 't', now(), 'E', 'm', 1, now(), 'x', 'y', now() from generate_series(1, 2) i;"
        "insert into outbox.request (relay, number, kind, event_id, reason, asked_by, done_at, outcome)"
        " values ('main', 7, 'discard', 1, 'x', 'y', now(), 'done'),"
        "  ('main', 8, 'discard', 1, 'x', 'y', now() + interval '1 s', 'done'),"
        "  ('main', 9, 'discard', 2, 'z', 'y', now(), 'done')");
    postgres_exec(outbox.admin, "%s", sql);
    char *known = postgres_text(outbox.admin,
                                "select string_agg(concat_ws(' ', event_id, request), ', ' order by event_id)"
                                " from outbox.discarded");
    cr_expect_str_eq(known, "1 7, 2 0");
    free(known);
    free(sql);
    outbox_close(&outbox);
}

/* What a relay of the first version writes: a tick, by a statement that names the columns of its own time. */
static const char old_step[] =
    "prepare old_step as insert into outbox.journal (relay, seq, epoch, holder, snapshot, lo_id, hi_id, "
    "confirmed_seq,"
    "   confirmed_id, sysid, timeline, dbid, nonce)"
    " select relay, seq + 1, epoch, 'old', pg_current_snapshot(), hi_id,"
    "   (select case when is_called then last_value else 0 end from outbox.event_id_seq), seq, null, sysid, "
    "timeline, dbid,"
    "   nonce + 1 from outbox.journal where relay = 'main' order by seq desc limit 1";

Test(schema_upgrade, a_database_of_version_1_with_a_relay_at_work_is_upgraded_under_it)
{
    struct postgres *server = postgres_shared();
    const char *database = create_version_1(server);
    PGconn *writer = postgres_open(server, database, POSTGRES_WRITER);
    PGconn *admin = postgres_open(server, database, POSTGRES_ADMIN);
    PGconn *relay = postgres_open(server, database, POSTGRES_RELAY);
    struct ids ids;
    postgres_exec(relay, "select outbox.relay_register('main', 'shop', array['*'], interval '24 hours')");
    postgres_exec(relay, "%s", old_step);
    postgres_int(writer, "select outbox.emit('t', 'k', '1')");
    postgres_exec(relay, "execute old_step");
    postgres_exec(writer, "begin");
    int64_t open_id = postgres_int(writer, "select outbox.emit('t', 'k', '2')");
    char *journal = postgres_text(admin, "select json_agg(j order by seq) from outbox.journal j");

    struct schema_wish wish = outbox_wish();
    outbox_migrate(server, database, POSTGRES_ADMIN, &wish);

    cr_assert_eq(postgres_int(admin,
                              "select count(*) from outbox.journal j, json_array_elements('%s') o where"
                              " to_jsonb(j) - '{exact_seq,exact_id,exact_nonce}'::text[] = o::jsonb",
                              journal),
                 2, "the journal is what it was");
    postgres_exec(relay, "execute old_step"); /* the relay of the old version goes on */
    cr_assert_eq(postgres_int(admin, "select readable_since from outbox.schema_version"), 1);
    struct driver *driver = driver_open(postgres_conninfo(server, database, POSTGRES_RELAY),
                                        "main"); /* and one of this version after it */
    postgres_exec(writer, "commit");
    int64_t last = postgres_int(writer, "select outbox.emit('t', 'k', '3')");
    cr_assert(driver_step(driver, 100, 1 << 20, &ids));
    cr_assert(ids.count == 2 && ids.list[0] == open_id && ids.list[1] == last);
    driver_ids_free(&ids);
    free(journal);
    driver_close(driver);
    PQfinish(relay);

    struct outbox fresh = outbox_open();
    char *upgraded = outbox_fingerprint(admin), *made = outbox_fingerprint(fresh.admin);
    cr_assert_str_eq(upgraded, made, "an upgraded schema is that of a new database");
    free(upgraded);
    free(made);
    outbox_close(&fresh);
    PQfinish(writer);
    PQfinish(admin);
    postgres_free(server);
}
