/* rebase_fixture.c: see rebase_fixture.h. */
#include "rebase_fixture.h"

#include "command/command.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 1000
#define BYTES (1 << 23)

struct outbox
rebase_open_own(void)
{
    struct postgres *server = postgres_start(NULL);
    return outbox_open_in(server, postgres_create_database(server));
}

int64_t
rebase_emit(PGconn *connection)
{
    return postgres_int(connection, "select outbox.emit('t', 'k', '{}')");
}

struct driver *
rebase_lead(const struct outbox *outbox, const char *relay)
{
    return driver_open(postgres_conninfo(outbox->server, outbox->database, POSTGRES_RELAY), relay);
}

void
rebase_three_of_seven(const struct outbox *outbox, const char *relay)
{
    struct driver *driver = rebase_lead(outbox, relay);
    struct ids ids;
    rebase_emit(outbox->writer);
    cr_assert(driver_step(driver, PAGE, BYTES, &ids));
    driver_ids_free(&ids);
    confirm_tick(driver, driver->self.seq, 0, false);
    for (int i = 0; i < 4; i++)
        rebase_emit(outbox->writer);
    cr_assert(driver_step(driver, PAGE, BYTES, &ids));
    cr_assert_eq(ids.count, 4);
    confirm_tick(driver, driver->self.seq - 1, ids.list[1], false);
    driver_ids_free(&ids);
    driver_close(driver);
    rebase_emit(outbox->writer);
    rebase_emit(outbox->writer);
}

void
rebase_expect_tick(struct driver *driver, const int64_t *list, size_t count)
{
    struct ids ids = {0}, want = {.list = (int64_t *)(uintptr_t)list, .count = count};
    cr_assert(driver_step(driver, PAGE, BYTES, &ids), "no tick was opened");
    for (size_t i = 0; i < ids.count; i++)
        cr_assert(i < count && ids.list[i] == list[i], "event %zu of %zu is %lld", i, ids.count,
                  (long long)ids.list[i]);
    cr_assert(driver_ids_equal(&ids, &want), "%zu events instead of %zu", ids.count, count);
    driver_ids_free(&ids);
    cr_assert_not(driver_step(driver, PAGE, BYTES, &ids), "another %zu events, the first is %lld", ids.count,
                  (long long)ids.list[0]);
}

void
rebase_expect_as(const struct outbox *outbox, const char *user, int exit_code, const char *out,
                 const char *err, const char *one, const char *other)
{
    const char *conninfo = postgres_conninfo(outbox->server, outbox->database, user);
    struct ran ran = run_command(
        command_rebase, (const char *[]){"rebase", "--conninfo", conninfo, one, one ? other : NULL, NULL});
    cr_assert_eq(ran.exit_code, exit_code, "exit code %d: %s%s", ran.exit_code, ran.out, ran.err);
    cr_assert(out == NULL || strstr(ran.out, out) != NULL, "\"%s\" is not in: %s", out, ran.out);
    cr_assert(err == NULL || strstr(ran.err, err) != NULL, "\"%s\" is not in: %s", err, ran.err);
    ran_free(&ran);
}

void
rebase_expect(const struct outbox *outbox, int exit_code, const char *out, const char *err,
              const char *option)
{
    rebase_expect_as(outbox, POSTGRES_ADMIN, exit_code, out, err, option, NULL);
}

char *
rebase_everything(const struct outbox *outbox)
{
    return postgres_text(
        outbox->admin, "select jsonb_build_object('e', (select jsonb_agg(e order by id) from outbox.event e),"
                       " 'j', (select jsonb_agg(j order by relay, seq) from outbox.journal j),"
                       " 's', (select last_value from outbox.event_id_seq))");
}

void
rebase_expect_emptied(const struct outbox *outbox, const char *const *relays)
{
    postgres_exec(outbox->admin, "update outbox.event set created_at = created_at - interval '2 d'");
    for (size_t i = 0; relays[i] != NULL; i++)
        outbox_confirm_all(outbox, relays[i]);
    postgres_exec(outbox->relay, "select outbox.slot_empty(i) from generate_series(0, 11) i");
    cr_assert_eq(postgres_int(outbox->admin, "select count(*) from outbox.event"), 0,
                 "what is old and confirmed does not go");
}
