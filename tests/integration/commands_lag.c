/* commands_lag.c: the lag that `outboxd status` says is the number of events that are committed and not confirmed, compared with
 * the definition, event by event, after every step of a relay among hostile writers. */
#include "commands_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* An event is unconfirmed when it is not visible in the snapshot of row confirmed_seq, except those of the next tick up to
 * confirmed_id. */
static int64_t
unconfirmed(const struct outbox *outbox)
{
    return postgres_int(
        outbox->admin,
        "with n as (select * from outbox.journal where relay = 'main' order by seq desc limit 1),"
        " c as (select j.* from outbox.journal j join n on j.relay = n.relay and j.seq = n.confirmed_seq),"
        " t as (select j.* from outbox.journal j join n on j.relay = n.relay and j.seq = n.confirmed_seq + 1)"
        " select count(*) from outbox.event e cross join c cross join n left join t on true"
        "  where not pg_visible_in_snapshot(e.xid, c.snapshot)"
        "    and not (t.seq is not null and pg_visible_in_snapshot(e.xid, t.snapshot)"
        "             and e.id <= coalesce(n.confirmed_id, 0))");
}

static void
expect_lag(const struct outbox *outbox, int round, const char *when)
{
    json_t *object = status_object(outbox);
    int64_t said = status_integer(status_relay_of(object), "lag_events"), right = unconfirmed(outbox);
    cr_assert_eq(said, right, "round %d, %s: says %lld, is %lld", round, when, (long long)said,
                 (long long)right);
    json_decref(object);
}

/* Each writer begins, goes on, commits or rolls back; some subtransactions are rolled back. */
static void
stir(PGconn **writers, bool *open, int count, unsigned *seed)
{
    for (int i = 0; i < count; i++) {
        unsigned what = (unsigned)rand_r(seed) % 4;
        if (!open[i]) {
            postgres_exec(writers[i], "begin");
            open[i] = true;
        }
        emit_events(writers[i], "orders", 1 + rand_r(seed) % 5);
        if (what == 0) {
            postgres_exec(writers[i], "savepoint s");
            emit_events(writers[i], "orders", 2);
            postgres_exec(writers[i], "rollback to s");
        } else if (what < 3) {
            postgres_exec(writers[i], what == 1 ? "commit" : "rollback");
            open[i] = false;
        }
    }
}

enum { WRITERS = 4, ROUNDS = 25 };

Test(commands_lag, lag_is_exact_among_late_rolled_back_and_partly_confirmed_transactions, .timeout = 120)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    PGconn *writers[WRITERS];
    bool open[WRITERS] = {false};
    unsigned seed = 20240607;
    int partly = 0;
    for (int i = 0; i < WRITERS; i++)
        writers[i] = outbox_session(&outbox, POSTGRES_WRITER);
    for (int round = 0; round < ROUNDS; round++) {
        struct ids ids;
        stir(writers, open, WRITERS, &seed);
        bool found = driver_step(driver, 1000, 1 << 20, &ids);
        int64_t tick = driver->self.seq;
        expect_lag(&outbox, round, "nothing of the tick is confirmed");
        if (found && ids.count > 1) {
            confirm_tick(driver, tick - 1, ids.list[(size_t)rand_r(&seed) % (ids.count - 1)], false);
            stir(writers, open, WRITERS, &seed);
            expect_lag(&outbox, round, "the tick is confirmed in part");
            partly++;
        }
        if (found)
            confirm_tick(driver, tick, 0, false);
        expect_lag(&outbox, round, "the tick is confirmed");
        driver_ids_free(&ids);
    }
    cr_assert(partly > ROUNDS / 4, "the load made ticks of several events");
    for (int i = 0; i < WRITERS; i++)
        PQfinish(writers[i]);
    driver_close(driver);
    outbox_close(&outbox);
}

Test(commands_lag, more_than_a_hundred_thousand_events_are_estimated_and_marked_so, .timeout = 120)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    emit_events(outbox.writer, "orders", 150000);
    json_t *object = status_object(&outbox), *relay = status_relay_of(object);
    cr_assert_eq(status_integer(relay, "lag_events"), 150000,
                 "no id was lost, so the estimate by ids is right");
    cr_assert(json_is_false(json_object_get(relay, "lag_exact")));
    cr_assert(strstr(status_text(relay, "summary"), "about 150 thousand events") != NULL, "%s",
              status_text(relay, "summary"));
    json_decref(object);
    driver_close(driver);
    outbox_close(&outbox);
}
