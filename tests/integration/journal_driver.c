/* journal_driver.c: plays the relay's part towards Postgres, one request at a time. */
#include "integration/journal_driver.h"

#include "base/clock.h"
#include "postgres/registry.h"
#include "support/postgres.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define GATE "1" /* an advisory lock of the database */
#define GATE_MS 20000

static char *everything = "*";

void
driver_wait(struct driver *driver)
{
    struct session *session = driver->session;
    int64_t until_us = clock_monotonic_us() + 60 * INT64_C(1000000);
    for (;;) {
        int64_t now_us = clock_monotonic_us();
        session_turn(session, now_us);
        enum session_state state = session_state(session);
        if (state == SESSION_IDLE || state == SESSION_ANSWERED)
            return;
        cr_assert(state != SESSION_CLOSED, "%s", session_error(session)->message);
        cr_assert(now_us < until_us, "no answer within a minute");
        struct pollfd descriptor = {session_fd(session), session_events(session), 0};
        poll(&descriptor, 1, 100);
    }
}

static void
take_lead(struct driver *driver)
{
    struct error error;
    struct journal_row seen = {0};
    bool taken = false;
    journal_ask_newest(driver->session, driver->settings.relay, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_newest(driver->session, &seen, &error), "%s", error.message);
    journal_ask_take(driver->session, &driver->self, &seen, 0, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_take(driver->session, &driver->self, &taken, &error), "%s", error.message);
    cr_assert(taken);
    tick_edge_set(&driver->edge, seen.edge.snapshot, seen.edge.w, seen.edge.lo_id);
    driver->sequence = seen.sequence;
    driver->confirmed = seen.confirmed;
    journal_row_clear(&seen);
}

struct driver *
driver_open(const char *conninfo, const char *relay)
{
    struct error error;
    struct driver *driver = must_calloc(1, sizeof *driver);
    driver->settings = (struct settings){.source = "shop",
                                         .relay = must_strdup(relay),
                                         .postgres_conninfo = must_strdup(conninfo),
                                         .topics = &everything,
                                         .topics_count = 1,
                                         .retention_us = 24 * INT64_C(3600000000)};
    driver->self.relay = driver->settings.relay;
    snprintf(driver->self.holder, sizeof driver->self.holder, "driver-%p", (void *)driver);
    cr_assert(session_new(&driver->session, &driver->settings, "outboxd test", &error), "%s", error.message);
    driver->topics = topic_table_new(&everything, 1);
    driver->reader = reader_new(driver->session, driver->topics);
    session_connect(driver->session, clock_monotonic_us());
    driver_wait(driver);
    registry_ask_register(driver->session, &driver->settings, true, clock_monotonic_us());
    driver_wait(driver);
    bool registered;
    cr_assert(registry_read_register(driver->session, &registered, &error) && registered, "%s",
              error.message);
    journal_ask_prepare(driver->session, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_prepare(driver->session, &error), "%s", error.message);
    take_lead(driver);
    return driver;
}

void
driver_close(struct driver *driver)
{
    reader_free(driver->reader);
    session_free(driver->session);
    topic_table_free(driver->topics);
    tick_edge_clear(&driver->edge);
    free(driver->settings.relay);
    free(driver->settings.postgres_conninfo);
    free(driver);
}

static void
read_pages(struct driver *driver, int64_t events, int64_t bytes, struct ids *ids)
{
    struct error error;
    while (reader_has_more(driver->reader)) {
        struct page *page = NULL;
        reader_ask_page(driver->reader, events, bytes, clock_monotonic_us());
        if (driver->asked != NULL)
            driver->asked();
        driver_wait(driver);
        cr_assert(reader_read_page(driver->reader, &page, &error), "%s", error.message);
        ids->list = must_realloc(ids->list, ids->count + page->count, sizeof *ids->list);
        for (size_t i = 0; i < page->count; i++)
            ids->list[ids->count++] = page->events[i].id;
        cr_assert(page->count <= (size_t)events);
        cr_assert(page->count == 0 || page->last_id >= page->events[page->count - 1].id);
        ids->pages++;
        page_free(page);
    }
}

static struct journal_step
step_of(struct driver *driver)
{
    return (struct journal_step){.last = &driver->edge,
                                 .next_lo = driver->sequence,
                                 .confirmed = driver->confirmed,
                                 .dirty = false,
                                 .heartbeat_us = 3600 * INT64_C(1000000)};
}

void
driver_ask_step(struct driver *driver)
{
    struct journal_step step = step_of(driver);
    journal_ask_step(driver->session, &driver->self, &step, clock_monotonic_us());
}

bool
driver_finish_step(struct driver *driver, int64_t events, int64_t bytes, struct ids *ids)
{
    struct error error;
    struct journal_stepped stepped = {0};
    struct journal_step step = step_of(driver);
    *ids = (struct ids){0};
    driver_wait(driver);
    cr_assert(journal_read_step(driver->session, &driver->self, &step, &stepped, &error), "%s",
              error.message);
    cr_assert(!stepped.fenced);
    cr_assert(stepped.appended == stepped.found);
    tick_edge_set(&driver->edge, stepped.edge.snapshot, stepped.edge.w, stepped.edge.lo_id);
    driver->sequence = stepped.sequence;
    bool found = stepped.found;
    if (found) {
        reader_begin(driver->reader, &stepped.tick, 0);
        read_pages(driver, events, bytes, ids);
    }
    journal_stepped_clear(&stepped);
    return found;
}

bool
driver_step(struct driver *driver, int64_t events, int64_t bytes, struct ids *ids)
{
    driver_ask_step(driver);
    return driver_finish_step(driver, events, bytes, ids);
}

void
driver_read_back(struct driver *driver, int64_t seq, int64_t events, struct ids *ids)
{
    struct error error;
    struct journal_row *rows = NULL;
    size_t count = 0;
    int64_t epoch;
    struct tick tick = {.seq = seq};
    *ids = (struct ids){0};
    journal_ask_rows(driver->session, driver->settings.relay, seq - 1, 2, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_rows(driver->session, &epoch, &rows, &count, &error), "%s", error.message);
    cr_assert(count == 2);
    tick_edge_set(&tick.from, rows[0].edge.snapshot, rows[0].edge.w, rows[0].edge.lo_id);
    tick.snapshot = must_strdup(rows[1].edge.snapshot);
    tick.hi_id = rows[1].hi_id;
    journal_rows_free(rows, count);
    journal_ask_late(driver->session, &tick, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_late(driver->session, &tick, &error), "%s", error.message);
    reader_begin(driver->reader, &tick, 0);
    read_pages(driver, events, INT64_MAX / 2, ids);
}

void
driver_close_gate(PGconn *admin, const char *when)
{
    postgres_exec(admin, "select pg_advisory_lock(" GATE ")");
    postgres_exec(
        admin, "alter function pg_catalog.pg_sequence_last_value(regclass) rename to sequence_behind_gate");
    postgres_exec(
        admin,
        "create function pg_catalog.pg_sequence_last_value(regclass) returns bigint language plpgsql as"
        " $$ begin if %s then perform pg_advisory_xact_lock_shared(" GATE "); end if;"
        " return pg_catalog.sequence_behind_gate($1); end $$",
        when);
    /* so that prepared statements are analysed again, and find it */
    postgres_exec(admin, "alter table outbox.journal set (autovacuum_enabled = false)");
}

void
driver_await_gate(PGconn *admin)
{
    wait_for(postgres_int(admin,
                          "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
                          " where d.datname = current_database() and locktype = 'advisory' and not granted") >
                 0,
             GATE_MS);
}

void
driver_open_gate(PGconn *admin)
{
    postgres_exec(admin, "select pg_advisory_unlock(" GATE ")");
}

void
driver_ids_free(struct ids *ids)
{
    free(ids->list);
    *ids = (struct ids){0};
}

bool
driver_ids_equal(const struct ids *a, const struct ids *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->list, b->list, a->count * sizeof *a->list) == 0);
}

bool
driver_has_id(const struct ids *ids, int64_t id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (ids->list[i] == id)
            return true;
    return false;
}
