/* fixture.c: see fixture.h. */
#include "fixture.h"

#include "support/scratch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* the first time everything is fetched from the language's registry */
#define PREPARE_MS 300000

static char *
example_directory(const char *name)
{
    const char *outboxd = getenv("OUTBOXD_BIN");
    outboxd = outboxd ? outboxd : "build/outboxd";
    const char *slash = strrchr(outboxd, '/');
    return must_format("%.*sexamples/%s", slash ? (int)(slash + 1 - outboxd) : 0, outboxd, name);
}

char *
example_path(const char *name)
{
    char *directory = example_directory(name), *path = must_format("%s/%s", directory, name);
    free(directory);
    return path;
}

char *
example_prepare(const char *name)
{
    char *directory = example_directory(name), *scratch = scratch_directory(name);
    char *output = must_format("%s/prepare", scratch);
    const char *argv[] = {"examples/prepare.sh", name, directory, NULL};
    int code = process_run(
        &(struct process_options){.argv = argv, .output_path = output, .death_signal = SIGTERM}, PREPARE_MS);
    if (code != 0)
        test_fail("examples/prepare.sh %s exits with %d: %s", name, code, scratch_read_file(output));
    free(output), free(scratch);
    return directory;
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
