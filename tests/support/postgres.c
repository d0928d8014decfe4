/* postgres.c: the life of a private Postgres server: initdb (once a run, then copied), start, stop, kill,
 * pause. The postmaster is our own child, so that it dies with the test. Statements are in postgres_sql.c. */
#include "support/postgres_server.h"

#include "base/clock.h"
#include "postgres/schema.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define CHILDREN_MAX 1024

/* Called by the threads of a load, too. */
const char *
postgres_keep(struct postgres *postgres, char *text)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    postgres->kept = must_realloc(postgres->kept, postgres->kept_count + 1, sizeof *postgres->kept);
    postgres->kept[postgres->kept_count++] = text;
    pthread_mutex_unlock(&lock);
    return text;
}

/* The newest server installed: OUTBOXD_TEST_PG_BINDIR, else Debian's place, else whatever PATH finds. */
char *
postgres_program(const char *name)
{
    const char *directory = getenv("OUTBOXD_TEST_PG_BINDIR");
    if (directory != NULL)
        return must_format("%s/%s", directory, name);
    char *pattern = must_format("/usr/lib/postgresql/*/bin/%s", name);
    glob_t found;
    char *path = glob(pattern, 0, NULL, &found) == 0 ? must_strdup(found.gl_pathv[found.gl_pathc - 1])
                                                     : must_strdup(name);
    globfree(&found);
    free(pattern);
    return path;
}

/* The server refuses to run as root. */
static void
postgres_user(struct process_options *options)
{
    if (geteuid() != 0)
        return;
    const struct passwd *user = getpwnam("postgres");
    if (user == NULL)
        test_fail("no user postgres: install the postgresql package (packaging/deps.sh test)");
    options->uid = user->pw_uid;
    options->gid = user->pw_gid;
}

void
postgres_run_in(const char *directory, const char *const *argv, const char *log)
{
    struct process_options options = {
        .argv = argv, .output_path = log, .directory = directory, .death_signal = SIGKILL};
    postgres_user(&options);
    int exit_code = process_run(&options, START_MS);
    if (exit_code != 0)
        test_fail("%s: exit code %d:\n%s", argv[0], exit_code, scratch_read_file(log));
}

void
postgres_run(const char *const *argv, const char *log)
{
    postgres_run_in("/", argv, log);
}

/* A directory which the server's user owns. */
char *
postgres_new_directory(void)
{
    struct process_options options = {0};
    postgres_user(&options);
    char *directory = scratch_directory("postgres");
    if (options.uid != 0 && chown(directory, options.uid, options.gid) != 0)
        test_fail("%s: chown: %s", directory, strerror(errno));
    return directory;
}

void
postgres_initdb(const char *data, const char *log)
{
    char *initdb = postgres_program("initdb");
    postgres_run((const char *[]){initdb, "--pgdata", data, "--username", POSTGRES_ADMIN, "--auth=trust",
                                  "--encoding=UTF8", "--locale=C", "--no-sync", NULL},
                 log);
    free(initdb);
}

/* The initialised data directory of this run, made by whoever comes first: initdb takes 1.5 s, a copy 0.1 s.
 */
static char *
postgres_template(void)
{
    char *ready = must_format("%s/postgres-template", scratch_root());
    char *lock_path = must_format("%s.lock", ready);
    int lock = scratch_lock(lock_path);
    if (access(ready, F_OK) != 0) {
        char *directory = postgres_new_directory();
        char *data = must_format("%s/data", directory), *log = must_format("%s/log", directory);
        postgres_initdb(data, log);
        if (rename(directory, ready) != 0)
            test_fail("%s: %s", ready, strerror(errno));
        free(log), free(data), free(directory);
    }
    close(lock);
    free(lock_path);
    return ready;
}

void
postgres_configure(const struct postgres *postgres, const char *settings)
{
    char *path = must_format("%s/postgresql.conf", postgres->data);
    FILE *file = fopen(path, "ae");
    if (file == NULL)
        test_fail("%s: %s", path, strerror(errno));
    fprintf(file,
            "\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\n"
            "max_connections = 300\nmax_prepared_transactions = 2000\nfsync = on\n"
            "log_line_prefix = '%%m [%%p] %%q%%u@%%d '\n%s\n",
            postgres->port, postgres->directory, settings ? settings : "");
    if (fclose(file) != 0)
        test_fail("%s: %s", path, strerror(errno));
    free(path);
}

struct postgres *
postgres_new(char *directory, int port, bool own)
{
    struct postgres *postgres = must_calloc(1, sizeof *postgres);
    *postgres = (struct postgres){.port = port,
                                  .own = own,
                                  .directory = directory,
                                  .data = must_format("%s/data", directory),
                                  .log = must_format("%s/log", directory)};
    return postgres;
}

void
postgres_up(struct postgres *postgres)
{
    CHECK(postgres->own && postgres->pid == 0);
    char *program = postgres_program("postgres");
    const char *argv[] = {program, "-D", postgres->data, NULL};
    struct process_options options = {
        .argv = argv, .output_path = postgres->log, .directory = "/", .death_signal = SIGQUIT};
    postgres_user(&options);
    postgres->pid = process_start(&options);
    const char *conninfo = postgres_conninfo(postgres, "postgres", POSTGRES_ADMIN);
    int64_t deadline_us = wait_deadline_us(START_MS);
    while (PQping(conninfo) != PQPING_OK) {
        int exit_code;
        if (process_ended(postgres->pid, &exit_code) || !wait_turn(deadline_us))
            test_fail("postgres does not come up:\n%s", scratch_read_file(postgres->log));
    }
    free(program);
}

void
postgres_make_roles(struct postgres *postgres)
{
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "create role " POSTGRES_WRITER " login; create role " POSTGRES_RELAY
                         " login; create role " POSTGRES_STRANGER " login");
    PQfinish(admin);
}

struct postgres *
postgres_start(const char *settings)
{
    char *template = postgres_template();
    struct postgres *postgres = postgres_new(postgres_new_directory(), scratch_port(), true);
    char *from = must_format("%s/data", template);
    postgres_run((const char *[]){"cp", "-a", "--reflink=auto", from, postgres->data, NULL}, postgres->log);
    postgres_configure(postgres, settings);
    postgres_up(postgres);
    postgres_make_roles(postgres);
    free(from);
    free(template);
    return postgres;
}

void
postgres_trust(struct postgres *postgres, const char *addresses)
{
    char *path = must_format("%s/pg_hba.conf", postgres->data);
    FILE *file = fopen(path, "ae");
    if (file == NULL || fprintf(file, "host all all %s trust\n", addresses) < 0 || fclose(file) != 0)
        test_fail("%s: %s", path, strerror(errno));
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "select pg_reload_conf()");
    PQfinish(admin);
    free(path);
}

struct postgres *
postgres_shared(void)
{
    const char *shared = getenv("OUTBOXD_TEST_POSTGRES"); /* port:directory */
    if (shared == NULL)
        return postgres_start(NULL);
    const char *colon = strchr(shared, ':');
    if (colon == NULL)
        test_fail("OUTBOXD_TEST_POSTGRES=%s: not port:directory", shared);
    return postgres_new(must_strdup(colon + 1), atoi(shared), false);
}

struct postgres *
postgres_share(void)
{
    if (getenv("OUTBOXD_TEST_POSTGRES") != NULL)
        return NULL;
    struct postgres *postgres = postgres_start(NULL);
    char *value = must_format("%d:%s", postgres->port, postgres->directory);
    setenv("OUTBOXD_TEST_POSTGRES", value, 1);
    free(value);
    return postgres;
}

static void
postgres_stop(struct postgres *postgres, int signal)
{
    CHECK(postgres->own && postgres->pid != 0);
    kill(postgres->pid, signal);
    process_wait(postgres->pid, START_MS);
    postgres->pid = 0;
}

void
postgres_stop_fast(struct postgres *postgres)
{
    postgres_stop(postgres, SIGINT);
}

void
postgres_stop_immediate(struct postgres *postgres)
{
    postgres_stop(postgres, SIGQUIT);
}

void
postgres_kill(struct postgres *postgres)
{
    CHECK(postgres->own && postgres->pid != 0);
    pid_t children[CHILDREN_MAX];
    process_pause(postgres->pid); /* who is stopped starts no more of them */
    size_t count = process_children(postgres->pid, children, CHILDREN_MAX);
    kill(postgres->pid, SIGKILL);
    process_wait(postgres->pid, START_MS);
    postgres->pid = 0;
    /* backends notice by themselves; until the last one is gone the shared memory is in use and no start
     * succeeds */
    for (size_t i = 0; i < count; i++) {
        process_continue(children[i]);
        wait_for(process_gone(children[i]), START_MS);
    }
}

/* The server first, as above. */
static void
with_all(struct postgres *postgres, void (*act)(pid_t pid))
{
    pid_t children[CHILDREN_MAX];
    CHECK(postgres->own && postgres->pid != 0);
    act(postgres->pid);
    size_t count = process_children(postgres->pid, children, CHILDREN_MAX);
    for (size_t i = 0; i < count; i++)
        act(children[i]);
}

void
postgres_pause(struct postgres *postgres)
{
    with_all(postgres, process_pause);
}

void
postgres_continue(struct postgres *postgres)
{
    with_all(postgres, process_continue);
}

void
postgres_free(struct postgres *postgres)
{
    if (postgres == NULL)
        return;
    if (postgres->own && postgres->pid != 0) {
        postgres_continue(postgres);
        postgres_stop_immediate(postgres);
    }
    for (size_t i = 0; i < postgres->kept_count; i++)
        free(postgres->kept[i]);
    if (postgres->own)
        scratch_remove_tree(postgres->data); /* the log stays, for whoever looks into a failure */
    free(postgres->kept);
    free(postgres->log);
    free(postgres->data);
    free(postgres->directory);
    free(postgres);
}

int
postgres_port(const struct postgres *postgres)
{
    return postgres->port;
}

const char *
postgres_directory(const struct postgres *postgres)
{
    return postgres->directory;
}

const char *
postgres_log_path(const struct postgres *postgres)
{
    return postgres->log;
}

const char *
postgres_conninfo(struct postgres *postgres, const char *database, const char *user)
{
    return postgres_keep(postgres, must_format("host=127.0.0.1 port=%d dbname=%s user=%s connect_timeout=10",
                                               postgres->port, database, user));
}

const char *
postgres_create_database(struct postgres *postgres)
{
    static unsigned count;
    char *name =
        must_format("test_%d_%u_%llx", (int)getpid(), ++count, (unsigned long long)clock_monotonic_us());
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "create database %s", name);
    PQfinish(admin);
    return postgres_keep(postgres, name);
}

static void
migrate(struct postgres *postgres, const char *database, int64_t slot_width_us)
{
    static const char *const writer = POSTGRES_WRITER, *const relay = POSTGRES_RELAY;
    const struct schema_wish wish = {
        .logins = {[SCHEMA_WRITERS] = {&writer, 1}, [SCHEMA_RELAYS] = {&relay, 1}},
        .create_roles = true,
        .slot_width_us = slot_width_us};
    struct error error;
    if (!schema_migrate(postgres_conninfo(postgres, database, POSTGRES_ADMIN), &wish, NULL, NULL, NULL,
                        &error))
        test_fail("migrating %s: %s", database, error.message);
}

void
postgres_migrate(struct postgres *postgres, const char *database)
{
    migrate(postgres, database, 0);
}

const char *
postgres_create_ring(struct postgres *postgres, int64_t slot_width_us)
{
    const char *database = postgres_create_database(postgres);
    migrate(postgres, database, slot_width_us);
    return database;
}

const char *
postgres_create_outbox(struct postgres *postgres)
{
    return postgres_create_ring(postgres, 0);
}
