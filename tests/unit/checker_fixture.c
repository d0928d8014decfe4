/* checker_fixture.c: see checker_fixture.h. */
#include "checker_fixture.h"

#include "base/error.h"
#include "support/checker_judge.h"

#include <criterion/criterion.h>
#include <string.h>

#define SOURCE "unit"

struct expected_events planted_events;
struct records planted_records;

struct expected_event *
planted_add(int64_t id, const char *key)
{
    struct expected_event *event = expected_add(&planted_events);
    event->id = id;
    event->xid = (uint64_t)(1000 + id);
    event->topic = must_strdup("orders");
    event->key = bytes_copy(key, key ? strlen(key) : 0);
    event->payload = bytes_copy("payload", 7);
    event->headers = must_strdup("{\"a\": [\"1\", \"2\"], \"b\": null}");
    event->created_at_us = 1700000000123999;
    return event;
}

struct record *
planted_publish(int64_t id)
{
    for (size_t i = 0; i < planted_events.count; i++)
        if (planted_events.list[i].id == id)
            return checker_record_of(&planted_records, &planted_events.list[i], SOURCE,
                                     (int64_t)planted_records.count);
    cr_assert_fail("no event %ld", (long)id);
    return NULL;
}

struct verdict
planted_judge(void)
{
    return checker_judge(&planted_events, &planted_records, SOURCE);
}

void
planted_three(void)
{
    planted_add(1, "k");
    planted_add(2, "k");
    planted_add(3, "other");
}

void
planted_forget(void)
{
    expected_free(&planted_events);
    records_free(&planted_records);
}
