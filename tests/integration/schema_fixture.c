/* schema_fixture.c: see schema_fixture.h. */
#include "schema_fixture.h"

#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

struct schema_wish
outbox_wish(void)
{
    static const char *const writer = POSTGRES_WRITER, *const relay = POSTGRES_RELAY;
    return (struct schema_wish){.logins = {[SCHEMA_WRITERS] = {&writer, 1}, [SCHEMA_RELAYS] = {&relay, 1}},
                                .create_roles = true};
}

void
outbox_migrate(struct postgres *server, const char *database, const char *admin,
               const struct schema_wish *wish)
{
    struct error error;
    if (!schema_migrate(postgres_conninfo(server, database, admin), wish, NULL, NULL, NULL, &error))
        test_fail("migrate: %s", error.message);
}

const char *
outbox_migrate_refused(struct postgres *server, const char *database, const struct schema_wish *wish)
{
    static struct error error;
    if (schema_migrate(postgres_conninfo(server, database, POSTGRES_ADMIN), wish, NULL, NULL, NULL, &error))
        test_fail("migrate succeeded, and should have been refused");
    return error.message;
}

struct outbox
outbox_connect(struct postgres *server, const char *database)
{
    return (struct outbox){.server = server,
                           .database = database,
                           .admin = postgres_open(server, database, POSTGRES_ADMIN),
                           .writer = postgres_open(server, database, POSTGRES_WRITER),
                           .relay = postgres_open(server, database, POSTGRES_RELAY)};
}

struct outbox
outbox_open_in(struct postgres *server, const char *database)
{
    struct schema_wish wish = outbox_wish();
    outbox_migrate(server, database, POSTGRES_ADMIN, &wish);
    return outbox_connect(server, database);
}

struct outbox
outbox_open(void)
{
    struct postgres *server = postgres_shared();
    return outbox_open_in(server, postgres_create_database(server));
}

void
outbox_close(struct outbox *outbox)
{
    PQfinish(outbox->admin);
    PQfinish(outbox->writer);
    PQfinish(outbox->relay);
    postgres_free(outbox->server);
}

PGconn *
outbox_session(const struct outbox *outbox, const char *user)
{
    return postgres_open(outbox->server, outbox->database, user);
}

char *
outbox_fingerprint(PGconn *admin)
{
    return postgres_text(
        admin,
        "with class as (select * from pg_class where relnamespace = (select oid from pg_namespace where "
        "nspname = 'outbox')),"
        " facts(text) as ("
        " select format('schema %%s %%s', nspowner::regrole, nspacl) from pg_namespace where nspname = "
        "'outbox'"
        " union all select format('class %%s %%s %%s %%s %%s %%s', relname, relkind, relowner::regrole, "
        "relacl, reloptions,"
        "   pg_get_expr(relpartbound, oid)) from class"
        " union all select format('column %%s.%%s %%s %%s %%s %%s %%s %%s', relname, attname, attnum, "
        "format_type(atttypid, -1),"
        "   attnotnull, attidentity, attacl, pg_get_expr(adbin, adrelid)) from class c"
        "   join pg_attribute a on attrelid = c.oid left join pg_attrdef on adrelid = c.oid and adnum = "
        "attnum"
        " union all select format('constraint %%s %%s', conname, pg_get_constraintdef(oid)) from "
        "pg_constraint"
        "   where connamespace = (select oid from pg_namespace where nspname = 'outbox')"
        " union all select format('index %%s', pg_get_indexdef(oid)) from class where relkind in ('i', 'I')"
        " union all select format('sequence %%s %%s %%s %%s', seqcache, seqcycle, seqincrement, seqmax) from "
        "pg_sequence"
        "   where seqrelid in (select oid from class)"
        " union all select format('function %%s %%s', pg_get_functiondef(oid), proacl) from pg_proc"
        "   where pronamespace = (select oid from pg_namespace where nspname = 'outbox')"
        " union all select format('version %%s %%s %%s %%s', version, readable_since, slots, slot_width)"
        "   from outbox.schema_version)"
        " select string_agg(text, e'\\n' order by text) from facts");
}

void
outbox_register(const struct outbox *outbox)
{
    postgres_exec(outbox->relay, "select outbox.relay_register('main', 'shop', '{*}', '24 h')");
}

void
outbox_confirm_all(const struct outbox *outbox, const char *relay)
{
    /* two rows, as a relay does: the tick, and then that it is confirmed */
    for (int row = 0; row < 2; row++)
        postgres_exec(outbox->relay,
                      "insert into outbox.journal (relay, seq, epoch, holder, snapshot, lo_id, hi_id, "
                      "confirmed_seq, sysid,"
                      " timeline, dbid, nonce) select relay, seq + 1, epoch, holder, pg_current_snapshot(), "
                      "0, 0, seq, sysid,"
                      " timeline, dbid, 7 from outbox.journal where relay = '%s' order by seq desc limit 1",
                      relay);
}
