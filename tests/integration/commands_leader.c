/* commands_leader.c: see commands_leader.h. */
#include "commands_leader.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

struct leader {
    PGconn *connection;
    const char *meanwhile, *said, *sql; /* said: NULL once it was */
    pthread_t thread;
    atomic_bool over;
};

/* Standard error is a file when the command runs (run_command). */
static bool
was_said(const char *text)
{
    struct stat about;
    return stat("/proc/self/fd/2", &about) == 0 && S_ISREG(about.st_mode) &&
           scratch_file_contains("/proc/self/fd/2", text);
}

static void *
lead(void *context)
{
    struct leader *leader = context;
    while (!atomic_load(&leader->over)) {
        if (leader->said != NULL && was_said(leader->said))
            leader->said = NULL;
        const char *sql = leader->said != NULL ? leader->meanwhile : leader->sql;
        if (sql != NULL)
            postgres_exec(leader->connection, "%s", sql);
        wait_turn(INT64_MAX);
    }
    return NULL;
}

struct leader *
leader_begin(const struct outbox *outbox, const char *sql)
{
    return leader_begin_when_said(outbox, NULL, NULL, sql);
}

struct leader *
leader_begin_when_said(const struct outbox *outbox, const char *meanwhile, const char *said, const char *sql)
{
    struct leader *leader = must_calloc(1, sizeof *leader);
    leader->connection = outbox_session(outbox, POSTGRES_RELAY);
    leader->meanwhile = meanwhile;
    leader->said = said;
    leader->sql = sql;
    cr_assert_eq(pthread_create(&leader->thread, NULL, lead, leader), 0);
    return leader;
}

void
leader_end(struct leader *leader)
{
    atomic_store(&leader->over, true);
    pthread_join(leader->thread, NULL);
    PQfinish(leader->connection);
    free(leader);
}

void
leader_puts_aside(const struct outbox *outbox, int held)
{
    emit_events(outbox->writer, "orders", 1 + held);
    postgres_exec(
        outbox->relay,
        "select outbox.put_aside('main', jsonb_build_object('dead', '[{\"id\": 1, \"tick\": 5, \"hold\": 7,"
        " \"error\": \"MSG_SIZE_TOO_LARGE\", \"message\": \"larger than the topic takes\"}]'::jsonb,"
        " 'held', (select coalesce(jsonb_agg(jsonb_build_array(i, 5, 7)), '[]') from generate_series(2, %d) "
        "i)))",
        1 + held);
}
