/* schema_slots.c: the width of the ring's slots is chosen while the outbox is new, and never changes under events. */
#include "schema_fixture.h"

#include "command/command.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(schema_slots, .timeout = 60);

static struct outbox
open_with_width(int64_t width_s)
{
    struct postgres *server = postgres_shared();
    const char *database = postgres_create_database(server);
    struct schema_wish wish = outbox_wish();
    wish.slot_width_us = width_s * 1000000;
    outbox_migrate(server, database, POSTGRES_ADMIN, &wish);
    return outbox_open_in(server, database); /* migrates again, without a wish */
}

Test(schema_slots, events_change_slots_at_the_chosen_width)
{
    struct outbox outbox = open_with_width(1);
    cr_assert_eq(
        postgres_int(outbox.admin, "select extract(epoch from slot_width)::int from outbox.schema_version"),
        1);
    for (int slots = 0; slots < 3; slots++) {
        postgres_exec(outbox.writer, "begin; insert into outbox.event (topic) values ('t');"
                                     " select outbox.emit('t', null, null); commit");
        wait_for(postgres_int(outbox.admin,
                              "select (clock_timestamp() > max(created_at) + interval '1 s')::int"
                              " from outbox.event") == 1,
                 10000);
    }
    cr_assert_eq(postgres_int(outbox.admin, "select count(distinct slot) from outbox.event"), 3);
    cr_assert_eq(postgres_int(outbox.admin,
                              "select count(*) from outbox.event where slot not in"
                              " (extract(epoch from created_at)::bigint %% 12,"
                              "  extract(epoch from created_at - interval '1 s')::bigint %% 12)"),
                 0);
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('main', 'shop', '{*}', '10 s')::int"), 1);
    cr_assert_str_eq(
        postgres_sqlstate(outbox.relay, "select outbox.relay_register('main', 'shop', '{*}', '11 s')"),
        "22023");
    outbox_close(&outbox);
}

Test(schema_slots, a_ring_of_the_default_width_is_the_same_whether_asked_for_or_not)
{
    struct outbox outbox = outbox_open(), asked = open_with_width(10800);
    char *one = outbox_fingerprint(outbox.admin), *other = outbox_fingerprint(asked.admin);
    cr_assert_str_eq(one, other);
    free(one);
    free(other);
    outbox_close(&asked);
    outbox_close(&outbox);
}

Test(schema_slots, an_outbox_in_use_keeps_its_slots)
{
    static const char *const uses[][2] = {
        {"insert into outbox.event (topic) values ('t')", "delete from outbox.event"},
        {"insert into outbox.relay (name, source, topics, retention) values ('r', 's', '{*}', '1 h')",
         "delete from outbox.relay"},
        {"insert into outbox.journal (relay, seq, epoch, snapshot, lo_id, hi_id, confirmed_seq, sysid, "
         "timeline, dbid,"
         " nonce) values ('r', 0, 0, '3:3:', 0, 0, 0, 1, 1, 1, 1)",
         "delete from outbox.journal"},
    };
    struct outbox outbox = open_with_width(60);
    struct schema_wish wish = outbox_wish();
    char *before = outbox_fingerprint(outbox.admin);
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        postgres_exec(outbox.admin, "%s", uses[i][0]);
        wish.slot_width_us = INT64_C(2) * 1000000;
        const char *message = outbox_migrate_refused(outbox.server, outbox.database, &wish);
        cr_assert(
            strstr(message,
                   "the slots are 00:01:00 wide, and can be made 00:00:02 only while the outbox is new") &&
                strstr(message, "leave out --slot-width"),
            "%s", message);
        wish.slot_width_us = INT64_C(60) * 1000000;
        outbox_migrate(outbox.server, outbox.database, POSTGRES_ADMIN,
                       &wish); /* what it is may be asked for */
        postgres_exec(outbox.admin, "%s", uses[i][1]);
    }
    char *after = outbox_fingerprint(outbox.admin);
    cr_assert_str_eq(after, before);
    wish.slot_width_us = INT64_C(2) * 1000000;
    outbox_migrate(outbox.server, outbox.database, POSTGRES_ADMIN, &wish); /* empty again: as good as new */
    cr_assert_eq(
        postgres_int(outbox.admin, "select extract(epoch from slot_width)::int from outbox.schema_version"),
        2);
    free(after);
    free(before);
    outbox_close(&outbox);
}

Test(schema_slots, widths_that_are_none_exit_64)
{
    static const char *const bad[] = {"0s", "1500ms", "7", "-3h", "366d", "wide"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *width = must_strdup(bad[i]);
        char *argv[] = {"migrate", "--print", "--slot-width", width, NULL};
        cr_expect_eq(command_migrate(4, argv), 64, "%s", bad[i]);
        free(width);
    }
}
