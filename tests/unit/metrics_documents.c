/* metrics_documents.c: docs/metrics.md names every metric and every key of the JSON that scripts read. Run in the root of the
 * repository. */
#include "command/dead_print.h"
#include "command/replay_print.h"
#include "command/report.h"
#include "http/metrics.h"
#include "http/status.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE "docs/metrics.md"

static char *page;

static void
read_page(void)
{
    FILE *from = fopen(PAGE, "r");
    cr_assert_not_null(from, PAGE " is missing");
    page = calloc(1, 100000);
    cr_assert_lt(fread(page, 1, 100000, from), 100000);
    fclose(from);
}

static void
free_page(void)
{
    free(page);
}

TestSuite(metrics_documents, .init = read_page, .fini = free_page);

/* The part of the page under a heading, up to the next one; the caller frees it. */
static char *
chapter(const char *heading)
{
    char *begin = strstr(page, heading);
    cr_assert_not_null(begin, "%s has no chapter %s", PAGE, heading);
    const char *end = strstr(begin + strlen(heading), "\n## ");
    return strndup(begin, end != NULL ? (size_t)(end - begin) : strlen(begin));
}

/* `name`, or `name{label} */
static void
expect_named(const char *text, const char *name)
{
    char plain[100], labelled[100];
    snprintf(plain, sizeof plain, "`%s`", name);
    snprintf(labelled, sizeof labelled, "`%s{", name);
    cr_expect(strstr(text, plain) != NULL || strstr(text, labelled) != NULL, PAGE " says nothing of %s",
              name);
}

static void
expect_keys(const char *text, const json_t *value)
{
    const char *key;
    json_t *member;
    for (size_t i = 0; i < json_array_size(value); i++)
        expect_keys(text, json_array_get(value, i));
    json_object_foreach((json_t *)value, key, member)
    {
        expect_named(text, key);
        expect_keys(text, member);
    }
}

static void
expect_keys_of(const char *heading, char *json)
{
    char *text = chapter(heading);
    json_t *object = json_loads(json, 0, NULL);
    cr_assert(json_object_size(object) > 0);
    expect_keys(text, object);
    json_decref(object);
    free(json);
    free(text);
}

/* What waits without end, or fills the disk, is none of the lag's. */
Test(metrics_documents, whatever_waits_for_a_person_has_an_alert_and_a_command)
{
    static const char *const wanted[] = {
        "outbox_lag_seconds{",   "outbox_leader{",       "outbox_stuck{",         "outbox_paused{",
        "outbox_paused_topics{", "outbox_dead_letters{", "/health/ready",         "`outboxd status`",
        "`outboxd resume`",      "`outboxd dead list`",  "`outboxd resume TOPIC`"};
    char *text = chapter("## What to alert on");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        cr_expect(strstr(text, wanted[i]) != NULL, PAGE " alerts on no %s", wanted[i]);
    free(text);
}

Test(metrics_documents, every_metric_is_explained)
{
    struct snapshot snapshot = {0};
    char name[100], *text = chapter("\n## /metrics\n");
    size_t size, count = 0;
    char *metrics = metrics_write(&snapshot, &size);
    for (const char *at = metrics; (at = strstr(at, "# TYPE ")) != NULL; at++, count++) {
        cr_assert_eq(sscanf(at, "# TYPE %99s", name), 1);
        expect_named(text, name);
    }
    cr_expect_gt(count, 20);
    free(metrics);
    free(text);
}

Test(metrics_documents, every_key_of_a_process_is_explained)
{
    struct snapshot_topic topic = {.name = (char[]){"orders"}, .published = 1};
    struct snapshot snapshot = {.topic_count = 1, .topics = &topic};
    expect_keys_of("\n## /status.json\n", status_write(&snapshot, 0));
    expect_keys_of("\n## /status.json\n", status_write_live(&snapshot, 0));
    expect_keys_of("\n## /status.json\n", status_write_ready(&snapshot, 0));
}

static char *
print(const struct report *report)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    report_print_json(report, to);
    fclose(to);
    return text;
}

static char empty[] = "", name[] = "main";
static struct request request = {
    .kind = name, .asked_by = empty, .asked_at = empty, .outcome = empty, .done_at = empty};
static const struct requests requests = {&request, 1};

Test(metrics_documents, every_key_of_the_command_status_is_explained)
{
    char topic[] = "orders", error[] = "TOPIC_AUTHORIZATION_FAILED";
    struct status_trouble stuck = {
        .active = true, .event_id = 7, .topic = topic, .error = error, .message = empty};
    struct status_relay relay = {.name = name,
                                 .source = empty,
                                 .has_journal = true,
                                 .holder = empty,
                                 .led = true,
                                 .trouble = stuck,
                                 .aside = {.known = true, .requests = requests}};
    struct paused paused = {.relay = name, .topic = topic, .waits = true, .error = error, .message = empty};
    struct status_process process = {.relay = name, .holder = empty, .client = empty};
    struct status_slot slot = {.name = empty, .state = empty};
    struct status status = {.relays = &relay,
                            .relay_count = 1,
                            .processes = &process,
                            .process_count = 1,
                            .pauses = {&paused, 1},
                            .slots_known = true,
                            .slots = &slot,
                            .slot_count = 1,
                            .oldest = {.any = true, .user = empty, .application = empty}};
    struct settings settings = {.relay = name, .lease_us = 3000000};
    struct inspect_facts facts = {.database = name};
    struct report report = report_make(&settings, &facts, &status);
    char *json = print(&report);
    cr_expect_not_null(strstr(json, "\"event_id\": 7"), "the report has every part");
    cr_expect_not_null(strstr(json, "progress_id"));
    cr_expect_not_null(strstr(json, "attempts"));
    expect_keys_of("\n## outboxd status --json\n", json);
    report_free(&report);
}

Test(metrics_documents, every_key_of_the_dead_letters_is_explained)
{
    char bytes[] = {'\xff'}, *text = NULL;
    size_t size;
    struct dead_entry entry = {.topic = name,
                               .error = empty,
                               .first_at = empty,
                               .last_at = empty,
                               .request = 1,
                               .request_kind = empty};
    struct dead_entry bare = entry;
    entry.key = bytes;
    entry.key_size = 1;
    struct dead_entry entries[] = {entry, bare};
    struct dead_list list = {.list = entries, .count = 2, .letters = 2};
    FILE *to = open_memstream(&text, &size);
    dead_print_list_json(&list, to);
    fclose(to);
    cr_expect_not_null(strstr(text, "key_base64"));
    expect_keys_of("\n## outboxd dead list --json\n", text);
}

Test(metrics_documents, every_key_of_a_dead_letter_is_explained)
{
    char bytes[] = {'\xff'}, *text = NULL;
    size_t size;
    struct topic topic = {.name = name};
    struct event event = {.topic = &topic, .payload = bytes, .payload_size = 1};
    struct page kept = {.events = &event, .count = 1};
    struct dead_letter letter = {
        .page = &kept, .error = empty, .message = empty, .first_at = empty, .held_first = empty};
    FILE *to = open_memstream(&text, &size);
    dead_print_letter_json(&letter, &requests, to);
    fclose(to);
    cr_expect_not_null(strstr(text, "payload_base64"));
    cr_expect_not_null(strstr(text, "outcome"));
    expect_keys_of("\n## outboxd dead show --json\n", text);
}

Test(metrics_documents, every_key_of_the_replays_is_explained)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    replay_print_list_json(&requests, to);
    fclose(to);
    cr_expect_not_null(strstr(text, "progress_id"));
    expect_keys_of("\n## outboxd replay --list --json\n", text);
}
