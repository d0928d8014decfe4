/* journal.c: asks and reads the statements of the journal. Called by the relay, which decides when; nothing here decides
 * what to publish. */
#include "postgres/journal.h"

#include "postgres/cells.h"
#include "postgres/numbers.h"
#include "postgres/statements.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* NULL, all three of them, for at least once. */
static void
exact_numbers(struct numbers *numbers, const struct journal_exact *exact, const char *values[3])
{
    values[0] = exact->on ? number_text(numbers, exact->position.seq) : NULL;
    values[1] = exact->on ? number_text(numbers, exact->position.id) : NULL;
    values[2] = exact->on ? number_text(numbers, exact->nonce) : NULL;
}

/* A row's own random number: by it a later reader can tell this row from another of the same seq in another history. */
static int64_t
nonce(void)
{
    int64_t value = 0;
    CHECK(getrandom(&value, sizeof value, 0) == sizeof value);
    return value & INT64_MAX;
}

/* The answer if it has exactly one row; an empty one means that the journal of a running relay is gone. */
static PGresult *
answer_one_row(struct session *session, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result != NULL && PQntuples(result) != 1) {
        PQclear(result);
        result = NULL;
        error_set(error, ERROR_INTERNAL,
                  "outbox.journal has no row of this relay: it was emptied while relays were registered; "
                  "run `outboxd rebase`, see docs/operations.md, \"The journal is gone\"");
    }
    return result;
}

void
journal_ask_prepare(struct session *session, int64_t now_us)
{
    session_ask(session,
                SQL_PREPARE_NEWEST SQL_PREPARE_SET_BACK SQL_PREPARE_TAKE SQL_PREPARE_ROWS SQL_PREPARE_LATE
                    SQL_PREPARE_STEP SQL_PREPARE_CONFIRM SQL_PREPARE_PAGE SQL_PREPARE_NAMES SQL_PREPARE_ASIDE
                        SQL_PREPARE_BACKLOG,
                now_us);
}

bool
journal_read_prepare(struct session *session, struct error *error)
{
    PGresult *result = session_answer(session, error);
    PQclear(result);
    return result != NULL || error_prefix(error, "cannot prepare the relay's statements");
}

void
journal_row_clear(struct journal_row *row)
{
    tick_edge_clear(&row->edge);
    *row = (struct journal_row){0};
}

void
journal_ask_newest(struct session *session, const char *relay, int64_t now_us)
{
    session_ask_prepared(session, "outboxd_newest", 1, &relay, false, now_us);
}

bool
journal_read_newest(struct session *session, struct journal_row *row, struct error *error)
{
    PGresult *result = answer_one_row(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot read the journal");
    journal_row_clear(row);
    row->seq = cell_number(result, 0, 0);
    row->epoch = cell_number(result, 0, 1);
    snprintf(row->holder, sizeof row->holder, "%s", PQgetvalue(result, 0, 2));
    tick_edge_set(&row->edge, PQgetvalue(result, 0, 3), cell_number(result, 0, 4), cell_number(result, 0, 5));
    row->hi_id = cell_number(result, 0, 6);
    row->confirmed = (struct journal_position){cell_number(result, 0, 7), cell_number(result, 0, 8)};
    row->released = cell_truth(result, 0, 9);
    row->age_us = cell_number(result, 0, 10);
    row->place = (struct journal_place){cell_number(result, 0, 11), (int)cell_number(result, 0, 12),
                                        cell_number(result, 0, 13)};
    row->here = (struct journal_place){cell_number(result, 0, 14), (int)cell_number(result, 0, 15),
                                       cell_number(result, 0, 16)};
    row->sequence = cell_number(result, 0, 17);
    row->sequence_file = cell_number(result, 0, 18);
    row->retired = cell_truth(result, 0, 19);
    row->exact = (struct journal_exact){.on = !PQgetisnull(result, 0, 20),
                                        .position = {cell_number(result, 0, 20), cell_number(result, 0, 21)},
                                        .nonce = cell_number(result, 0, 22)};
    PQclear(result);
    return true;
}

void
journal_ask_set_back(struct session *session, const char *relay, int64_t now_us)
{
    session_ask_prepared(session, "outboxd_set_back", 1, &relay, false, now_us);
}

bool
journal_read_set_back(struct session *session, bool *set_back, bool *numbers_back, struct error *error)
{
    PGresult *result = answer_one_row(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot look for events that would be passed over");
    *set_back = cell_truth(result, 0, 0);
    *numbers_back = cell_truth(result, 0, 1);
    PQclear(result);
    return true;
}

void
journal_ask_take(struct session *session, const struct journal_self *self, const struct journal_row *seen,
                 int64_t lease_us, int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {
        self->relay,  number_text(&numbers, seen->seq), number_text(&numbers, seen->epoch),
        self->holder, number_text(&numbers, lease_us),  number_text(&numbers, nonce())};
    session_ask_prepared(session, "outboxd_take", 6, values, false, now_us);
}

bool
journal_read_take(struct session *session, struct journal_self *self, bool *taken, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot take the lead");
    *taken = PQntuples(result) == 1;
    if (*taken) {
        self->seq = cell_number(result, 0, 0);
        self->epoch = cell_number(result, 0, 1);
        self->nonce = cell_number(result, 0, 2);
    }
    PQclear(result);
    return true;
}

void
journal_ask_late(struct session *session, const struct tick *tick, int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {tick->from.snapshot, number_text(&numbers, tick->from.w), tick->snapshot};
    session_ask_prepared(session, "outboxd_late", 3, values, false, now_us);
}

bool
journal_read_late(struct session *session, struct tick *tick, struct error *error)
{
    PGresult *result = answer_one_row(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot read a tick");
    free(tick->late);
    tick->late = must_strdup(PQgetvalue(result, 0, 0));
    tick->late_count = tick_late_count(tick->late);
    tick->late_lo = cell_number(result, 0, 1);
    PQclear(result);
    return true;
}

void
journal_stepped_clear(struct journal_stepped *stepped)
{
    tick_clear(&stepped->tick);
    tick_edge_clear(&stepped->edge);
    *stepped = (struct journal_stepped){0};
}

void
journal_ask_step(struct session *session, const struct journal_self *self, const struct journal_step *step,
                 int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {self->relay,
                            step->last->snapshot,
                            number_text(&numbers, step->last->w),
                            number_text(&numbers, step->last->lo_id),
                            number_text(&numbers, step->next_lo),
                            self->holder,
                            number_text(&numbers, step->confirmed.seq),
                            number_or_null(&numbers, step->confirmed.id),
                            number_text(&numbers, self->seq),
                            number_text(&numbers, self->epoch),
                            step->dirty ? "true" : "false",
                            number_text(&numbers, step->heartbeat_us),
                            number_text(&numbers, nonce()),
                            NULL,
                            NULL,
                            NULL};
    exact_numbers(&numbers, &step->exact, &values[13]);
    session_ask_prepared(session, "outboxd_step", 16, values, false, now_us);
}

/* Where a step and a confirmation have what both have. */
struct columns {
    int appended, nonce; /* ins.seq, ins.nonce */
    int sequence;
};

/* First come l.seq, l.epoch, l.hi_id and the backend's pid. */
static bool
read_common(struct session *session, const PGresult *result, struct columns columns,
            struct journal_self *self, struct journal_stepped *stepped, struct error *error)
{
    stepped->sequence = cell_number(result, 0, columns.sequence);
    stepped->backend_pid = (int)cell_number(result, 0, 3);
    stepped->appended = !PQgetisnull(result, 0, columns.appended);
    stepped->durable = session_durable(session);
    stepped->fenced = cell_number(result, 0, 0) != self->seq || cell_number(result, 0, 1) != self->epoch;
    if (stepped->fenced)
        return true;
    int64_t hi_id = cell_number(result, 0, 2);
    if (stepped->sequence < hi_id)
        return error_set(
            error, ERROR_INTERNAL,
            "the sequence outbox.event_id_seq went backwards, from %" PRId64 " to %" PRId64
            " (TRUNCATE .. RESTART IDENTITY, setval, or another database's sequence): new events would be "
            "passed over; run `outboxd rebase`, see docs/operations.md, \"The sequence went backwards\"",
            hi_id, stepped->sequence);
    if (stepped->appended) {
        self->seq = cell_number(result, 0, columns.appended);
        self->nonce = cell_number(result, 0, columns.nonce);
    }
    return true;
}

static void
read_tick(const PGresult *result, const struct tick_edge *from, struct tick *tick)
{
    tick->seq = cell_number(result, 0, 6);
    tick_edge_set(&tick->from, from->snapshot, from->w, from->lo_id);
    tick->snapshot = must_strdup(PQgetvalue(result, 0, 7));
    tick->hi_id = cell_number(result, 0, 10);
    tick->late = must_strdup(PQgetvalue(result, 0, 5));
    tick->late_count = tick_late_count(tick->late);
    tick->late_lo = cell_number(result, 0, 15);
    tick->nonce = cell_number(result, 0, 16);
}

bool
journal_read_step(struct session *session, struct journal_self *self, const struct journal_step *step,
                  struct journal_stepped *stepped, struct error *error)
{
    journal_stepped_clear(stepped);
    PGresult *result = answer_one_row(session, error);
    if (result == NULL)
        return error_prefix(error, "the step failed");
    bool good = read_common(session, result, (struct columns){.appended = 6, .nonce = 16, .sequence = 13},
                            self, stepped, error);
    if (good && stepped->sequence < step->last->lo_id)
        good = error_set(error, ERROR_INTERNAL,
                         "the sequence outbox.event_id_seq went backwards, below %" PRId64
                         "; run `outboxd rebase`, see docs/operations.md, \"The sequence went backwards\"",
                         step->last->lo_id);
    stepped->found = cell_truth(result, 0, 4);
    stepped->sequence_file = cell_number(result, 0, 14);
    if (stepped->found && !stepped->appended)
        stepped->fenced = true; /* wanted, but somebody else appended seq + 1 */
    if (good && stepped->appended) {
        tick_edge_set(&stepped->edge, PQgetvalue(result, 0, 7), cell_number(result, 0, 8),
                      cell_number(result, 0, 9));
        if (stepped->found)
            read_tick(result, step->last, &stepped->tick);
    } else if (good) {
        /* A virtual tick. Its lo is the value that this step was given, never the one that it read: that was read after
         * the snapshot, and an event between the two would be lost. */
        tick_edge_set(&stepped->edge, PQgetvalue(result, 0, 11), cell_number(result, 0, 12), step->next_lo);
    }
    PQclear(result);
    return good;
}

void
journal_ask_append(struct session *session, const char *statement, const struct journal_row_next *next,
                   int count, const char *const *more, int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[JOURNAL_APPEND_VALUES + JOURNAL_APPEND_MORE] = {
        next->self->relay,
        next->self->holder,
        number_text(&numbers, next->confirmed.seq),
        number_or_null(&numbers, next->confirmed.id),
        number_text(&numbers, next->self->seq),
        number_text(&numbers, next->self->epoch),
        number_text(&numbers, nonce())};
    CHECK(count <= JOURNAL_APPEND_MORE);
    exact_numbers(&numbers, next->exact, &values[JOURNAL_APPEND_VALUES - 3]);
    for (int i = 0; i < count; i++)
        values[JOURNAL_APPEND_VALUES + i] = more[i];
    session_ask_prepared(session, statement, JOURNAL_APPEND_VALUES + count, values, false, now_us);
}

void
journal_ask_confirm(struct session *session, const struct journal_row_next *next, bool release,
                    int64_t now_us)
{
    const char *released = release ? "true" : "false";
    journal_ask_append(session, "outboxd_confirm", next, 1, &released, now_us);
}

bool
journal_read_confirm(struct session *session, struct journal_self *self, struct journal_stepped *stepped,
                     struct error *error)
{
    journal_stepped_clear(stepped);
    PGresult *result = answer_one_row(session, error);
    if (result == NULL)
        return error_prefix(error, "the confirmation failed");
    bool good = read_common(session, result, (struct columns){.appended = 4, .nonce = 7, .sequence = 5}, self,
                            stepped, error);
    if (!stepped->appended)
        stepped->fenced = true;
    stepped->answer = cell_number(result, 0, 6);
    PQclear(result);
    return good;
}
