/* replay_pages.c: pages of a replay, as the leader asks the database for them: what they are made of, and what they cost. */
#include "commands_fixture.h"

#include "base/clock.h"
#include "postgres/waiting.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(replay_pages, .timeout = 60);

static struct outbox outbox;
static struct driver *driver;

static void
open_all(void)
{
    outbox = outbox_open();
    driver = lead_outbox(&outbox);
}

static void
close_all(void)
{
    driver_close(driver);
    outbox_close(&outbox);
}

/* All of it, with these topics; the caller frees its page. */
static struct waiting_page
read_page(const struct waiting_request *request, struct topic_table *topics)
{
    struct error error;
    struct waiting_page read;
    waiting_ask_replay(driver->session, "main", request, 0, INT64_MAX, 10000, 1 << 20, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(waiting_read_page(driver->session, topics, REQUEST_KIND_REPLAY, &read, &error), "%s",
              error.message);
    return read;
}

/* ---- topics that are not selected ---- */

Test(replay_pages, names_of_unselected_topics_do_not_fill_the_memory_and_are_not_counted_twice__I6,
     .init = open_all, .fini = close_all)
{
    char pattern[] = "wanted", *patterns[] = {pattern};
    struct topic_table *topics = topic_table_new(patterns, 1);
    postgres_exec(
        outbox.writer,
        "insert into outbox.event (topic, payload) select 'other-' || i, 'x' from generate_series(1, "
        "%d) i; insert into outbox.event (topic, payload) values ('wanted', 'y'), ('other-1', 'z')",
        TOPICS_PASSED_OVER + 500);
    outbox_confirm_all(&outbox, "main");
    struct waiting_page read = read_page(&(struct waiting_request){.kind = REQUEST_KIND_REPLAY}, topics);
    cr_expect_eq(read.rows, TOPICS_PASSED_OVER + 502);
    cr_expect_eq(read.last_id, TOPICS_PASSED_OVER + 502);
    cr_assert_eq(read.page->count, 1);
    cr_expect_str_eq(read.page->events[0].topic->name, "wanted");
    cr_expect_eq(topic_count(topics), TOPICS_PASSED_OVER + 2, "%zu topics are kept", topic_count(topics));
    for (size_t i = 0; i < topic_count(topics); i++)
        cr_expect_eq(topic_at(topics, i)->passed_over, 0);
    page_free(read.page);
    topic_table_free(topics);
}
