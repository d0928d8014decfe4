/* statement.c: what appends to the journal: the step, the confirmation, the takeover, each a snapshot first, then what is read and
 * drawn, then the row, then its commit. Called by session.c; src/postgres/statements.h has the text that this is the model of. */
#include "simulator/statement.h"

#include "simulator/judge.h"
#include "simulator/process.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Whoever waits for another transaction's row looks again so often. */
#define CONFLICT_US 200

int64_t
request_number(const struct request *request, int at)
{
    return request->values[at - 1] != NULL ? strtoll(request->values[at - 1], NULL, 10) : 0;
}

static bool
is(const struct request *request, const char *name)
{
    return strcmp(request->name, name) == 0;
}

static void
next(struct request *request, world_action *part, int64_t most_us)
{
    if (request->stretched)
        world_after(world_between(0, most_us), part, request);
    else
        part(request);
}

/* The server process has died meanwhile: nobody answers. */
static bool
is_gone(const struct request *request)
{
    return request->wire->incarnation != database.incarnation;
}

static void
fail(struct request *request)
{
    request->failed = true;
    request->finish(request);
}

/* ---- the answers ---- */

static void
answer_step(struct request *request)
{
    struct answer *answer = &request->answer;
    const struct line *last = request->newest, *line = request->line;
    char snapshot[SNAPSHOT_TEXT_SIZE];
    answer->columns = 17;
    answer_number(answer, last->seq);
    answer_number(answer, last->epoch);
    answer_number(answer, last->hi_id);
    answer_number(answer, request->wire->backend_pid);
    answer_flag(answer, request->found);
    answer_text(answer, request->late);
    if (line != NULL) {
        answer_number(answer, line->seq);
        answer_text(answer, line->snapshot);
        answer_number(answer, line->w);
        answer_number(answer, line->lo_id);
        answer_number(answer, line->hi_id);
    } else {
        for (int i = 0; i < 5; i++)
            answer_null(answer);
    }
    snapshot_print(&request->snapshot, snapshot);
    answer_text(answer, snapshot);
    answer_number(answer, request->next_xid);
    answer_number(answer, request->sequence);
    answer_number(answer, 1); /* the storage of the sequence */
    answer_number(answer, request->late_lo);
    if (line != NULL)
        answer_number(answer, line->nonce);
    else
        answer_null(answer);
}

static void
answer_append(struct request *request)
{
    struct answer *answer = &request->answer;
    answer->columns = 8;
    answer_number(answer, request->newest->seq);
    answer_number(answer, request->newest->epoch);
    answer_number(answer, request->newest->hi_id);
    answer_number(answer, request->wire->backend_pid);
    if (request->line != NULL)
        answer_number(answer, request->line->seq);
    else
        answer_null(answer);
    answer_number(answer, request->sequence);
    answer_text(answer, request->line != NULL ? request->effect : NULL);
    if (request->line != NULL)
        answer_number(answer, request->line->nonce);
    else
        answer_null(answer);
}

static void
answer_take(struct request *request)
{
    request->answer.columns = 3;
    if (request->line == NULL)
        return;
    answer_number(&request->answer, request->line->seq);
    answer_number(&request->answer, request->line->epoch);
    answer_number(&request->answer, request->line->nonce);
}

static void
finish(struct request *request)
{
    if (is(request, "outboxd_step"))
        answer_step(request);
    else if (is(request, "outboxd_take"))
        answer_take(request);
    else
        answer_append(request);
    request->finish(request);
}

/* ---- the row ---- */

static void
commit(void *subject)
{
    struct request *request = subject;
    struct line *line = request->line;
    if (is_gone(request))
        return;
    request->undurable = world_fault(1);
    line->durable = !request->undurable;
    database_commit(line->by);
    if (line->durable)
        database.durable_seq = line->seq;
    processes_led_by(line->holder, line->epoch);
    trace("postgres: row %" PRId64 " of epoch %" PRId64 " by %.4s: %s confirmed %" PRId64 "/%" PRId64
          " exact %d %" PRId64 "/%" PRId64 " lo %" PRId64 " hi %" PRId64 " w %" PRId64 "%s%s",
          line->seq, line->epoch, line->holder, line->snapshot, line->confirmed.seq, line->confirmed.id,
          line->exact.on, line->exact.position.seq, line->exact.position.id, line->lo_id, line->hi_id,
          line->w, line->released ? " released" : "", line->durable ? "" : " (not durable)");
    database_name_ticks(line);
    request->effect = effect_run(request);
    judge_position(false, line->confirmed.seq, line->confirmed.id);
    if (line->released)
        judge_release(line);
    finish(request);
}

/* Who was faster, or whose row is there and not committed yet? */
static bool
is_taken(int64_t seq, bool *waits)
{
    while (database.lines_count > 0 && database.lines[database.lines_count - 1] != NULL &&
           database.lines[database.lines_count - 1]->by->fate == FATE_ABORTED)
        database.lines_count--;
    bool taken = (int64_t)database.lines_count > seq;
    *waits = taken && database.lines[seq] != NULL && database.lines[seq]->by->fate == FATE_RUNNING;
    return taken;
}

/* The default of w is the row's own xid; the commit writes to the disk, and perhaps to a standby's. */
static void
insert(void *subject)
{
    struct request *request = subject;
    struct line *line = request->line;
    bool waits;
    if (is_gone(request))
        return;
    database_assign(line->by);
    if (is_taken(line->seq, &waits)) {
        if (waits) {
            world_after(CONFLICT_US, insert, request);
            return;
        }
        database_abort(line->by);
        request->line = NULL;
        request->sequence = database.sequence;
        finish(request);
        return;
    }
    if (world_fault(1)) {
        database_abort(line->by);
        fail(request);
        return;
    }
    if (line->w == 0)
        line->w = line->by->xid;
    line->written_at_us = database_clock_us();
    database_append(line);
    request->sequence = database.sequence;
    next(request, commit, world_fault(10) ? 200 * MS : 3 * MS);
}

static struct line *
new_line(const struct request *request, const char *holder, int64_t nonce)
{
    struct line *line = world_alloc(sizeof *line);
    *line = *request->newest;
    line->seq++;
    line->released = false;
    line->nonce = nonce;
    line->by = database_transaction();
    memccpy(line->holder, holder, '\0', sizeof line->holder);
    return line;
}

static struct journal_exact
exact_of(const struct request *request, int from)
{
    return (struct journal_exact){
        .on = request->values[from - 1] != NULL,
        .position = {request_number(request, from), request_number(request, from + 1)},
        .nonce = request_number(request, from + 2)};
}

/* ---- the step ---- */

static void
read_hi(void *subject)
{
    struct request *request = subject;
    if (is_gone(request))
        return;
    request->line->hi_id = database.sequence;
    next(request, insert, 2 * MS);
}

static void
read_sequence(void *subject)
{
    struct request *request = subject;
    if (is_gone(request))
        return;
    request->sequence = database.sequence;
    finish(request);
}

static void
read_next_xid(void *subject)
{
    struct request *request = subject;
    if (is_gone(request))
        return;
    request->next_xid = database_next_xid();
    next(request, read_sequence, 2 * MS);
}

static bool
finds_events(const struct request *request)
{
    int64_t w = request_number(request, 3);
    if (request->late[1] != '}')
        return true;
    for (size_t i = database_above(request_number(request, 4)); i < database.rows_count; i++)
        if (database.rows[i]->by->xid >= w && snapshot_sees(&request->snapshot, database.rows[i]->by))
            return true;
    return false;
}

static void
step(struct request *request)
{
    char snapshot[SNAPSHOT_TEXT_SIZE];
    const struct line *last = request->newest;
    query_late(request, request->values[1], request_number(request, 3), NULL);
    request->found = finds_events(request);
    bool stale = last->written_at_us < database_clock_us() - request_number(request, 12);
    bool wanted = request->found || request->values[10][0] == 't' || stale;
    if (last->seq != request_number(request, 9) || last->epoch != request_number(request, 10) || !wanted) {
        next(request, read_next_xid, 2 * MS);
        return;
    }
    snapshot_print(&request->snapshot, snapshot);
    struct line *line = new_line(request, request->values[5], request_number(request, 13));
    line->snapshot = world_text(snapshot);
    line->w = 0;
    line->lo_id = request_number(request, 5);
    line->confirmed = (struct journal_position){request_number(request, 7), request_number(request, 8)};
    line->exact = exact_of(request, 14);
    request->line = line;
    next(request, read_hi, 2 * MS);
}

/* A confirmation, or another one of its kind: $11 and the following ones are its own. */
static void
append(struct request *request)
{
    if (request->newest->seq != request_number(request, 5) ||
        request->newest->epoch != request_number(request, 6)) {
        next(request, read_sequence, 2 * MS);
        return;
    }
    struct line *line = new_line(request, request->values[1], request_number(request, 7));
    line->confirmed = (struct journal_position){request_number(request, 3), request_number(request, 4)};
    line->released = is(request, "outboxd_confirm") && request->values[10][0] == 't';
    line->exact = exact_of(request, 8);
    request->line = line;
    next(request, insert, 2 * MS);
}

static void
take(struct request *request)
{
    const struct line *last = request->newest;
    bool is_free = last->released || strcmp(last->holder, request->values[3]) == 0 ||
                   last->written_at_us < database_clock_us() - request_number(request, 5);
    if (last->seq != request_number(request, 2) || last->epoch != request_number(request, 3) || !is_free) {
        finish(request);
        return;
    }
    struct line *line = new_line(request, request->values[3], request_number(request, 6));
    line->epoch++;
    request->line = line;
    next(request, insert, 2 * MS);
}

void
statement_begin(struct request *request)
{
    if (world_fault(1)) {
        fail(request);
        return;
    }
    database_snapshot(&request->snapshot);
    request->newest = database_newest(&request->snapshot);
    if (query_run(request))
        return;
    CHECK(request->newest != NULL);
    if (is(request, "outboxd_step"))
        step(request);
    else if (is(request, "outboxd_take"))
        take(request);
    else
        append(request);
}
