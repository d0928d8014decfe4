/* producer_exact.c: the producer that delivers exactly once: what becomes of its transactions. Called by the relay, and by producer.c
 * each turn; the calls that block are in transaction.c. */
#include "kafka/inside.h"

#include "base/log.h"

void
producer_commit(struct producer *producer, const char *position, int64_t now_us)
{
    CHECK(producer->state == PRODUCER_READY && producer->reports.out == 0);
    if (transaction_commit_position(producer->transaction, position)) {
        producer->reports.out++;
        producer->uncommitted++;
        return;
    }
    reports_fail(&producer->reports, transaction_failure(producer->transaction));
    producer_end(producer, now_us, producer->reports.failure.message);
}

uint64_t
producer_commits(const struct producer *producer)
{
    return producer->commits;
}

const struct position_found *
producer_found(const struct producer *producer)
{
    return transaction_found(producer->transaction);
}

bool
producer_wants_commit(const struct producer *producer)
{
    return producer->transaction != NULL && producer->reshape && producer->uncommitted > 0;
}

const struct outcome *
producer_failure(const struct producer *producer)
{
    return &producer->reports.failure;
}

/* Once: a later instance would say the same. */
static void
tell_unseen(struct producer *producer)
{
    char topic[POSITION_TOPIC_SIZE], what[POSITION_UNSEEN_SIZE];
    const char *cure;
    position_topic(producer->settings, topic);
    if (producer->unseen_told || !position_explain_unseen(topic, producer_found(producer), what, &cure))
        return;
    producer->unseen_told = true;
    log_warning("not checked, and needed to deliver exactly once", LOG_STR("what", what),
                LOG_STR("cure", cure), LOG_END);
}

/* What the calls in other threads came to. */
void
producer_turn_transaction(struct producer *producer, int64_t now_us)
{
    if (producer->transaction == NULL || producer->state == PRODUCER_ENDING)
        return;
    enum transaction_state state = transaction_state(producer->transaction);
    switch (transaction_turn(producer->transaction, now_us)) {
    case TRANSACTION_FAILED:
        reports_fail(&producer->reports, transaction_failure(producer->transaction));
        producer_end(producer, now_us, producer->reports.failure.message);
        return;
    case TRANSACTION_OPEN:
        if (producer->state == PRODUCER_STARTING) {
            producer_set_state(producer, PRODUCER_READY, "fenced the older ones, read the position");
            tell_unseen(producer);
        }
        if (state == TRANSACTION_COMMITTING) {
            producer->uncommitted = 0;
            producer->commits++;
        }
        return;
    case TRANSACTION_STARTING:
    case TRANSACTION_COMMITTING:
        return;
    }
}
