/* contract_workers.c: several workers of the contract example at once, some of them killed, stopped or cut off; and the whole way to
 * Kafka. However it goes, each version of a contract is stored once, in order, with its event. */
#include "contract_world.h"

#include "support/checker.h"
#include "support/consumer.h"
#include "support/kafka.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 3
#define CONTRACTS 60
#define VERSIONS 4
#define KILLS 12

static void
want_all(const struct world *world)
{
    postgres_exec(world->admin,
                  "insert into contract_job (contract_id) select 'C-' || n from generate_series(1, %d) n"
                  " on conflict (contract_id) do update set due_at = now(), attempts = 0",
                  CONTRACTS);
}

static bool
all_are_stored(const struct world *world, int version)
{
    return postgres_int(world->admin, "select count(*) from contract where version = %d", version) ==
               CONTRACTS &&
           postgres_int(world->admin, "select count(*) from contract_job where due_at < 'infinity'"
                                      " or claimed_until is not null") == 0;
}

static pid_t
start_worker(const struct world *world, int number)
{
    static const char *const patience[] = {"--deadline-ms", "2000", NULL};
    return world_start_worker(world, number, patience);
}

static void
start_workers(const struct world *world, pid_t workers[WORKERS])
{
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start_worker(world, i);
}

static void
stop_workers(const pid_t workers[WORKERS])
{
    for (int i = 0; i < WORKERS; i++)
        kill(workers[i], SIGTERM);
    for (int i = 0; i < WORKERS; i++)
        cr_expect_eq(process_wait(workers[i], 15000), 0);
}

/* Every contract in each version, by several at once; each version before all have got it changes under their hands. */
static void
work_through_versions(struct world *world)
{
    pid_t workers[WORKERS];
    start_workers(world, workers);
    for (int version = 1; version <= VERSIONS; version++) {
        world_say_many(world, CONTRACTS, version, "");
        want_all(world);
        wait_for(postgres_int(world->admin, "select count(*) from contract where version = %d", version) >=
                     CONTRACTS / 3,
                 60000);
    }
    want_all(world);
    wait_for(all_are_stored(world, VERSIONS), 60000);
    stop_workers(workers);
}

Test(contract_workers, several_workers_store_no_version_twice_and_none_out_of_order, .timeout = 180)
{
    struct world *world = world_start();
    work_through_versions(world);
    int64_t with_work = 0;
    for (int i = 0; i < WORKERS; i++) {
        char *path = must_format("%s/worker-%d", world->directory, i), *said = scratch_read_file(path);
        with_work += strstr(said, " stored\n") != NULL;
        cr_expect(strstr(said, "contract: ") == NULL, "worker %d complains: %s", i, said);
        free(said);
        free(path);
    }
    cr_expect_eq(with_work, WORKERS, "some worker had nothing to do: this shows nothing");
    world_expect_whole(world);
    world_end(world);
}

/* Its answer is held back, its claim ends, another one stores a newer version: then it comes back. */
Test(contract_workers, a_worker_that_lost_its_claim_stores_nothing)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 2, "{'path': '*page=1', 'do': 'hold', 'times': 1}");
    postgres_exec(world->admin, "insert into contract_job (contract_id) values ('C-1')");
    pid_t late = world_start_worker(world, 1, NULL);
    wait_for(world_count(world, "requests", "/contracts/C-1/items?page=1") == 1, 20000);
    world_end_claims(world);
    world_say_one(world, "C-1", 2, 4, "{'path': '*page=2', 'do': 'hold', 'times': 1}");
    pid_t other = world_start_worker(world, 2, NULL);
    wait_for(world_count(world, "requests", "/contracts/C-1/items?page=2") == 1, 20000);
    kill(other, SIGSTOP);
    world_release(world);

    char *path = must_format("%s/worker-1", world->directory), *said = NULL;
    wait_for((free(said), said = scratch_read_file(path), strstr(said, "\n") != NULL), 20000);
    cr_expect_str_eq(said, "contract: C-1: another worker has claimed C-1 since; what it stores counts\n");
    cr_expect_eq(postgres_int(world->admin, "select count(*) from contract"), 0,
                 "who lost the claim has stored something");
    kill(other, SIGCONT);
    wait_for(postgres_int(world->admin, "select count(*) from contract where version = 2") == 1, 20000);
    kill(late, SIGTERM);
    kill(other, SIGTERM);
    cr_expect_eq(process_wait(late, 15000), 0);
    cr_expect_eq(process_wait(other, 15000), 0);
    cr_expect_eq(postgres_int(world->admin, "select count(*) from outbox.event"), 1);
    world_expect_whole(world);
    free(said);
    free(path);
    world_end(world);
}

Test(contract_workers,
     workers_that_are_killed_again_and_again_leave_nothing_half_and_all_is_stored_in_the_end, .timeout = 240)
{
    struct world *world = world_start();
    pid_t workers[WORKERS];
    world_say_many(world, CONTRACTS, 1, "");
    want_all(world);
    start_workers(world, workers);
    int version = 1;
    for (int i = 0; i < KILLS; i++) {
        int64_t before = postgres_int(world->admin, "select count(*) from outbox.event");
        wait_for(postgres_int(world->admin, "select count(*) from outbox.event") >= before + 7 + i, 60000);
        kill(workers[i % WORKERS], SIGKILL);
        process_wait(workers[i % WORKERS], 10000);
        world_expect_whole(world);
        workers[i % WORKERS] = start_worker(world, i % WORKERS);
        if (i % 3 == 2)
            world_say_many(world, CONTRACTS, ++version, "");
        want_all(world);
    }
    want_all(world);
    wait_for(all_are_stored(world, version), 90000); /* the claims of the dead end after 17 seconds */
    stop_workers(workers);
    world_expect_whole(world);
    world_end(world);
}

Test(contract_workers, a_worker_whose_connection_is_cut_comes_back_and_the_contract_is_stored_once)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3, "{'path': '*page=2', 'do': 'hold', 'times': 1}");
    postgres_exec(world->admin, "insert into contract_job (contract_id) values ('C-1')");
    pid_t worker = world_start_worker(world, 1, NULL);
    wait_for(world_count(world, "requests", "/contracts/C-1/items?page=2") == 1, 20000);
    postgres_exec(world->admin,
                  "select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'"
                  " and datname = current_database()",
                  POSTGRES_WRITER);
    world_release(world);
    char *path = must_format("%s/worker-1", world->directory), *said = NULL;
    wait_for((free(said), said = scratch_read_file(path), strstr(said, "contract: C-1: ") != NULL), 20000);
    cr_expect_eq(postgres_int(world->admin, "select count(*) from contract"), 0);
    world_end_claims(world);
    wait_for(postgres_int(world->admin, "select count(*) from contract_job where outcome = 'stored'") == 1,
             20000);
    kill(worker, SIGTERM);
    cr_expect_eq(process_wait(worker, 15000), 0);
    cr_expect_eq(postgres_int(world->admin, "select count(*) from outbox.event"), 1);
    world_expect_whole(world);
    free(said);
    free(path);
    world_end(world);
}

Test(contract_workers, what_is_stored_arrives_in_kafka_once_and_in_the_order_of_the_versions__P1_P2,
     .timeout = 180)
{
    struct world *world = world_start();
    struct broker *broker =
        broker_start(NULL); /* the program's topic has one name: no other test may have used it */
    const char *topics[] = {"contract.stored", NULL};
    broker_create_topic(broker, topics[0], 3, NULL);
    struct daemon *daemon = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(world->postgres, world->database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(broker)});
    daemon_wait_ready(daemon);
    work_through_versions(world);

    int64_t events = postgres_int(world->admin, "select count(*) from outbox.event");
    cr_expect_gt(events, CONTRACTS);
    wait_for(consumer_count(broker_bootstrap(broker), topics[0]) >= events, 30000);
    cr_expect_eq(daemon_terminate(daemon), 0);
    struct expected_events expected = {0};
    expected_read_outbox(&expected, world->admin);
    struct verdict verdict = checker_compare(&expected, broker_bootstrap(broker), topics, DAEMON_SOURCE);
    cr_expect(verdict_clean(&verdict));
    cr_expect_eq(verdict.duplicates, 0, "nothing was disturbed, so nothing may come twice");
    world_expect_whole(world);

    expected_free(&expected);
    daemon_free(daemon);
    broker_free(broker);
    world_end(world);
}
