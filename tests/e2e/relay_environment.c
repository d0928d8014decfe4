/* relay_environment.c: a machine that gives too little (rows 50 and 51): descriptors, threads, a writable disk, a place for the log.
 * The relay says what is missing or does without; it does not wait for a log, and goes on by itself when there is enough. */
#include "relay_setup.h"

#include "support/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(relay_environment, .timeout = 120);

#define UNUSABLE 69
#define SOMEBODY 64321 /* has no other process than the relay */
#define BECOME_SOMEBODY "setpriv --reuid=64321 --regid=64321 --clear-groups --pdeathsig KILL "

/* From now on the relay is started by this command of a shell: "$binary" is a copy that everybody may run, "$directory" its place,
 * "$@" the relay's arguments. Returns the place, which the caller frees. */
static char *
start_by(const char *command)
{
    char *directory = scratch_directory("start"), *script = must_format("%s/start", directory),
         *binary = must_format("%s/outboxd", directory);
    char *text = must_format("#!/bin/sh\nbinary=%s directory=%s\nexec %s\n", binary, directory, command);
    const char *built = getenv("OUTBOXD_BIN") ? getenv("OUTBOXD_BIN") : "build/outboxd";
    const char *argv[] = {"cp", built, binary, NULL};
    cr_assert_eq(process_run(&(struct process_options){.argv = argv}, 10000), 0);
    scratch_write_file(script, text);
    cr_assert_eq(chmod(script, 0755), 0);
    setenv("OUTBOXD_BIN", script, 1); /* the test is a process of its own */
    free(text), free(binary), free(script);
    return directory;
}

static void
publish(struct setup *setup, const char *topic)
{
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', i::text::jsonb) from generate_series(1, 100) i",
                  topic);
}

/* A limit that was lowered softly; its owner may raise it again. */
static void
raise_limit(struct setup *setup, const char *limit, uid_t owner)
{
    char *pid = must_format("%d", (int)daemon_pid(setup->relay));
    const char *argv[] = {"prlimit", "--pid", pid, limit, NULL};
    cr_assert_eq(process_run(&(struct process_options){.argv = argv, .uid = owner, .gid = owner}, 10000), 0);
    free(pid);
}

/* ---- row 50 ---- */

Test(relay_environment, with_32_descriptors_it_works_and_says_that_it_is_few__row_50)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    free(start_by("prlimit --nofile=32 -- \"$binary\" \"$@\""));
    setup_run(&setup, NULL);
    cr_expect(daemon_log_contains(setup.relay, "few files may be open at once"));
    cr_expect(daemon_log_contains(setup.relay, "limit=32"));
    publish(&setup, topic);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(relay_environment, without_descriptors_it_says_so_and_goes_on_by_itself_when_there_are_more__P5__row_50)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    free(start_by("prlimit --nofile=6: -- \"$binary\" \"$@\""));
    publish(&setup, topic);
    setup_start(&setup, NULL);
    wait_for(daemon_log_contains(setup.relay, "Postgres is away"), 10000);
    cr_expect(daemon_log_contains(setup.relay, "Too many open files"));
    raise_limit(&setup, "--nofile=256:", 0);
    daemon_wait_ready(setup.relay);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(relay_environment, without_threads_it_ends_as_unusable_or_waits_until_there_are_some__P5__row_50)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    if (geteuid() != 0)
        cr_skip_test("needs root, to be somebody else");
    char *binary = must_strdup(getenv("OUTBOXD_BIN") ? getenv("OUTBOXD_BIN") : "build/outboxd");
    publish(&setup, topic);
    free(start_by(BECOME_SOMEBODY "prlimit --nproc=1 --"
                                  " \"$binary\" \"$@\""));
    setup_expect_refusal(&setup, NULL, UNUSABLE, "thread", NULL);
    setenv("OUTBOXD_BIN", binary, 1);
    /* enough for its start; one of librdkafka's, or the one that asks about a topic, is missing */
    free(start_by(BECOME_SOMEBODY "prlimit --nproc=5: --"
                                  " \"$binary\" \"$@\""));
    setup_start(&setup, NULL);
    wait_for(daemon_log_contains(setup.relay, " thread"), 10000);
    raise_limit(&setup, "--nproc=256:", SOMEBODY);
    setup_expect_all_once(&setup, 20000);
    free(binary);
    setup_end(&setup);
}

Test(relay_environment, it_writes_to_no_disk__row_50)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    if (geteuid() != 0)
        cr_skip_test("needs root, for a mount namespace");
    free(start_by(
        "unshare --mount sh -c 'mount -o remount,bind,ro / && ! touch \"$0.written\" && exec \"$0\" \"$@\"'"
        " \"$binary\" \"$@\""));
    setup_run(&setup, NULL);
    publish(&setup, topic);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

/* ---- row 51 ---- */

/* Opens a pipe with room for a page, which stands at the place of standard error. Reading it is the test's business. */
static int
open_log(const char *directory)
{
    char *path = must_format("%s/log", directory);
    cr_assert_eq(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    cr_assert(fd >= 0 && fcntl(fd, F_SETPIPE_SZ, 4096) == 4096);
    free(path);
    return fd;
}

static double
dropped(const struct setup *setup)
{
    return daemon_metric(setup->relay, "outbox_log_dropped_total");
}

/* Everything that is in the pipe. */
static void
drain(int fd, char *text, size_t size)
{
    ssize_t got;
    size_t used = strlen(text);
    while ((got = read(fd, text + used, size - used - 1)) > 0)
        used += (size_t)got;
    text[used] = '\0';
}

Test(relay_environment, a_log_that_nobody_reads_stops_nothing_and_what_is_lost_of_it_is_counted__P5__row_51)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    static char text[1 << 20];
    char *directory = start_by("\"$binary\" \"$@\" 2> \"$directory/log\"");
    int fd = open_log(directory);
    setup_run(&setup, (const char *[]){"log/level=debug", "kafka/debug=broker,msg", NULL});
    for (int i = 0; i < 5; i++) {
        publish(&setup, topic);
        setup_wait_confirmed(&setup, 10000);
    }
    cr_expect_gt(dropped(&setup), 0);
    cr_expect_eq(daemon_http(setup.relay, "/health/ready", NULL), 200);
    drain(fd, text, sizeof text);
    text[0] = '\0';
    publish(&setup, topic);
    setup_wait_confirmed(&setup, 10000);
    drain(fd, text, sizeof text);
    cr_expect_not_null(strstr(text, " log_dropped="), "%s", text);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
    close(fd);
    free(directory);
}

/* A full disk; a descriptor that was closed, whose number must not become a socket's; a reader that has gone. */
Test(relay_environment, without_a_place_for_its_log_it_publishes_and_writes_nowhere_else__P5__row_51)
{
    static const char *const starts[] = {
        "\"$binary\" \"$@\" 2> /dev/full",
        "\"$binary\" \"$@\" < /dev/null > /dev/null 2>&-",
        "\"$binary\" \"$@\" <&- >&- 2>&-",
        "\"$binary\" \"$@\" 2> \"$directory/log\"",
    };
    enum { STARTS = sizeof starts / sizeof *starts };
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "orders", 1, NULL);
    char *binary = must_strdup(getenv("OUTBOXD_BIN") ? getenv("OUTBOXD_BIN") : "build/outboxd");
    for (size_t i = 0; i < STARTS; i++) {
        setenv("OUTBOXD_BIN", binary, 1);
        char *directory = start_by(starts[i]);
        int fd = i == STARTS - 1 ? open_log(directory) : -1;
        setup_run(&setup, (const char *[]){"log/level=debug", "kafka/debug=broker", NULL});
        if (fd >= 0)
            close(fd);
        publish(&setup, topic);
        setup_wait_confirmed(&setup, 10000);
        wait_for(dropped(&setup) > 0, 5000);
        cr_expect_eq(daemon_http(setup.relay, "/health/ready", NULL), 200, "%s", starts[i]);
        cr_expect_eq(daemon_terminate(setup.relay), 0);
        free(directory);
    }
    setup_expect_all_once(&setup, 10000);
    free(binary);
    setup_end(&setup);
}
