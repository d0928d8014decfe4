/* outbox.h: liboutbox, for C applications that write to Postgres with libpq and tell the rest of the world through the
 * outbox. A *unit of work* is one transaction, owned by the use case; the functions that read and write take the unit and
 * never commit. Inside it, outbox_emit inserts an event that is published if and only if the unit commits, and
 * outbox_optional is the border between what must succeed and what may fail.
 *
 * No global state: everything hangs on the PGconn. A connection, its unit included, belongs to one thread at a time; different
 * connections are independent. Nothing is printed, and no call ends the process. Every `struct outbox_error *` may be NULL.
 * Functions that return bool return false after filling the error, true after emptying it. What is needed and NULL, a unit too, is
 * OUTBOX_ERROR_USAGE. The manual: outbox(3). */
#ifndef OUTBOX_H
#define OUTBOX_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OUTBOX_API __attribute__((visibility("default")))
#define OUTBOX_MUST_CHECK __attribute__((warn_unused_result))
#define OUTBOX_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

/* ---- errors -------------------------------------------------------------------------------------------------------- */

/* What can be done about it. After each of them but UNKNOWN and BROKEN nothing of the unit is committed. */
enum outbox_error_kind {
    OUTBOX_ERROR_NONE,
    OUTBOX_ERROR_WORK,       /* the work said no, for a reason of its own */
    OUTBOX_ERROR_SQL,        /* Postgres refused a statement: see sqlstate, constraint, table */
    OUTBOX_ERROR_CONNECTION, /* it was lost before COMMIT was sent; PQreset, and run it again if you like */
    OUTBOX_ERROR_UNKNOWN,    /* it was lost, or time ran out, during COMMIT: ask outbox_was_committed */
    OUTBOX_ERROR_TIMEOUT,    /* the deadline passed */
    OUTBOX_ERROR_BROKEN,     /* the work ended the transaction: what stood before its COMMIT is committed */
    OUTBOX_ERROR_USAGE,      /* the call cannot be right: a missing topic, two units on one connection */
    OUTBOX_ERROR_MEMORY,
};

/* Texts are cut to their room, always end in NUL, and are "" when there is nothing to say. `message` holds Postgres' primary
 * message only: its detail repeats rows, and people's data has no place in a log. */
struct outbox_error {
    enum outbox_error_kind kind;
    int attempts;     /* how often outbox_run had run the work when it gave up; else, and when it joined, 0 */
    uint64_t xid;     /* of the transaction, when it is unknown; a unit that wrote nothing never is */
    char sqlstate[8]; /* "23505". With WORK: of the statement that had failed when the work said no */
    char constraint[64], schema[64], table[64], column[64];
    char message[512];
    uint64_t reserved[8];
};

/* For the work: "no", with a reason (cut at 511 bytes). Returns false, so that `return outbox_fail(error, "..")` reads well. */
OUTBOX_API bool outbox_fail(struct outbox_error *error, const char *format, ...) OUTBOX_PRINTF(2, 3);

/* For the work: takes over what Postgres said in a result of the application's own statement, which stays the caller's; NULL is
 * libpq's answer for a lost connection. Returns false. */
OUTBOX_API bool outbox_fail_result(struct outbox_error *error, PGconn *connection, const PGresult *result);

/* ---- the unit of work -------------------------------------------------------------------------------------------- */

/* One transaction on one connection. Lives from its begin to its end; never keep a pointer to it beyond the work. */
struct outbox_unit;

/* The work of a unit: true to commit, false to roll back (fill the error, which is never NULL here). It runs again from the
 * start when Postgres asks for that (a deadlock, a serialization failure), so what it leaves in `context` it sets anew each
 * time, and what cannot be undone (a mail, a call to another server) it leaves to a consumer of the event.
 *
 * It must return. A C++ exception or pthread_cancel that leaves it rolls the unit back on its way (a statement that is running
 * costs the connection); longjmp cannot be seen: it leaves the unit open, and that swallows every later outbox_run on the
 * connection, which joins it, returns true, and is never committed. So does a unit of outbox_begin that is never ended. */
typedef bool outbox_work(struct outbox_unit *unit, void *context, struct outbox_error *error);

enum outbox_isolation {
    OUTBOX_ISOLATION_DEFAULT, /* what the session says, default_transaction_isolation */
    OUTBOX_READ_COMMITTED,
    OUTBOX_REPEATABLE_READ,
    OUTBOX_SERIALIZABLE,
};

/* Told before each new attempt: which failed (from 1), why, and after how many milliseconds the next one begins. */
typedef void outbox_retry_listener(void *context, int attempt, const struct outbox_error *error, int wait_ms);

/* Everything zero, or a NULL pointer, is the default. `reserved` stays zero: that is how the struct may grow. */
struct outbox_options {
    enum outbox_isolation isolation;
    bool read_only;       /* Postgres refuses writes, emit included */
    bool deferrable;      /* with serializable and read_only: waits for a snapshot that cannot fail */
    int attempts;         /* how often the work may run in all; 0: five; 1: never again */
    int timeout_ms;       /* for all attempts together, 0: none. Also the unit's statement_timeout, so that it
                             ends each statement that the application sends itself */
    const char *consumer; /* who accepts from the inbox; NULL: the database role. Lives as long as the unit */
    outbox_retry_listener *retry_listener;
    void *retry_context;
    void *reserved[8];
};

/* Begins a transaction, calls the work, commits; rolls back on any failure. Deadlocks (40P01) and serialization failures
 * (40001), also those of COMMIT, run the whole unit again, after a pause of 10 ms that doubles up to 1 s, with jitter; also when
 * the work reported them in words of its own. Blocks. When it returns, the connection is outside of a transaction, or bad.
 *
 * Inside a unit of the same connection it joins that: the work becomes part of the outer transaction, nothing is committed
 * here (true says that the step is done), and a failure fails the outer unit too, whatever that returns (unless it happens within
 * outbox_optional). Joining with another isolation than the outer one's, other access, another consumer, or a timeout is
 * OUTBOX_ERROR_USAGE; DEFAULT, and everything else that is zero, fits all. `attempts` and `retry_listener` are the outer one's. */
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_run(PGconn *connection, const struct outbox_options *options,
                                             outbox_work *work, void *context, struct outbox_error *error);

/* The same in three steps, for code that cannot hand over a function. outbox_begin returns NULL on failure; it does not
 * join (on a connection with a unit it is OUTBOX_ERROR_USAGE, which that unit survives), and nothing is tried again. outbox_commit
 * and outbox_rollback end the unit and free it, whatever they return; a commit that fails has rolled back. Inside a work they are
 * OUTBOX_ERROR_USAGE, and fail the step of outbox_optional in which they are called, or else the unit; whoever called the work ends
 * it. outbox_rollback of NULL does nothing. */
OUTBOX_API OUTBOX_MUST_CHECK struct outbox_unit *
outbox_begin(PGconn *connection, const struct outbox_options *options, struct outbox_error *error);
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_commit(struct outbox_unit *unit, struct outbox_error *error);
OUTBOX_API void outbox_rollback(struct outbox_unit *unit);

/* A step that may fail without failing the unit: it runs under a savepoint, and its failure undoes what it did, its events
 * included, and nothing else. False: it was undone, and the error says why; the unit goes on, and usually the caller reports
 * the error and returns true. (When the unit itself is lost with it, its next statement and its commit say so.) Nests. Costs
 * two round trips and a subtransaction. A failure inside is never tried again by itself. */
OUTBOX_API bool outbox_optional(struct outbox_unit *unit, outbox_work *work, void *context,
                                struct outbox_error *error);

/* The connection, for the application's own statements; NULL when `unit` is. COMMIT, ROLLBACK and PREPARE TRANSACTION there break
 * the unit; its own savepoints are fine when released or rolled back in order. */
OUTBOX_API PGconn *outbox_connection(struct outbox_unit *unit);

/* Runs one statement with `count` parameters as text (NULL is SQL's NULL), within the unit's deadline. On success *result is
 * set, and the caller clears it; `result` may be NULL when nothing is wanted. An error fails as OUTBOX_ERROR_SQL, an empty
 * statement as OUTBOX_ERROR_USAGE. Of a COPY only the beginning: its data is then the application's affair. */
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_query(struct outbox_unit *unit, const char *sql, int count,
                                               const char *const *values, PGresult **result,
                                               struct outbox_error *error);

enum outbox_fate {
    OUTBOX_FATE_IN_PROGRESS, /* the server is still at it, or it was prepared: ask again */
    OUTBOX_FATE_COMMITTED,
    OUTBOX_FATE_ROLLED_BACK,
    OUTBOX_FATE_FORGOTTEN, /* too long ago for Postgres to remember, or not a transaction of this server's history */
};

/* What became of the transaction `xid`, by pg_xact_status, on another or a reset connection to the same database. Two things can
 * give the number to another transaction, and then the answer is that one's: a crash of the server before anything of ours was on
 * its disk, and a fail-over to a standby that lagged behind. After those, look for a row that the unit wrote. */
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_was_committed(PGconn *connection, uint64_t xid,
                                                       enum outbox_fate *fate, struct outbox_error *error);

/* ---- events -------------------------------------------------------------------------------------------------------- */

/* Any bytes. `data` NULL: no key, or a tombstone; size 0 with data is an empty value, which is another thing. */
struct outbox_bytes {
    const void *data;
    size_t size;
};

/* The bytes of a text, without its NUL; NULL stays NULL. The text is not copied. */
static inline struct outbox_bytes
outbox_text(const char *text)
{
    struct outbox_bytes bytes = {text, text != NULL ? strlen(text) : 0};
    return bytes;
}

/* UTF-8. A name that comes twice becomes a header that repeats; a NULL value is a header without a value, which
 * cannot repeat. */
struct outbox_header {
    const char *name;
    const char *value;
};

/* Everything is the caller's and only read during the call. What Postgres refuses (an illegal topic, a reserved header, a
 * payload over 16 MiB) comes back as OUTBOX_ERROR_SQL with the constraint's name. `reserved` stays zero. */
struct outbox_event {
    const char *topic; /* a legal Kafka topic */
    struct outbox_bytes key;
    struct outbox_bytes payload;
    const struct outbox_header *headers;
    size_t header_count;
    void *reserved[4];
};

/* Inserts one event in the unit; it is published if and only if the unit commits. `id`, unless NULL, receives its id. Change or
 * lock the row that the event is about *before* emitting: that is what keeps the events of a key in order. */
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_emit(struct outbox_unit *unit, const struct outbox_event *event,
                                              int64_t *id, struct outbox_error *error);

/* Inserts many events by one COPY, in their order: several times faster than one by one, but without their ids. Call it again
 * for the next array. An error names the event by its index. */
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_emit_many(struct outbox_unit *unit,
                                                   const struct outbox_event *events, size_t count,
                                                   struct outbox_error *error);

/* ---- the inbox of a consumer ------------------------------------------------------------------------------------ */

/* Remembers, in the unit, that this consumer works on the event (source, id), the two headers of a record. *first is false when
 * it had been accepted before: then there is nothing to do. Waits for another unit that is accepting the same event. The
 * consumer is options.consumer, or the database role. */
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_inbox_accept(struct outbox_unit *unit, const char *source,
                                                      int64_t id, bool *first, struct outbox_error *error);

/* Forgets what this consumer accepted more than `age_s` seconds ago, at most `limit` entries (0: 10,000), in the unit. An event
 * that is sent again after that would be accepted again: keep more than the retention of the outbox and of the topic. *count,
 * unless NULL, receives how many were forgotten. */
OUTBOX_API OUTBOX_MUST_CHECK bool outbox_inbox_prune(struct outbox_unit *unit, int64_t age_s, int limit,
                                                     int64_t *count, struct outbox_error *error);

/* The version of the library that is loaded: "0.1.0". Static. */
OUTBOX_API const char *outbox_version(void);

#ifdef __cplusplus
}
#endif

#endif
