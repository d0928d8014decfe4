/* relay_ring.c: the ring of slots goes round under load (P1, P4): a ring of twelve seconds, three laps of it, while an open
 * transaction, a prepared one and a pg_dump hold slots back. No event is lost, no writer waits, and the outbox does not grow. */
#include "relay_setup.h"

#include "base/clock.h"
#include "support/load.h"
#include "support/scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(relay_ring, .timeout = 240);

#define WRITERS 3
#define SLOTS 12
#define SLOT_WIDTH_US 1000000
#define RETENTION_S 4
/* Old and still there: until a slot is looked at again, and its last event is older than the retention. */
#define LATE_S 4

struct writer {
    pthread_t thread;
    PGconn *connection;
    const char *topic;
    atomic_bool *stop;
    int64_t events, longest_us;
};

static void *
write_events(void *context)
{
    struct writer *writer = context;
    char *sql = must_format("insert into outbox.event (topic, key, payload)"
                            " select '%s', convert_to('k' || i, 'UTF8'), convert_to(repeat('payload ', 25), "
                            "'UTF8') from generate_series(1, 4) i",
                            writer->topic);
    while (!atomic_load(writer->stop)) {
        int64_t from_us = clock_monotonic_us();
        postgres_exec(writer->connection, "%s", sql);
        int64_t took_us = clock_monotonic_us() - from_us;
        writer->longest_us = took_us > writer->longest_us ? took_us : writer->longest_us;
        writer->events += 4;
        wait_turn(INT64_MAX);
    }
    free(sql);
    return NULL;
}

/* How often the relay has emptied a slot; slot -1: any. */
static int
emptied(const struct setup *setup, int slot)
{
    char *log = daemon_log(setup->relay), line[64] = "slot emptied slot=";
    int count = 0;
    if (slot >= 0)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%d\n", slot);
    for (const char *at = log; (at = strstr(at, line)) != NULL; at++)
        count++;
    free(log);
    return count;
}

/* An event in a transaction that stays open; returns its slot. */
static int
hold_slot(PGconn *connection, const char *topic)
{
    int64_t id = 0;
    postgres_exec(connection, "begin");
    id = postgres_int(connection, "select outbox.emit('%s', 'held', '1')", topic);
    return (int)postgres_int(connection, "select extract(epoch from now())::bigint %% %d + 0 * %lld", SLOTS,
                             (long long)id);
}

static int64_t
seconds(PGconn *connection)
{
    return postgres_int(connection, "select extract(epoch from clock_timestamp())::bigint");
}

static int64_t
ready_slots(PGconn *admin)
{
    return postgres_int(admin,
                        "select count(*) from generate_series(0, %d) i where outbox.slot_state(i) = 'ready'",
                        SLOTS - 1);
}

/* A pg_dump whose output nobody reads holds its locks on every slot, until the end of this function: for as long as it takes
 * until three slots could go. */
static void
dump_meanwhile(struct setup *setup)
{
    char *directory = scratch_directory("dump"), *fifo = must_format("%s/fifo", directory);
    char *program = postgres_program("pg_dump"), *bytes = must_calloc(1, 1 << 16);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    int fd = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    const char *argv[] = {
        program,  "--dbname", postgres_conninfo(setup->postgres, setup->database, POSTGRES_ADMIN),
        "--file", fifo,       NULL};
    pid_t dump = process_start(&(struct process_options){.argv = argv, .death_signal = SIGKILL});
    wait_for(postgres_int(setup->admin,
                          "select count(distinct l.relation) from pg_locks l join pg_class c on c.oid ="
                          " l.relation join pg_stat_activity a using (pid) where a.application_name ="
                          " 'pg_dump' and c.relname like 'event\\_%%' and c.relkind = 'r' and l.granted") ==
                 SLOTS,
             20000);
    int before = emptied(setup, -1);
    wait_for(ready_slots(setup->admin) >= 3, 20000);
    cr_assert_leq(emptied(setup, -1) - before, 1,
                  "a slot was emptied under pg_dump"); /* one may have begun before */
    int exit_code = 0;
    int64_t deadline_us = wait_deadline_us(20000);
    while (!process_ended(dump, &exit_code))
        if (read(fd, bytes, 1 << 16) <= 0 && !wait_turn(deadline_us))
            cr_assert(false, "pg_dump does not end");
    cr_assert_eq(exit_code, 0);
    close(fd);
    free(bytes);
    free(program);
    free(fifo);
    free(directory);
}

/* Two laps and a half: slots held by an open and by a prepared transaction for more than a lap, and by a pg_dump. */
static void
disturb(struct setup *setup, const char *topic)
{
    PGconn *open_one = postgres_open(setup->postgres, setup->database, POSTGRES_WRITER);
    PGconn *prepared = postgres_open(setup->postgres, setup->database, POSTGRES_WRITER);
    int64_t start = seconds(setup->admin);
    int slots[2] = {hold_slot(open_one, topic)};
    wait_for(seconds(setup->admin) >= start + 2, 10000);
    slots[1] = hold_slot(prepared, topic);
    cr_assert_neq(slots[0], slots[1]);
    postgres_exec(prepared, "prepare transaction 'ring_%s'", setup->database);
    int before[2] = {emptied(setup, slots[0]), emptied(setup, slots[1])};
    dump_meanwhile(setup);
    wait_for(seconds(setup->admin) >= start + SLOTS + 4, 60000); /* both slots have come round */
    wait_for(emptied(setup, -1) >= SLOTS / 2, 20000);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(emptied(setup, slots[i]), before[i], "slot %d was emptied under an open transaction",
                     slots[i]);
    postgres_exec(open_one, "commit");
    postgres_exec(prepared, "commit prepared 'ring_%s'", setup->database);
    for (int i = 0; i < 2; i++)
        wait_for(emptied(setup, slots[i]) > before[i], 30000); /* in its next lap */
    wait_for(seconds(setup->admin) >= start + 3 * SLOTS, 60000);
    PQfinish(prepared);
    PQfinish(open_one);
}

Test(relay_ring, slots_come_round_three_times_under_load_and_are_emptied_when_old_and_confirmed__P1__P4)
{
    struct postgres *server = postgres_shared();
    struct setup setup = setup_begin_in(server, broker_shared(), postgres_create_ring(server, SLOT_WIDTH_US));
    struct writer writers[WRITERS];
    atomic_bool stop = false;
    char *retention = must_format("retention=%ds", RETENTION_S);
    const char *topic = setup_topic(&setup, "ring", 3, NULL);
    load_prepare(setup.admin); /* for its ledger: what was emptied is known by it */
    setup_run(&setup, (const char *[]){retention, NULL});
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.connection = postgres_open(server, setup.database, POSTGRES_WRITER),
                                     .topic = topic,
                                     .stop = &stop};
        postgres_exec(writers[i].connection, "set lock_timeout = '1s'"); /* nobody holds up a writer */
        cr_assert_eq(pthread_create(&writers[i].thread, NULL, write_events, &writers[i]), 0);
    }
    disturb(&setup, topic);
    /* under load still: whatever is older than the retention goes, and only that is left which is not */
    wait_for(postgres_int(setup.admin,
                          "select count(*) from outbox.event where created_at <"
                          " clock_timestamp() - interval '%d s'",
                          RETENTION_S + LATE_S) == 0,
             20000);
    int64_t left = postgres_int(setup.admin, "select count(*) from outbox.event");
    int64_t young = postgres_int(setup.admin,
                                 "select count(*) from outbox.event where created_at >"
                                 " clock_timestamp() - interval '%d s'",
                                 RETENTION_S - 1);
    atomic_store(&stop, true);
    int64_t events = 2, longest_us = 0;
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        PQfinish(writers[i].connection);
        events += writers[i].events;
        longest_us = writers[i].longest_us > longest_us ? writers[i].longest_us : longest_us;
    }
    int64_t bytes = postgres_int(setup.admin, "select sum(pg_total_relation_size(relid))::bigint"
                                              " from pg_partition_tree('outbox.event') where isleaf");
    fprintf(stderr, "ring: %lld events, %lld left (%lld KiB), %d slots emptied, longest insert %.1f ms\n",
            (long long)events, (long long)left, (long long)bytes / 1024, emptied(&setup, -1),
            (double)longest_us / 1000);
    cr_assert_gt(young, 0, "what is within the retention stays");
    cr_assert_lt(left, events / 2, "the outbox grows");
    for (int slot = 0; slot < SLOTS; slot++)
        cr_assert_geq(emptied(&setup, slot), 1, "slot %d was never emptied", slot);

    setup_wait_confirmed(&setup, 20000);
    struct expected_events ledger = {0};
    load_read_ledger(&ledger, setup.admin);
    cr_assert_eq((int64_t)ledger.count, events);
    struct verdict verdict = checker_compare(&ledger, broker_bootstrap(setup.broker),
                                             (const char *[]){topic, NULL}, DAEMON_SOURCE);
    cr_assert(verdict_clean(&verdict) && verdict.duplicates == 0, "%s", verdict.examples);
    expected_free(&ledger);
    free(retention);
    setup_end(&setup);
}
