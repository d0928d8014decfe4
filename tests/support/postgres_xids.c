/* postgres_xids.c: a test's own Postgres in which transaction numbers are about to start anew, or jump (postgres.h). */
#include "support/postgres.h"

#include "support/scratch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESET_MS 30000
#define NUMBERS (UINT64_C(1) << 32)
#define FROZEN 500 /* the oldest number that may still occur, so many back */

/* Sizes of the server's source: two bits a transaction, pages of 8 KiB, 32 of them in a file. */
#define PAGE_SIZE 8192
#define FILE_PAGES 32
#define FILE_NUMBERS (PAGE_SIZE * 4 * FILE_PAGES)

/* All rows there are become visible to everybody, whatever the number of a transaction. */
static void
freeze(struct postgres *postgres, const char *database)
{
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    postgres_exec(admin, "vacuum freeze");
    PQfinish(admin);
}

/* An empty piece of the commit log for that number, as the server would have made it on its way there. */
static void
make_commit_log(const char *data, uint64_t number)
{
    struct stat owner;
    if (stat(data, &owner) != 0)
        test_fail("%s: %s", data, strerror(errno));
    char *path = must_format("%s/pg_xact/%04X", data, (unsigned)(number / FILE_NUMBERS));
    FILE *file = fopen(path, "we");
    static const char page[PAGE_SIZE];
    for (int i = 0; file != NULL && i < FILE_PAGES; i++)
        if (fwrite(page, sizeof page, 1, file) != 1)
            test_fail("%s: %s", path, strerror(errno));
    if (file == NULL || fclose(file) != 0 || chmod(path, 0600) != 0 ||
        chown(path, owner.st_uid, owner.st_gid) != 0)
        test_fail("%s: %s", path, strerror(errno));
    free(path);
}

/* pg_resetwal of a server that is down. */
static void
reset(const struct postgres *postgres, const char *data, uint32_t epoch, uint64_t number,
      uint64_t oldest_number)
{
    struct stat owner;
    if (stat(data, &owner) != 0)
        test_fail("%s: %s", data, strerror(errno));
    char *program = postgres_program("pg_resetwal"),
         *log = must_format("%s.reset.log", postgres_directory(postgres));
    char *next = must_format("%" PRIu64, number), *of = must_format("%" PRIu32, epoch);
    char *oldest = must_format("%" PRIu64, oldest_number);
    const char *argv[] = {program, "-e", of, "-x", next, "-u", oldest, data, NULL};
    const struct process_options options = {.argv = argv,
                                            .output_path = log,
                                            .directory = "/",
                                            .uid = geteuid() == 0 ? owner.st_uid : 0,
                                            .gid = geteuid() == 0 ? owner.st_gid : 0,
                                            .death_signal = SIGKILL};
    int exit_code = process_run(&options, RESET_MS);
    if (exit_code != 0)
        test_fail("pg_resetwal: exit code %d:\n%s", exit_code, scratch_read_file(log));
    free(oldest), free(of), free(next), free(log), free(program);
}

void
postgres_near_wraparound(struct postgres *postgres, uint32_t epoch, uint32_t left)
{
    static const char *const databases[] = {"template0", "template1", "postgres"};
    char *data = must_format("%s/data", postgres_directory(postgres));
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "alter database template0 allow_connections true");
    for (size_t i = 0; i < sizeof databases / sizeof *databases; i++)
        freeze(postgres, databases[i]);
    postgres_exec(admin, "alter database template0 allow_connections false");
    postgres_exec(admin, "vacuum freeze pg_database");
    PQfinish(admin);
    postgres_stop_fast(postgres);
    reset(postgres, data, epoch, NUMBERS - left, NUMBERS - left - FROZEN);
    make_commit_log(data, NUMBERS - left);
    postgres_up(postgres);
    free(data);
}

/* The server is up again, and counts on from there. */
static void
count_on(struct postgres *postgres, uint32_t epochs, int64_t numbers)
{
    char *data = must_format("%s/data", postgres_directory(postgres));
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    int64_t next = postgres_int(admin, "select pg_current_xact_id()::text::bigint") + 1;
    uint64_t oldest =
        (uint64_t)postgres_int(admin, "select oldest_xid::text::bigint from pg_control_checkpoint()");
    PQfinish(admin);
    postgres_stop_fast(postgres);
    uint64_t number = (uint64_t)(next % (int64_t)NUMBERS + numbers);
    reset(postgres, data, (uint32_t)(next / (int64_t)NUMBERS) + epochs, number, oldest);
    if (numbers > 0)
        make_commit_log(data, number);
    postgres_up(postgres);
    free(data);
}

void
postgres_jump_numbers(struct postgres *postgres, uint32_t epochs, uint32_t numbers)
{
    CHECK(numbers > 2 * FILE_NUMBERS); /* what there is of the commit log stays as it is */
    count_on(postgres, epochs, numbers);
}

void
postgres_set_numbers_back(struct postgres *postgres, uint32_t numbers)
{
    count_on(postgres, 0, -(int64_t)numbers);
}
