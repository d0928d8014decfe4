/* http_page.c: the status page says the most urgent thing first, and nothing that a stranger put there is
 * markup. */
#include "http/page.h"
#include "http/status.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 100000000

static char *
page_of(const struct snapshot *snapshot)
{
    size_t size;
    char *text = http_page_write(snapshot, NOW, &size);
    cr_assert_eq(size, strlen(text));
    return text;
}

static void
assert_verdict(const struct snapshot *snapshot, const char *mood, const char *title, const char *why)
{
    char *text = page_of(snapshot), wanted[200];
    snprintf(wanted, sizeof wanted, "<section class=\"state %s\">", mood);
    cr_assert_not_null(strstr(text, wanted), "%s", text);
    snprintf(wanted, sizeof wanted, "<h1>%s</h1><p class=\"why\">%s", title, why);
    cr_assert_not_null(strstr(text, wanted), "%s", text);
    snprintf(wanted, sizeof wanted, "<title>%s - outboxd ", title);
    cr_assert_not_null(strstr(text, wanted), "%s", text);
    free(text);
}

Test(http_page, the_verdict_is_the_most_urgent_thing)
{
    struct snapshot snapshot = {0};
    assert_verdict(&snapshot, "wait", "Starting", "Nothing is known yet.");

    snapshot = (struct snapshot){.state = "leading", .leader = true, .ready = true, .turned_at_us = NOW};
    assert_verdict(&snapshot, "good", "Leading", "Events are published. Nothing is stuck.");
    snapshot.paused = true;
    assert_verdict(&snapshot, "warn", "Paused by hand", "Nothing is published until `outboxd resume`.");
    strcpy(snapshot.trouble, "topic x: no such topic");
    assert_verdict(&snapshot, "warn", "Stuck", "topic x: no such topic");
    snapshot.ready = false;
    strcpy(snapshot.reason, "no broker answers");
    assert_verdict(&snapshot, "bad", "Stuck", "topic x: no such topic</p><p class=\"why\">no broker answers");
    snapshot.trouble[0] = '\0';
    assert_verdict(&snapshot, "bad", "Not ready", "no broker answers");
    snapshot.turned_at_us = NOW - STATUS_LIVE_US;
    assert_verdict(&snapshot, "bad", "Hanging", "The relay&#39;s loop does not turn.");

    snapshot = (struct snapshot){.state = "standby", .ready = true, .turned_at_us = NOW};
    assert_verdict(&snapshot, "wait", "Standing by", "Another process leads this relay.");
    snapshot =
        (struct snapshot){.state = "draining", .ready = true, .turned_at_us = NOW, .reason = "asked to stop"};
    assert_verdict(&snapshot, "wait", "draining", "asked to stop");
}

Test(http_page, what_it_is_stuck_at_stands_there_once)
{
    struct snapshot snapshot = {.state = "leading", .leader = true, .turned_at_us = NOW};
    strcpy(snapshot.trouble, "event 7 of topic x");
    strcpy(snapshot.reason, "stuck at event 7 of topic x");
    char *text = page_of(&snapshot), *first = strstr(text, "event 7 of topic x");
    cr_assert_not_null(first);
    cr_assert_null(strstr(first + 1, "event 7 of topic x"));
    free(text);
}

static void
assert_says(const struct snapshot *snapshot, const char *words, bool wanted)
{
    char *text = page_of(snapshot);
    cr_assert_eq(strstr(text, words) != NULL, wanted, "%s: %s", words, text);
    free(text);
}

Test(http_page, dead_letters_and_paused_topics_are_told_and_nothing_is_said_to_be_well)
{
    struct snapshot snapshot = {.state = "leading", .leader = true, .ready = true, .turned_at_us = NOW};
    assert_says(&snapshot, "Dead letters", false);
    assert_says(&snapshot, "Paused topics", false);
    snapshot.dead_letters = 1200;
    snapshot.held_events = 34;
    assert_verdict(&snapshot, "warn", "Leading",
                   "Events are published, but for dead letters and what waits behind them.");
    assert_says(&snapshot, "Dead letters<b>1,200</b>", true);
    assert_says(&snapshot, "34 events held behind them", true);
    assert_says(&snapshot, "Paused topics", false);
    snapshot.paused_topics = 2;
    snapshot.paused_topic_seconds = 250;
    strcpy(snapshot.paused_topic, "orders");
    strcpy(snapshot.paused_why, "PAUSED: somebody has paused it: outboxd resume");
    assert_verdict(&snapshot, "warn", "Leading",
                   "Events are published, but for dead letters, what waits behind them, and those of paused "
                   "topics.");
    assert_says(&snapshot, "Paused topics<b>2</b>", true);
    assert_says(&snapshot,
                "<code>orders</code>, for 4 min 10 s: PAUSED: somebody has paused it: outboxd resume", true);
    snapshot.dead_letters = snapshot.held_events = 0;
    assert_verdict(&snapshot, "warn", "Leading", "Events are published, but for those of paused topics.");
    assert_says(&snapshot, "Nothing is stuck", false);
    snapshot.paused = true; /* what waits besides is told all the same */
    assert_verdict(&snapshot, "warn", "Paused by hand", "Nothing is published until `outboxd resume`.");
    assert_says(&snapshot, "Paused topics<b>2</b>", true);
}

Test(http_page, a_standby_claims_no_epoch_and_no_tick)
{
    struct snapshot snapshot = {.state = "standby", .ready = true, .turned_at_us = NOW};
    assert_says(&snapshot, "Epoch", false);
    assert_says(&snapshot, "Tick", false);
    strcpy(snapshot.state, "leading");
    snapshot.epoch = 7;
    assert_says(&snapshot, "<th>Epoch<td>7", true);
    assert_says(&snapshot, "<th>Tick<td>", true);
}

Test(http_page, figures_are_written_for_people)
{
    struct snapshot_topic topics[] = {
        {.name = (char[]){"orders"}, .published = 1234567, .published_bytes = 3 << 20}};
    struct snapshot snapshot = {.state = "leading",
                                .turned_at_us = NOW,
                                .lag_seconds = 7384,
                                .lag_events = 52100,
                                .in_flight_events = 999,
                                .in_flight_bytes = 1536,
                                .memory_bytes = 64 << 20,
                                .started_at_us = 1769860800500000,
                                .topic_count = 1,
                                .topics = topics};
    char *text = page_of(&snapshot);
    cr_assert_not_null(strstr(text, "<b>2 h 3 min</b>"), "%s", text);
    cr_assert_not_null(strstr(text, "52,100 events not confirmed"));
    cr_assert_not_null(strstr(text, "<b>999</b>"));
    cr_assert_not_null(strstr(text, "1.5 KiB of 64.0 MiB"));
    cr_assert_not_null(strstr(text, "2026-01-31 12:00:00 UTC"));
    cr_assert_not_null(strstr(text, "1,234,567"));
    cr_assert_not_null(strstr(text, "3.0 MiB"));
    free(text);
    static const struct {
        double seconds;
        const char *words;
    } lags[] = {{0, "<b>0 s</b>"},
                {0.0042, "<b>4 ms</b>"},
                {12.34, "<b>12.3 s</b>"},
                {250, "<b>4 min 10 s</b>"},
                {180000, "<b>2 d 2 h</b>"}};
    for (size_t i = 0; i < sizeof lags / sizeof *lags; i++) {
        snapshot.lag_seconds = lags[i].seconds;
        text = page_of(&snapshot);
        cr_assert_not_null(strstr(text, lags[i].words), "%s", lags[i].words);
        free(text);
    }
}

Test(http_page, fault_85_no_value_is_markup)
{
    static char evil[] = "<script>alert(\"1\")</script>&'\xff\x1b";
    struct snapshot_topic topics[] = {{.name = evil, .published = 1}};
    struct snapshot snapshot = {.turned_at_us = NOW, .topic_count = 1, .topics = topics};
    strcpy(snapshot.source, evil);
    strcpy(snapshot.relay, evil);
    strcpy(snapshot.holder, "<script>x</script>");
    strcpy(snapshot.state, "<script>");
    strcpy(snapshot.reason, evil);
    strcpy(snapshot.trouble, evil);
    strcpy(snapshot.paused_topic, evil);
    strcpy(snapshot.paused_why, evil);
    snapshot.paused_topics = 1;
    char *text = page_of(&snapshot);
    cr_assert_null(strstr(text, "<script"), "%s", text);
    cr_assert_null(strchr(text, '\x1b'));
    cr_assert_null(strchr(text, '\xff'));
    cr_assert_not_null(strstr(text, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\\xff "));
    free(text);
}

Test(http_page, nothing_is_loaded_from_elsewhere)
{
    struct snapshot snapshot = {.state = "leading", .turned_at_us = NOW};
    char *text = page_of(&snapshot);
    cr_assert_null(strstr(text, "http://"));
    cr_assert_null(strstr(text, "https://"));
    cr_assert_null(strstr(text, "src="));
    cr_assert_null(strstr(text, "url("));
    cr_assert_null(strstr(text, "@import"));
    free(text);
}

Test(http_page, thousands_of_topics_do_not_make_a_page_that_nobody_reads)
{
    enum { MANY = 5000 };
    static char name[] = "topic";
    static struct snapshot_topic topics[MANY];
    for (size_t i = 0; i < MANY; i++)
        topics[i].name = name;
    struct snapshot snapshot = {
        .state = "leading", .turned_at_us = NOW, .topic_count = MANY, .topics = topics};
    char *text = page_of(&snapshot);
    cr_assert_lt(strlen(text), 64 * 1024u);
    cr_assert_not_null(strstr(text, "and 4800 more"));
    free(text);
}
