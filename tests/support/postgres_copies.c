/* postgres_copies.c: servers and databases that come from others: upgrades, restored dumps (postgres.h); standbys and backups are in
 * postgres_standby.c. */
#include "support/postgres_server.h"

#include "support/scratch.h"

#include <stdlib.h>
#include <unistd.h>

/* Servers of one run are copies of one directory, and so have one identifier. */
struct postgres *
postgres_start_other(const char *settings)
{
    struct postgres *postgres = postgres_new(postgres_new_directory(), scratch_port(), true);
    postgres_initdb(postgres->data, postgres->log);
    postgres_configure(postgres, settings);
    postgres_up(postgres);
    postgres_make_roles(postgres);
    return postgres;
}

struct postgres *
postgres_upgrade(struct postgres *from)
{
    struct postgres *postgres = postgres_new(postgres_new_directory(), scratch_port(), true);
    char *program = postgres_program("pg_upgrade"), *binaries = postgres_program(".");
    postgres_stop_fast(from);
    postgres_initdb(postgres->data, postgres->log);
    postgres_run_in(postgres->directory,
                    (const char *[]){program, "--old-bindir", binaries, "--new-bindir", binaries,
                                     "--old-datadir", from->data, "--new-datadir", postgres->data,
                                     "--username", POSTGRES_ADMIN, "--socketdir", postgres->directory,
                                     "--no-sync", NULL},
                    postgres->log);
    postgres_configure(postgres, NULL);
    postgres_up(postgres);
    free(binaries);
    free(program);
    return postgres;
}

void
postgres_dump(struct postgres *from, const char *database, const char *path)
{
    char *program = postgres_program("pg_dump");
    postgres_run((const char *[]){program, "--format=custom", "--file", path, "--dbname",
                                  postgres_conninfo(from, database, POSTGRES_ADMIN), NULL},
                 from->log);
    free(program);
}

const char *
postgres_restore(struct postgres *to, const char *path)
{
    const char *database = postgres_create_database(to);
    char *program = postgres_program("pg_restore");
    PGconn *admin = postgres_open(to, database, POSTGRES_ADMIN);
    for (int i = 0; i < 3; i++) {
        const char *role = (const char *[]){"outbox_owner", "outbox_writer", "outbox_relay"}[i];
        if (postgres_int(admin, "select count(*) from pg_roles where rolname = '%s'", role) == 0)
            postgres_exec(admin, "create role %s", role);
    }
    PQfinish(admin);
    postgres_run((const char *[]){program, "--exit-on-error", "--dbname",
                                  postgres_conninfo(to, database, POSTGRES_ADMIN), path, NULL},
                 to->log);
    postgres_migrate(to, database); /* whose roles are the logins of this server again */
    free(program);
    return database;
}
