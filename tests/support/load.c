/* load.c: starts and stops the writers of the hostile load and keeps its ledger (load.h). What a writer does
 * is in load_writer.c and load_emit.c. */
#include "support/load.h"

#include "base/clock.h"
#include "support/load_writer.h"
#include "support/postgres.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_MS 60000

/* The trigger counts on from load.counter, so that each row of a statement has its own place; it reads what
 * the writer said just before it inserted. */
static const char prepare_sql[] =
    "create schema load;"
    "create table load.counter (key integer primary key, n bigint not null);"
    "insert into load.counter select g, 0 from generate_series(0, %d) g;"
    "create table load.ledger (id bigint, xid xid8, counter bigint, snapshot text, topic text, key bytea,"
    " payload bytea, headers jsonb, created_at timestamptz);"
    "grant usage on schema load to %s; grant select, update on load.counter to %s;"
    "create function load.record() returns trigger language plpgsql security definer set search_path = "
    "pg_catalog as $$"
    " declare counter bigint := coalesce(nullif(current_setting('load.counter', true), ''), '0')::bigint;"
    " begin"
    "  insert into load.ledger values (new.id, new.xid, counter, nullif(current_setting('load.snapshot', "
    "true), ''),"
    "   new.topic, new.key, new.payload, new.headers, new.created_at);"
    "  if counter > 0 then perform set_config('load.counter', (counter + 1)::text, true); end if;"
    "  return null;"
    " end $$;"
    "create trigger load_record after insert on outbox.event for each row execute function load.record()";

void
load_prepare(PGconn *admin)
{
    postgres_exec(admin, prepare_sql, LOAD_KEYS_MAX, POSTGRES_WRITER, POSTGRES_WRITER);
}

void
load_commit_many(PGconn *connection, const char *topic)
{
    postgres_exec(connection,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 7),"
                  " convert_to('payload-' || g, 'UTF8') from generate_series(1, 3000) g",
                  topic);
}

void
load_read_ledger(struct expected_events *events, PGconn *connection)
{
    expected_read(events, connection,
                  "select id, xid::text, counter, snapshot, topic, key, payload, headers::text,"
                  " (extract(epoch from created_at) * 1000000)::bigint from load.ledger l"
                  " where not exists (select from outbox.discarded d where d.event_id = l.id) order by id");
}

static void *
writer_main(void *context)
{
    struct writer *writer = context;
    while (!writer->load->stop && writer_connect(writer)) {
        if (writer == &writer->load->long_writer)
            writer_long_transaction(writer);
        else
            writer_transaction(writer);
        if (writer->load->options.pause_us > 0)
            writer_dawdle(writer, writer->load->options.pause_us);
    }
    PQfinish(writer->connection);
    return NULL;
}

static void *
killer_main(void *context)
{
    struct writer *killer = context;
    PGconn *admin = NULL;
    while (!killer->load->stop) {
        writer_dawdle(killer, 600000);
        if (PQstatus(admin) != CONNECTION_OK) {
            PQfinish(admin);
            admin = PQconnectdb(killer->load->options.admin);
        }
        PGresult *result =
            PQexec(admin, "select pg_terminate_backend(pid) from (select pid from pg_stat_activity"
                          " where application_name = 'load-writer' and state <> 'idle'"
                          " and datname = current_database() order by random() limit 1) victim");
        killer->totals.kills += PQresultStatus(result) == PGRES_TUPLES_OK ? (uint64_t)PQntuples(result) : 0;
        PQclear(result);
    }
    PQfinish(admin);
    return NULL;
}

static void
writer_start(struct load *load, struct writer *writer, int number, void *main(void *))
{
    writer->load = load;
    writer->number = number;
    writer->random = (load->options.seed + (uint64_t)number) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    if (pthread_create(&writer->thread, NULL, main, writer) != 0)
        test_fail("load: no thread");
}

struct load *
load_start(const struct load_options *options)
{
    struct load *load = must_calloc(1, sizeof *load);
    load->options = *options;
    if (load->options.keys == 0)
        load->options.keys = 200;
    if (load->options.seed == 0)
        load->options.seed = (uint64_t)clock_wall_us();
    CHECK(load->options.keys <= LOAD_KEYS_MAX);
    while (options->topics[load->topic_count] != NULL)
        load->topic_count++;
    load->writer_count = options->writers ? (size_t)options->writers : 8;
    load->writers = must_calloc(load->writer_count, sizeof *load->writers);
    fprintf(stderr, "load: seed=%" PRIu64 "\n", load->options.seed);
    for (size_t i = 0; i < load->writer_count; i++)
        writer_start(load, &load->writers[i], (int)i, writer_main);
    writer_start(load, &load->long_writer, 1000, writer_main);
    if (!options->no_kills)
        writer_start(load, &load->killer, 1001, killer_main);
    return load;
}

uint64_t
load_committed_events(const struct load *load)
{
    return atomic_load(&load->committed_events);
}

static void
totals_join(struct load_totals *totals, struct writer *writer)
{
    pthread_join(writer->thread, NULL);
    totals->committed += writer->totals.committed;
    totals->rolled_back += writer->totals.rolled_back;
    totals->failed += writer->totals.failed;
    totals->prepared += writer->totals.prepared;
    totals->kills += writer->totals.kills;
    totals->emitted += writer->totals.emitted;
}

/* What is prepared and whose writer has walked away, or was killed: one in five is rolled back. */
static void
resolve_prepared(const char *conninfo)
{
    PGconn *admin = NULL;
    wait_for((PQfinish(admin), admin = PQconnectdb(conninfo), PQstatus(admin) == CONNECTION_OK), RESOLVE_MS);
    PGresult *found = PQexec(admin, "select gid from pg_prepared_xacts where gid like 'load-%'"
                                    " and database = current_database() order by prepared");
    for (int i = 0; i < PQntuples(found); i++)
        postgres_exec(admin, "%s prepared '%s'", i % 5 == 4 ? "rollback" : "commit", PQgetvalue(found, i, 0));
    PQclear(found);
    PQfinish(admin);
}

struct load_totals
load_stop(struct load *load)
{
    struct load_totals totals = {0};
    load->stop = true;
    for (size_t i = 0; i < load->writer_count; i++)
        totals_join(&totals, &load->writers[i]);
    totals_join(&totals, &load->long_writer);
    if (!load->options.no_kills)
        totals_join(&totals, &load->killer);
    resolve_prepared(load->options.admin);
    free(load->writers);
    free(load);
    return totals;
}

void
load_totals_print(const struct load_totals *totals, FILE *to)
{
    fprintf(to,
            "load: committed=%" PRIu64 " rolled_back=%" PRIu64 " failed=%" PRIu64 " prepared=%" PRIu64
            " kills=%" PRIu64 " emitted=%" PRIu64 "\n",
            totals->committed, totals->rolled_back, totals->failed, totals->prepared, totals->kills,
            totals->emitted);
}
