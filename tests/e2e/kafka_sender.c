/* kafka_sender.c: drives a producer for tests (kafka_sender.h). */
#include "kafka_sender.h"

#include "base/clock.h"
#include "support/kafka_broker.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 20000 }; /* events out at once */
enum { TOPIC_RETRY_US = 200000 };

static size_t
index_of(const struct sender *sender, const struct event *event)
{
    return (size_t)(event - sender->page->events);
}

/* What the relay's verdict does with a refusal. */
static void
take_refusal(struct sender *sender, struct event *event, const struct outcome *outcome, bool alone)
{
    size_t index = index_of(sender, event);
    sender->last = *outcome;
    if (outcome->kind == OUTCOME_EVENT && alone) {
        sender->parked[index] = true;
        event->state = EVENT_ACKNOWLEDGED;
        sender->done++;
    } else if (outcome->kind == OUTCOME_EVENT) {
        if (sender->refused++ == 0 || index + 1 > sender->suspect)
            sender->suspect = index + 1;
    }
    sender->event_faults += outcome->kind == OUTCOME_EVENT;
    sender->unsent += outcome->kind == OUTCOME_UNSENT;
    if (outcome->kind == OUTCOME_TOPIC) {
        sender->topic_faults++;
        sender->retry_us = clock_monotonic_us() + TOPIC_RETRY_US;
    }
}

static void
on_report(void *context, struct event *event, const struct outcome *outcome)
{
    struct sender *sender = context;
    cr_assert_eq(event->state, EVENT_SENT, "a report for an event that is not out");
    event->state = EVENT_UNSENT;
    sender->reports++;
    if (outcome->kind == OUTCOME_ACKNOWLEDGED) {
        event->state = EVENT_ACKNOWLEDGED;
        sender->done++;
        return;
    }
    take_refusal(sender, event, outcome, sender->batch_events == 1);
}

struct sender *
sender_new(const struct broker *broker, const char *name, const char *value)
{
    static char everything[] = "*";
    static char *const patterns[] = {everything};
    struct sender *sender = must_calloc(1, sizeof *sender);
    struct error error;
    size_t count = 0;
    if (broker != NULL)
        sender->properties[count++] = (struct property){.name = "bootstrap.servers",
                                                        .value = (char *)(uintptr_t)broker_bootstrap(broker)};
    if (name != NULL)
        sender->properties[count++] =
            (struct property){.name = (char *)(uintptr_t)name, .value = (char *)(uintptr_t)value};
    sender->settings = (struct settings){
        .source = "shop", .relay = "main", .kafka = sender->properties, .kafka_count = count};
    sender->topics = topic_table_new(patterns, 1);
    sender->page = page_new(1);
    if (!producer_new(&sender->producer, &sender->settings, on_report, sender, &error))
        test_fail("%s", error.message);
    return sender;
}

void
sender_free(struct sender *sender)
{
    producer_free(sender->producer);
    page_free(sender->page);
    topic_table_free(sender->topics);
    free(sender->parked);
    free(sender);
}

static const char *
copy(struct page *page, const void *bytes, size_t size)
{
    if (bytes == NULL)
        return NULL;
    char *place = page_bytes(page, size);
    memcpy(place, bytes, size);
    return place;
}

struct event *
sender_add(struct sender *sender, const char *topic, const void *key, size_t key_size, const void *payload,
           size_t payload_size, const char *headers)
{
    size_t headers_size = headers ? strlen(headers) : 0;
    struct event *event = page_add(sender->page);
    event->id = (int64_t)sender->page->count;
    event->created_at_us = clock_wall_us();
    event->topic = topic_intern(sender->topics, topic, strlen(topic));
    event->key = copy(sender->page, key, key_size);
    event->key_size = (uint32_t)key_size;
    event->payload = copy(sender->page, payload, payload_size);
    event->payload_size = (uint32_t)payload_size;
    event->headers = copy(sender->page, headers, headers_size);
    event->headers_size = (uint32_t)headers_size;
    return event;
}

void
sender_add_numbered(struct sender *sender, const char *topic, size_t count, size_t keys, size_t size)
{
    char *payload = must_alloc(size + 24), key[24];
    for (size_t i = 0; i < count; i++) {
        int key_size = snprintf(key, sizeof key, "k%zu", i % keys);
        int digits = snprintf(payload, size + 24, "%zu", sender->page->count + 1);
        if ((size_t)digits < size)
            memset(payload + digits, ' ', size - (size_t)digits);
        sender_add(sender, topic, key, (size_t)key_size, payload,
                   (size_t)digits < size ? size : (size_t)digits, NULL);
    }
    free(payload);
}

/* True when the event went out or was parked. */
static bool
send_one(struct sender *sender, struct event *event)
{
    struct outcome why;
    switch (producer_send(sender->producer, event, &why)) {
    case PRODUCER_SENT:
        event->state = EVENT_SENT;
        return true;
    case PRODUCER_REFUSED:
        if (why.kind == OUTCOME_TOPIC)
            producer_forget_topic(sender->producer, event->topic);
        take_refusal(sender, event, &why, true);
        return why.kind == OUTCOME_EVENT;
    case PRODUCER_FAILED:
        take_refusal(sender, event, &why, false);
        return false;
    case PRODUCER_ASKING:
    case PRODUCER_FULL:
        break;
    }
    return false;
}

static void
send_some(struct sender *sender)
{
    size_t end = sender->limit ? sender->limit : sender->page->count;
    if (sender->batch_events > 0)
        end = sender->suspect;
    for (; sender->next < end && producer_out(sender->producer) < WINDOW; sender->next++) {
        struct event *event = &sender->page->events[sender->next];
        if (event->state == EVENT_UNSENT && !send_one(sender, event))
            return;
    }
    if (sender->batch_events > 0 && sender->next >= end && producer_out(sender->producer) == 0)
        producer_end(sender->producer, clock_monotonic_us(), "the suspects are settled");
}

static void
start(struct sender *sender)
{
    struct error error;
    size_t first = 0;
    while (first < sender->page->count && sender->page->events[first].state == EVENT_ACKNOWLEDGED)
        first++;
    sender->next = first;
    if (sender->suspect <= first)
        sender->batch_events = 0;
    else if (sender->refused > 0)
        sender->batch_events = sender->batch_events == 0 && sender->refused > 100 ? sender->refused / 100 : 1;
    sender->refused = 0;
    if (!producer_start(sender->producer, sender->batch_events, false, &error))
        test_fail("%s", error.message);
}

void
sender_turn(struct sender *sender)
{
    struct pollfd readable = {.fd = producer_fd(sender->producer), .events = POLLIN};
    if (sender->parked == NULL)
        sender->parked = must_calloc(sender->page->count, sizeof *sender->parked);
    int64_t now_us = clock_monotonic_us(), due_us = producer_turn(sender->producer, now_us);
    bool patient = now_us >= sender->retry_us;
    if (producer_state(sender->producer) == PRODUCER_NONE && patient)
        start(sender);
    if (producer_state(sender->producer) == PRODUCER_READY && patient)
        send_some(sender);
    if (due_us > now_us)
        poll(&readable, 1, due_us - now_us > 20000 ? 20 : (int)((due_us - now_us) / 1000));
}

void
sender_run(struct sender *sender, int timeout_ms)
{
    int64_t deadline_us = wait_deadline_us(timeout_ms);
    do
        sender_turn(sender);
    while (sender->done < sender->page->count && clock_monotonic_us() < deadline_us);
    if (sender->done < sender->page->count)
        test_fail("%zu of %zu events settled, %zu out, last trouble %s: %s", sender->done,
                  sender->page->count, producer_out(sender->producer), sender->last.name,
                  sender->last.message);
}

void
sender_check(const struct sender *sender, const struct broker *broker, const char *topic, bool duplicates)
{
    const char *const topics[] = {topic, NULL};
    struct records records = {0};
    size_t count = sender->page->count, keys = 0;
    int *seen = must_calloc(count + 1, sizeof *seen);
    consumer_read_all(&records, broker_bootstrap(broker), topics, false);
    /* The newest first copy of each key, by the number in the key. */
    size_t *newest = must_calloc(count + 1, sizeof *newest);
    for (size_t i = 0; i < records.count; i++) {
        const struct record *record = &records.list[i];
        size_t number = strtoul(record->value.data, NULL, 10), key = strtoul(record->key.data + 1, NULL, 10);
        cr_assert(number >= 1 && number <= count && key < count, "a record that nobody sent");
        cr_assert(!sender->parked[number - 1], "event %zu was parked and is in Kafka", number);
        cr_assert(duplicates || !seen[number], "event %zu is in Kafka twice", number);
        cr_assert(seen[number] || number > newest[key], "key k%zu: %zu stands behind %zu", key, number,
                  newest[key]);
        if (!seen[number]++)
            newest[key] = number;
        keys += newest[key] == number;
    }
    for (size_t number = 1; number <= count; number++)
        if (strcmp(sender->page->events[number - 1].topic->name, topic) == 0 && !sender->parked[number - 1])
            cr_assert(seen[number], "event %zu is lost", number);
    cr_assert_gt(keys, 0);
    free(seen);
    free(newest);
    records_free(&records);
}

/* The broker applies its changes in order: once it shows a topic made after an ACL, it acts on the ACL. */
static void
settle(struct broker *broker)
{
    static int number;
    char name[32];
    snprintf(name, sizeof name, "settle-%d", number++);
    broker_create_topic(broker, broker_topic_name(broker, name), 1, NULL);
}

void
sender_deny(struct broker *broker, const char *topic, const char *operation)
{
    broker_deny(broker, topic, operation);
    settle(broker);
}

void
sender_allow(struct broker *broker, const char *topic)
{
    broker_allow(broker, topic);
    settle(broker);
}
