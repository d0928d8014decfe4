/* fixture.c: see fixture.h. */
#include "fixture.h"

#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

char *
example_path(const char *name)
{
    const char *outboxd = getenv("OUTBOXD_BIN");
    outboxd = outboxd ? outboxd : "build/outboxd";
    const char *slash = strrchr(outboxd, '/');
    return must_format("%.*sexamples/%s/%s", slash ? (int)(slash + 1 - outboxd) : 0, outboxd, name, name);
}

const char *
example_database(struct postgres *postgres, const char *name, const char *grants)
{
    const char *database = postgres_create_outbox(postgres);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    char *path = must_format("examples/%s/schema.sql", name), *schema = scratch_read_file(path);
    if (*schema == '\0')
        test_fail("%s is not below the working directory", path);
    postgres_exec(admin, "%s", schema);
    postgres_exec(admin, "%s", grants);
    free(schema);
    free(path);
    PQfinish(admin);
    return database;
}
