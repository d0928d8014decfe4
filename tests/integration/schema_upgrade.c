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

Test(schema_upgrade, a_database_of_version_1_with_a_relay_at_work_is_upgraded_under_it)
{
    struct postgres *server = postgres_shared();
    const char *database = create_version_1(server);
    PGconn *writer = postgres_open(server, database, POSTGRES_WRITER);
    PGconn *admin = postgres_open(server, database, POSTGRES_ADMIN);
    struct driver *driver =
        driver_open(postgres_conninfo(server, database, POSTGRES_RELAY), "main"); /* on version 1 */
    struct ids ids;
    int64_t first = postgres_int(writer, "select outbox.emit('t', 'k', '1')");
    cr_assert(driver_step(driver, 100, 1 << 20, &ids));
    cr_assert(driver_has_id(&ids, first));
    driver_ids_free(&ids);
    postgres_exec(writer, "begin");
    int64_t open_id = postgres_int(writer, "select outbox.emit('t', 'k', '2')");
    char *journal = postgres_text(admin, "select json_agg(j order by seq) from outbox.journal j");

    struct schema_wish wish = outbox_wish();
    outbox_migrate(server, database, POSTGRES_ADMIN, &wish);

    char *after = postgres_text(admin, "select json_agg(j order by seq) from outbox.journal j");
    cr_assert_str_eq(after, journal);
    postgres_exec(writer, "commit");
    int64_t last = postgres_int(writer, "select outbox.emit('t', 'k', '3')");
    cr_assert(driver_step(driver, 100, 1 << 20, &ids), "the relay of the old version goes on");
    cr_assert(ids.count == 2 && ids.list[0] == open_id && ids.list[1] == last);
    driver_ids_free(&ids);
    cr_assert_eq(postgres_int(admin, "select readable_since from outbox.schema_version"), 1);
    free(after);
    free(journal);
    driver_close(driver);

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
