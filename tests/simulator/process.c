/* process.c: see process.h. Gives the relays their turns as src/command/run.c does, on a clock of their own. */
#include "simulator/process.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* As in src/command/run.c: a wake-up that is lost costs no more. */
#define LONGEST_WAIT_US (100 * MS)
/* Nobody may spin: a turn and the next are so far apart at least. */
#define TURN_US 5
/* So many turns, each at once after the one before, are no work: nothing that a relay does goes on for ten milliseconds by itself. */
#define TURNS_MOST 2000

struct process processes[MODEL_PROCESSES];
struct process *turning;

void
processes_begin(void)
{
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        processes[i] = (struct process){.number = i, .clock_permille = 1000};
        processes[i].clock_origin_us = world_between(1, 1000000) * MS;
        processes[i].clock_begin_us = world.now_us;
        if (model.drifts)
            processes[i].clock_permille = world_between(500, 2000);
        process_start(&processes[i]);
    }
}

int64_t
process_clock_us(const struct process *process)
{
    return process->clock_origin_us +
           (world.now_us - process->clock_begin_us) * process->clock_permille / 1000;
}

/* When its clock will show that. */
static int64_t
world_time_us(const struct process *process, int64_t clock_us)
{
    int64_t most = process_clock_us(process) + LONGEST_WAIT_US;
    if (clock_us > most)
        clock_us = most;
    int64_t passed = clock_us - process->clock_origin_us;
    return process->clock_begin_us + (passed * 1000 + process->clock_permille - 1) / process->clock_permille;
}

struct process *
processes_next(int64_t *due_us)
{
    struct process *first = NULL;
    *due_us = CLOCK_NEVER;
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        struct process *process = &processes[i];
        int64_t due = process->due_us > process->paused_until_us ? process->due_us : process->paused_until_us;
        if (process->relay == NULL || due >= *due_us)
            continue;
        *due_us = due;
        first = process;
    }
    return first;
}

static void
start_again(void *subject)
{
    struct process *process = subject;
    if (process->relay == NULL)
        process_start(process);
}

static void
forget(struct process *process)
{
    turning = process;
    relay_free(process->relay);
    turning = NULL;
    process->relay = NULL;
    process->paused_until_us = 0;
    world_after(world.calm ? 0 : world_between(0, 800) * MS, start_again, process);
}

void
process_turn(struct process *process)
{
    turning = process;
    int64_t deadline_us = relay_turn(process->relay, process_clock_us(process));
    turning = NULL;
    int64_t due_us = world_time_us(process, deadline_us);
    bool at_once = due_us <= world.now_us + TURN_US;
    process->due_us = at_once ? world.now_us + TURN_US : due_us;
    process->turns_at_once = at_once ? process->turns_at_once + 1 : 0;
    if (process->turns_at_once > TURNS_MOST)
        world_find("process %d turns without end", process->number);
    if (relay_state(process->relay) != RELAY_STOPPED)
        return;
    const struct error *failure = relay_failure(process->relay);
    if (failure->kind != ERROR_NONE)
        world_find("process %d stops for good: %.300s", process->number, failure->message);
    trace("process %d: has stopped", process->number);
    forget(process);
}

void
process_wake(struct process *process)
{
    if (world.now_us < process->due_us)
        process->due_us = world.now_us;
}

void
process_name(struct process *process, const char *application)
{
    const char *space = strrchr(application, ' ');
    CHECK(space != NULL && strlen(space + 1) == SESSION_NAME_HOLDER);
    snprintf(process->holder, sizeof process->holder, "%.*s", SESSION_NAME_HOLDER, space + 1);
    process->fenced_from_us = world.now_us;
}

void
processes_led_by(const char *holder, int64_t epoch)
{
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        struct process *process = &processes[i];
        if (strncmp(process->holder, holder, SESSION_NAME_HOLDER) == 0) {
            process->fenced_from_us = 0;
            process->epoch = epoch;
        } else if (process->fenced_from_us == 0) {
            process->fenced_from_us = world.now_us;
        }
    }
}

void
process_start(struct process *process)
{
    struct error error;
    process->settings = model.settings;
    bool other = model.switches && world_fault(40);
    if (other)
        process->settings.delivery = process->settings.delivery == DELIVERY_EXACTLY_ONCE
                                         ? DELIVERY_AT_LEAST_ONCE
                                         : DELIVERY_EXACTLY_ONCE;
    if (model.policy_switches && world_fault(40))
        process->settings.dead_letter_policy = world_chance(50) ? DEAD_LETTER_HOLD_KEY : DEAD_LETTER_SKIP;
    turning = process;
    bool made = relay_new(&process->relay, &process->settings, &error);
    turning = NULL;
    CHECK(made);
    process->due_us = world.now_us;
    trace("process %d: starts as %s, %s", process->number, process->holder,
          process->settings.delivery == DELIVERY_EXACTLY_ONCE ? "exactly once" : "at least once");
}

void
process_kill(struct process *process)
{
    trace("process %d: is killed", process->number);
    forget(process);
}

void
process_strike(void *subject)
{
    struct process *process = subject;
    if (process->relay != NULL && !world.calm)
        process_kill(process);
}

void
process_stop(struct process *process)
{
    trace("process %d: is asked to stop", process->number);
    turning = process;
    relay_stop(process->relay, process_clock_us(process));
    turning = NULL;
    process_wake(process);
}

void
processes_free(void)
{
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        turning = &processes[i];
        relay_free(processes[i].relay);
        processes[i].relay = NULL;
    }
    turning = NULL;
}
