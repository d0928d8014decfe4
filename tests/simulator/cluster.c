/* cluster.c: see cluster.h. */
#include "simulator/cluster.h"

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

static void
end(enum fate fate)
{
    if (cluster.ongoing == NULL)
        return;
    trace("kafka: transaction of epoch %d %s", cluster.ongoing->epoch,
          fate == FATE_COMMITTED ? "committed" : "aborted");
    cluster.ongoing->fate = fate;
    cluster.ongoing = NULL;
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
    log->copies = world_grow(log->copies, log->count, &log->capacity);
    log->copies[log->count++] = copy;
}

void
cluster_append_position(const char *text, struct kafka_transaction *transaction)
{
    struct position *position = world_alloc(sizeof *position);
    *position = (struct position){text, transaction};
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

enum outcome_kind
cluster_verdict(const struct row *row)
{
    if (world.now_us < cluster.faulty_until_us[row->topic])
        return OUTCOME_TOPIC;
    if (row->id == cluster.poison_id && world.now_us < cluster.poison_until_us)
        return OUTCOME_EVENT;
    return OUTCOME_ACKNOWLEDGED;
}

bool
cluster_shows(const struct copy *copy)
{
    return copy->transaction == NULL || copy->transaction->fate == FATE_COMMITTED;
}
