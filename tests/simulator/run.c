/* run.c: one seed: draws its world, lets things happen in the order of their time, and has the judge look at the end. */
#include "simulator/run.h"

#include "base/clock.h"
#include "simulator/chaos.h"
#include "simulator/cluster.h"
#include "simulator/judge.h"
#include "simulator/people.h"
#include "simulator/process.h"
#include "simulator/tables.h"
#include "simulator/writers.h"

/* When everything is healed, and everything committed, all of it is published within so long: a lease that has to run out, the longest
 * back-offs, and a transaction that Kafka has to give up. */
#define DRAIN_MOST_US (40000 * MS)
/* What is still on its way arrives within so long. */
#define SETTLE_US (700 * MS)
#define LOOK_US (20 * MS)

/* Whatever comes first. */
static void
advance(int64_t until_us)
{
    while (world.finding[0] == '\0') {
        int64_t due_us;
        struct process *process = processes_next(&due_us);
        int64_t next_us = world_next_us();
        if (due_us >= until_us && next_us >= until_us)
            break;
        if (next_us <= due_us) {
            world_advance();
        } else {
            world.now_us = due_us > world.now_us ? due_us : world.now_us;
            process_turn(process);
        }
    }
    world.now_us = until_us;
}

static void
drain(void)
{
    int64_t until_us = world.now_us + DRAIN_MOST_US;
    while (world.finding[0] == '\0' && world.now_us < until_us && !judge_is_drained())
        advance(world.now_us + LOOK_US);
    if (world.finding[0] == '\0')
        judge_missing();
}

bool
run_seed(uint64_t seed, bool traced)
{
    world_begin(seed, traced);
    model_begin();
    database_begin();
    cluster_begin();
    tables_begin();
    processes_begin();
    writers_begin();
    chaos_begin();
    people_begin();
    while (world.finding[0] == '\0' && !(world.calm && writers_are_done()))
        advance(world.now_us + LOOK_US);
    drain();
    advance(world.now_us + SETTLE_US);
    if (world.finding[0] == '\0')
        judge_everything();
    processes_free();
    return world.finding[0] == '\0';
}
