/* inspect.c: the two statements that read what inspect.h lists, and the decoding of their answers. Called by
 * `check` and the relay; sends nothing and judges nothing (inspect_judge.c does). */
#include "postgres/inspect.h"

#include "postgres/statements.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* Names are looked up in the catalogs: to_regclass() and the like fail for a role without rights on the
 * schema. `door` is what grant.sql gives to relays (r; o: what `run` can do without), to writers (w) and to
 * consumers (c), `held` is who has what. A writer is known by its right to emit, a relay by its right to empty slots, a consumer
 * by its right to accept. */
const char inspect_catalog_sql[] =
    "with space as (select * from pg_namespace where nspname = 'outbox'),"
    " class as (select c.*, case relkind when 'S' then 'sequence' else 'table' end as kind"
    "   from pg_class c where relnamespace = (select oid from space)),"
    " proc as (select * from pg_proc where pronamespace = (select oid from space)),"
    " door(who, privilege, kind, name) as (values ('r', 'USAGE', 'schema', 'outbox'), ('r', 'SELECT', "
    "'table', 'event'),"
    "   ('r', 'SELECT', 'table', 'journal'), ('r', 'INSERT', 'table', 'journal'), ('r', 'SELECT', 'table', "
    "'relay'),"
    "   ('r', 'SELECT', 'table', 'schema_version'), ('r', 'SELECT', 'sequence', 'event_id_seq'),"
    "   ('r', 'EXECUTE', 'function', 'relay_register'), ('r', 'EXECUTE', 'function', 'relay_trouble'),"
    "   ('r', 'EXECUTE', 'function', 'slot_state'), ('r', 'EXECUTE', 'function', 'slot_empty'),"
    "   ('r', 'EXECUTE', 'function', 'journal_trim'), ('r', 'SELECT', 'table', 'dead_letter'),"
    "   ('r', 'SELECT', 'table', 'held_event'), ('r', 'SELECT', 'table', 'request'),"
    "   ('r', 'SELECT', 'table', 'paused_topic'), ('r', 'SELECT', 'table', 'pause'), ('r', 'SELECT', "
    "'table', 'cancelled'),"
    "   ('r', 'EXECUTE', 'function', 'put_aside'), ('r', 'EXECUTE', 'function', 'request_settle'),"
    "   ('r', 'EXECUTE', 'function', 'topic_settle'),"
    "   ('r', 'EXECUTE', 'function', 'side_apply'), ('r', 'EXECUTE', 'function', 'sequence_pass'), ('o', "
    "'SELECT', 'table', 'discarded'),"
    "   ('o', 'EXECUTE', 'function', 'dead_retry'), ('o', 'EXECUTE', 'function', 'dead_discard'),"
    "   ('o', 'EXECUTE', 'function', 'replay'), ('o', 'EXECUTE', 'function', 'request_cancel'),"
    "   ('o', 'EXECUTE', 'function', 'pause'), ('o', 'EXECUTE', 'function', 'resume'),"
    "   ('o', 'EXECUTE', 'function', 'relay_add'), ('o', 'EXECUTE', 'function', 'relay_retire'), ('w', "
    "'USAGE', 'schema', 'outbox'),"
    "   ('w', 'EXECUTE', 'function', 'emit'), ('w', 'EXECUTE', 'function', 'emit_bytes'),"
    "   ('w', 'INSERT', 'column', 'event.topic'), ('w', 'INSERT', 'column', 'event.key'),"
    "   ('w', 'INSERT', 'column', 'event.payload'), ('w', 'INSERT', 'column', 'event.headers'),"
    "   ('w', 'SELECT', 'column', 'event.id'), ('c', 'USAGE', 'schema', 'outbox'),"
    "   ('c', 'EXECUTE', 'function', 'inbox_accept'), ('c', 'EXECUTE', 'function', 'inbox_prune')),"
    " acl(kind, name, items) as (select 'schema', nspname, nspacl from space"
    "   union all select kind, relname, relacl from class"
    "   union all select 'column', c.relname || '.' || a.attname, attacl from class c"
    "     join pg_attribute a on attrelid = c.oid"
    "   union all select 'function', proname, coalesce(proacl, acldefault('f', proowner)) from proc),"
    " held as (select i.grantee, a.kind, a.name, i.privilege_type as privilege from acl a"
    "   cross join aclexplode(a.items) i where i.grantee <> (select nspowner from space)),"
    " role as (select grantee, case name when 'emit' then 'w' when 'slot_empty' then 'r' else 'c' end as who "
    "from held"
    "   where kind = 'function' and name in ('emit', 'slot_empty', 'inbox_accept') and grantee <> 0)"
    "select current_setting('server_version_num'), pg_is_in_recovery(),"
    " (select system_identifier from pg_control_system()),"
    " (select oid from pg_database where datname = current_database()),"
    " case when pg_is_in_recovery() then 0"
    "   else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end,"
    " pg_backend_pid(), current_database(), current_user,"
    " exists (select from class where relname = 'schema_version'),"
    " coalesce((select pg_has_role(nspowner, 'member') from space), false),"
    " (select coalesce(json_agg(d.privilege || ' on ' || d.kind || ' ' || d.name), '[]') from door d"
    "   where who = 'r' and not coalesce(case kind"
    "     when 'schema' then (select has_schema_privilege(oid, privilege) from space)"
    "     when 'table' then (select has_table_privilege(oid, privilege) from class where relname = d.name)"
    "     when 'sequence' then (select has_sequence_privilege(oid, privilege) from class where relname = "
    "d.name)"
    "     else (select bool_and(has_function_privilege(oid, privilege)) from proc where proname = d.name) "
    "end, false)),"
    " (select coalesce(json_agg(format('%s: %s on %s %s', coalesce(quote_ident(rolname), 'PUBLIC'), "
    "privilege, kind, name)"
    "     order by rolname, kind, name, privilege), '[]') from held h left join pg_roles on pg_roles.oid = "
    "grantee"
    "   where not exists (select from role join door d on d.who = role.who or d.who = 'o' and role.who = 'r'"
    "     where role.grantee = h.grantee"
    "     and (d.privilege, d.kind, d.name) = (h.privilege, h.kind, h.name))),"
    " (select coalesce(json_agg(distinct pubname), '[]') from pg_publication_tables where schemaname = "
    "'outbox'),"
    " coalesce(q.cache, 0), coalesce(q.seqcycle, false),"
    " coalesce((select nullif(attidentity, '') from pg_attribute a join class c on c.oid = attrelid"
    "   where relname = 'event' and attname = 'id'), '-'),"
    " exists (select from pg_attribute join class c on c.oid = attrelid"
    "   join pg_attrdef on adrelid = attrelid and adnum = attnum"
    "   where relname = 'event' and attname = 'xid' and attnum = 1"
    "     and pg_get_expr(adbin, adrelid) in ('pg_current_xact_id()', 'pg_catalog.pg_current_xact_id()'))"
    " from (select) one left join (select case seqincrement when 1 then seqcache else 0 end as cache, "
    "seqcycle"
    "   from pg_sequence join class c on c.oid = seqrelid where relname = 'event_id_seq') q on true";

const char inspect_outbox_sql[] =
    "select v.version, v.readable_since, v.slots, (extract(epoch from v.slot_width) * 1000000)::bigint,"
    " (select coalesce(json_agg(json_build_object('name', r.name, 'source', r.source,"
    "     'topics', r.topics, 'retired',"
    "     r.retired_at is not null, 'sysid', l.sysid, 'dbid', l.dbid::bigint,"
    "     'set_back', coalesce(has_sequence_privilege('outbox.event_id_seq', 'SELECT') and l.hi_id > "
    "coalesce("
    "       (select s.last_value from pg_sequences s where s.schemaname = 'outbox'"
    "         and s.sequencename = 'event_id_seq'), 0), false) or " SQL_SET_BACK
    "   ) order by r.name), '[]')"
    "   from outbox.relay r left join lateral (select * from outbox.journal j"
    "     where j.relay = r.name order by j.seq desc limit 1) l on true),"
    " (select coalesce(json_agg(t.topic order by t.topic), '[]') from (select distinct e.topic from"
    "     (select topic from outbox.event order by id desc limit 10000) e limit 1000) t)"
    " from outbox.schema_version v";

static void
names_free(struct inspect_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct inspect_names){0};
}

static bool
names_decode(struct inspect_names *names, const json_t *array, struct error *error)
{
    names_free(names);
    if (!json_is_array(array))
        return error_set(error, ERROR_INTERNAL, "inspection: a list of names is not one");
    names->list = must_calloc(json_array_size(array), sizeof *names->list);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = json_string_value(json_array_get(array, i));
        if (name == NULL)
            return error_set(error, ERROR_INTERNAL, "inspection: a name is not a text");
        names->list[names->count++] = must_strdup(name);
    }
    return true;
}

static bool
names_parse(struct inspect_names *names, const char *text, struct error *error)
{
    json_t *array = json_loads(text, 0, NULL);
    bool good = names_decode(names, array, error);
    json_decref(array);
    return good;
}

static bool
relay_decode(struct inspect_relay *relay, const json_t *object, struct error *error)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    const char *source = json_string_value(json_object_get(object, "source"));
    const json_t *sysid = json_object_get(object, "sysid");
    if (name == NULL || source == NULL)
        return error_set(error, ERROR_INTERNAL, "inspection: a relay has no name or no source");
    relay->name = must_strdup(name);
    relay->source = must_strdup(source);
    relay->retired = json_is_true(json_object_get(object, "retired"));
    relay->has_journal = json_is_integer(sysid);
    relay->set_back = json_is_true(json_object_get(object, "set_back"));
    relay->sysid = json_integer_value(sysid);
    relay->dbid = json_integer_value(json_object_get(object, "dbid"));
    return names_decode(&relay->topics, json_object_get(object, "topics"), error);
}

static bool
relays_parse(struct inspect_facts *facts, const char *text, struct error *error)
{
    json_t *array = json_loads(text, 0, NULL);
    bool good =
        json_is_array(array) || error_set(error, ERROR_INTERNAL, "inspection: the relays are not a list");
    size_t count = json_array_size(array);
    facts->relays = must_calloc(count, sizeof *facts->relays);
    for (size_t i = 0; good && i < count; i++)
        good = relay_decode(&facts->relays[facts->relay_count++], json_array_get(array, i), error);
    json_decref(array);
    return good;
}

static bool
one_row(const PGresult *result, int columns, const char *what, struct error *error)
{
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 && PQnfields(result) == columns)
        return true;
    return error_set(error, ERROR_INTERNAL, "inspection: %s did not answer with one row", what);
}

static const char *
text_at(const PGresult *result, int column)
{
    return PQgetvalue(result, 0, column);
}

static int64_t
number_at(const PGresult *result, int column)
{
    return strtoll(text_at(result, column), NULL, 10);
}

static bool
truth_at(const PGresult *result, int column)
{
    return text_at(result, column)[0] == 't';
}

bool
inspect_read_catalog(struct inspect_facts *facts, const struct pg_result *result, struct error *error)
{
    if (!one_row(result, 17, "the catalog", error))
        return false;
    facts->server_version = (int)number_at(result, 0);
    facts->standby = truth_at(result, 1);
    facts->sysid = number_at(result, 2);
    facts->dbid = number_at(result, 3);
    facts->timeline = (int)number_at(result, 4);
    facts->backend_pid = (int)number_at(result, 5);
    facts->database = must_strdup(text_at(result, 6));
    facts->user = must_strdup(text_at(result, 7));
    facts->has_schema = truth_at(result, 8);
    facts->owns = truth_at(result, 9);
    facts->sequence_cache = number_at(result, 13);
    facts->sequence_cycles = truth_at(result, 14);
    facts->identity = text_at(result, 15)[0];
    facts->xid_first = truth_at(result, 16);
    return names_parse(&facts->missing, text_at(result, 10), error) &&
           names_parse(&facts->foreign, text_at(result, 11), error) &&
           names_parse(&facts->publications, text_at(result, 12), error);
}

bool
inspect_read_outbox(struct inspect_facts *facts, const struct pg_result *result, struct error *error)
{
    if (!one_row(result, 6, "outbox.schema_version", error))
        return false;
    facts->version = (int)number_at(result, 0);
    facts->readable_since = (int)number_at(result, 1);
    facts->slots = (int)number_at(result, 2);
    facts->slot_width_us = number_at(result, 3);
    facts->has_outbox = true;
    return relays_parse(facts, text_at(result, 4), error) &&
           names_parse(&facts->topics, text_at(result, 5), error);
}

bool
inspect_wants_outbox(const struct inspect_facts *facts)
{
    static const char *const needed[] = {"USAGE on schema", "SELECT on table"};
    for (size_t i = 0; i < facts->missing.count; i++)
        for (size_t k = 0; k < sizeof needed / sizeof needed[0]; k++)
            if (strncmp(facts->missing.list[i], needed[k], strlen(needed[k])) == 0)
                return false;
    return facts->has_schema;
}

bool
inspect_require_outbox(const struct inspect_facts *facts, struct error *error)
{
    if (!facts->has_schema)
        return error_set(error, ERROR_UNUSABLE, "database \"%s\" has no outbox; `outboxd migrate` makes it",
                         facts->database);
    if (!facts->has_outbox)
        return error_set(error, ERROR_UNUSABLE,
                         "role \"%s\" may not read the outbox (missing: %s); `outboxd check` says more",
                         facts->user, facts->missing.count > 0 ? facts->missing.list[0] : "a privilege");
    return true;
}

void
inspect_facts_free(struct inspect_facts *facts)
{
    for (size_t i = 0; i < facts->relay_count; i++) {
        free(facts->relays[i].name);
        free(facts->relays[i].source);
        names_free(&facts->relays[i].topics);
    }
    free(facts->relays);
    names_free(&facts->missing);
    names_free(&facts->foreign);
    names_free(&facts->publications);
    names_free(&facts->topics);
    free(facts->database);
    free(facts->user);
    *facts = (struct inspect_facts){0};
}
