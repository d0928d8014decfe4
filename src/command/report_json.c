/* report_json.c: a report for scripts. The names of the fields are those of the metrics and of /status.json; ages are seconds;
 * what is unknown is null. */
#include "command/report.h"

#include "base/fields.h"
#include "command/replay_print.h"

#include <math.h>
#include <string.h>

/* null unless it is what this verdict is about. */
static json_t *
trouble_object(const struct status_trouble *trouble, enum report_verdict verdict)
{
    if (report_judge_trouble(trouble) != verdict)
        return json_null();
    json_t *object = json_object();
    if (verdict == REPORT_STUCK) {
        fields_set_integer(object, "event_id", trouble->event_id);
        fields_set_text(object, "topic", trouble->topic);
    }
    fields_set_text(object, "error", trouble->error);
    fields_set_text(object, "message", trouble->message);
    fields_set_seconds(object, "seconds", trouble->age_us);
    return object;
}

static void
set_lag(json_t *relay, const struct status_lag *lag)
{
    if (lag->known) {
        fields_set_integer(relay, "lag_events", lag->events);
        fields_set_integer(relay, "lag_bytes", lag->bytes);
        /* the clock of the machine that inserted may be ahead of the database's */
        fields_set_seconds(relay, "lag_seconds", lag->age_us < 0 ? 0 : lag->age_us);
    } else {
        json_object_set_new(relay, "lag_events", json_null());
        json_object_set_new(relay, "lag_bytes", json_null());
        json_object_set_new(relay, "lag_seconds", json_null());
    }
    fields_set_flag(relay, "lag_exact", lag->known && lag->exact);
}

static json_t *
processes_array(const struct report *report, const struct status_relay *relay)
{
    json_t *processes = json_array();
    for (size_t i = 0; i < report->status->process_count; i++) {
        const struct status_process *status = &report->status->processes[i];
        if (strcmp(status->relay, relay->name) != 0)
            continue;
        json_t *process = json_object();
        fields_set_text(process, "role", report_role(relay, status, report->settings->lease_us));
        fields_set_text(process, "holder", status->holder);
        fields_set_integer(process, "pid", status->pid);
        json_object_set_new(process, "client", json_null());
        if (status->client != NULL)
            fields_set_text(process, "client", status->client[0] != '\0' ? status->client : "local");
        fields_set_seconds(process, "connected_seconds", status->connected_us);
        json_array_append_new(processes, process);
    }
    return processes;
}

static json_t *
pauses_array(const struct report *report, const struct status_relay *relay)
{
    const struct pauses *pauses = &report->status->pauses;
    json_t *array = json_array();
    for (size_t i = 0; i < pauses->count; i++) {
        const struct paused *paused = &pauses->list[i];
        if (strcmp(paused->relay, relay->name) != 0)
            continue;
        json_t *topic = json_object();
        fields_set_text(topic, "topic", paused->topic);
        fields_set_text(topic, "asked_by", paused->asked_by);
        fields_set_text(topic, "error", paused->waits ? paused->error : NULL);
        fields_set_text(topic, "message", paused->waits ? paused->message : NULL);
        fields_set_integer(topic, "attempts", paused->attempts);
        fields_set_seconds(topic, "seconds", paused->since_us);
        json_array_append_new(array, topic);
    }
    return array;
}

static json_t *
open_requests_array(const struct requests *requests)
{
    json_t *array = json_array();
    for (size_t i = 0; i < requests->count; i++) {
        const struct request *request = &requests->list[i];
        json_t *object = json_object();
        fields_set_integer(object, "number", request->number);
        fields_set_text(object, "kind", request->kind);
        fields_set_positive(object, "event_id", request->event_id);
        fields_set_text(object, "asked_by", request->asked_by);
        fields_set_seconds(object, "asked_seconds", request->asked_us);
        fields_set_integer(object, "events", request->events);
        fields_set_integer(object, "refused", request->refused);
        fields_set_positive(object, "progress_id", request->progress);
        fields_set_positive(object, "last_id", request->last_id);
        json_object_set_new(object, "waits", replay_print_wait(&request->wait));
        json_array_append_new(array, object);
    }
    return array;
}

static void
set_count(json_t *object, const char *key, bool known, int64_t count)
{
    json_object_set_new(object, key, known ? json_integer(count) : json_null());
}

static void
set_aside(json_t *object, const struct report *report, const struct status_relay *relay)
{
    const struct status_aside *aside = &relay->aside;
    fields_set_flag(object, "paused", aside->paused);
    set_count(object, "dead_letters", aside->known, aside->dead_letters);
    set_count(object, "held_events", aside->known, aside->held_events);
    fields_set_seconds(object, "dead_letter_seconds", aside->dead_letters > 0 ? aside->dead_us : -1);
    json_object_set_new(object, "paused_topics", pauses_array(report, relay));
    set_count(object, "open_requests", aside->known, aside->open_requests);
    json_object_set_new(object, "requests", open_requests_array(&aside->requests));
}

static json_t *
relay_object(const struct report *report, const struct status_relay *status)
{
    int64_t lease_us = report->settings->lease_us;
    char text[REPORT_SIZE];
    json_t *relay = json_object();
    fields_set_text(relay, "relay", status->name);
    fields_set_text(relay, "source", status->source);
    fields_set_text(relay, "verdict", report_verdict_name(report_judge_relay(status, lease_us, text)));
    fields_set_text(relay, "summary", text);
    fields_set_text(relay, "leadership", report_leadership(status, lease_us));
    fields_set_text(relay, "holder", status->holder);
    fields_set_integer(relay, "epoch", status->epoch);
    fields_set_seconds(relay, "heartbeat_seconds", status->has_journal ? status->heartbeat_age_us : -1);
    fields_set_integer(relay, "tick_seq", status->tick_seq);
    fields_set_integer(relay, "confirmed_seq", status->confirmed_seq);
    fields_set_integer(relay, "confirmed_id", status->confirmed_id);
    set_lag(relay, &status->lag);
    fields_set_number(relay, "confirmed_per_second", status->rate < 0 ? INFINITY : status->rate);
    fields_set_seconds(relay, "retention_seconds", status->retention_us);
    json_object_set_new(relay, "stuck", trouble_object(&status->trouble, REPORT_STUCK));
    json_object_set_new(relay, "kafka_away", trouble_object(&status->trouble, REPORT_AWAY));
    json_object_set_new(relay, "kafka_refuses", trouble_object(&status->trouble, REPORT_REFUSES));
    set_aside(relay, report, status);
    json_object_set_new(relay, "processes", processes_array(report, status));
    return relay;
}

static json_t *
slot_object(const struct status_slot *status)
{
    json_t *slot = json_object();
    fields_set_text(slot, "slot", status->name);
    fields_set_text(slot, "state", status->state);
    fields_set_integer(slot, "events", status->events);
    fields_set_integer(slot, "bytes", status->bytes);
    fields_set_seconds(slot, "newest_seconds", status->newest_age_us);
    return slot;
}

static json_t *
slots_array(const struct status *status)
{
    if (!status->slots_known)
        return json_null();
    json_t *slots = json_array();
    for (size_t i = 0; i < status->slot_count; i++)
        json_array_append_new(slots, slot_object(&status->slots[i]));
    return slots;
}

static json_t *
transaction_object(const struct status_transaction *oldest)
{
    if (!oldest->any)
        return json_null();
    json_t *transaction = json_object();
    bool prepared = oldest->gid != NULL;
    json_object_set_new(transaction, "pid", prepared ? json_null() : json_integer(oldest->pid));
    json_object_set_new(transaction, "gid", json_null());
    if (prepared)
        fields_set_text(transaction, "gid", oldest->gid);
    fields_set_text(transaction, "user", oldest->user);
    fields_set_text(transaction, "application", oldest->application);
    fields_set_seconds(transaction, "seconds", oldest->age_us);
    fields_set_integer(transaction, "transactions", oldest->age_xids);
    fields_set_flag(transaction, "wrote_events", oldest->wrote_events);
    return transaction;
}

void
report_print_json(const struct report *report, FILE *to)
{
    const struct status *status = report->status;
    json_t *object = json_object(), *relays = json_array(), *unselected = json_array();
    for (size_t i = 0; i < status->relay_count; i++)
        json_array_append_new(relays, relay_object(report, &status->relays[i]));
    for (size_t i = 0; i < report->unselected_count; i++)
        json_array_append_new(unselected, json_string(report->unselected[i]));
    fields_set_text(object, "version", OUTBOXD_VERSION);
    fields_set_text(object, "verdict", report_verdict_name(report->verdict));
    fields_set_text(object, "summary", report->summary);
    fields_set_text(object, "database", report->facts->database);
    fields_set_integer(object, "schema_version", report->facts->version);
    json_object_set_new(object, "relays", relays);
    json_object_set_new(object, "slots", slots_array(status));
    json_object_set_new(object, "oldest_transaction", transaction_object(&status->oldest));
    json_object_set_new(object, "unselected_topics", unselected);
    CHECK(json_dumpf(object, to, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) == 0 || ferror(to));
    fputc('\n', to);
    json_decref(object);
}
