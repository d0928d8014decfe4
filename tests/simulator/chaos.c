/* chaos.c: see chaos.h. A fault of another kind, the database that loses history because an asynchronous standby was promoted, has
 * its place in `blows` when there is a way to go on after it. */
#include "simulator/chaos.h"

#include "simulator/cluster.h"
#include "simulator/database.h"
#include "simulator/process.h"

#include <inttypes.h>

static struct process *
any_process(void)
{
    return &processes[world_between(0, MODEL_PROCESSES - 1)];
}

static void
kill_one(void)
{
    struct process *process = any_process();
    if (process->relay != NULL)
        process_kill(process);
}

static void
stop_one(void)
{
    struct process *process = any_process();
    if (process->relay != NULL)
        process_stop(process);
}

/* It knows nothing of the time that has passed. */
static void
pause_one(void)
{
    struct process *process = any_process();
    int64_t most_us = world_chance(50) ? 3 * model.settings.lease_us : 30 * MS;
    process->paused_until_us = world.now_us + world_between(1, most_us);
    trace("process %d: is paused for %" PRId64 " ms", process->number,
          (process->paused_until_us - world.now_us) / MS);
}

static void
renew_one(void)
{
    struct process *process = any_process();
    if (process->relay == NULL)
        return;
    trace("process %d: gets other secrets", process->number);
    relay_renew(process->relay, true);
}

static void
cut_one(void)
{
    struct process *process = any_process();
    process->cut_until_us = world.now_us + world_between(1, 2 * model.settings.lease_us);
    trace("process %d: is cut from Postgres for %" PRId64 " ms", process->number,
          (process->cut_until_us - world.now_us) / MS);
}

static void
start_postgres(void *subject)
{
    (void)subject;
    trace("postgres: is back");
    database.down = false;
}

static void
crash_postgres(void)
{
    if (database.down)
        return;
    trace("postgres: crashes");
    database_crash();
    database.down = true;
    world_after(world_between(0, 700) * MS, start_postgres, NULL);
    for (int i = 0; i < MODEL_PROCESSES; i++)
        process_wake(&processes[i]);
}

static void
start_kafka(void *subject)
{
    (void)subject;
    trace("kafka: is back");
    cluster.down = false;
}

static void
stop_kafka(void)
{
    if (cluster.down)
        return;
    trace("kafka: is away");
    cluster.down = true;
    world_after(world_between(0, 1200) * MS, start_kafka, NULL);
}

static void
break_topic(void)
{
    int topic = (int)world_between(0, world_chance(10) ? MODEL_COPIES : MODEL_TOPICS - 1);
    trace("kafka: topic %s takes nothing", model_topic_name(topic));
    cluster.faulty_until_us[topic] = world.now_us + world_between(0, world_chance(70) ? 800 : 4000) * MS;
}

static void
poison(void)
{
    cluster.poison_id = database.sequence + world_between(1, 4);
    cluster.poison_until_us = world.now_us + world_between(0, 1500) * MS;
    trace("kafka: event %" PRId64 " is refused", cluster.poison_id);
}

/* Kafka may give up a producer for its own reasons. */
static void
fence(void)
{
    trace("kafka: fences everybody");
    (void)cluster_init();
}

static void
set_clock(void)
{
    database.wall_us += world_between(-5000, 5000) * MS;
    trace("postgres: its clock is set");
}

static void
blow(void *subject)
{
    static void (*const blows[])(void) = {kill_one,  kill_one,    stop_one,       pause_one,  pause_one,
                                          renew_one, cut_one,     crash_postgres, stop_kafka, fence,
                                          set_clock, break_topic, break_topic,    poison};
    (void)subject;
    if (world.calm)
        return;
    blows[world_between(0, sizeof blows / sizeof blows[0] - 1)]();
    world_after(world_between(1, 2 * model.blow_us), blow, NULL);
}

static void
heal(void *subject)
{
    (void)subject;
    trace("everything heals");
    world.calm = true;
    database.down = false;
    cluster.down = false;
    cluster.poison_id = 0;
    for (int i = 0; i <= MODEL_COPIES; i++)
        cluster.faulty_until_us[i] = 0;
    for (size_t i = 0; i < database.rows_count; i++)
        if (database.rows[i]->refused_until_us != INT64_MAX)
            database.rows[i]->refused_until_us = 0;
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        struct process *process = &processes[i];
        process->paused_until_us = 0;
        process->cut_until_us = 0;
        if (process->relay == NULL)
            process_start(process);
    }
}

void
chaos_begin(void)
{
    world_after(world_between(0, model.blow_us), blow, NULL);
    world_after(model.chaos_us, heal, NULL);
}
