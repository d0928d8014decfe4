/* run.c: outbox_run: the whole unit, again and again while Postgres asks for it; or joined to the unit that is open already.
 * Called by applications; the transaction itself is unit.c's. */
#include "client/client.h"

#include "base/backoff.h"
#include "base/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

/* Enough for locks taken in different orders by a few dozen sessions; more hides a design that always collides. */
#define ATTEMPTS_DEFAULT 5

/* Half of the first pause is longer than most transactions, so that the other one has gone. */
#define PAUSE_FIRST_US INT64_C(10000)
#define PAUSE_LAST_US INT64_C(1000000)

/* ---- joining ---- */

static bool
check_joining(const struct outbox_unit *unit, const struct outbox_options *options, outbox_work *work,
              struct outbox_error *error)
{
    if (work == NULL)
        return failure_missing(error, "work");
    if (options == NULL)
        return true;
    const char *what = NULL;
    if (options->isolation != OUTBOX_ISOLATION_DEFAULT && options->isolation != unit->options.isolation)
        what = "another isolation";
    else if ((options->read_only && !unit->options.read_only) ||
             (options->deferrable && !unit->options.deferrable))
        what = "another access";
    else if (options->timeout_ms != 0)
        what = "a timeout of its own";
    else if (options->consumer != NULL &&
             (unit->options.consumer == NULL || strcmp(options->consumer, unit->options.consumer) != 0))
        what = "another consumer";
    return what == NULL ||
           failure_set(error, OUTBOX_ERROR_USAGE, "the unit that this one joins cannot have %s", what);
}

static bool
join(struct outbox_unit *unit, const struct outbox_options *options, outbox_work *work, void *context,
     struct outbox_error *error)
{
    if (check_joining(unit, options, work, error) && unit_usable(unit, error) &&
        work_run(unit, work, context, error))
        return true;
    struct outbox_error why = *error;
    failure_prefix(&why, "a unit that had joined this one failed: ");
    unit_doom(unit, &why);
    return false;
}

/* ---- one attempt after the other ---- */

/* Whether the transaction failed for something that another attempt may not meet, whatever the work made of it. Not when
 * something may be committed already, or the connection is gone. */
static bool
failed_in_passing(const struct outbox_unit *unit, const struct outbox_error *error)
{
    if (unit->state == UNIT_ENDED && (unit->strayed || unit->why.kind != OUTBOX_ERROR_BROKEN))
        return false;
    bool refused = PQtransactionStatus(unit->connection) == PQTRANS_INERROR;
    return (refused && failure_is_passing(unit->refused.sqlstate)) ||
           (error->kind == OUTBOX_ERROR_SQL && failure_is_passing(error->sqlstate));
}

struct run {
    PGconn *connection;
    const struct outbox_options *options;
    outbox_work *work;
    void *context;
    int64_t deadline_us;
    int works; /* that ran */
};

/* A statement is running only when the thread was cancelled in it, and a COMMIT may wait for ever. */
static void
abandon(struct outbox_unit **unit)
{
    if (*unit != NULL && PQtransactionStatus((*unit)->connection) == PQTRANS_ACTIVE)
        wire_cut((*unit)->connection);
    outbox_rollback(*unit);
}

static bool
attempt(struct run *run, bool *again, struct outbox_error *error)
{
    *again = false;
    memset(error, 0, sizeof *error);
    UNWOUND(abandon)
    struct outbox_unit *unit = unit_begin(run->connection, run->options, run->deadline_us, error);
    if (unit == NULL)
        return false;
    run->works++;
    if (!work_run(unit, run->work, run->context, error)) {
        *again = failed_in_passing(unit, error);
        return false;
    }
    bool done = outbox_commit(unit, error);
    unit = NULL;
    *again = !done && error->kind == OUTBOX_ERROR_SQL && failure_is_passing(error->sqlstate);
    return done;
}

static void
sleep_us(int64_t us)
{
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static struct backoff
make_backoff(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (uint64_t)clock_monotonic_us();
    return backoff_make(PAUSE_FIRST_US, PAUSE_LAST_US, seed);
}

/* False: there is no time left for another attempt. */
static bool
pause_after(const struct run *run, struct backoff *backoff, const struct outbox_error *error)
{
    const struct outbox_options *options = run->options;
    int64_t wait_us = backoff_next_us(backoff);
    if (run->deadline_us - clock_monotonic_us() <= wait_us)
        return false;
    if (options->retry_listener != NULL)
        options->retry_listener(options->retry_context, run->works, error, (int)(wait_us / 1000));
    sleep_us(wait_us);
    return true;
}

bool
outbox_run(PGconn *connection, const struct outbox_options *options, outbox_work *work, void *context,
           struct outbox_error *error)
{
    static const struct outbox_options defaults;
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    struct watch *watch = watch_find(connection);
    if (watch != NULL && watch->unit != NULL)
        return join(watch->unit, options, work, context, error);
    if (work == NULL)
        return failure_missing(error, "work");

    options = options != NULL ? options : &defaults;
    struct run run = {.connection = connection,
                      .options = options,
                      .work = work,
                      .context = context,
                      .deadline_us = CLOCK_NEVER};
    if (options->timeout_ms > 0)
        run.deadline_us = clock_monotonic_us() + (int64_t)options->timeout_ms * 1000;
    int attempts = options->attempts > 0 ? options->attempts : ATTEMPTS_DEFAULT;
    struct backoff backoff = make_backoff();
    for (;;) {
        bool again;
        if (attempt(&run, &again, error))
            return true;
        if (!again || run.works >= attempts || !pause_after(&run, &backoff, error)) {
            error->attempts = run.works;
            return false;
        }
    }
}
