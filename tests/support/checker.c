/* checker.c: finds each record's event, counts what is lost, phantom and twice, and asks checker_bytes.c and
 * checker_order.c about the rest (checker.h). */
#include "support/checker.h"

#include "support/checker_judge.h"
#include "support/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void
verdict_note(struct verdict *verdict, const char *format, ...)
{
    size_t used = strlen(verdict->examples);
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length > 0 && used + strlen(line) + 4 < sizeof verdict->examples)
        snprintf(verdict->examples + used, sizeof verdict->examples - used, "  %s\n", line);
}

static int
compare_ids(const void *a, const void *b)
{
    const struct expected_event *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

/* The event that the record's header `id` names, or NOBODY. */
static size_t
event_of_record(const struct expected_events *events, const struct record *record)
{
    const struct record_header *header = record_header(record, "id");
    if (header == NULL || header->value.data == NULL || strlen(header->value.data) != header->value.size)
        return NOBODY;
    char *end;
    errno = 0;
    struct expected_event wanted = {.id = strtoll(header->value.data, &end, 10)};
    if (end == header->value.data || *end != '\0' || errno != 0)
        return NOBODY;
    const struct expected_event *found =
        bsearch(&wanted, events->list, events->count, sizeof *events->list, compare_ids);
    return found ? (size_t)(found - events->list) : NOBODY;
}

static void
judge_presence(struct judgement *judgement)
{
    struct verdict *verdict = judgement->verdict;
    for (size_t i = 0; i < judgement->records->count; i++) {
        const struct record *record = &judgement->records->list[i];
        size_t event = event_of_record(judgement->events, record);
        judgement->event_of[i] = event;
        if (event == NOBODY) {
            verdict->phantom++;
            verdict_note(verdict, "phantom: %s/%d@%lld", record->topic, (int)record->partition,
                         (long long)record->offset);
        } else if (record_header(record, "replay") != NULL) {
            verdict->replayed++;
        } else if (judgement->first_of[event] == NOBODY) {
            judgement->first_of[event] = i;
        } else {
            verdict->duplicates++;
            verdict_note(verdict, "duplicate: %s/%d@%lld id=%lld", record->topic, (int)record->partition,
                         (long long)record->offset, (long long)judgement->events->list[event].id);
        }
    }
    for (size_t i = 0; i < judgement->events->count; i++) {
        const struct expected_event *event = &judgement->events->list[i];
        if (judgement->first_of[i] != NOBODY)
            continue;
        verdict->lost++;
        verdict_note(verdict, "lost: id=%lld topic=%s xid=%llu", (long long)event->id, event->topic,
                     (unsigned long long)event->xid);
    }
}

/* A replay is judged for its bytes only: to the judges of order and runs it is nobody's. */
static void
forget_replays(struct judgement *judgement)
{
    for (size_t i = 0; i < judgement->records->count; i++)
        if (record_header(&judgement->records->list[i], "replay") != NULL)
            judgement->event_of[i] = NOBODY;
}

struct verdict
checker_judge(struct expected_events *events, const struct records *records, const char *source)
{
    struct verdict verdict = {.expected = events->count, .records = records->count};
    struct judgement judgement = {
        .events = events, .records = records, .source = source, .verdict = &verdict};
    if (events->count > 0)
        qsort(events->list, events->count, sizeof *events->list, compare_ids);
    judgement.event_of = must_calloc(records->count, sizeof *judgement.event_of);
    judgement.first_of = must_calloc(events->count, sizeof *judgement.first_of);
    for (size_t i = 0; i < events->count; i++)
        judgement.first_of[i] = NOBODY;
    judge_presence(&judgement);
    judge_bytes(&judgement);
    forget_replays(&judgement);
    judge_order(&judgement);
    judge_runs(&judgement);
    free(judgement.first_of);
    free(judgement.event_of);
    return verdict;
}

bool
verdict_clean(const struct verdict *verdict)
{
    return verdict->lost == 0 && verdict->phantom == 0 && verdict->reordered == 0 && verdict->changed == 0;
}

void
verdict_print(const struct verdict *verdict, FILE *to)
{
    fprintf(
        to,
        "expected %zu records %zu: lost %zu phantom %zu duplicates %zu (runs %zu) reordered %zu changed %zu "
        "replayed %zu\n%s",
        verdict->expected, verdict->records, verdict->lost, verdict->phantom, verdict->duplicates,
        verdict->duplicate_runs, verdict->reordered, verdict->changed, verdict->replayed, verdict->examples);
}

struct verdict
checker_compare(struct expected_events *events, const char *bootstrap, const char *const *topics,
                const char *source)
{
    struct records records = {0};
    consumer_read_all(&records, bootstrap, topics, true);
    struct verdict verdict = checker_judge(events, &records, source);
    if (!verdict_clean(&verdict))
        verdict_print(&verdict, stderr);
    records_free(&records);
    return verdict;
}
