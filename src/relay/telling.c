/* telling.c: what the relay tells the registry: its configuration, and what it is stuck at. Called by link.c on the way to
 * the lead and by leading.c between its steps. Somebody may hold a lock on the registry, a person at a psql prompt for hours:
 * nothing that is published waits for that. */
#include "relay/inside.h"

#include "base/log.h"
#include "postgres/registry.h"

#include <jansson.h>
#include <stdlib.h>

/* After the registry could not be written. */
#define AGAIN_US (INT64_C(5) * 1000000)

void
telling_register(struct relay *relay)
{
    bool first = relay->facts.relay_count == 0;
    registry_ask_register(relay->session, relay->settings, first, relay->now_us);
    relay_asked(relay, REQUEST_REGISTER);
}

/* What stops everything; NULL: nothing does. */
static json_t *
find_trouble(struct relay *relay)
{
    const struct trouble *trouble = verdict_trouble(&relay->verdict);
    json_t *outage = outage_tell(relay);
    char no_transactions[sizeof relay->exact.refusal.message + 100];
    exact_text(relay, no_transactions, sizeof no_transactions);
    if (outage != NULL)
        return outage;
    if (relay->exact.refused && !outage_is_explained(relay))
        return json_pack("{s:s, s:s}", "error", "KAFKA_REFUSES", "message", no_transactions);
    if (trouble == NULL)
        return NULL;
    return json_pack("{s:I, s:s, s:s, s:s}", "event_id", (json_int_t)trouble->event_id, "topic",
                     trouble->topic->name, "error", trouble->why.name, "message", trouble->why.message);
}

/* And which requests wait, as its member `waits`, be there trouble or not. */
static void
ask_trouble(struct relay *relay)
{
    json_t *object = find_trouble(relay), *waits = side_waits(relay);
    if (json_array_size(waits) > 0 && object == NULL)
        object = json_object();
    if (json_array_size(waits) > 0)
        json_object_set(object, "waits", waits);
    json_decref(waits);
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    registry_ask_trouble(relay->session, relay->settings->relay, text, relay->now_us);
    relay_asked(relay, REQUEST_TROUBLE);
    relay->trouble_told = true;
    free(text);
}

bool
telling_is_due(const struct relay *relay)
{
    return !(relay->registered && relay->trouble_told) && relay->now_us >= relay->tell_at_us;
}

void
telling_ask(struct relay *relay)
{
    if (relay->registered) {
        ask_trouble(relay);
        return;
    }
    registry_ask_register(relay->session, relay->settings, false, relay->now_us);
    relay_asked(relay, REQUEST_REGISTER_LATER);
}

/* Whatever heals by itself and is more than the registry's, the next step meets too. */
static bool
postpone(struct relay *relay, const struct error *error)
{
    if (error->kind != ERROR_RETRY)
        return false;
    relay->tell_at_us = relay->now_us + AGAIN_US;
    if (!relay->telling_refused)
        log_warning("the registry cannot be written: it is tried again, and publishing goes on",
                    LOG_STR("why", error->message), LOG_END);
    relay->telling_refused = true;
    return true;
}

static void
heal(struct relay *relay)
{
    if (relay->telling_refused)
        log_info("the registry was written", LOG_END);
    relay->telling_refused = false;
}

/* When the registry has become another one since it was inspected, the next inspection says what is wrong with it. */
bool
telling_registered(struct relay *relay, struct error *error)
{
    if (!registry_read_register(relay->session, &relay->registered, error))
        return relay->facts.relay_count > 0 && postpone(relay, error);
    if (!relay->registered)
        return error_set(error, ERROR_RETRY, "the registry has changed meanwhile: it is inspected again");
    heal(relay);
    return true;
}

/* Another trouble may have come while this one was told. */
bool
telling_told(struct relay *relay, struct error *error)
{
    if (registry_read_trouble(relay->session, error)) {
        heal(relay);
        return true;
    }
    relay->trouble_told = false;
    return postpone(relay, error);
}
