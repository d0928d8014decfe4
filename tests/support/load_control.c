/* load_control.c: the control: a poller of `id > last`, as many relays are built, beside the load (load.h).
 * It loses every event whose transaction commits after a later id was seen; a checker that does not find that
 * sees nothing. */
#include "support/load.h"

#include "base/error.h"
#include "support/checker_judge.h"
#include "support/postgres.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define POLL_NS 10000000

struct control {
    pthread_t thread;
    atomic_bool stop;
    char *conninfo, *source;
    struct expected_events seen; /* in the order of seeing */
};

static void
control_poll(struct control *control, PGconn *connection)
{
    int64_t last = control->seen.count > 0 ? control->seen.list[control->seen.count - 1].id : 0;
    char *query =
        must_format("select id, xid::text, null::bigint, null::text, topic, key, payload, headers::text,"
                    " (extract(epoch from created_at) * 1000000)::bigint"
                    " from outbox.event where id > %" PRId64 " order by id",
                    last);
    expected_read(&control->seen, connection, query);
    free(query);
}

static void *
control_main(void *context)
{
    struct control *control = context;
    PGconn *connection = postgres_connect(control->conninfo);
    while (!control->stop) {
        control_poll(control, connection);
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    control_poll(control, connection);
    PQfinish(connection);
    return NULL;
}

struct control *
control_start(const char *conninfo, const char *source)
{
    struct control *control = must_calloc(1, sizeof *control);
    control->conninfo = must_strdup(conninfo);
    control->source = must_strdup(source);
    if (pthread_create(&control->thread, NULL, control_main, control) != 0)
        test_fail("control: no thread");
    return control;
}

void
control_stop(struct control *control, struct records *records)
{
    control->stop = true;
    pthread_join(control->thread, NULL);
    for (size_t i = 0; i < control->seen.count; i++)
        checker_record_of(records, &control->seen.list[i], control->source, (int64_t)i);
    expected_free(&control->seen);
    free(control->source);
    free(control->conninfo);
    free(control);
}
