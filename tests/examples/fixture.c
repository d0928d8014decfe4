/* fixture.c: see fixture.h. */
#include "fixture.h"

#include "support/checker.h"
#include "support/consumer.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
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

struct daemon *
example_relay(struct postgres *postgres, const char *database, const struct broker *broker)
{
    struct daemon *relay = daemon_start(
        &(struct daemon_options){.conninfo = postgres_conninfo(postgres, database, POSTGRES_RELAY),
                                 .bootstrap = broker_bootstrap(broker)});
    daemon_wait_ready(relay);
    return relay;
}

static size_t
count_records(const char *bootstrap, const char *const *topics)
{
    size_t count = 0;
    for (; *topics != NULL; topics++)
        count += (size_t)consumer_count(bootstrap, *topics);
    return count;
}

size_t
example_expect_published(struct daemon *relay, struct postgres *postgres, const char *database,
                         const struct broker *broker, const char *const *topics)
{
    struct expected_events events = {0};
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    expected_read_outbox(&events, admin);
    wait_for(count_records(broker_bootstrap(broker), topics) >= events.count, 20000);
    cr_expect_eq(daemon_terminate(relay), 0);
    struct verdict verdict = checker_compare(&events, broker_bootstrap(broker), topics, DAEMON_SOURCE);
    cr_expect(verdict_clean(&verdict));
    cr_expect_eq(verdict.duplicates, 0, "nothing was disturbed, so nothing may come twice");
    daemon_free(relay);
    PQfinish(admin);
    expected_free(&events);
    return verdict.records;
}
