/* cluster.c: see cluster.h. */
#include "simulator/cluster.h"

#include "simulator/judge.h"

#include <inttypes.h>

/* The coordinator ends a transaction that is open for so long. */
#define TRANSACTION_LEAST_US (1500 * MS)
#define TRANSACTION_MOST_US (5000 * MS)

struct cluster cluster;

void
cluster_begin(void)
{
    cluster = (struct cluster){0};
}

/* A consumer finds it from now on. */
static void
show(const struct copy *copy)
{
    if (cluster_is_first_hand(copy) && copy->row->published == 0)
        copy->row->published = ++world.order;
}

static void
end(enum fate fate)
{
    if (cluster.ongoing == NULL)
        return;
    trace("kafka: transaction of epoch %d %s", cluster.ongoing->epoch,
          fate == FATE_COMMITTED ? "committed" : "aborted");
    struct kafka_transaction *ended = cluster.ongoing;
    ended->fate = fate;
    cluster.ongoing = NULL;
    for (size_t i = 0; fate == FATE_COMMITTED && i < ended->count; i++)
        show(ended->copies[i]);
    if (fate == FATE_COMMITTED && ended->position != NULL)
        judge_record(ended->position);
}

int
cluster_init(void)
{
    end(FATE_ABORTED);
    trace("kafka: epoch %d", cluster.epoch + 1);
    return ++cluster.epoch;
}

const char *
cluster_position(void)
{
    for (size_t i = cluster.positions_count; i-- > 0;)
        if (cluster.positions[i]->transaction->fate == FATE_COMMITTED)
            return cluster.positions[i]->text;
    return NULL;
}

static void
expire(void *subject)
{
    if (cluster.ongoing != subject)
        return;
    trace("kafka: the open transaction has timed out");
    end(FATE_ABORTED);
    cluster.epoch++;
}

struct kafka_transaction *
cluster_join(int epoch)
{
    if (epoch != cluster.epoch)
        return NULL;
    if (cluster.ongoing == NULL) {
        struct kafka_transaction *made = world_alloc(sizeof *made);
        made->epoch = epoch;
        cluster.ongoing = made;
        world_after(world_between(TRANSACTION_LEAST_US, TRANSACTION_MOST_US), expire, made);
    }
    return cluster.ongoing;
}

void
cluster_append(int lane, const struct copy *appended)
{
    struct kafka_log *log = &cluster.logs[lane];
    struct copy *copy = world_alloc(sizeof *copy);
    *copy = *appended;
    judge_append(copy);
    log->copies = world_grow(log->copies, log->count, &log->capacity);
    log->copies[log->count++] = copy;
    struct kafka_transaction *transaction = copy->transaction;
    if (transaction == NULL) {
        show(copy);
        return;
    }
    transaction->copies = world_grow(transaction->copies, transaction->count, &transaction->capacity);
    transaction->copies[transaction->count++] = copy;
}

void
cluster_append_position(const char *text, struct kafka_transaction *transaction)
{
    struct position *position = world_alloc(sizeof *position);
    *position = (struct position){text, transaction};
    transaction->position = text;
    cluster.positions = world_grow(cluster.positions, cluster.positions_count, &cluster.positions_capacity);
    cluster.positions[cluster.positions_count++] = position;
}

bool
cluster_commit(int epoch)
{
    if (epoch != cluster.epoch)
        return false;
    end(FATE_COMMITTED);
    return true;
}

bool
cluster_refuses(const struct row *row)
{
    return world.now_us >= row->refused_from_us && world.now_us < row->refused_until_us;
}

void
cluster_tighten(const struct row *dead)
{
    for (size_t i = 0; i < database.rows_count && database.rows[i] != dead; i++) {
        struct row *row = database.rows[i];
        if (row->topic != dead->topic || row->key != dead->key || row->refused_until_us != 0 ||
            !world_chance(40))
            continue;
        row->refused_from_us = world.now_us;
        row->refused_until_us = INT64_MAX - 1;
        row->refused_unsent = world_chance(50);
        trace("kafka: event %" PRId64 " is refused from now on", row->id);
    }
}

enum outcome_kind
cluster_verdict(int topic, struct row *row)
{
    if (world.now_us < cluster.faulty_until_us[topic])
        return OUTCOME_TOPIC;
    bool poisoned = row->id == cluster.poison_id && world.now_us < cluster.poison_until_us;
    bool copied = topic == MODEL_COPIES && row->id % 4 != 0;
    if (copied || (!poisoned && !cluster_refuses(row)))
        return OUTCOME_ACKNOWLEDGED;
    row->refused = true;
    return OUTCOME_EVENT;
}

bool
cluster_is_first_hand(const struct copy *copy)
{
    return copy->replay == 0 && copy->topic != MODEL_COPIES;
}

bool
cluster_shows(const struct copy *copy)
{
    return copy->transaction == NULL || copy->transaction->fate == FATE_COMMITTED;
}
