/* report_json.c: a report for scripts. The names of the fields are those of the metrics and of /status.json; ages are seconds;
 * what is unknown is null. */
#include "command/report.h"

#include "base/utf8.h"

#include <jansson.h>
#include <stdlib.h>

static void
set_text(json_t *object, const char *key, const char *text)
{
    char *clean = utf8_clean(text);
    json_object_set_new(object, key, json_string(clean));
    free(clean);
}

static void
set_integer(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

/* Negative is unknown. */
static void
set_seconds(json_t *object, const char *key, int64_t us)
{
    json_object_set_new(object, key, us < 0 ? json_null() : json_real((double)us / 1e6));
}

static void
set_flag(json_t *object, const char *key, bool value)
{
    json_object_set_new(object, key, json_boolean(value));
}

static json_t *
trouble_object(const struct status_trouble *trouble)
{
    if (!trouble->active)
        return json_null();
    json_t *object = json_object();
    set_integer(object, "event_id", trouble->event_id);
    set_text(object, "topic", trouble->topic);
    set_text(object, "error", trouble->error);
    set_text(object, "message", trouble->message);
    set_seconds(object, "seconds", trouble->age_us);
    return object;
}

static void
set_lag(json_t *relay, const struct status_lag *lag)
{
    if (lag->known) {
        set_integer(relay, "lag_events", lag->events);
        set_integer(relay, "lag_bytes", lag->bytes);
        /* the clock of the machine that inserted may be ahead of the database's */
        set_seconds(relay, "lag_seconds", lag->age_us < 0 ? 0 : lag->age_us);
    } else {
        json_object_set_new(relay, "lag_events", json_null());
        json_object_set_new(relay, "lag_bytes", json_null());
        json_object_set_new(relay, "lag_seconds", json_null());
    }
    set_flag(relay, "lag_exact", lag->known && lag->exact);
}

static json_t *
relay_object(const struct status_relay *status, int64_t lease_us)
{
    char text[REPORT_SIZE];
    json_t *relay = json_object();
    set_text(relay, "relay", status->name);
    set_text(relay, "source", status->source);
    set_text(relay, "verdict", report_verdict_name(report_judge_relay(status, lease_us, text)));
    set_text(relay, "summary", text);
    set_text(relay, "leadership", report_leadership(status, lease_us));
    set_text(relay, "holder", status->holder);
    set_integer(relay, "epoch", status->epoch);
    set_seconds(relay, "heartbeat_seconds", status->has_journal ? status->heartbeat_age_us : -1);
    set_integer(relay, "tick_seq", status->tick_seq);
    set_integer(relay, "confirmed_seq", status->confirmed_seq);
    set_integer(relay, "confirmed_id", status->confirmed_id);
    set_lag(relay, &status->lag);
    json_object_set_new(relay, "confirmed_per_second",
                        status->rate < 0 ? json_null() : json_real(status->rate));
    set_seconds(relay, "retention_seconds", status->retention_us);
    json_object_set_new(relay, "stuck", trouble_object(&status->trouble));
    return relay;
}

static json_t *
slot_object(const struct status_slot *status)
{
    json_t *slot = json_object();
    set_text(slot, "slot", status->name);
    set_text(slot, "state", status->state);
    set_integer(slot, "events", status->events);
    set_integer(slot, "bytes", status->bytes);
    set_seconds(slot, "newest_seconds", status->newest_age_us);
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
        set_text(transaction, "gid", oldest->gid);
    set_text(transaction, "user", oldest->user);
    set_text(transaction, "application", oldest->application);
    set_seconds(transaction, "seconds", oldest->age_us);
    set_integer(transaction, "transactions", oldest->age_xids);
    set_flag(transaction, "wrote_events", oldest->wrote_events);
    return transaction;
}

void
report_print_json(const struct report *report, FILE *to)
{
    const struct status *status = report->status;
    json_t *object = json_object(), *relays = json_array(), *unselected = json_array();
    for (size_t i = 0; i < status->relay_count; i++)
        json_array_append_new(relays, relay_object(&status->relays[i], report->settings->lease_us));
    for (size_t i = 0; i < report->unselected_count; i++)
        json_array_append_new(unselected, json_string(report->unselected[i]));
    set_text(object, "version", OUTBOXD_VERSION);
    set_text(object, "verdict", report_verdict_name(report->verdict));
    set_text(object, "summary", report->summary);
    set_text(object, "database", report->facts->database);
    set_integer(object, "schema_version", report->facts->version);
    json_object_set_new(object, "relays", relays);
    json_object_set_new(object, "slots", slots_array(status));
    json_object_set_new(object, "oldest_transaction", transaction_object(&status->oldest));
    json_object_set_new(object, "unselected_topics", unselected);
    CHECK(json_dumpf(object, to, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) == 0 || ferror(to));
    fputc('\n', to);
    json_decref(object);
}
