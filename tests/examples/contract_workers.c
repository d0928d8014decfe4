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
#include <stdlib.h>
#include <string.h>

#define WORKERS 3
#define CONTRACTS 60
#define VERSIONS 4
#define KILLS 12

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
        world_stop(workers[i]);
}

/* Every contract in each version, by several at once; each version before all have got it changes under their hands. */
static void
work_through_versions(struct world *world)
{
    pid_t workers[WORKERS];
    start_workers(world, workers);
    for (int version = 1; version <= VERSIONS; version++) {
        world_say_many(world, CONTRACTS, version, "");
        world_want(world, 1, CONTRACTS);
        wait_for(postgres_int(world->admin, "select count(*) from contract where version = %d", version) >=
                     CONTRACTS / 3,
                 60000);
    }
    world_want(world, 1, CONTRACTS);
    wait_for(all_are_stored(world, VERSIONS), 60000);
    stop_workers(workers);
}

Test(contract_workers, several_workers_store_no_version_twice_and_none_out_of_order, .timeout = 180)
{
    struct world *world = world_start();
    work_through_versions(world);
    int64_t with_work = 0;
    for (int i = 0; i < WORKERS; i++) {
        char *said = world_said(world, i);
        with_work += strstr(said, " stored\n") != NULL;
        cr_expect(strstr(said, "contract: ") == NULL, "worker %d complains: %s", i, said);
        free(said);
    }
    cr_expect_eq(with_work, WORKERS, "some worker had nothing to do: this shows nothing");
    world_expect_whole(world);
    world_end(world);
}

/* Its answer is held back, its claim ends, another one stores a newer version: then it comes back. */
Test(contract_workers, a_worker_that_lost_its_claim_stores_nothing)
{
    struct world *world = world_start();
    pid_t late = world_start_and_hold(world);
    world_end_claims(world);
    world_say_one(world, "C-1", 2, 5, "{'path': '*page=3', 'do': 'hold', 'times': 1}");
    pid_t other = world_start_worker(world, 2, NULL);
    world_wait_asked(world, "/contracts/C-1/items?page=3");
    process_pause(other);
    world_release(world);

    char *said = world_wait_said(world, 1, "\n");
    cr_expect_str_eq(said, "contract: C-1: another worker has claimed C-1 since; what it stores counts\n");
    cr_expect_eq(world_count_rows(world, "contract"), 0, "who lost the claim has stored something");
    process_continue(other);
    wait_for(postgres_int(world->admin, "select count(*) from contract where version = 2") == 1, 20000);
    world_stop(late);
    world_stop(other);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 1);
    world_expect_whole(world);
    free(said);
    world_end(world);
}

Test(contract_workers,
     workers_that_are_killed_again_and_again_leave_nothing_half_and_all_is_stored_in_the_end, .timeout = 240)
{
    struct world *world = world_start();
    pid_t workers[WORKERS];
    world_say_many(world, CONTRACTS, 1, "");
    world_want(world, 1, CONTRACTS);
    start_workers(world, workers);
    int version = 1;
    for (int i = 0; i < KILLS; i++) {
        int64_t before = world_count_rows(world, "outbox.event");
        wait_for(world_count_rows(world, "outbox.event") >= before + 7 + i, 60000);
        world_kill(workers[i % WORKERS]);
        world_expect_whole(world);
        workers[i % WORKERS] = start_worker(world, i % WORKERS);
        world_say_many(world, CONTRACTS, ++version, ""); /* so that there is enough to store */
        world_want(world, 1, CONTRACTS);
    }
    world_want(world, 1, CONTRACTS);
    wait_for(all_are_stored(world, version), 90000); /* the claims of the dead end after 17 seconds */
    stop_workers(workers);
    world_expect_whole(world);
    world_end(world);
}

Test(contract_workers, a_worker_whose_connection_is_cut_comes_back_and_the_contract_is_stored_once)
{
    struct world *world = world_start();
    pid_t worker = world_start_and_hold(world);
    postgres_exec(world->admin,
                  "select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'"
                  " and datname = current_database()",
                  POSTGRES_WRITER);
    world_release(world);
    char *said = world_wait_said(world, 1, "contract: C-1: ");
    cr_expect_eq(world_count_rows(world, "contract"), 0);
    world_end_claims(world);
    world_wait_jobs(world, 1, "outcome = 'stored'");
    world_stop(worker);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 1);
    world_expect_whole(world);
    free(said);
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

    int64_t events = world_count_rows(world, "outbox.event");
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
