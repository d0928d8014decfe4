/* transaction.c: see transaction.h. Called by producer.c; knows nothing of events.
 *
 * A commit whose request had to be sent twice may reach the broker twice, the second time when the next transaction is already open,
 * and would end that one too early (KAFKA-17754). So it counts as a failure: the next instance has an epoch of its own, which the
 * late request has not. */
#include "kafka/transaction.h"

#include "base/clock.h"
#include "kafka/barred.h"
#include "kafka/classify.h"
#include "kafka/errand.h"
#include "kafka/position_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kafka remakes producer ids within a second; a coordinator that is just moving may take some. Then another instance tries. */
enum { INIT_TIMEOUT_MS = 30 * 1000 };
/* librdkafka asks for the coordinator at once, or, with no broker connected yet, half a second later: so it is given a moment. */
enum { CONNECT_TIMEOUT_MS = 5 * 1000 };
static const int64_t READ_TIMEOUT_US = INT64_C(30) * 1000 * 1000;
/* The broker ends a transaction after transaction.timeout.ms (properties.c) in any case. */
enum { COMMIT_TIMEOUT_MS = 60 * 1000 };
/* Longer than all of these together. */
static const int64_t PATIENCE_US = INT64_C(90) * 1000 * 1000;

/* What a thread works with, and leaves behind. */
struct call {
    struct handle *handle;
    rd_kafka_conf_t *reader; /* of a start */
    char topic[POSITION_TOPIC_SIZE];
    bool good;
    struct position_found found; /* by a start */
    struct outcome failure;
};

struct transaction {
    enum transaction_state state;
    struct handle *handle;
    int wake_fd;
    char topic[POSITION_TOPIC_SIZE];
    rd_kafka_topic_t *position; /* the topic */
    struct errand *errand;      /* STARTING, COMMITTING */
    int64_t until_us;           /* it is waited for so long; 0: since the next turn */
    struct position_found found;
    struct outcome failure;
};

/* ---- in the thread ---- */

static bool
is_unsupported(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION || code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

/* True when there is no error; frees it. */
static bool
went_well(struct call *call, rd_kafka_error_t *error, const char *what)
{
    if (error == NULL)
        return true;
    classify(rd_kafka_error_code(error), &call->failure);
    if (is_unsupported(rd_kafka_error_code(error)))
        classify_own(&call->failure, OUTCOME_TOPIC, "BROKER_VERSION",
                     "delivery: exactly-once needs brokers from 3.7 on: %.150s",
                     rd_kafka_error_string(error));
    else if (!classify_cures(rd_kafka_error_code(error)))
        snprintf(call->failure.message, sizeof call->failure.message, "%s: %.200s", what,
                 rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

static void
start(void *cargo)
{
    struct call *call = cargo;
    rd_kafka_t *rk = call->handle->rk;
    char *cluster = rd_kafka_clusterid(rk, CONNECT_TIMEOUT_MS);
    if (cluster != NULL)
        rd_kafka_mem_free(rk, cluster);
    if (!went_well(call, rd_kafka_init_transactions(rk, INIT_TIMEOUT_MS), "no transactions"))
        return;
    rd_kafka_conf_t *reader = call->reader;
    call->reader = NULL;
    call->good = position_read(reader, call->topic, clock_monotonic_us() + READ_TIMEOUT_US, &call->found,
                               &call->failure) &&
                 went_well(call, rd_kafka_begin_transaction(rk), "no transaction begun");
}

static void
commit(void *cargo)
{
    struct call *call = cargo;
    rd_kafka_t *rk = call->handle->rk;
    handle_count_ends(call->handle);
    if (!went_well(call, rd_kafka_commit_transaction(rk, COMMIT_TIMEOUT_MS), "not committed")) {
        if (barred_find(call->topic, &call->failure))
            position_explain(call->topic, &call->failure);
        return;
    }
    if (handle_ends(call->handle) > 1) {
        classify_own(&call->failure, OUTCOME_BROKER, "COMMIT_REPEATED",
                     "the commit was sent more than once; the truth is read from Kafka");
        return;
    }
    call->good = went_well(call, rd_kafka_begin_transaction(rk), "no transaction begun");
}

static void
drop(void *cargo)
{
    struct call *call = cargo;
    if (call->reader != NULL)
        rd_kafka_conf_destroy(call->reader);
    free(call->found.text);
    handle_release(call->handle);
    free(call);
}

/* ---- in the relay's thread ---- */

static void
begin_call(struct transaction *transaction, enum transaction_state state, errand_work *work,
           rd_kafka_conf_t *reader)
{
    struct call *call = must_calloc(1, sizeof *call);
    call->handle = handle_use(transaction->handle);
    call->reader = reader;
    memcpy(call->topic, transaction->topic, sizeof call->topic);
    /* stays, when no thread can be started */
    classify_own(&call->failure, OUTCOME_BROKER, "NO_THREAD", "no thread could be started");
    transaction->state = state;
    transaction->until_us = 0;
    transaction->errand = errand_begin(work, drop, call, transaction->wake_fd);
}

bool
transaction_new(struct transaction **made, const struct settings *settings, struct handle *handle,
                int wake_fd, struct error *error)
{
    rd_kafka_conf_t *reader = position_reader_conf(settings, error);
    if (reader == NULL)
        return false;
    struct transaction *transaction = must_calloc(1, sizeof *transaction);
    transaction->handle = handle_use(handle);
    transaction->wake_fd = wake_fd;
    position_topic(settings, transaction->topic);
    transaction->position = rd_kafka_topic_new(handle->rk, transaction->topic, NULL);
    CHECK(transaction->position != NULL);
    begin_call(transaction, TRANSACTION_STARTING, start, reader);
    *made = transaction;
    return true;
}

void
transaction_free(struct transaction *transaction)
{
    if (transaction == NULL)
        return;
    errand_end(transaction->errand);
    rd_kafka_topic_destroy(transaction->position);
    free(transaction->found.text);
    handle_release(transaction->handle);
    free(transaction);
}

static void
take_result(struct transaction *transaction, struct call *call)
{
    if (!call->good) {
        transaction->failure = call->failure;
        transaction->state = TRANSACTION_FAILED;
        return;
    }
    if (transaction->state == TRANSACTION_STARTING) {
        transaction->found = call->found;
        call->found.text = NULL;
    }
    transaction->state = TRANSACTION_OPEN;
}

static void
give_up(struct transaction *transaction)
{
    classify_own(&transaction->failure, OUTCOME_BROKER, "NO_ANSWER", "librdkafka does not come back from %s",
                 transaction->state == TRANSACTION_STARTING ? "its start" : "a commit");
    transaction->state = TRANSACTION_FAILED;
}

enum transaction_state
transaction_turn(struct transaction *transaction, int64_t now_us)
{
    if (transaction->errand == NULL)
        return transaction->state;
    struct call *call = errand_over(transaction->errand);
    if (transaction->until_us == 0)
        transaction->until_us = now_us + PATIENCE_US;
    if (call == NULL && now_us < transaction->until_us)
        return transaction->state;
    if (call != NULL)
        take_result(transaction, call);
    else
        give_up(transaction);
    errand_end(transaction->errand);
    transaction->errand = NULL;
    return transaction->state;
}

enum transaction_state
transaction_state(const struct transaction *transaction)
{
    return transaction->state;
}

const struct position_found *
transaction_found(const struct transaction *transaction)
{
    return &transaction->found;
}

const struct outcome *
transaction_failure(const struct transaction *transaction)
{
    return &transaction->failure;
}

bool
transaction_commit_position(struct transaction *transaction, const char *position)
{
    CHECK(transaction->state == TRANSACTION_OPEN);
    /* __extension__: librdkafka's macros check their types with statement expressions. */
    rd_kafka_resp_err_t code = __extension__ rd_kafka_producev(
        transaction->handle->rk, RD_KAFKA_V_RKT(transaction->position), RD_KAFKA_V_PARTITION(0),
        RD_KAFKA_V_KEY(POSITION_KEY, strlen(POSITION_KEY)),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)position, strlen(position)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(NULL), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        classify(code, &transaction->failure);
        transaction->state = TRANSACTION_FAILED;
        return false;
    }
    begin_call(transaction, TRANSACTION_COMMITTING, commit, NULL);
    return true;
}
