/* producer.c: producer.h as the relay knows it, with the model of Kafka behind it. Linked instead of src/kafka. */
#include "kafka/producer.h"

#include "base/clock.h"
#include "event/page.h"
#include "simulator/instance.h"
#include "simulator/judge.h"
#include "simulator/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As src/kafka/producer.c has them. */
#define GRACE_US (2000 * MS)
#define AGAIN_US (5 * MS)

struct producer {
    producer_report *report;
    void *context;
    struct process *process;
    enum producer_state state;
    struct instance *instance; /* NULL: NONE */
    struct outcome failure;    /* of the last one */
    int64_t end_us;
    uint64_t commits;
    size_t uncommitted;
    bool reshape;
    bool asked[MODEL_TOPICS + 1]; /* the topic is known to this instance */
    struct producer_statistics statistics;
};

void
instance_wake(const struct instance *instance)
{
    if (!instance->over)
        process_wake(instance->process);
}

void
instance_fail(struct instance *instance, enum outcome_kind kind, const char *name)
{
    if (instance->failed)
        return;
    instance->failed = true;
    instance->failure = (struct outcome){.kind = kind};
    snprintf(instance->failure.name, sizeof instance->failure.name, "%s", name);
    snprintf(instance->failure.message, sizeof instance->failure.message, "%s", name);
    trace("kafka: instance %d fails: %s", instance->serial, name);
    instance_wake(instance);
}

/* ---- the life of an instance ---- */

bool
producer_new(struct producer **made, const struct settings *settings, producer_report *report, void *context,
             struct error *error)
{
    (void)settings;
    (void)error;
    struct producer *producer = must_calloc(1, sizeof *producer);
    producer->report = report;
    producer->context = context;
    producer->process = turning;
    producer->statistics.reached = true;
    *made = producer;
    return true;
}

bool
producer_start(struct producer *producer, size_t batch_events, bool exact, struct error *error)
{
    (void)error;
    CHECK(producer->state == PRODUCER_NONE);
    struct instance *instance = world_alloc(sizeof *instance);
    *instance = (struct instance){.serial = ++cluster.instances,
                                  .process = producer->process,
                                  .exact = exact,
                                  .batch_events = batch_events};
    for (int i = 0; i < MODEL_LANES; i++)
        instance->lanes[i] = (struct lane){.instance = instance, .number = i};
    producer->instance = instance;
    producer->process->instance = instance;
    producer->state = exact ? PRODUCER_STARTING : PRODUCER_READY;
    producer->uncommitted = 0;
    producer->reshape = false;
    memset(producer->asked, 0, sizeof producer->asked);
    trace("process %d: instance %d starts%s, batches of %zu", producer->process->number, instance->serial,
          exact ? " exactly once" : "", batch_events);
    if (exact)
        transaction_begin(instance);
    else
        instance_wake(instance);
    return true;
}

static bool
is_first_hand(const struct ticket *ticket)
{
    return ticket->replay == 0 && ticket->topic == ticket->row->topic && ticket->row->sent == ticket->lead;
}

static void
serve(struct producer *producer)
{
    struct instance *instance = producer->instance;
    struct tickets tickets = instance->reports;
    instance->reports = (struct tickets){0};
    for (const struct ticket *ticket = tickets.first; ticket != NULL; ticket = ticket->next) {
        instance->out--;
        if (ticket->outcome.kind == OUTCOME_ACKNOWLEDGED && is_first_hand(ticket))
            ticket->row->heard = ticket->lead;
        producer->report(producer->context, ticket->event, &ticket->outcome);
    }
}

static void
purge(struct instance *instance, bool flying)
{
    for (int i = 0; i < MODEL_LANES; i++)
        lane_purge(&instance->lanes[i], flying);
}

void
producer_end(struct producer *producer, int64_t now_us, const char *why)
{
    struct instance *instance = producer->instance;
    if (producer->state != PRODUCER_READY && producer->state != PRODUCER_STARTING)
        return;
    trace("process %d: instance %d ends: %s", producer->process->number, instance->serial, why);
    instance_fail(instance, OUTCOME_UNSENT, "ENDED");
    instance->ending = true;
    producer->failure = instance->failure;
    producer->state = PRODUCER_ENDING;
    producer->end_us = now_us;
    purge(instance, instance->exact);
    instance_wake(instance);
}

static bool
is_flying(const struct instance *instance)
{
    for (int i = 0; i < MODEL_LANES; i++)
        if (instance->lanes[i].flying != NULL)
            return true;
    return false;
}

static int64_t
turn_ending(struct producer *producer, int64_t now_us)
{
    struct instance *instance = producer->instance;
    if (is_flying(instance) && now_us >= producer->end_us + GRACE_US) {
        purge(instance, true);
        serve(producer);
    }
    if (instance->out > 0)
        return producer->end_us + GRACE_US;
    instance->over = true;
    producer->instance = NULL;
    producer->state = PRODUCER_NONE;
    instance_wake(instance);
    return now_us;
}

void
producer_free(struct producer *producer)
{
    if (producer == NULL)
        return;
    if (producer->instance != NULL) {
        producer->instance->ending = true;
        purge(producer->instance, true);
        serve(producer);
        producer->instance->over = true;
    }
    free(producer);
}

void
producer_renew(struct producer *producer, bool anew)
{
    producer->reshape = producer->reshape || (anew && producer->state == PRODUCER_READY);
}

/* ---- the turn ---- */

static void
turn_transaction(struct producer *producer)
{
    struct instance *instance = producer->instance;
    if (producer->state == PRODUCER_STARTING && instance->started && !instance->failed)
        producer->state = PRODUCER_READY;
    if (producer->state != PRODUCER_READY || !instance->committed)
        return;
    instance->committing = instance->committed = false;
    producer->uncommitted = 0;
    producer->commits++;
}

int64_t
producer_turn(struct producer *producer, int64_t now_us)
{
    struct instance *instance = producer->instance;
    if (producer->state == PRODUCER_NONE)
        return CLOCK_NEVER;
    turn_transaction(producer);
    serve(producer);
    bool idle = instance->out == 0 && !instance->committing;
    if (instance->failed)
        producer_end(producer, now_us, instance->failure.message);
    else if (producer->state == PRODUCER_READY && producer->reshape && idle &&
             !producer_wants_commit(producer))
        producer_end(producer, now_us, "another shape is needed");
    if (producer->state == PRODUCER_ENDING) {
        serve(producer);
        return turn_ending(producer, now_us);
    }
    return CLOCK_NEVER;
}

/* ---- sending ---- */

static void
wake_again(void *subject)
{
    instance_wake(subject);
}

/* What is known without sending it. */
static bool
is_refused(int topic, struct row *row, struct outcome *why)
{
    if (world_fault(30) && cluster_verdict(topic, row) == OUTCOME_TOPIC) {
        *why = (struct outcome){.kind = OUTCOME_TOPIC, .name = "UNKNOWN_TOPIC", .message = "it is not there"};
        return true;
    }
    if (topic == MODEL_COPIES || !row->refused_unsent || !cluster_refuses(row))
        return false;
    row->refused = true;
    *why = (struct outcome){.kind = OUTCOME_EVENT, .name = "TOO_LARGE", .message = "it is too large"};
    return true;
}

/* The number in its header; 0: it has none. */
static int64_t
replay_of(const struct event *event)
{
    static const char header[] = "{\"replay\": \"";
    if (event->headers == NULL || event->headers_size < sizeof header ||
        memcmp(event->headers, header, sizeof header - 1) != 0)
        return 0;
    return strtoll(event->headers + sizeof header - 1, NULL, 10);
}

enum producer_sent
producer_send(struct producer *producer, struct event *event, struct outcome *why)
{
    struct instance *instance = producer->instance;
    struct row *row = database_find(event->id);
    int topic = model_topic(event->topic->name);
    CHECK(producer->state == PRODUCER_READY && topic >= 0);
    if (row == NULL) {
        world_find("event %" PRId64 " is handed over, and is not in the outbox", event->id);
        return PRODUCER_FULL;
    }
    if (!producer->asked[topic] || world_fault(1)) {
        producer->asked[topic] = true;
        world_after(world_between(0, AGAIN_US), wake_again, instance);
        return PRODUCER_ASKING;
    }
    if (is_refused(topic, row, why))
        return PRODUCER_REFUSED;
    judge_sending(producer->process, event);
    trace("process %d: instance %d is handed event %" PRId64 " of tick %" PRId64, producer->process->number,
          instance->serial, event->id, event->page->tick_seq);
    lane_send(instance,
              &(struct ticket){.event = event, .row = row, .topic = topic, .replay = replay_of(event)});
    producer->uncommitted++;
    return PRODUCER_SENT;
}

void
producer_forget_topic(struct producer *producer, const struct topic *topic)
{
    producer->asked[model_topic(topic->name)] = false;
}

/* A topic that takes nothing is not always one that brokers say nothing of. */
enum producer_look
producer_look(struct producer *producer, const struct topic *topic, struct outcome *why)
{
    int number = model_topic(topic->name);
    if (producer->state != PRODUCER_READY)
        return LOOK_ASKING;
    if (!producer->asked[number] || world_fault(1)) {
        producer->asked[number] = true;
        world_after(world_between(0, AGAIN_US), wake_again, producer->instance);
        return LOOK_ASKING;
    }
    if (world.now_us >= cluster.faulty_until_us[number] || world_chance(50))
        return LOOK_FINE;
    *why = (struct outcome){.kind = OUTCOME_TOPIC, .name = "UNKNOWN_TOPIC", .message = "it is not there"};
    return LOOK_REFUSED;
}

bool
producer_obstacle(struct producer *producer, const struct event *event, int64_t now_us, int64_t since_us,
                  struct outcome *obstacle)
{
    (void)producer;
    (void)event;
    (void)now_us;
    (void)since_us;
    (void)obstacle;
    return false;
}

/* ---- transactions ---- */

void
producer_commit(struct producer *producer, const char *position, int64_t now_us)
{
    struct instance *instance = producer->instance;
    (void)now_us;
    CHECK(producer->state == PRODUCER_READY && instance->exact && instance->out == 0 &&
          !instance->committing);
    trace("process %d: instance %d commits %.60s", producer->process->number, instance->serial, position);
    instance->committing = true;
    transaction_end(instance, position);
}

bool
producer_committing(const struct producer *producer)
{
    return producer->state == PRODUCER_READY && producer->instance->committing;
}

uint64_t
producer_commits(const struct producer *producer)
{
    return producer->commits;
}

const struct position_found *
producer_found(const struct producer *producer)
{
    return &producer->instance->found;
}

size_t
producer_uncommitted(const struct producer *producer)
{
    return producer->uncommitted;
}

bool
producer_wants_commit(const struct producer *producer)
{
    return producer->state == PRODUCER_READY && producer->instance->exact && producer->reshape &&
           producer->uncommitted > 0;
}

/* ---- looking ---- */

const struct outcome *
producer_failure(const struct producer *producer)
{
    return &producer->failure;
}

int
producer_fd(const struct producer *producer)
{
    (void)producer;
    return -1;
}

enum producer_state
producer_state(const struct producer *producer)
{
    return producer->state;
}

size_t
producer_out(const struct producer *producer)
{
    return producer->instance != NULL ? producer->instance->out : 0;
}

const struct producer_statistics *
producer_statistics(const struct producer *producer)
{
    return &producer->statistics;
}
