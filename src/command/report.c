/* report.c: judges the facts. Called by status and check; how they are shown is report_text.c and report_json.c. */
#include "command/report.h"

#include "command/print.h"
#include "event/topic.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *
report_verdict_name(enum report_verdict verdict)
{
    static const char *const names[] = {[REPORT_OK] = "ok",
                                        [REPORT_BEHIND] = "behind",
                                        [REPORT_PAUSED] = "paused",
                                        [REPORT_AWAY] = "kafka away",
                                        [REPORT_NO_LEADER] = "no leader",
                                        [REPORT_STUCK] = "stuck",
                                        [REPORT_REFUSES] = "kafka refuses",
                                        [REPORT_NO_RELAY] = "no relay"};
    return names[verdict];
}

const char *
report_leadership(const struct status_relay *relay, int64_t lease_us)
{
    if (!relay->led)
        return "never led";
    if (relay->released)
        return "released";
    return relay->heartbeat_age_us > lease_us ? "no leader" : "leading";
}

const char *
report_role(const struct status_relay *relay, const struct status_process *process, int64_t lease_us)
{
    if (!relay->led || strncmp(relay->holder, process->holder, strlen(process->holder)) != 0)
        return "standby";
    return strcmp(report_leadership(relay, lease_us), "leading") == 0 ? "leader" : "was leader";
}

char *
report_backlog(const struct status_lag *lag)
{
    char count[PRINT_SIZE], bytes[PRINT_SIZE], age[PRINT_SIZE];
    if (!lag->known)
        return must_strdup("unknown: it could not be counted in time");
    if (lag->events == 0)
        return must_strdup("none");
    print_bytes(lag->bytes, bytes);
    print_age(lag->age_us, age);
    if (lag->exact)
        return must_format("%" PRId64 " event%s, %s, oldest %s", lag->events, lag->events == 1 ? "" : "s",
                           bytes, age);
    const char *word = lag->events > STATUS_LAG_COUNTED + 1 ? "about" : "over";
    return must_format("%s %s events, %s, oldest %s", word, print_count(lag->events, count), bytes, age);
}

char *
report_backlog_of(const struct status_relay *relay)
{
    char *counted = report_backlog(&relay->lag);
    if (relay->aside.paused_topics == 0)
        return counted;
    char *text = must_format("%s, not counting paused topics", counted);
    free(counted);
    return text;
}

char *
report_aside(const struct status_aside *aside)
{
    char age[PRINT_SIZE], *dead = NULL, *topics = NULL;
    if (aside->dead_letters > 0)
        dead = must_format("%" PRId64 " dead letter%s, the oldest %s, %" PRId64 " event%s held",
                           aside->dead_letters, aside->dead_letters == 1 ? "" : "s",
                           print_age(aside->dead_us, age), aside->held_events,
                           aside->held_events == 1 ? "" : "s");
    if (aside->paused_topics > 0)
        topics = must_format("%" PRId64 " topic%s paused", aside->paused_topics,
                             aside->paused_topics == 1 ? "" : "s");
    char *text = must_format("%s%s%s", dead != NULL ? dead : "", dead != NULL && topics != NULL ? "; " : "",
                             topics != NULL ? topics : "");
    free(dead);
    free(topics);
    return text;
}

enum report_verdict
report_judge_trouble(const struct status_trouble *trouble)
{
    if (!trouble->active)
        return REPORT_OK;
    if (strcmp(trouble->error, "KAFKA_AWAY") == 0)
        return REPORT_AWAY;
    return strcmp(trouble->error, "KAFKA_REFUSES") == 0 ? REPORT_REFUSES : REPORT_STUCK;
}

static void
tell_trouble(const struct status_relay *relay, const char *backlog, char text[REPORT_SIZE])
{
    const struct status_trouble *trouble = &relay->trouble;
    bool away = report_judge_trouble(trouble) == REPORT_AWAY;
    char age[PRINT_SIZE];
    print_age(trouble->age_us, age);
    if (report_judge_trouble(trouble) == REPORT_STUCK)
        snprintf(text, REPORT_SIZE, "STUCK: relay %s, for %s, at event %" PRId64 " of topic %s: %s",
                 relay->name, age, trouble->event_id, trouble->topic, trouble->error);
    else
        snprintf(text, REPORT_SIZE, "KAFKA %s: relay %s, for %s: %.200s; backlog %s",
                 away ? "AWAY" : "REFUSES", relay->name, age, trouble->message, backlog);
}

static void
tell_no_leader(const struct status_relay *relay, const char *backlog, char text[REPORT_SIZE])
{
    char age[PRINT_SIZE];
    print_age(relay->heartbeat_age_us, age);
    if (!relay->led)
        snprintf(text, REPORT_SIZE, "NO LEADER: relay %s was never started; backlog %s", relay->name,
                 backlog);
    else if (relay->released)
        snprintf(text, REPORT_SIZE, "NO LEADER: relay %s was stopped %s ago; backlog %s", relay->name, age,
                 backlog);
    else
        snprintf(text, REPORT_SIZE, "NO LEADER for %s: relay %s; backlog %s", age, relay->name, backlog);
}

static enum report_verdict
judge_pace(const struct status_relay *relay, const char *backlog, char text[REPORT_SIZE])
{
    bool behind = !relay->lag.known || relay->lag.age_us > REPORT_BEHIND_US;
    snprintf(text, REPORT_SIZE, "%s: relay %s publishes; backlog %s", behind ? "BEHIND" : "ok", relay->name,
             backlog);
    return behind ? REPORT_BEHIND : REPORT_OK;
}

static void
add_aside(const struct status_relay *relay, char text[REPORT_SIZE])
{
    char *aside = report_aside(&relay->aside);
    size_t size = strlen(text);
    if (aside[0] != '\0')
        snprintf(text + size, REPORT_SIZE - size, "; %s", aside);
    free(aside);
}

enum report_verdict
report_judge_relay(const struct status_relay *relay, int64_t lease_us, char text[REPORT_SIZE])
{
    enum report_verdict verdict;
    if (!relay->has_journal) {
        snprintf(text, REPORT_SIZE,
                 "NO RELAY: %s has no row in outbox.journal: `outboxd rebase` lets it begin again",
                 relay->name);
        return REPORT_NO_RELAY;
    }
    if (relay->elsewhere) {
        snprintf(text, REPORT_SIZE,
                 "NO RELAY: the journal of %s was written in another database: `outboxd rebase`",
                 relay->name);
        return REPORT_NO_RELAY;
    }
    char *backlog = report_backlog_of(relay);
    if (strcmp(report_leadership(relay, lease_us), "leading") != 0) {
        tell_no_leader(relay, backlog, text);
        verdict = REPORT_NO_LEADER;
    } else if (relay->trouble.active) {
        tell_trouble(relay, backlog, text);
        verdict = report_judge_trouble(&relay->trouble);
    } else if (relay->aside.paused) {
        snprintf(text, REPORT_SIZE, "PAUSED: relay %s, by hand; backlog %s", relay->name, backlog);
        verdict = REPORT_PAUSED;
    } else if (relay->aside.paused_topics > 0) {
        snprintf(text, REPORT_SIZE, "PAUSED: relay %s publishes, but not every topic; backlog %s",
                 relay->name, backlog);
        verdict = REPORT_PAUSED;
    } else {
        verdict = judge_pace(relay, backlog, text);
    }
    free(backlog);
    add_aside(relay, text);
    return verdict;
}

/* The facts have the retired relays, too. `run` registers only the first relay that there ever is. */
static void
tell_unregistered(struct report *report)
{
    const char *name = report->settings->relay;
    bool retired = false;
    for (size_t i = 0; i < report->facts->relay_count; i++)
        retired = retired || strcmp(report->facts->relays[i].name, name) == 0;
    if (report->facts->relay_count == 0)
        snprintf(report->summary, sizeof report->summary,
                 "NO RELAY: %s is not registered; the first `outboxd run` registers it", name);
    else
        snprintf(report->summary, sizeof report->summary,
                 "NO RELAY: %s is %s; `outboxd relay add %s --from now` (or beginning) %s", name,
                 retired ? "retired" : "not registered", name, retired ? "brings it back" : "registers it");
}

static void
judge(struct report *report)
{
    bool ours = false;
    for (size_t i = 0; i < report->status->relay_count; i++) {
        char text[REPORT_SIZE];
        const struct status_relay *relay = &report->status->relays[i];
        enum report_verdict verdict = report_judge_relay(relay, report->settings->lease_us, text);
        ours = ours || strcmp(relay->name, report->settings->relay) == 0;
        if (i == 0 || verdict > report->verdict) {
            report->verdict = verdict;
            memcpy(report->summary, text, sizeof report->summary);
        }
    }
    if (ours)
        return;
    report->verdict = REPORT_NO_RELAY;
    tell_unregistered(report);
}

static void
find_unselected(struct report *report)
{
    const struct inspect_facts *facts = report->facts;
    bool *selected = must_calloc(facts->topics.count, sizeof *selected);
    for (size_t i = 0; i < facts->relay_count; i++) {
        const struct inspect_relay *relay = &facts->relays[i];
        struct topic_table *selection = topic_table_new(relay->topics.list, relay->topics.count);
        for (size_t k = 0; k < facts->topics.count && !relay->retired; k++) {
            const char *topic = facts->topics.list[k];
            selected[k] = selected[k] || topic_intern(selection, topic, strlen(topic))->selected;
        }
        topic_table_free(selection);
    }
    report->unselected = must_calloc(facts->topics.count, sizeof(const char *));
    for (size_t k = 0; k < facts->topics.count; k++)
        if (!selected[k])
            report->unselected[report->unselected_count++] = facts->topics.list[k];
    free(selected);
}

struct report
report_make(const struct settings *settings, const struct inspect_facts *facts, const struct status *status)
{
    struct report report = {.settings = settings, .facts = facts, .status = status};
    judge(&report);
    if (report.status->relay_count > 0)
        find_unselected(&report);
    return report;
}

void
report_free(struct report *report)
{
    free(report->unselected);
    *report = (struct report){0};
}
