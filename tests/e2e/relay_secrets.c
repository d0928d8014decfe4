/* relay_secrets.c: the hunt for secrets (row 83): passwords of Postgres and Kafka, right ones and wrong ones, through all that can
 * go wrong with them, at the most talkative level. Nothing that the daemon says or shows may hold one. */
#include "relay_scram.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(relay_secrets, .timeout = 120);

/* Part of every password here but the broker's first one. */
#define MARK "hunted-83"
#define UNUSABLE 69
#define CONFIG 78
#define NOBODY 65534

static void
hunt_in(const char *where, const char *text)
{
    const char *found = strstr(text, MARK);
    found = found != NULL ? found : strstr(text, BROKER_PASSWORD);
    cr_expect_null(found, "a password is in %s: %.200s", where,
                   found != NULL && found - text > 100 ? found - 100 : text);
}

static void
hunt_in_proc(pid_t pid, const char *name)
{
    char *text = scratch_read_proc(pid, name);
    hunt_in(name, text);
    free(text);
}

static void
hunt_in_command(const char *command, const char *flag, const struct daemon *relay)
{
    struct outboxd_result result =
        outboxd_run((const char *[]){command, "--config", daemon_config_path(relay), flag, NULL});
    hunt_in(command, result.out);
    hunt_in(command, result.err);
    outboxd_result_free(&result);
}

/* All that can be asked of it, and all that it has said so far. */
static void
hunt(const struct daemon *relay)
{
    static const char *const paths[] = {"/", "/metrics", "/status.json", "/health/ready", "/health/live"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char *body;
        cr_expect_neq(daemon_http(relay, paths[i], &body), 0);
        hunt_in(paths[i], body);
        free(body);
    }
    char *log = daemon_log(relay);
    hunt_in("the log", log);
    free(log);
    hunt_in_command("status", NULL, relay);
    hunt_in_command("status", "--json", relay);
}

static void
hang_up(struct setup *setup, const char *answer)
{
    kill(daemon_pid(setup->relay), SIGHUP);
    wait_for(daemon_log_contains(setup->relay, answer), 10000);
}

/* Wrong for both, then right for one after the other, by files and SIGHUP; at last Postgres wants another one. */
Test(relay_secrets, no_password_is_found_in_anything_that_the_daemon_says_or_shows__row_83)
{
    struct scram scene = scram_begin(postgres_start(NULL), "3.9.1");
    struct setup *setup = &scene.setup;
    char *directory = scratch_directory("secret"), *of_postgres = must_format("%s/postgres", directory);
    char *option = must_format("postgres/password_file=%s", of_postgres);
    scram_write_secret(of_postgres, MARK "-wrong");
    scram_write_secret(scene.password_file, MARK "-wrong");
    postgres_want_password(setup->postgres, POSTGRES_RELAY, MARK "-right");
    scram_start(&scene, (const char *const[3]){option, "kafka/debug=all", "log/level=debug"});
    setup_expect_end(setup, UNUSABLE, "authentication failed", "postgres.password_file");
    hunt_in_command("check", NULL, setup->relay);
    scram_write_secret(of_postgres, MARK "-right");
    daemon_again(setup->relay);
    wait_for(daemon_http(setup->relay, "/health/ready", NULL) == 503, 10000);
    wait_for(daemon_log_contains(setup->relay, "Kafka does not answer"), 10000);
    hunt(setup->relay);
    hunt_in_command("check", NULL, setup->relay);

    scratch_replace_in_file(daemon_config_path(setup->relay), "level: debug", "level: loud");
    kill(daemon_pid(setup->relay), SIGHUP);
    wait_for(daemon_log_contains(setup->relay, "the configuration is refused"), 10000);
    scratch_replace_in_file(daemon_config_path(setup->relay), "level: loud", "level: debug");
    scram_write_secret(scene.password_file, BROKER_PASSWORD);
    hang_up(setup, "kafka.sasl credentials changed");
    daemon_wait_ready(setup->relay);
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', '1')", scene.topic);
    setup_wait_confirmed(setup, 10000);

    postgres_exec(setup->admin, "alter role " POSTGRES_RELAY " password '" MARK "-other'");
    postgres_exec(setup->admin, "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                                " where usename = '" POSTGRES_RELAY "'");
    wait_for(daemon_http(setup->relay, "/health/ready", NULL) == 503, 10000);
    hunt(setup->relay);
    scram_write_secret(of_postgres, MARK "-other");
    hang_up(setup, "postgres.password_file changed");
    daemon_wait_ready(setup->relay);
    hunt(setup->relay);
    hunt_in_proc(daemon_pid(setup->relay), "cmdline");
    hunt_in_proc(daemon_pid(setup->relay), "environ");
    hunt_in_proc(daemon_pid(setup->relay), "comm");
    setup_expect_all_once(setup, 10000);
    free(option), free(of_postgres), free(directory);
    scram_end(&scene);
}

Test(relay_secrets, a_password_in_the_conninfo_is_found_nowhere_either__row_83)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    char *conninfo = must_format("postgres/conninfo=\"postgresql://relay:" MARK "-wrong@127.0.0.1:%d/%s\"",
                                 postgres_port(setup.postgres), setup.database);
    postgres_want_password(setup.postgres, POSTGRES_RELAY, MARK "-right");
    setup_expect_refusal(&setup, (const char *[]){conninfo, "log/level=debug", NULL}, CONFIG,
                         "everybody may read", "chmod");
    hunt_in_command("check", NULL, setup.relay);
    cr_assert_eq(chmod(daemon_config_path(setup.relay), 0600), 0);
    daemon_again(setup.relay);
    setup_expect_end(&setup, UNUSABLE, "authentication failed", NULL);
    hunt_in_command("status", NULL, setup.relay);
    scratch_replace_in_file(daemon_config_path(setup.relay), MARK "-wrong", MARK "-right");
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_expect_all_once(&setup, 10000);
    hunt(setup.relay);
    hunt_in_proc(daemon_pid(setup.relay), "cmdline");
    free(conninfo);
    setup_end(&setup);
}

/* As libpq takes it: the process connects with it again and again, and shows it in its environment no more. */
Test(relay_secrets, a_password_in_the_environment_is_used_and_found_nowhere__row_83)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    postgres_want_password(setup.postgres, POSTGRES_RELAY, MARK "-right");
    setenv("PGPASSWORD", MARK "-right", 1);
    setup_start(&setup, (const char *[]){"log/level=debug", NULL});
    unsetenv("PGPASSWORD");
    daemon_wait_ready(setup.relay);
    postgres_exec(setup.admin, "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                               " where usename = '" POSTGRES_RELAY "'");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_expect_all_once(&setup, 10000);
    hunt(setup.relay);
    hunt_in_proc(daemon_pid(setup.relay), "environ");
    setup_end(&setup);
}

/* A file that the kernel gives to root whoever the process is, because nobody else may look into its memory. */
static bool
is_closed(pid_t pid)
{
    struct stat status;
    char *path = must_format("/proc/%d/environ", (int)pid);
    bool closed = stat(path, &status) == 0 && status.st_uid == 0;
    free(path);
    return closed;
}

#define PAYLOAD "planted-54"
#define PROGRAM "outboxd"
#define LOG "log"

static bool
file_holds(const char *path, const char *mark)
{
    struct stat status;
    FILE *file = fopen(path, "re");
    cr_assert(file != NULL && fstat(fileno(file), &status) == 0, "%s", path);
    char *bytes = must_calloc((size_t)status.st_size + 1, 1);
    size_t size = fread(bytes, 1, (size_t)status.st_size, file);
    bool holds = memmem(bytes, size, mark, strlen(mark)) != NULL;
    fclose(file);
    free(bytes);
    return holds;
}

/* Looks through what a process has left behind, and removes it: is one of the marks in it? */
static bool
take_traces(const char *directory)
{
    bool found = false;
    DIR *files = opendir(directory);
    cr_assert_not_null(files);
    for (const struct dirent *file; (file = readdir(files)) != NULL;) {
        if (file->d_name[0] == '.' || strcmp(file->d_name, PROGRAM) == 0)
            continue;
        char *path = must_format("%s/%s", directory, file->d_name);
        found = found || file_holds(path, MARK) || file_holds(path, PAYLOAD);
        if (strcmp(file->d_name, LOG) != 0)
            cr_assert_eq(unlink(path), 0);
        free(path);
    }
    closedir(files);
    return found;
}

/* In this directory, as somebody who is nobody. */
static pid_t
start_as_nobody(const char *const *argv, const char *directory, const char *log)
{
    uid_t nobody = geteuid() == 0 ? NOBODY : 0;
    setenv("PGPASSWORD", MARK "-planted", 1);
    pid_t pid = process_start(&(struct process_options){.argv = argv,
                                                        .output_path = log,
                                                        .directory = directory,
                                                        .uid = nobody,
                                                        .gid = nobody,
                                                        .death_signal = SIGKILL});
    unsetenv("PGPASSWORD");
    return pid;
}

static bool
is_called(pid_t pid, const char *name)
{
    char *path = must_format("/proc/%d/comm", (int)pid), *comm = scratch_read_file(path);
    bool is = strncmp(comm, name, strlen(name)) == 0;
    free(comm), free(path);
    return is;
}

static void
abort_process(pid_t pid)
{
    kill(pid, SIGABRT);
    cr_expect_eq(process_wait(pid, 20000), 128 + SIGABRT);
}

/* Another program does leave its environment in a core file here, unless the kernel sends those elsewhere. */
static void
plant_a_trace(const char *directory, const char *log)
{
    pid_t pid = start_as_nobody((const char *[]){"sleep", "60", NULL}, directory, log);
    wait_for(is_called(pid, "sleep"), 10000);
    abort_process(pid);
    char *pattern = scratch_read_file("/proc/sys/kernel/core_pattern");
    bool here = pattern[0] != '|' && pattern[0] != '/', found = take_traces(directory);
    cr_expect(found || !here, "core files are not found: %s", pattern);
    free(pattern);
}

Test(relay_secrets, payloads_and_passwords_get_into_no_core_file_and_other_processes_may_not_look__rows_54_83)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    char *directory = scratch_directory("program"), *program = must_format("%s/" PROGRAM, directory),
         *log = must_format("%s/" LOG, directory);
    const char *built = getenv("OUTBOXD_BIN") ? getenv("OUTBOXD_BIN") : "build/outboxd";
    setup_run(&setup, NULL);
    daemon_kill(setup.relay);
    /* again by somebody who could dump a core */
    cr_assert_eq(
        process_run(&(struct process_options){.argv = (const char *const[]){"cp", built, program, NULL}},
                    10000),
        0);
    struct rlimit core;
    cr_assert_eq(getrlimit(RLIMIT_CORE, &core), 0);
    core.rlim_cur = core.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_CORE, &core), 0);
    cr_assert(geteuid() != 0 || chown(directory, NOBODY, NOBODY) == 0);
    plant_a_trace(directory, log);
    const char *argv[] = {program, "run", "--config", daemon_config_path(setup.relay), NULL};
    pid_t pid = start_as_nobody(argv, directory, log);
    core.rlim_cur = 0; /* a failure of the test itself leaves none either */
    cr_assert_eq(setrlimit(RLIMIT_CORE, &core), 0);
    wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 200, 20000);
    cr_expect(is_closed(pid));
    char *path = must_format("/proc/%d/limits", (int)pid), *limits = scratch_read_file(path);
    const char *line = strstr(limits, "Max core file size");
    unsigned long soft = 1, hard = 1;
    cr_expect(line != NULL && sscanf(line + 18, "%lu %lu", &soft, &hard) == 2, "%s", limits);
    cr_expect(soft == 0 && hard == 0);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"" PAYLOAD "\"') from generate_series(1, 1000)",
                  topic);
    wait_for(setup_confirmed(&setup), 20000);
    abort_process(pid);
    cr_expect_not(take_traces(directory), "a password or a payload is in a file of %s", directory);
    free(limits), free(path), free(log), free(program), free(directory);
    setup_end(&setup);
}
