/* asking.c: see asking.h. Called by dead, replay, pause, and relay; the waiting is in waiting.c. */
#include "command/asking.h"

#include "command/print.h"
#include "command/report.h"
#include "event/topic.h"
#include "postgres/oneshot.h"
#include "postgres/schema.h"

#include <stdio.h>
#include <string.h>

/* The functions are there, as far as we may know. */
static bool
has_functions(const struct inspect_facts *facts, struct error *error)
{
    if (!inspect_require_outbox(facts, error))
        return false;
    if (facts->version < SCHEMA_VERSION)
        return error_set(error, ERROR_UNUSABLE,
                         "the schema is at version %d, this outboxd needs %d: `outboxd migrate`",
                         facts->version, SCHEMA_VERSION);
    return true;
}

bool
asking_connect(struct session **session, const struct settings *settings, struct error *error)
{
    struct inspect_facts facts = {0};
    if (!oneshot_open(session, settings, error))
        return false;
    bool good = oneshot_inspect(*session, &facts, error) && has_functions(&facts, error);
    inspect_facts_free(&facts);
    if (good)
        return true;
    session_free(*session);
    *session = NULL;
    return false;
}

const char *
asking_standing(const struct relays_entry *entry, int64_t lease_us)
{
    struct status_relay relay = {
        .led = entry->epoch > 0, .released = entry->released, .heartbeat_age_us = entry->heartbeat_age_us};
    if (entry->retired_at != NULL)
        return "retired";
    return entry->heartbeat_age_us < 0 ? "no journal" : report_leadership(&relay, lease_us);
}

static const struct relays_entry *
find_relay(const struct relays *relays, const char *name)
{
    for (size_t i = 0; i < relays->count; i++)
        if (strcmp(relays->list[i].name, name) == 0)
            return &relays->list[i];
    return NULL;
}

bool
asking_refresh(struct asking *asking, struct error *error)
{
    relays_free(&asking->relays);
    asking->relay = NULL;
    if (!relays_read(asking->session, &asking->relays, error))
        return false;
    asking->relay = find_relay(&asking->relays, asking->settings->relay);
    return asking->relay != NULL ||
           error_set(error, ERROR_CONFIG, "relay \"%s\" is not registered; %s", asking->settings->relay,
                     asking->relays.count == 0 ? "the first `outboxd run` registers it"
                                               : "`outboxd relay list` shows those that are");
}

bool
asking_open(struct asking *asking, const char *command, const struct settings *settings, bool retired_too,
            struct error *error)
{
    *asking = (struct asking){.command = command, .settings = settings};
    if (!asking_connect(&asking->session, settings, error) || !asking_refresh(asking, error))
        return false;
    return retired_too || asking->relay->retired_at == NULL ||
           error_set(
               error, ERROR_CONFIG,
               "relay \"%s\" was retired; `outboxd relay add %s --from now` (or beginning) brings it back",
               settings->relay, settings->relay);
}

void
asking_close(struct asking *asking)
{
    relays_free(&asking->relays);
    session_free(asking->session);
    *asking = (struct asking){0};
}

bool
asking_leads(const struct asking *asking, char why[256])
{
    const struct relays_entry *relay = asking->relay;
    const char *standing = asking_standing(relay, asking->settings->lease_us);
    char age[PRINT_SIZE];
    print_age(relay->heartbeat_age_us, age);
    if (strcmp(standing, "leading") == 0)
        return true;
    if (strcmp(standing, "released") == 0)
        snprintf(why, 256, "relay %s was stopped %s ago", relay->name, age);
    else if (strcmp(standing, "no leader") == 0)
        snprintf(why, 256, "the leader of relay %s has been silent for %s", relay->name, age);
    else if (strcmp(standing, "retired") == 0)
        snprintf(why, 256, "relay %s was retired", relay->name);
    else
        snprintf(why, 256, "nobody has led relay %s yet", relay->name);
    return false;
}

bool
asking_selects(const struct asking *asking, const char *topic)
{
    struct topic_table *table = topic_table_new(asking->relay->topics, asking->relay->topic_count);
    bool selects = topic_intern(table, topic, strlen(topic))->selected;
    topic_table_free(table);
    return selects;
}

void
asking_warn(const struct asking *asking)
{
    char why[256];
    if (!asking_leads(asking, why))
        fprintf(stderr, "outboxd %s: %s: nothing happens until `outboxd run` leads it\n", asking->command,
                why);
    else if (asking->relay->paused)
        fprintf(stderr, "outboxd %s: relay %s is paused; `outboxd resume` lets it go on\n", asking->command,
                asking->relay->name);
}
