/* postgres_standby.c: see postgres_standby.h. */
#include "support/postgres_standby.h"

#include "base/clock.h"
#include "support/postgres_server.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <stdlib.h>

/* A program in the data directory; the path is relative, so that a backup, which has the same settings, has an archive of its own. */
const char postgres_archiving[] =
    "archive_mode = on\narchive_command = 'mkdir -p ../archive && cp %p ../archive/%f'";

/* Whether it streams is the caller's to say: by `name`, or not at all. */
static void
copy(struct postgres *postgres, struct postgres *from, const char *name)
{
    char *program = postgres_program("pg_basebackup");
    char *conninfo = must_format("host=127.0.0.1 port=%d user=" POSTGRES_ADMIN " application_name=%s",
                                 from->port, name != NULL ? name : "backup");
    postgres_run((const char *[]){program, "--dbname", conninfo, "--pgdata", postgres->data,
                                  "--wal-method=stream", "--checkpoint=fast", "--no-sync",
                                  name != NULL ? "--write-recovery-conf" : NULL, NULL},
                 postgres->log);
    free(conninfo);
    free(program);
}

static void
await_streaming(struct postgres *primary, const char *name, const char *more)
{
    PGconn *admin = postgres_open(primary, "postgres", POSTGRES_ADMIN);
    wait_for(postgres_int(admin,
                          "select count(*) from pg_stat_replication where application_name = '%s' and state "
                          "= 'streaming' %s",
                          name, more) == 1,
             START_MS);
    PQfinish(admin);
}

static void
start_streaming(struct postgres *standby, struct postgres *primary, const char *name)
{
    copy(standby, primary, name);
    postgres_configure(standby, NULL);
    postgres_up(standby);
    await_streaming(primary, name, "");
}

struct postgres *
postgres_start_standby(struct postgres *primary, const char *name)
{
    struct postgres *standby = postgres_new(postgres_new_directory(), scratch_port(), true);
    start_streaming(standby, primary, name);
    return standby;
}

void
postgres_rebuild_standby(struct postgres *lost, struct postgres *primary, const char *name)
{
    CHECK(lost->pid == 0);
    scratch_remove_tree(lost->data);
    start_streaming(lost, primary, name);
}

void
postgres_wait_for_standby(struct postgres *primary, const char *name)
{
    PGconn *admin = postgres_open(primary, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "alter system set synchronous_standby_names = '%s'", name);
    postgres_exec(admin, "select pg_reload_conf()");
    await_streaming(primary, name, "and sync_state = 'sync'");
    char *here = postgres_text(admin, "select pg_current_wal_flush_lsn()"),
         *flushed = must_format("and flush_lsn >= '%s'", here);
    await_streaming(primary, name, flushed);
    free(flushed), free(here);
    PQfinish(admin);
}

static void
await_primary(struct postgres *postgres)
{
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    wait_for(postgres_int(admin, "select pg_is_in_recovery()::int") == 0, START_MS);
    PQfinish(admin);
}

void
postgres_promote(struct postgres *standby)
{
    PGconn *admin = postgres_open(standby, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "select pg_promote()");
    PQfinish(admin);
    await_primary(standby);
}

/* What the server looks for at its start, in its data. */
static void
touch(const struct postgres *postgres, const char *name)
{
    char *path = must_format("%s/%s", postgres->data, name);
    postgres_run((const char *[]){"touch", path, NULL}, postgres->log);
    free(path);
}

void
postgres_demote(struct postgres *primary)
{
    postgres_stop_fast(primary);
    touch(primary, "standby.signal");
    postgres_up(primary);
}

const char *
postgres_conninfo_of_both(struct postgres *first, struct postgres *second, const char *database,
                          const char *user)
{
    return postgres_keep(
        first, must_format("host=127.0.0.1,127.0.0.1 port=%d,%d dbname=%s user=%s connect_timeout=10"
                           " target_session_attrs=read-write",
                           first->port, second->port, database, user));
}

/* ---- recovery to a moment ---- */

struct postgres *
postgres_back_up(struct postgres *from)
{
    struct postgres *backup = postgres_new(postgres_new_directory(), scratch_port(), true);
    copy(backup, from, NULL);
    return backup;
}

void
postgres_archive_all(struct postgres *from)
{
    PGconn *admin = postgres_open(from, "postgres", POSTGRES_ADMIN);
    char *file = postgres_text(admin, "select pg_walfile_name(pg_switch_wal())");
    wait_for(postgres_int(admin,
                          "select (coalesce(last_archived_wal, '') >= '%s')::int from pg_stat_archiver",
                          file) == 1,
             START_MS);
    free(file);
    PQfinish(admin);
}

void
postgres_recover(struct postgres *backup, const struct postgres *from, const char *restore_point)
{
    char *settings = must_format("restore_command = 'cp %s/archive/%%f %%p'\nrecovery_target_name = '%s'\n"
                                 "recovery_target_action = promote",
                                 from->directory, restore_point);
    postgres_configure(backup, settings);
    touch(backup, "recovery.signal");
    postgres_up(backup);
    await_primary(backup);
    free(settings);
}
