/* lane.c: events on their way to one partition. A batch is sent until it is answered, and appended once: the producer is idempotent.
 * Its instance may end meanwhile; what is on its way then still arrives. Called by producer.c. */
#include "simulator/instance.h"

#include "simulator/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct batch {
    struct lane *lane;
    struct tickets tickets;
    bool appended;
    bool abandoned; /* nobody waits for it any more */
    enum outcome_kind verdict;
};

#define RESEND_LEAST_US (20 * MS)
#define RESEND_MOST_US (300 * MS)
#define BATCH_MOST 20

static void arrive(void *subject);

int64_t
kafka_latency_us(void)
{
    return world_fault(model.kafka_percent) ? world_between(0, 600) * MS : world_between(50, 500);
}

static void
add(struct tickets *tickets, struct ticket *ticket)
{
    ticket->next = NULL;
    *(tickets->last != NULL ? &tickets->last->next : &tickets->first) = ticket;
    tickets->last = ticket;
    tickets->count++;
}

static struct ticket *
take(struct tickets *tickets)
{
    struct ticket *ticket = tickets->first;
    if (ticket == NULL)
        return NULL;
    tickets->first = ticket->next;
    if (tickets->first == NULL)
        tickets->last = NULL;
    tickets->count--;
    return ticket;
}

static void
report(struct instance *instance, struct tickets *tickets, enum outcome_kind kind, const char *name)
{
    struct ticket *ticket;
    while ((ticket = take(tickets)) != NULL) {
        ticket->outcome = (struct outcome){.kind = kind};
        snprintf(ticket->outcome.name, sizeof ticket->outcome.name, "%s", name);
        snprintf(ticket->outcome.message, sizeof ticket->outcome.message, "%s", name);
        add(&instance->reports, ticket);
    }
    instance_wake(instance);
}

/* ---- at the broker ---- */

static enum outcome_kind
judge(const struct batch *batch)
{
    enum outcome_kind worst = OUTCOME_ACKNOWLEDGED;
    for (const struct ticket *ticket = batch->tickets.first; ticket != NULL; ticket = ticket->next) {
        enum outcome_kind kind = cluster_verdict(ticket->topic, ticket->row);
        worst = kind != OUTCOME_ACKNOWLEDGED ? kind : worst;
    }
    return worst;
}

static enum outcome_kind
append(struct batch *batch)
{
    struct lane *lane = batch->lane;
    const struct instance *instance = lane->instance;
    struct kafka_transaction *transaction = NULL;
    enum outcome_kind verdict = judge(batch);
    if (instance->exact && instance->epoch != cluster.epoch)
        return OUTCOME_FENCED;
    if (verdict != OUTCOME_ACKNOWLEDGED)
        return verdict;
    if (instance->exact)
        transaction = cluster_join(instance->epoch);
    for (const struct ticket *ticket = batch->tickets.first; ticket != NULL; ticket = ticket->next) {
        trace("kafka: lane %d gets event %" PRId64 " of instance %d%s%s", lane->number, ticket->row->id,
              instance->serial, ticket->replay != 0 ? " again" : "",
              batch->abandoned ? ", which is over" : "");
        cluster_append(lane->number, &(struct copy){ticket->row, ticket->topic, ticket->replay, instance,
                                                    ticket->lead, transaction});
    }
    batch->appended = true;
    return OUTCOME_ACKNOWLEDGED;
}

/* ---- at the producer ---- */

static void
make_batch(void *subject)
{
    struct lane *lane = subject;
    struct instance *instance = lane->instance;
    lane->leaving = false;
    if (instance->ending || lane->flying != NULL || lane->waiting.count == 0)
        return;
    size_t most = (size_t)world_between(1, BATCH_MOST);
    if (instance->batch_events > 0 && most > instance->batch_events)
        most = instance->batch_events;
    struct batch *batch = world_alloc(sizeof *batch);
    batch->lane = lane;
    while (batch->tickets.count < most && lane->waiting.count > 0)
        add(&batch->tickets, take(&lane->waiting));
    lane->flying = batch;
    world_after(kafka_latency_us(), arrive, batch);
}

static void
leave(struct lane *lane)
{
    if (lane->leaving || lane->flying != NULL)
        return;
    lane->leaving = true;
    world_after(world_between(0, 300), make_batch, lane);
}

static void
answered(void *subject)
{
    static const char *const names[] = {[OUTCOME_ACKNOWLEDGED] = "",
                                        [OUTCOME_EVENT] = "INVALID_RECORD",
                                        [OUTCOME_TOPIC] = "UNKNOWN_TOPIC_OR_PART",
                                        [OUTCOME_BROKER] = "_MSG_TIMED_OUT",
                                        [OUTCOME_FENCED] = "_FENCED",
                                        [OUTCOME_UNSENT] = "_PURGE"};
    struct batch *batch = subject;
    struct lane *lane = batch->lane;
    if (batch->abandoned)
        return;
    lane->flying = NULL;
    if (batch->verdict != OUTCOME_ACKNOWLEDGED)
        instance_fail(lane->instance, batch->verdict, names[batch->verdict]);
    report(lane->instance, &batch->tickets, batch->verdict, names[batch->verdict]);
    if (!lane->instance->failed)
        leave(lane);
}

static void
arrive(void *subject)
{
    struct batch *batch = subject;
    bool lost = cluster.down || world_fault(model.kafka_percent);
    if (lost && batch->abandoned)
        return;
    if (!lost && !batch->appended)
        batch->verdict = append(batch);
    if (lost || world_fault(model.kafka_percent)) { /* its answer is lost */
        if (world_fault(20))
            batch->verdict = OUTCOME_BROKER;
        if (batch->verdict == OUTCOME_BROKER)
            world_after(kafka_latency_us(), answered, batch);
        else
            world_after(world_between(RESEND_LEAST_US, RESEND_MOST_US), arrive, batch);
        return;
    }
    world_after(kafka_latency_us(), answered, batch);
}

void
lane_send(struct instance *instance, const struct ticket *sent)
{
    const struct row *row = sent->row;
    struct lane *lane = &instance->lanes[model_lane(sent->topic, row->key, row->id)];
    struct ticket *ticket = world_alloc(sizeof *ticket);
    *ticket = *sent;
    ticket->lead = instance->process->epoch;
    if (!instance->exact && sent->replay == 0 && sent->topic == row->topic) {
        sent->row->sent = ticket->lead;
        sent->row->heard = 0;
        memcpy(sent->row->sent_by, instance->process->holder, sizeof row->sent_by);
    }
    add(&lane->waiting, ticket);
    instance->out++;
    leave(lane);
}

/* The requests of a batch that was abandoned know what they carry. */
void
lane_purge(struct lane *lane, bool flying)
{
    report(lane->instance, &lane->waiting, OUTCOME_UNSENT, "_PURGE_QUEUE");
    if (!flying || lane->flying == NULL)
        return;
    struct tickets copies = {0};
    for (const struct ticket *ticket = lane->flying->tickets.first; ticket != NULL; ticket = ticket->next) {
        struct ticket *copy = world_alloc(sizeof *copy);
        *copy = *ticket;
        add(&copies, copy);
    }
    lane->flying->abandoned = true;
    lane->flying = NULL;
    report(lane->instance, &copies, OUTCOME_UNSENT, "_PURGE_INFLIGHT");
}
