/* report_text.c: a report for a person who was just woken up: the verdict, then the facts, on 80 columns. */
#include "command/report.h"

#include "command/print.h"
#include "config/units.h"
#include "postgres/waiting.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "  backlog      ": where the facts begin. */
#define INDENT 15
#define WIDTH 80
/* Of the requests that are open. */
#define REQUESTS_SHOWN 5

/* `text` in lines, the first of which is at column `at` already; the others begin at INDENT. */
static void
print_words(FILE *to, int at, const char *text)
{
    bool first = true;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        char *word = must_format("%.*s", (int)length, text);
        if (!first && (size_t)at + 1 + length > WIDTH)
            at = fprintf(to, "\n%*s", INDENT, "") - 1;
        else if (!first)
            at += fprintf(to, " ");
        print_text(to, word);
        free(word);
        at += (int)length;
        text += length + (text[length] != '\0');
        first = false;
    }
    fputc('\n', to);
}

/* A label and what it is about; the text is the caller's and freed here. */
static void
print_fact(FILE *to, const char *label, char *text)
{
    print_words(to, fprintf(to, "%-*s", INDENT, label), text);
    free(text);
}

static void
print_leader(FILE *to, const struct status_relay *relay, int64_t lease_us)
{
    char age[PRINT_SIZE];
    print_fact(to, "  leader",
               must_format(relay->led ? "%s, epoch %" PRId64 ", last sign of life %s ago"
                                      : "%s, epoch %" PRId64 ", registered %s ago",
                           report_leadership(relay, lease_us), relay->epoch,
                           print_age(relay->heartbeat_age_us, age)));
    if (strcmp(report_leadership(relay, lease_us), "no leader") == 0)
        print_fact(to, "",
                   must_strdup("the log of that process says why it ended; `outboxd check` finds what would "
                               "stop the next one"));
    if (relay->led)
        print_fact(to, "  holder", must_strdup(relay->holder));
    if (relay->confirmed_id > 0)
        print_fact(to, "  ticks",
                   must_format("newest %" PRId64 ", confirmed %" PRId64
                               " and of the next up to event %" PRId64,
                               relay->tick_seq, relay->confirmed_seq, relay->confirmed_id));
    else
        print_fact(
            to, "  ticks",
            must_format("newest %" PRId64 ", confirmed %" PRId64, relay->tick_seq, relay->confirmed_seq));
}

static const char *
whats_next(bool leading)
{
    return leading ? "nothing is skipped; the relay tries again, and goes on by itself when the cause is gone"
                   : "nothing is skipped; the next leader tries it again";
}

/* Kafka as a whole: what it has done for so long; or what it did, since so long ago. */
static void
print_outage(FILE *to, const struct status_trouble *outage, bool leading)
{
    bool away = report_judge_trouble(outage) == REPORT_AWAY;
    const char *does = away ? "has not answered" : "has refused everything",
               *did = away ? "did not answer" : "refused everything";
    char age[PRINT_SIZE];
    print_age(outage->age_us, age);
    print_fact(to, "  Kafka",
               leading ? must_format("%s for %s", does, age) : must_format("%s, since %s ago", did, age));
    print_fact(to, "", must_strdup(outage->message));
    print_fact(to, "",
               must_strdup(away ? "events wait for it; they go out by themselves when it answers"
                                : whats_next(leading)));
}

static void
print_trouble(FILE *to, const struct status_trouble *trouble, bool leading)
{
    char age[PRINT_SIZE];
    print_fact(to, leading ? "  stuck at" : "  was stuck at",
               must_format("event %" PRId64 " of topic %s, since %s ago", trouble->event_id, trouble->topic,
                           print_age(trouble->age_us, age)));
    print_fact(to, "", must_format("%s: %s", trouble->error, trouble->message));
    print_fact(to, "", must_strdup(whats_next(leading)));
}

/* One line each: "leader 0123abcd, backend 4711, from 10.0.0.7, for 3.2 h". */
static void
print_processes(FILE *to, const struct report *report, const struct status_relay *relay)
{
    size_t printed = 0;
    for (size_t i = 0; i < report->status->process_count; i++) {
        const struct status_process *process = &report->status->processes[i];
        char age[PRINT_SIZE];
        if (strcmp(process->relay, relay->name) != 0)
            continue;
        const char *role = report_role(relay, process, report->settings->lease_us);
        bool local = process->client != NULL && process->client[0] == '\0';
        char *place = process->client == NULL
                          ? must_strdup("another role's")
                          : must_format("from %s, for %s", local ? "a local socket" : process->client,
                                        print_age(process->connected_us, age));
        print_fact(to, printed++ == 0 ? "  processes" : "",
                   must_format("%s %s, backend %d, %s", role, process->holder, process->pid, place));
        free(place);
    }
    if (printed == 0)
        print_fact(to, "  processes",
                   must_strdup("none is connected under the name that outboxd gives to its sessions"));
}

/* A topic that waits, and what it waits for; the caller frees it. */
static char *
describe_pause(const struct paused *paused, bool all_paused)
{
    char age[PRINT_SIZE];
    print_age(paused->since_us, age);
    if (paused->asked_by != NULL)
        return must_format("topic %s, by %s, since %s ago: outboxd resume %s", paused->topic,
                           paused->asked_by, age, paused->topic);
    if (strcmp(paused->error, WAITING_PAUSED) == 0)
        return must_format("topic %s, since %s ago, resumed: it catches up%s", paused->topic, age,
                           all_paused ? " when the relay is resumed" : "");
    return must_format("topic %s, since %s ago, refused %" PRId64 " time%s: %s: %s", paused->topic, age,
                       paused->attempts, paused->attempts == 1 ? "" : "s", paused->error, paused->message);
}

/* What the stream has passed over, with the command that helps. */
static void
print_aside(FILE *to, const struct report *report, const struct status_relay *relay)
{
    const struct status_aside *aside = &relay->aside;
    const struct pauses *pauses = &report->status->pauses;
    char age[PRINT_SIZE];
    if (aside->dead_letters > 0)
        print_fact(to, "  dead",
                   must_format("%" PRId64 " dead letter%s, the oldest refused %s ago; %" PRId64
                               " event%s held behind: outboxd dead list",
                               aside->dead_letters, aside->dead_letters == 1 ? "" : "s",
                               print_age(aside->dead_us, age), aside->held_events,
                               aside->held_events == 1 ? "" : "s"));
    if (aside->paused)
        print_fact(to, "  paused", must_strdup("the whole relay, by hand: outboxd resume"));
    for (size_t i = 0; i < pauses->count; i++)
        if (strcmp(pauses->list[i].relay, relay->name) == 0)
            print_fact(to, "  paused", describe_pause(&pauses->list[i], aside->paused));
}

/* The first ones of what people have asked for. */
static void
print_requests(FILE *to, const struct status_aside *aside)
{
    for (size_t i = 0; i < aside->requests.count && i < REQUESTS_SHOWN; i++) {
        const struct request *request = &aside->requests.list[i];
        char age[PRINT_SIZE], event[40] = "", upto[40] = "";
        const struct request_wait *wait = &request->wait;
        if (request->event_id > 0)
            snprintf(event, sizeof event, " of event %" PRId64, request->event_id);
        else if (request->progress > 0)
            snprintf(upto, sizeof upto, ", up to id %" PRId64, request->progress);
        print_fact(to, i == 0 ? "  asked for" : "",
                   must_format("%s %" PRId64 "%s, by %s, %s ago: %" PRId64 " event%s sent%s", request->kind,
                               request->number, event, request->asked_by, print_age(request->asked_us, age),
                               request->events, request->events == 1 ? "" : "s", upto));
        if (wait->topic != NULL)
            print_fact(to, "",
                       must_format("waits, at event %" PRId64 " of topic %s: %s: %s", wait->event_id,
                                   wait->topic, wait->error, wait->message));
    }
    if (aside->open_requests > REQUESTS_SHOWN)
        print_fact(to, "", must_format("and %" PRId64 " more", aside->open_requests - REQUESTS_SHOWN));
}

static void
print_relay(FILE *to, const struct report *report, const struct status_relay *relay)
{
    int64_t lease_us = report->settings->lease_us;
    char age[PRINT_SIZE], retention[UNITS_TEXT], summary[REPORT_SIZE];
    enum report_verdict verdict = report_judge_relay(relay, lease_us, summary);
    fputc('\n', to);
    print_fact(to, "relay",
               must_format("%s, source %s, retention %s", relay->name, relay->source,
                           units_format_duration(relay->retention_us, retention)));
    if (verdict == REPORT_NO_RELAY) {
        print_fact(to, "", must_strdup(summary));
        return;
    }
    print_leader(to, relay, lease_us);
    print_processes(to, report, relay);
    print_fact(to, "  backlog", report_backlog_of(relay));
    if (relay->led && relay->rate >= 0)
        print_fact(to, "  rate",
                   must_format("about %.*f events/s over the last %s", relay->rate < 10 ? 1 : 0, relay->rate,
                               print_age(relay->rate_us, age)));
    if (verdict == REPORT_BEHIND && relay->rate <= 0)
        print_fact(to, "", must_strdup("nothing was confirmed: the leader's log and /health/ready say why"));
    print_aside(to, report, relay);
    print_requests(to, &relay->aside);
    enum report_verdict trouble = report_judge_trouble(&relay->trouble);
    if (trouble == REPORT_AWAY || trouble == REPORT_REFUSES)
        print_outage(to, &relay->trouble, verdict == trouble);
    else if (trouble == REPORT_STUCK)
        print_trouble(to, &relay->trouble, verdict == trouble);
}

static const char *
state_meaning(const char *state)
{
    static const char *const meanings[][2] = {
        {"young", "in retention"},
        {"unconfirmed", "not wholly confirmed"},
        {"held", "an event of it waits behind a dead letter"},
        {"ready", "to be emptied"},
        {"busy", "an open transaction uses it"},
    };
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (strcmp(state, meanings[i][0]) == 0)
            return meanings[i][1];
    return state;
}

static void
print_slots(FILE *to, const struct report *report)
{
    const struct status *status = report->status;
    char width[UNITS_TEXT], count[PRINT_SIZE], bytes[PRINT_SIZE], age[PRINT_SIZE];
    int64_t total = 0;
    size_t empty = 0;
    for (size_t i = 0; i < status->slot_count; i++) {
        total += status->slots[i].bytes;
        empty += strcmp(status->slots[i].state, "empty") == 0;
    }
    fputc('\n', to);
    if (!status->slots_known) {
        print_fact(to, "slots", must_strdup("unknown: they could not be looked at in time"));
        return;
    }
    print_fact(to, "slots",
               must_format("%zu of %s, %zu empty, %s together", status->slot_count,
                           units_format_duration(report->facts->slot_width_us, width), empty,
                           print_bytes(total, bytes)));
    for (size_t i = 0; i < status->slot_count; i++) {
        const struct status_slot *slot = &status->slots[i];
        char label[INDENT + 1];
        if (strcmp(slot->state, "empty") == 0)
            continue;
        snprintf(label, sizeof label, "  %s", slot->name);
        print_fact(to, label,
                   must_format("about %s event%s, %s, newest %s ago: %s", print_count(slot->events, count),
                               slot->events == 1 ? "" : "s", print_bytes(slot->bytes, bytes),
                               print_age(slot->newest_age_us, age), state_meaning(slot->state)));
    }
}

static void
print_oldest(FILE *to, const struct status_transaction *oldest)
{
    char age[PRINT_SIZE], since[PRINT_SIZE * 4];
    if (!oldest->any)
        return;
    if (oldest->age_us >= 0)
        snprintf(since, sizeof since, "open for %s", print_age(oldest->age_us, age));
    else
        snprintf(since, sizeof since,
                 "open since %" PRId64 " transactions (pg_read_all_stats may see the time)",
                 oldest->age_xids);
    char *who = oldest->gid != NULL ? must_format("prepared as '%s'", oldest->gid)
                                    : must_format("pid %d", oldest->pid);
    bool named = oldest->application[0] != '\0';
    fputc('\n', to);
    print_fact(to, "oldest",
               must_format("transaction: %s, user %s%s%s, %s", who, oldest->user,
                           named ? ", application " : "", oldest->application, since));
    print_fact(to, "",
               must_strdup(oldest->wrote_events ? "it has written events: they come when it commits"
                                                : "it has written no event yet"));
    free(who);
}

static void
print_unselected(FILE *to, const struct report *report)
{
    char *list = NULL;
    size_t size = 0;
    if (report->unselected_count == 0)
        return;
    FILE *stream = open_memstream(&list, &size);
    CHECK(stream != NULL);
    for (size_t i = 0; i < report->unselected_count; i++)
        fprintf(stream, "%s%s", i > 0 ? " " : "", report->unselected[i]);
    CHECK(fclose(stream) == 0);
    fputc('\n', to);
    print_fact(to, "unpublished", must_strdup("topics of recent events that no relay selects:"));
    print_fact(to, "", list);
}

void
report_print_text(const struct report *report, FILE *to)
{
    print_words(to, 0, report->summary);
    for (size_t i = 0; i < report->status->relay_count; i++)
        print_relay(to, report, &report->status->relays[i]);
    print_slots(to, report);
    print_oldest(to, &report->status->oldest);
    print_unselected(to, report);
}
