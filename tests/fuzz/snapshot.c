/* snapshot.c: /metrics, /status.json and the page at / with hostile names in them. The input is numbers, then texts divided by NUL:
 * source, relay, holder, state, reason, trouble, paused topic, why it is, topics. Nothing that a stranger put there is markup, a label, or a line of its own. */
#include "http/snapshot.h"

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "http/metrics.h"
#include "http/page.h"
#include "http/status.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(100000000)
enum { TOPICS_MOST = 1200 };

struct input {
    const uint8_t *bytes;
    size_t size;
};

/* 56 bits: microseconds and counts that a process can come to. */
static int64_t
number(struct input *input)
{
    int64_t value = 0;
    for (int i = 0; i < 7 && input->size > 0; i++, input->bytes++, input->size--)
        value = value << 8 | *input->bytes;
    return value;
}

static char *
text(struct input *input)
{
    const uint8_t *end = input->size > 0 ? memchr(input->bytes, 0, input->size) : NULL;
    size_t size = end != NULL ? (size_t)(end - input->bytes) : input->size;
    char *copy = fuzz_text(input->bytes, size);
    input->bytes += size + (end != NULL);
    input->size -= size + (end != NULL);
    return copy;
}

static void
fill(struct input *input, char *field, size_t size)
{
    char *value = text(input);
    snprintf(field, size, "%s", value);
    free(value);
}

static void
add_topics(struct input *input, struct snapshot *snapshot)
{
    snapshot->topics = must_calloc(TOPICS_MOST, sizeof *snapshot->topics);
    while (input->size > 0 && snapshot->topic_count < TOPICS_MOST) {
        struct snapshot_topic *topic = &snapshot->topics[snapshot->topic_count++];
        topic->name = text(input);
        topic->published = strlen(topic->name) * 1000;
        topic->passed_over = strlen(topic->name) % 2;
        topic->published_bytes = topic->published << 20;
    }
}

static void
read_snapshot(struct input *input, struct snapshot *snapshot)
{
    int64_t flags = number(input);
    snapshot->ready = flags & 1;
    snapshot->leader = flags & 2;
    snapshot->paused = flags & 16;
    snapshot->dead_letters = flags >> 8 & 3;
    snapshot->paused_topics = flags >> 10 & 3;
    snapshot->turned_at_us = flags & 4 ? NOW : flags & 8 ? 1 : 0;
    snapshot->epoch = number(input);
    snapshot->tick_seq = number(input);
    snapshot->lag_seconds = (double)number(input) / 1e6;
    snapshot->lag_events = number(input);
    snapshot->in_flight_bytes = number(input);
    snapshot->memory_bytes = number(input);
    snapshot->latency_sum_seconds = (double)number(input) / 1e6;
    snapshot->kafka_rtt_p99_seconds = (double)number(input) / 1e6;
    snapshot->errors[SNAPSHOT_ERROR_TOPIC] = (uint64_t)number(input);
    snapshot->latency_buckets[3] = (uint64_t)number(input);
    snapshot->started_at_us = number(input);
    fill(input, snapshot->source, sizeof snapshot->source);
    fill(input, snapshot->relay, sizeof snapshot->relay);
    fill(input, snapshot->holder, sizeof snapshot->holder);
    fill(input, snapshot->state, sizeof snapshot->state);
    fill(input, snapshot->reason, sizeof snapshot->reason);
    fill(input, snapshot->trouble, sizeof snapshot->trouble);
    fill(input, snapshot->paused_topic, sizeof snapshot->paused_topic);
    fill(input, snapshot->paused_why, sizeof snapshot->paused_why);
    add_topics(input, snapshot);
}

/* ---- /status.json ---- */

static void
check_status(const struct snapshot *snapshot)
{
    char *written = status_write(snapshot, NOW), *ready = status_write_ready(snapshot, NOW);
    json_t *status = json_loads(written, JSON_REJECT_DUPLICATES, NULL), *answer = json_loads(ready, 0, NULL);
    json_t *topics = json_object_get(status, "topics");
    CHECK(json_is_object(status) && json_is_object(answer) &&
          json_array_size(topics) == snapshot->topic_count);
    CHECK(json_is_true(json_object_get(status, "ready")) == status_is_ready(snapshot, NOW));
    for (size_t i = 0; i < snapshot->topic_count; i++) {
        char *clean = utf8_clean(snapshot->topics[i].name);
        CHECK(strcmp(json_string_value(json_object_get(json_array_get(topics, i), "name")), clean) == 0);
        free(clean);
    }
    json_decref(status);
    json_decref(answer);
    free(written);
    free(ready);
}

/* ---- /metrics: text exposition format 0.0.4, read as strictly as a scraper would ---- */

static const char *
skip_name(const char *at)
{
    size_t size = strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789");
    CHECK(size > 0 && (at[0] < '0' || at[0] > '9'));
    return at + size;
}

static const char *
skip_label(const char *at)
{
    at = skip_name(at);
    CHECK(at[0] == '=' && at[1] == '"');
    for (at += 2; *at != '"'; at++) {
        CHECK(*at != '\n' && *at != '\0');
        if (*at == '\\')
            CHECK(*++at == '\\' || *at == '"' || *at == 'n');
    }
    return at + 1;
}

static const char *
skip_sample(const char *at)
{
    char *end;
    at = skip_name(at);
    if (*at == '{') {
        at = skip_label(at + 1);
        CHECK(*at++ == '}');
    }
    CHECK(*at == ' ');
    (void)strtod(at + 1, &end);
    CHECK(end > at + 1 && *end == '\n');
    return end + 1;
}

static void
check_metrics(const struct snapshot *snapshot)
{
    size_t size, topics = 0;
    char *written = metrics_write(snapshot, &size);
    CHECK(strlen(written) == size && fuzz_is_utf8(written, size));
    for (const char *at = written; *at != '\0';) {
        topics += strncmp(at, "outbox_published_total{", 23) == 0;
        at = *at == '#' ? at + strcspn(at, "\n") + 1 : skip_sample(at);
    }
    CHECK(topics <= METRICS_TOPICS_MAX + 1 && topics <= snapshot->topic_count);
    free(written);
}

/* ---- the page ---- */

static size_t
count_markup(const char *html)
{
    size_t count = 0;
    for (const char *at = html; *(at += strcspn(at, "<>\"")) != '\0'; at++)
        count++;
    return count;
}

/* What HTML minds becomes letters, each its own, so that texts that are equal stay equal. */
static void
make_harmless(char *field)
{
    static const char minded[] = "<>\"'&", instead[] = "\x11\x12\x13\x14\x15";
    for (; *field != '\0'; field++) {
        const char *found = strchr(minded, *field);
        if (found != NULL)
            *field = instead[found - minded];
    }
}

static void
check_page(struct snapshot *snapshot)
{
    size_t size, harmless_size;
    char *html = http_page_write(snapshot, NOW, &size);
    CHECK(strlen(html) == size && fuzz_is_utf8(html, size));
    make_harmless(snapshot->source);
    make_harmless(snapshot->relay);
    make_harmless(snapshot->holder);
    make_harmless(snapshot->state);
    make_harmless(snapshot->reason);
    make_harmless(snapshot->trouble);
    make_harmless(snapshot->paused_topic);
    make_harmless(snapshot->paused_why);
    for (size_t i = 0; i < snapshot->topic_count; i++)
        make_harmless(snapshot->topics[i].name);
    char *harmless = http_page_write(snapshot, NOW, &harmless_size);
    CHECK(count_markup(html) == count_markup(harmless));
    free(html);
    free(harmless);
}

int
fuzz_snapshot(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    struct snapshot snapshot = {0}, copy = {0};
    read_snapshot(&input, &snapshot);
    snapshot_copy(&copy, &snapshot);
    check_status(&copy);
    check_metrics(&copy);
    check_page(&copy);
    snapshot_clear(&copy);
    snapshot_clear(&snapshot);
    return 0;
}
