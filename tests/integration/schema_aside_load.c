/* schema_aside_load.c: what a new leader reads of dead letters, piece by piece, as it asks for it (src/postgres/aside.h): every hold once, with
 * its first dead letter, and the dead letters that the stream is still to come to (I2, P3). */
#include "integration/journal_driver.h"
#include "schema_fixture.h"

#include "base/clock.h"
#include "postgres/aside.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

TestSuite(schema_aside_load, .timeout = 60);

static struct outbox outbox;
static struct driver *driver;
static char text[1000];  /* what was read .. */
static char pieces[100]; /* .. and in pieces of how many rows */

static void
open_all(void)
{
    outbox = outbox_open();
    outbox_register(&outbox);
    driver = driver_open(postgres_conninfo(outbox.server, outbox.database, POSTGRES_RELAY), "main");
}

static void
close_all(void)
{
    driver_close(driver);
    outbox_close(&outbox);
}

/* hold 0: it holds nothing */
static void
add(const char *relay, int id, int tick, int hold, const char *topic, const char *key)
{
    postgres_exec(
        outbox.admin,
        "insert into outbox.dead_letter (relay, event_id, tick, hold, topic, key, created_at, error, "
        "message) values ('%s', %d, %d, nullif(%d, 0), '%s', %s, now(), 'E', 'm')",
        relay, id, tick, hold, topic, key);
}

static void append(const char *format, ...) PRINTF_LIKE(1, 2);
static void
append(const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(text);
    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - used, format, arguments);
    va_end(arguments);
}

static int64_t last_hold;

static void
take_hold(void *context, const struct aside_hold *hold)
{
    (void)context;
    last_hold = hold->number;
    append("%d at %d/%d of %s, key %02x%02x, held up to %d; ", (int)hold->number, (int)hold->tick,
           (int)hold->event_id, hold->topic, hold->key[0], hold->key[KEY_DIGEST_SIZE - 1],
           (int)hold->held_tick);
}

static void
read_holds(int64_t rows, int64_t bytes)
{
    struct error error;
    int count = 1;
    last_hold = 0;
    while (count > 0) {
        aside_ask_holds(driver->session, "main", last_hold, rows, bytes, clock_monotonic_us());
        driver_wait(driver);
        cr_assert(aside_read_holds(driver->session, take_hold, NULL, &count, &error), "%s", error.message);
        cr_assert_leq(count, rows);
        append("| ");
        snprintf(pieces + strlen(pieces), sizeof pieces - strlen(pieces), "%d ", count);
    }
}

/* SHA-256 of "abc" is ba78 .. 15ad, of nothing e3b0 .. b855. */
Test(schema_aside_load, I2_each_hold_is_read_once_in_pieces_with_its_first_dead_letter, .init = open_all,
     .fini = close_all)
{
    add("main", 12, 5, 12, "orders", "'abc'");
    add("main", 7, 6, 7, "orders", "''");
    add("main", 9, 4, 12, "orders", "'abc'"); /* of the same hold, and stands before the other one */
    add("main", 30, 6, 30, "mails", "'abc'");
    add("main", 31, 6, 0, "mails", "'abc'");
    add("other", 40, 6, 40, "mails", "'abc'");
    postgres_exec(outbox.admin, "insert into outbox.held_event (relay, event_id, tick, hold, slot) values"
                                " ('main', 13, 7, 12, 0), ('main', 3, 9, 12, 0), ('main', 14, 8, 12, 0), "
                                "('other', 15, 99, 12, 0)");
    read_holds(2, 1000);
    cr_expect_str_eq(text,
                     "7 at 6/7 of orders, key e355, held up to 0; 12 at 4/9 of orders, key baad, held up "
                     "to 9; | 30 at 6/30 of mails, key baad, held up to 0; | | ");
}

Test(schema_aside_load, long_keys_make_small_pieces, .init = open_all, .fini = close_all)
{
    for (int id = 1; id <= 4; id++)
        add("main", id, 5, id, "orders", "convert_to(repeat('x', 3000), 'UTF8')");
    read_holds(100, 5000);
    read_holds(100, 1);
    cr_expect_str_eq(pieces, "2 2 0 1 1 1 1 0 ");
}

static struct aside_place last_place;

static void
take_place(void *context, struct aside_place place)
{
    (void)context;
    last_place = place;
    append("%d/%d ", (int)place.tick, (int)place.event_id);
}

Test(schema_aside_load, P3_the_dead_letters_behind_a_place_are_read_in_the_order_of_the_stream,
     .init = open_all, .fini = close_all)
{
    struct error error;
    int count = 1;
    add("main", 50, 5, 0, "orders", "null");
    add("main", 8, 7, 0, "orders", "null");
    add("main", 9, 7, 9, "orders", "'abc'");
    add("main", 70, 7, 0, "orders", "null");
    add("main", 2, 8, 0, "mails", "null");
    add("other", 10, 9, 0, "mails", "null");
    last_place = (struct aside_place){7, 8};
    while (count > 0) {
        aside_ask_ahead(driver->session, "main", last_place, 2, clock_monotonic_us());
        driver_wait(driver);
        cr_assert(aside_read_ahead(driver->session, take_place, NULL, &count, &error), "%s", error.message);
        append("| ");
    }
    cr_expect_str_eq(text, "7/9 7/70 | 8/2 | | ");
}
