/* rebase_print.c: see rebase_print.h. Payloads are never printed. */
#include "command/rebase_print.h"

#include "base/fields.h"
#include "command/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* What fits on a screen. */
#define FIRST_PHANTOMS 20

static void
print_phantom(void *context, const struct rebase_phantom *phantom)
{
    FILE *to = context;
    fprintf(to, "    id %" PRId64 "  ", phantom->id);
    print_text(to, phantom->topic);
    fprintf(to, "[%d] at %" PRId64 "  %s%s\n", (int)phantom->partition, phantom->offset, phantom->created_at,
            phantom->reused ? "  (another event has this id now)" : "");
}

static void
print_object(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static void
print_phantom_json(void *context, const struct rebase_phantom *phantom)
{
    json_t *object = json_object();
    (void)context;
    fields_set_integer(object, "id", phantom->id);
    fields_set_text(object, "topic", phantom->topic);
    fields_set_integer(object, "partition", phantom->partition);
    fields_set_integer(object, "offset", phantom->offset);
    fields_set_text(object, "created_at", phantom->created_at);
    fields_set_flag(object, "reused", phantom->reused);
    print_object(object);
}

static void
print_journal(const struct rebase_report *report, FILE *to)
{
    const struct rebase_position *position = &report->position;
    if (!report->decides) {
        fprintf(to, "relay %s\n", report->relay);
        return;
    }
    fprintf(to, "relay %s: confirmed by its journal up to tick %" PRId64 ", id %" PRId64 "\n", report->relay,
            position->confirmed.seq, position->confirmed.id);
    if (position->exact && position->kafka.seq >= 0)
        fprintf(to, "  seen committed in Kafka up to tick %" PRId64 ", id %" PRId64 "\n", position->kafka.seq,
                position->kafka.id);
}

static void
print_numbers(const struct rebase_report *report, FILE *to)
{
    char since[64];
    struct tm utc;
    const struct rebase_found *found = &report->found;
    time_t seconds = (time_t)(report->since_ms / 1000);
    strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    fprintf(to,
            "  in Kafka since %s, in %zu topics: %" PRId64 " records of source %s, of %" PRId64
            " events that are here\n",
            since, report->topics, found->records, report->source, found->events);
    if (report->strange > 0)
        fprintf(to,
                "  beside them, records of this source that count for nothing, for no event has their id: "
                "%" PRId64 ",\n  the first is %s[%d] at %" PRId64 "\n",
                report->strange, report->first.topic, (int)report->first.partition, report->first.offset);
    fprintf(to, "  phantoms, which consumers know and this database has lost: %" PRId64 "\n",
            found->phantoms);
}

static void
print_plan(const struct rebase_report *report, FILE *to)
{
    const struct rebase_positioned *plan = &report->plan;
    fprintf(to,
            "  not confirmed: %" PRId64 " events; Kafka has %" PRId64
            " of them, which are passed over, and %" PRId64 " will be published\n",
            plan->unconfirmed, plan->passed_over, plan->unconfirmed - plan->passed_over);
    if (plan->renumbered > 0)
        fprintf(to, "  of these, events that were never sent and get new ids: %" PRId64 "\n",
                plan->renumbered);
    if (plan->retried > 0)
        fprintf(to,
                "  dead letters and events held behind one that Kafka has, and that wait no more: %" PRId64
                "\n",
                plan->retried);
    fprintf(to,
            "  what the journal says will be written to topic outboxd-position-%s-%s; events that Kafka has\n"
            "  beyond it are not published again, and events that it has lost before it are not either\n",
            report->source, report->relay);
}

static void
print_rest(const struct rebase_report *report, FILE *to)
{
    const struct rebase_found *found = &report->found;
    if (found->reused > 0)
        fprintf(to, "  ids of them that this database has given to other events: %" PRId64 "\n",
                found->reused);
    if (found->untold > 0)
        fprintf(to, "  older than the retention, so that their events may have been emptied: %" PRId64 "\n",
                found->untold);
    if (found->highest > found->sequence)
        fprintf(to, "  the id sequence is at %" PRId64 "; it will go on above %" PRId64 "\n", found->sequence,
                found->highest);
    if (report->decides)
        print_plan(report, to);
}

bool
rebase_print_found(struct rebase *rebase, const struct rebase_report *report, struct error *error)
{
    FILE *to = report->json ? stderr : stdout;
    if (report->json && !rebase_each_phantom(rebase, 0, print_phantom_json, NULL, error))
        return false;
    if (report->json && !report->asks)
        return true;
    print_journal(report, to);
    print_numbers(report, to);
    if (!report->json && !rebase_each_phantom(rebase, FIRST_PHANTOMS, print_phantom, to, error))
        return false;
    if (!report->json && report->found.phantoms > FIRST_PHANTOMS)
        printf("    and more: --json lists all\n");
    print_rest(report, to);
    return true;
}

static void
print_done_json(const struct rebase_report *report, bool dry_run)
{
    const struct rebase_found *found = &report->found;
    const struct rebase_positioned *done = dry_run ? &report->plan : &report->done;
    json_t *object = json_object();
    fields_set_text(object, "relay", report->relay);
    fields_set_integer(object, "records", found->records);
    fields_set_integer(object, "strange", report->strange);
    fields_set_integer(object, "phantoms", found->phantoms);
    fields_set_integer(object, "reused", found->reused);
    fields_set_integer(object, "untold", found->untold);
    fields_set_integer(object, "highest_id", found->highest);
    fields_set_integer(object, "sequence", found->sequence);
    if (report->decides) {
        fields_set_integer(object, "unconfirmed", report->plan.unconfirmed);
        fields_set_integer(object, "passed_over", done->passed_over);
        fields_set_integer(object, "renumbered", done->renumbered);
        fields_set_integer(object, "retried", done->retried);
    }
    fields_set_flag(object, "done", !dry_run);
    print_object(object);
}

void
rebase_print_done(const struct rebase_report *report, bool dry_run)
{
    if (report->json) {
        print_done_json(report, dry_run);
        return;
    }
    if (dry_run)
        return;
    if (report->found.highest > report->found.sequence)
        printf("the id sequence was moved\n");
    if (!report->decides)
        return;
    printf("%" PRId64
           " events are in Kafka although the journal did not know it: they are not published again\n",
           report->done.passed_over);
    if (report->done.retried > 0)
        printf("%" PRId64
               " dead letters and events held behind one are in Kafka: retries that this database has lost\n",
               report->done.retried);
    if (report->done.renumbered > 0)
        printf("%" PRId64 " events that were never sent have new ids, above all that consumers know\n",
               report->done.renumbered);
    printf("relay %s takes its position from the journal\n", report->relay);
}
