/* commands_tail_follow.c: `outboxd tail -f`, the real binary: shows whatever commits, once, also what commits behind greater
 * ids; survives the loss of Postgres; holds nothing open; and ends when it is told to, or when nobody reads it. */
#include "commands_fixture.h"

#include "support/load.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(commands_tail_follow, .timeout = 180);

struct follower {
    pid_t pid;
    char *config, *directory, *out, *err;
};

static struct follower
follow(const struct outbox *outbox, const char *from)
{
    struct follower follower = {.config = command_config(outbox, POSTGRES_RELAY, NULL),
                                .directory = scratch_directory("follow")};
    follower.out = must_format("%s/out", follower.directory);
    follower.err = must_format("%s/err", follower.directory);
    const char *argv[] = {
        getenv("OUTBOXD_BIN"), "tail", "--config", follower.config, "-f", "--json", from, NULL};
    follower.pid = process_start(&(struct process_options){
        .argv = argv, .output_path = follower.out, .error_path = follower.err, .death_signal = SIGKILL});
    return follower;
}

static void
end_following(struct follower *follower, int signal)
{
    cr_assert_eq(kill(follower->pid, signal), 0);
    cr_expect_eq(process_wait(follower->pid, 10000), 0);
    free(follower->out);
    free(follower->err);
    free(follower->directory);
    free(follower->config);
}

/* How many times each id was printed. In the order of the lines: `ids`, which the caller frees. */
static size_t
read_ids(const struct follower *follower, int64_t **ids)
{
    char *text = scratch_read_file(follower->out);
    size_t count = 0;
    *ids = must_calloc(strlen(text) / 8 + 1, sizeof **ids);
    for (const char *at = text; (at = strstr(at, "{\"id\":")) != NULL; at++)
        (*ids)[count++] = strtoll(at + 6, NULL, 10);
    free(text);
    return count;
}

static size_t
printed(const struct follower *follower, int64_t id)
{
    int64_t *ids;
    size_t count = read_ids(follower, &ids), times = 0;
    for (size_t i = 0; i < count; i++)
        times += ids[i] == id;
    free(ids);
    return times;
}

static bool
said(const struct follower *follower, const char *what)
{
    char *text = scratch_read_file(follower->err);
    bool found = strstr(text, what) != NULL;
    free(text);
    return found;
}

static int64_t
emit(PGconn *writer)
{
    return postgres_int(writer, "select outbox.emit('orders', 'k', '{}')");
}

Test(commands_tail_follow, an_event_that_commits_behind_greater_ids_is_not_lost__P1)
{
    struct outbox outbox = outbox_open();
    PGconn *before = outbox_session(&outbox, POSTGRES_WRITER),
           *during = outbox_session(&outbox, POSTGRES_WRITER);
    postgres_exec(before, "begin");
    int64_t early = emit(before);
    postgres_exec(outbox.writer, "begin");
    int64_t undecided = emit(outbox.writer);
    postgres_exec(outbox.writer, "prepare transaction 'tail_undecided'");
    int64_t there = emit(outbox.writer);
    struct follower follower = follow(&outbox, "-n1");
    wait_for(printed(&follower, there) == 1, 20000);

    postgres_exec(during, "begin");
    int64_t late = emit(during);
    postgres_exec(during, "savepoint undone");
    int64_t undone = emit(during);
    postgres_exec(during, "rollback to undone");
    int64_t next = emit(outbox.writer);
    wait_for(printed(&follower, next) == 1, 20000);
    postgres_exec(during, "commit");
    wait_for(printed(&follower, late) == 1, 20000);
    postgres_exec(before, "commit");
    wait_for(printed(&follower, early) == 1, 20000);
    postgres_exec(outbox.writer, "commit prepared 'tail_undecided'");
    wait_for(printed(&follower, undecided) == 1, 20000);

    int64_t *ids, expected[] = {there, next, late, early, undecided};
    cr_assert_eq(read_ids(&follower, &ids), 5);
    cr_expect_eq(memcmp(ids, expected, sizeof expected), 0);
    cr_expect_eq(printed(&follower, undone), 0);
    free(ids);
    end_following(&follower, SIGTERM);
    PQfinish(before);
    PQfinish(during);
    outbox_close(&outbox);
}

/* As virtual ticks of a relay (journal_ticks.c): between the snapshot of a look and its view of the sequence. */
Test(commands_tail_follow, an_event_between_the_snapshot_and_the_sequence_of_a_look_is_not_lost__P1)
{
    struct outbox outbox = outbox_open();
    struct follower follower = follow(&outbox, "--from=1");
    int64_t first = emit(outbox.writer);
    wait_for(printed(&follower, first) == 1, 20000);
    driver_close_gate(outbox.admin, "true");
    /* so that the prepared look is analysed again, and finds it */
    postgres_exec(outbox.admin, "alter table outbox.event alter column key set statistics 50");
    driver_await_gate(outbox.admin);
    int64_t between = emit(outbox.writer);
    driver_open_gate(outbox.admin);
    wait_for(printed(&follower, between) == 1, 20000);
    end_following(&follower, SIGTERM);
    outbox_close(&outbox);
}

/* Every committed event was printed, at most `most` times, and nothing else. */
static void
expect_all_printed(const struct outbox *outbox, const struct follower *follower, size_t most)
{
    int64_t *ids;
    size_t count = read_ids(follower, &ids), lost = 0, often = 0;
    PGresult *result = PQexec(outbox->admin, "select id from outbox.event order by id");
    cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK);
    size_t committed = (size_t)PQntuples(result), highest = 0;
    for (size_t i = 0; i < count; i++)
        highest = (size_t)ids[i] > highest ? (size_t)ids[i] : highest;
    size_t *times = must_calloc(highest + 1, sizeof *times), known = 0;
    for (size_t i = 0; i < count; i++)
        times[ids[i]]++;
    for (size_t row = 0; row < committed; row++) {
        size_t id = (size_t)atoll(PQgetvalue(result, (int)row, 0));
        size_t seen = id <= highest ? times[id] : 0;
        lost += seen == 0;
        often += seen > most;
        known += seen;
    }
    cr_expect(lost == 0 && often == 0 && known == count,
              "of %zu committed events %zu were not printed, %zu too often; %zu were never committed",
              committed, lost, often, count - known);
    PQclear(result);
    free(times);
    free(ids);
}

/* The last event of all is printed: nothing before it is under way. */
static void
await_last(const struct outbox *outbox, const struct follower *follower)
{
    int64_t last = emit(outbox->writer);
    wait_for(printed(follower, last) > 0, 60000);
}

Test(commands_tail_follow, under_a_hostile_load_every_committed_event_is_printed_once__P1)
{
    static const char *const topics[] = {"orders", "customers", NULL};
    struct outbox outbox = outbox_open();
    struct load_options options = {
        .admin = postgres_conninfo(outbox.server, outbox.database, POSTGRES_ADMIN),
        .writer = postgres_conninfo(outbox.server, outbox.database, POSTGRES_WRITER),
        .topics = topics,
    };
    load_prepare(outbox.admin);
    struct follower follower = follow(&outbox, "--from=1");
    struct load *load = load_start(&options);
    wait_for(load_committed_events(load) > 10000, 60000);
    load_stop(load);
    await_last(&outbox, &follower);
    expect_all_printed(&outbox, &follower, 1);
    cr_expect(!said(&follower, "outboxd tail"));
    end_following(&follower, SIGTERM);
    outbox_close(&outbox);
}

Test(commands_tail_follow, when_postgres_is_lost_it_says_so_and_misses_nothing__P1)
{
    struct postgres *server = postgres_start("max_prepared_transactions = 10");
    struct outbox outbox = outbox_open_in(server, postgres_create_database(server));
    struct follower follower = follow(&outbox, "--from=1");
    int64_t first = emit(outbox.writer);
    wait_for(printed(&follower, first) == 1, 20000);
    postgres_exec(outbox.writer, "begin");
    int64_t prepared = emit(outbox.writer);
    postgres_exec(outbox.writer, "prepare transaction 'over_the_crash'");
    int64_t second = emit(outbox.writer);
    wait_for(printed(&follower, second) == 1, 20000);

    postgres_kill(server);
    wait_for(said(&follower, "trying again: "), 20000);
    postgres_up(server);
    PQreset(outbox.writer);
    PQreset(outbox.admin);
    postgres_exec(outbox.writer, "commit prepared 'over_the_crash'");
    int64_t third = emit(outbox.writer);
    wait_for(printed(&follower, third) >= 1 && printed(&follower, prepared) >= 1, 60000);
    wait_for(said(&follower, "connected again"), 20000);

    postgres_exec(outbox.admin,
                  "select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'"
                  " and application_name = 'outboxd'",
                  POSTGRES_RELAY);
    await_last(&outbox, &follower);
    expect_all_printed(&outbox, &follower, 3);
    end_following(&follower, SIGINT);
    PQfinish(outbox.admin), PQfinish(outbox.writer), PQfinish(outbox.relay);
    postgres_free(server);
}

Test(commands_tail_follow, no_transaction_stays_open_and_nothing_is_written__P4)
{
    struct postgres *server = postgres_start("autovacuum = off"); /* nobody else takes a transaction number */
    struct outbox outbox = outbox_open_in(server, postgres_create_database(server));
    struct follower follower = follow(&outbox, "--from=1");
    await_last(&outbox, &follower);
    int64_t before = postgres_int(outbox.admin, "select txid_current()");
    for (int i = 0; i < 20; i++)
        wait_for(postgres_int(outbox.admin,
                              "select count(*) from pg_stat_activity where usename = '%s' and datname ="
                              " current_database() and application_name = 'outboxd' and state = 'idle'"
                              " and backend_xid is null and backend_xmin is null",
                              POSTGRES_RELAY) == 1,
                 10000);
    cr_expect_eq(postgres_int(outbox.admin,
                              "select count(*) from pg_locks l join pg_stat_activity a using (pid)"
                              " where a.usename = '%s' and a.datname = current_database()"
                              " and l.mode not in ('AccessShareLock', 'ExclusiveLock')",
                              POSTGRES_RELAY),
                 0);
    cr_expect_eq(postgres_int(outbox.admin, "select txid_current()"), before + 1);
    end_following(&follower, SIGTERM);
    outbox_close(&outbox);
}

/* `outboxd tail -f` into a pipe whose other end is `reader`. */
static pid_t
follow_into_pipe(const char *config, int *reader)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    char *out = must_format("/proc/%d/fd/%d", getpid(), ends[1]);
    const char *argv[] = {getenv("OUTBOXD_BIN"), "tail", "--config", config, "-f", "--from", "1", NULL};
    pid_t pid =
        process_start(&(struct process_options){.argv = argv, .output_path = out, .death_signal = SIGKILL});
    char first;
    cr_assert_eq(read(ends[0], &first, 1), 1);
    close(ends[1]);
    free(out);
    *reader = ends[0];
    return pid;
}

Test(commands_tail_follow, it_ends_when_nobody_reads_it_any_more_and_when_asked_while_nobody_reads)
{
    struct outbox outbox = outbox_open();
    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    int reader;
    emit_events(outbox.writer, "orders", 1);
    pid_t idle = follow_into_pipe(config, &reader);
    close(reader);
    cr_expect_eq(process_wait(idle, 10000), 0, "the pipe is closed, and there is nothing to write");

    emit_events(outbox.writer, "orders", 20000);
    pid_t stalled = follow_into_pipe(config, &reader);
    wait_for(postgres_int(outbox.admin, "select count(*) from pg_stat_activity where datname ="
                                        " current_database() and application_name = 'outboxd'"
                                        " and state_change < clock_timestamp() - interval '300 ms'") == 1,
             20000); /* it asks no more: the pipe is full */
    cr_assert_eq(kill(stalled, SIGTERM), 0);
    cr_expect_eq(process_wait(stalled, 10000), 0, "it was asked to end, and the pipe is full");
    close(reader);

    pid_t busy = follow_into_pipe(config, &reader);
    close(reader);
    cr_expect_eq(process_wait(busy, 10000), 0, "the pipe is closed while it writes");
    free(config);
    outbox_close(&outbox);
}
