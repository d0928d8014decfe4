/* transaction.c: how an exactly-once instance starts and commits, as src/kafka/transaction.c does it: in calls that take their time,
 * and may fail before, after or without what they were to do. Called by producer.c. */
#include "simulator/instance.h"

#include "simulator/process.h"

#include <stdio.h>

/* The order of a start. A mutant of the model reads the position first. */
#define READ_FIRST false

/* An end that was delayed arrives so late at most. */
#define LATE_US (3000 * MS)

static void
started(void *subject)
{
    struct instance *instance = subject;
    instance->started = true;
    instance_wake(instance);
}

static void
unanswered(void *subject)
{
    struct instance *instance = subject;
    instance_fail(instance, OUTCOME_BROKER, "_TIMED_OUT");
}

static bool
is_unreachable(void)
{
    return cluster.down || world_fault(model.kafka_percent);
}

static void fence(void *subject);

static void
read_position(void *subject)
{
    struct instance *instance = subject;
    if (is_unreachable()) {
        world_after(world_between(0, 500) * MS, unanswered, instance);
        return;
    }
    const char *text = cluster_position();
    instance->found.text = (char *)(uintptr_t)text;
    trace("kafka: instance %d finds %.60s", instance->serial, text != NULL ? text : "no position");
    world_after(kafka_latency_us(), READ_FIRST ? fence : started, instance);
}

static void
fence(void *subject)
{
    struct instance *instance = subject;
    if (is_unreachable()) {
        world_after(world_between(0, 500) * MS, unanswered, instance);
        return;
    }
    instance->epoch = cluster_init();
    world_after(kafka_latency_us(), READ_FIRST ? started : read_position, instance);
}

void
transaction_begin(struct instance *instance)
{
    snprintf(instance->found.cluster, sizeof instance->found.cluster, "simulated");
    world_after(kafka_latency_us(), READ_FIRST ? read_position : fence, instance);
}

/* ---- the commit ---- */

static void
fenced(void *subject)
{
    struct instance *instance = subject;
    instance_fail(instance, OUTCOME_FENCED, "_FENCED");
}

static void
commit_answered(void *subject)
{
    struct instance *instance = subject;
    instance->committed = true;
    instance_wake(instance);
}

/* An end that its producer does not wait for (any more). */
static void
end_unseen(void *subject)
{
    const struct instance *instance = subject;
    bool taken = cluster_commit(instance->epoch);
    trace("kafka: a late end of instance %d is %s", instance->serial, taken ? "taken" : "refused");
}

static void
end(void *subject)
{
    struct instance *instance = subject;
    bool taken = cluster_commit(instance->epoch);
    int64_t answer_us = kafka_latency_us();
    world_after(answer_us, taken ? commit_answered : fenced, instance);
    if (world_fault(model.kafka_percent)) /* another failure follows, before or after what comes next */
        world_after(answer_us + world_between(0, 2 * MS), unanswered, instance);
    if (world_fault(3)) /* the moments after a commit are the most delicate ones */
        world_after(world_between(0, 3 * MS), process_strike, instance->process);
}

/* Whatever happens to the request, what the producer hears of it is that it knows nothing. */
static void
end_badly(struct instance *instance)
{
    int64_t failure_us = world_between(0, 1000) * MS;
    switch (world_between(0, 3)) {
    case 0:
        trace("kafka: the end of instance %d is lost", instance->serial);
        break;
    case 1:
        trace("kafka: the end of instance %d is taken, its answer lost", instance->serial);
        end_unseen(instance);
        break;
    case 2: /* sent twice, and the first one is late */
        end_unseen(instance);
        world_after(world_between(0, LATE_US), end_unseen, instance);
        break;
    default:
        trace("kafka: the end of instance %d is delayed", instance->serial);
        world_after(world_between(0, LATE_US), end_unseen, instance);
    }
    world_after(failure_us, unanswered, instance);
}

static void
append_position(void *subject)
{
    struct instance *instance = subject;
    struct kafka_transaction *transaction = cluster.down ? NULL : cluster_join(instance->epoch);
    if (cluster.down) {
        world_after(world_between(0, 500) * MS, unanswered, instance);
    } else if (transaction == NULL) {
        world_after(kafka_latency_us(), fenced, instance);
    } else {
        cluster_append_position(instance->position, transaction);
        if (world_fault(4 * model.kafka_percent))
            end_badly(instance);
        else
            world_after(kafka_latency_us(), end, instance);
    }
}

void
transaction_end(struct instance *instance, const char *position)
{
    instance->position = world_text(position);
    world_after(kafka_latency_us(), append_position, instance);
}
