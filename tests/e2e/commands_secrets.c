/* commands_secrets.c: what a person writes in the wrong place, or forgets to quote, is often a password: no message repeats it
 * (row 83). The real binary, without servers; at the end with Postgres: what others see of a command that takes long. */
#include "support/postgres.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(commands_secrets, .timeout = 120);

#define SECRET "hunted-6b1"

static void
hunt(struct outboxd_result *result, const char *what)
{
    cr_expect(strstr(result->out, SECRET) == NULL && strstr(result->err, SECRET) == NULL, "of %s:\n%s%s",
              what, result->out, result->err);
    cr_expect_neq(result->exit_code, 0, "%s", what);
    outboxd_result_free(result);
}

/* Blanks, quotes, slashes, question marks and @ in a password, not escaped as libpq wants it; names that are misspelt. */
static const char *const conninfos[] = {
    "host=127.0.0.1 port=1 password=my " SECRET,
    "host=127.0.0.1 port=1 password=my\\\" " SECRET "\\\" too",
    "host=127.0.0.1 port=1 password = '" SECRET,
    "host=127.0.0.1 port=1 password=my " SECRET "=x",
    "host=127.0.0.1 port=1 password:" SECRET,
    "host=127.0.0.1 port=1 pasword=" SECRET,
    "host=127.0.0.1 port=1 password=" SECRET,
    "host=127.0.0.1 port=70000 password=" SECRET,
    "postgresql://relay:" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay:" SECRET "@[::1/shop",
    "postgresql://relay:" SECRET "@[::1]x/shop",
    "postgresql://relay:" SECRET "%zz@127.0.0.1:1/shop",
    "postgresql://relay:" SECRET "%00@127.0.0.1:1/shop",
    "postgresql://relay:" SECRET "/more@127.0.0.1:1/shop",
    "postgresql://relay:my/" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay:my@" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay:my?" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay@127.0.0.1:1/shop?password=" SECRET "&sslmod=1",
    "postgresql://relay@127.0.0.1:1/shop?password=" SECRET "=",
    "postgresql://relay@127.0.0.1:1/shop?pasword=" SECRET,
    "127.0.0.1 " SECRET,
    SECRET,
};

Test(commands_secrets, a_conninfo_with_a_mistake_in_it_is_not_repeated__row_83)
{
    char *directory = scratch_directory("secret"), *path = must_format("%s/config.yaml", directory);
    for (size_t i = 0; i < sizeof conninfos / sizeof *conninfos; i++) {
        const char *conninfo = conninfos[i];
        char *text = must_format("source: test\npostgres:\n  conninfo: \"%s\"\n"
                                 "kafka:\n  bootstrap.servers: \"127.0.0.1:1\"\n",
                                 conninfo);
        scratch_write_file(path, text);
        cr_assert_eq(chmod(path, 0600), 0);
        struct outboxd_result result = outboxd_run((const char *[]){"status", "--config", path, NULL});
        hunt(&result, conninfo);
        result = outboxd_run((const char *[]){"migrate", "--conninfo", conninfo, NULL});
        hunt(&result, conninfo);
        free(text);
    }
    free(path), free(directory);
}

/* A line is one of a configuration that is otherwise right. */
static const struct {
    const char *postgres, *kafka, *more;
} files[] = {
    {"password_file: " SECRET, "", ""},
    {"password: " SECRET, "", ""},
    {"password_file: [" SECRET "]", "", ""},
    {"conninfo: \"host=127.0.0.1 password=" SECRET, "", ""},
    {"conninfo: {password: " SECRET "}", "", ""},
    {"conninfo: host=127.0.0.1 password=" SECRET ": x", "", ""},
    {"", "sasl.password_file: " SECRET, ""},
    {"", "sasl.pasword: " SECRET, ""},
    {"", "sasl.password: [" SECRET "]", ""},
    {"", "sasl.password: &a " SECRET "\n  sasl.mechanisms: none-such", ""},
    {"", "sasl.jaas.config: \"username=u password=" SECRET "\"", ""},
    {"", "ssl.key.password: " SECRET "\n  ssl.key.location: /nonexistent", ""},
    {"", "ssl.key.pem: " SECRET, ""},
    {"", "", "password: " SECRET},
    {"", "", SECRET},
    {"", "", "log: {level: info, pasword: " SECRET "}"},
    {"", "", "\tpassword: " SECRET},
};

Test(commands_secrets, a_password_in_the_wrong_place_of_the_configuration_is_not_repeated__row_83)
{
    char *directory = scratch_directory("secret"), *path = must_format("%s/config.yaml", directory);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        bool conninfo = strncmp(files[i].postgres, "conninfo", 8) == 0;
        char *text =
            must_format("source: test\npostgres:\n  %s\n  %s\nkafka:\n  bootstrap.servers: \"\"\n  %s\n%s\n",
                        conninfo ? "" : "conninfo: \"host=127.0.0.1 port=1\"", files[i].postgres,
                        files[i].kafka, files[i].more);
        scratch_write_file(path, text);
        cr_assert_eq(chmod(path, 0600), 0);
        struct outboxd_result result = outboxd_run((const char *[]){"run", "--config", path, NULL});
        cr_expect_eq(result.exit_code, 78, "%s: %s", text, result.err);
        hunt(&result, text);
        free(text);
    }
    free(path), free(directory);
}

Test(commands_secrets, an_argument_that_was_not_quoted_is_not_repeated__row_83)
{
    static const char *const lines[][6] = {
        {"migrate", "--conninfo", "host=127.0.0.1", "password=" SECRET, NULL},
        {"migrate", "--pasword=" SECRET, NULL},
        {"rebase", "--conninfo", "host=127.0.0.1", "password=" SECRET, NULL},
        {"check", "password=" SECRET, NULL},
        {"status", "--password=" SECRET, NULL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct outboxd_result result = outboxd_run(lines[i]);
        cr_expect_eq(result.exit_code, 64, "%s", result.err);
        hunt(&result, lines[i][0]);
    }
}

/* ---- what others see of a process ---- */

static void
hunt_in_process(pid_t pid, const char *shown)
{
    char *words = scratch_read_proc(pid, "cmdline"), *environment = scratch_read_proc(pid, "environ"),
         *limits = scratch_read_proc(pid, "limits");
    const char *core = strstr(limits, "Max core file size");
    unsigned long soft = 1, hard = 1;
    cr_expect(strstr(words, SECRET) == NULL && strstr(words, shown) != NULL, "%s", words);
    cr_expect_null(strstr(environment, SECRET), "in the environment of: %s", words);
    cr_expect(core != NULL && sscanf(core + 18, "%lu %lu", &soft, &hard) == 2 && soft == 0 && hard == 0, "%s",
              limits);
    free(limits), free(environment), free(words);
}

/* A command with its outputs in this file, and with the secret as PGPASSWORD. */
static pid_t
start(const char *const *arguments, const char *output)
{
    const char *path = getenv("OUTBOXD_BIN"), *argv[16] = {path ? path : "build/outboxd"};
    for (size_t i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    cr_assert_eq(setenv("PGPASSWORD", SECRET, 1), 0);
    pid_t pid = process_start(
        &(struct process_options){.argv = argv, .output_path = output, .death_signal = SIGKILL});
    cr_assert_eq(unsetenv("PGPASSWORD"), 0);
    return pid;
}

static bool
file_holds(const char *path, const char *text)
{
    char *all = scratch_read_file(path);
    bool holds = strstr(all, text) != NULL;
    free(all);
    return holds;
}

Test(commands_secrets,
     a_tail_that_follows_uses_a_password_of_the_environment_and_shows_it_to_nobody__rows_54_83)
{
    struct postgres *postgres = postgres_start(NULL);
    const char *database = postgres_create_outbox(postgres);
    PGconn *writer = postgres_open(postgres, database, POSTGRES_WRITER);
    char *directory = scratch_directory("secret"), *config = must_format("%s/config.yaml", directory),
         *output = must_format("%s/output", directory);
    char *text = must_format("source: test\npostgres:\n  conninfo: \"%s\"\nkafka:\n"
                             "  bootstrap.servers: \"127.0.0.1:1\"\n",
                             postgres_conninfo(postgres, database, POSTGRES_RELAY));
    scratch_write_file(config, text);
    postgres_want_password(postgres, POSTGRES_RELAY, SECRET);
    pid_t pid = start((const char *[]){"tail", "-f", "--config", config, NULL}, output);
    postgres_exec(writer, "select outbox.emit('orders', 'k', '1')");
    wait_for(file_holds(output, "orders"), 20000);
    hunt_in_process(pid, "tail -f");
    kill(pid, SIGTERM);
    cr_expect_eq(process_wait(pid, 20000), 0);
    cr_expect_not(file_holds(output, SECRET));
    free(text), free(output), free(config), free(directory);
    PQfinish(writer);
    postgres_free(postgres);
}

/* Held by a lock for as long as it is looked at; then it does what it was asked for, so it had the password. */
static void
expect_hidden(PGconn *admin, PGconn *holder, const char *const *arguments)
{
    char *directory = scratch_directory("secret"), *output = must_format("%s/output", directory);
    postgres_exec(holder, "begin");
    postgres_exec(holder, "lock table outbox.schema_version in access exclusive mode");
    pid_t pid = start(arguments, output);
    wait_for(postgres_int(admin,
                          "select count(*) from pg_stat_activity where application_name = 'outboxd %s'"
                          " and wait_event_type = 'Lock'",
                          arguments[0]) == 1,
             20000);
    hunt_in_process(pid, "--conninfo .. ");
    postgres_exec(holder, "commit");
    int exit_code = process_wait(pid, 60000);
    char *said = scratch_read_file(output);
    cr_expect_eq(exit_code, 0, "%s", said);
    cr_expect_null(strstr(said, SECRET), "%s", said);
    free(said), free(output), free(directory);
}

#define ADMIN "boss"

Test(commands_secrets, an_administrators_password_is_used_and_shown_to_nobody__rows_54_83)
{
    struct postgres *postgres = postgres_start(NULL);
    const char *database = postgres_create_outbox(postgres);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    PGconn *holder = postgres_open(postgres, database, POSTGRES_ADMIN);
    const char *plain = postgres_conninfo(postgres, database, ADMIN);
    char *keywords = must_format("%s password=" SECRET, plain);
    char *uri =
        must_format("postgresql://" ADMIN ":" SECRET "@127.0.0.1:%d/%s", postgres_port(postgres), database);
    postgres_exec(admin, "create role " ADMIN " superuser login");
    postgres_want_password(postgres, ADMIN, SECRET);
    const char *const commands[][8] = {
        {"migrate", "--conninfo", keywords, "--writer", POSTGRES_WRITER, "--relay", POSTGRES_RELAY, NULL},
        {"migrate", "--writer", POSTGRES_WRITER, "--relay", POSTGRES_RELAY, "--conninfo", uri, NULL},
        {"rebase", "--conninfo", plain, "--yes", NULL},
        {"rebase", "--yes", "--conninfo", uri, NULL},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        expect_hidden(admin, holder, commands[i]);
    free(uri), free(keywords);
    PQfinish(holder), PQfinish(admin);
    postgres_free(postgres);
}
