/* statement.h: the statements of src/postgres/statements.h, as the model of the server carries them out: in steps, between which
 * other things may happen, as they may between the parts of one statement in a real server. */
#ifndef OUTBOXD_TESTS_SIMULATOR_STATEMENT_H
#define OUTBOXD_TESTS_SIMULATOR_STATEMENT_H

#include "simulator/answer.h"
#include "simulator/database.h"

#define STATEMENT_VALUES 16

struct process;

/* A connection. It outlives the session that made it, as the server's side of a real one does. */
struct wire {
    struct session *session; /* NULL: the client has closed it */
    struct process *process;
    bool greeted, broken;
    int backend_pid;
    int incarnation; /* of the server */
};

struct request {
    struct wire *wire;
    const char *name; /* of the prepared statement; or NULL: `sql` */
    const char *sql;
    const char *values[STATEMENT_VALUES];
    session_row_sink *sink;
    void *sink_context;

    bool stretched; /* other things happen between its parts */
    bool silent;    /* the answer does not arrive */
    world_action *finish;

    struct pg_snapshot snapshot;
    const struct line *newest;
    struct line *line; /* that it appends */
    const char *late;
    int64_t late_lo;
    bool found;
    int64_t next_xid, sequence, hi_id;

    struct answer answer;
    bool binary, undurable;
    const char *effect; /* what the statement says that it did beside appending its row */
    bool failed;        /* with an error that passes */
};

/* A parameter, from 1 on; NULL: 0. */
int64_t request_number(const struct request *request, int at);

/* Carries the request out from now on; calls request->finish with it when the answer is complete. */
void statement_begin(struct request *request);

/* query.c: those that only read. False: it is none of them. */
bool query_run(struct request *request);
/* A row of the journal, as six columns. False: there is none that it sees. */
bool query_answer_line(struct request *request, int64_t seq);
bool query_is_in(const char *array, int64_t number);
/* What follows these words, which are there. */
const char *query_behind(const char *sql, const char *words);

/* query_page.c: pages of events, asked for by a prepared statement or by COPY. */
void query_page(struct request *request);
void query_copy_page(struct request *request);

/* query_aside.c: those that read what was put aside. */
bool query_aside_run(struct request *request);

/* effect.c: what else a statement does that appends a row, when that commits: its last column. */
const char *effect_run(const struct request *request);

/* SQL_LATE: fills late and late_lo. `cur`: NULL: the statement's own snapshot. */
void query_late(struct request *request, const char *prev, int64_t w, const struct pg_snapshot *cur);

/* Where the model has its only database. */
#define PLACE_SYSID INT64_C(7301)
#define PLACE_TIMELINE 1
#define PLACE_DBID INT64_C(16384)

#endif
